//! Kernels from text.
//!
//! Invariant: any text gives a kernel or an error with its place; nesting is bounded and nothing is allocated beyond what
//! the text itself takes. What was printed reads back equal; what reads need not be well formed: see `verify`.

mod cursor;
mod header;
mod statement;

pub use cursor::is_name;
use tilewright_runtime::program::check::MAX_RANK;
pub use tilewright_runtime::program::size::ParseError;

use std::collections::HashMap;

use super::types::*;
use crate::graph::{DType, Dim};
use cursor::Cursor;

/// Blocks inside blocks; schedules nest a dozen.
const MAX_DEPTH: usize = 64;

pub fn parse(text: &str) -> Result<Kernel, ParseError> {
    let mut parser = Parser {
        cursor: Cursor::new(text),
        kernel: super::Builder::new("").finish(),
        memories: HashMap::new(),
        values: HashMap::new(),
    };
    parser.header()?;
    parser.kernel.body = parser.block(0)?;
    parser.cursor.expect("}")?;
    parser.cursor.expect_end()?;
    Ok(parser.kernel)
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    kernel: Kernel,
    memories: HashMap<&'a str, Memory>,
    /// Values by their number in the text.
    values: HashMap<u32, Value>,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn value_number(&mut self) -> Parsed<(usize, u32)> {
        let at = self.cursor.place();
        self.cursor.expect("%")?;
        let number = self.cursor.integer()?;
        match u32::try_from(number) {
            Ok(number) => Ok((at, number)),
            Err(_) => Err(self.cursor.error_at(at, "a value has a number from 0 to 4294967295")),
        }
    }

    fn use_value(&mut self) -> Parsed<Value> {
        let (at, number) = self.value_number()?;
        match self.values.get(&number) {
            Some(&value) => Ok(value),
            None => Err(self.cursor.error_at(at, format!("%{number} is used before its definition"))),
        }
    }

    fn use_values(&mut self) -> Parsed<Vec<Value>> {
        let mut values = vec![self.use_value()?];
        while self.cursor.eat(",") {
            values.push(self.use_value()?);
        }
        Ok(values)
    }

    fn define(&mut self, (at, number): (usize, u32), ty: Type) -> Parsed<Value> {
        let value = Value(self.kernel.values.len() as u32);
        if self.values.insert(number, value).is_some() {
            return Err(self.cursor.error_at(at, format!("%{number} is defined twice")));
        }
        self.kernel.values.push(ty);
        Ok(value)
    }

    fn dtype(&mut self) -> Parsed<DType> {
        let at = self.cursor.place();
        let word = self.cursor.word()?;
        DType::from_name(word)
            .ok_or_else(|| self.cursor.error_at(at, format!("`{word}` is no element type, such as f32")))
    }

    fn ty(&mut self) -> Parsed<Type> {
        let dtype = self.dtype()?;
        self.cursor.expect("<")?;
        let mut shape = Vec::new();
        while !self.cursor.eat(">") {
            if !shape.is_empty() {
                self.cursor.expect("x")?;
            }
            if shape.len() == MAX_RANK {
                return Err(self.cursor.error("a shape of too many axes"));
            }
            shape.push(self.cursor.unsigned()?);
        }
        Ok(Type { dtype, shape })
    }

    fn memory(&mut self) -> Parsed<Memory> {
        let at = self.cursor.place();
        let name = self.cursor.word()?;
        let found = self.memories.get(name).copied();
        found.ok_or_else(|| self.cursor.error_at(at, format!("there is no buffer or local `{name}`")))
    }

    /// Comma-separated comparisons, each as the size that must be at least 0.
    fn guards(&mut self) -> Parsed<Vec<Dim>> {
        let mut guards = vec![self.guard()?];
        while self.cursor.eat(",") {
            guards.push(self.guard()?);
        }
        Ok(guards)
    }

    fn guard(&mut self) -> Parsed<Dim> {
        let left = self.cursor.dim()?;
        for (sign, swap, strict) in [("<=", false, 0), (">=", true, 0), ("<", false, 1), (">", true, 1)] {
            if self.cursor.eat(sign) {
                let right = self.cursor.dim()?;
                let difference = if swap { &left - &right } else { &right - &left };
                return Ok(&difference - &Dim::constant(strict));
            }
        }
        Err(self.cursor.error("expected a comparison: <, <=, > or >="))
    }
}
