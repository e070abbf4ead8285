//! The text form of sizes, both ways: `8*H*W + floordiv(N + 1, 2)`.
//!
//! Invariant: parsing what was printed gives an equal size. Input may be hostile: nesting is bounded,
//! so is the degree, and a size from a file is written no longer than the text that it came from, which it is when it was
//! printed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Atom, Dim, MAX_DEGREE};

const MAX_DEPTH: usize = 64;
const MAX_TERMS: usize = 1024;
/// Atoms and constants of a size in a text that a person may have written.
const MAX_LENGTH: usize = 1 << 14;

/// What is wrong with a text that sizes are written in, and where: lines and columns count from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl ParseError {
    /// At this offset of the text.
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> ParseError {
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ParseError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// What is wrong with a size, at this offset of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDimError {
    pub at: usize,
    pub message: String,
}

impl fmt::Display for ParseDimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.message, self.at)
    }
}

impl std::error::Error for ParseDimError {}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.n_terms() == 0 {
            return f.write_str("0");
        }
        // The normal order has the constant first; people read it last.
        let terms: Vec<_> = self.terms().collect();
        for (idx, (monomial, coefficient)) in terms.iter().rev().enumerate() {
            match (idx, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let size = coefficient.unsigned_abs();
            let mut separator = "";
            if size != 1 || monomial.is_empty() {
                write!(f, "{size}")?;
                separator = "*";
            }
            for (atom, power) in monomial.iter() {
                write!(f, "{separator}{atom}")?;
                if *power != 1 {
                    write!(f, "^{power}")?;
                }
                separator = "*";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(symbol) => write!(f, "{symbol}"),
            Atom::FloorDiv(a, b) => write!(f, "floordiv({a}, {b})"),
            Atom::Mod(a, b) => write!(f, "mod({a}, {b})"),
            Atom::Min(a, b) => write!(f, "min({a}, {b})"),
            Atom::Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

impl FromStr for Dim {
    type Err = ParseDimError;

    fn from_str(text: &str) -> Result<Dim, ParseDimError> {
        DimParser::new(text, 0).whole()
    }
}

/// Reads one size from the middle of a text, for the parsers of the IRs.
pub struct DimParser<'a> {
    text: &'a str,
    pub at: usize,
    /// How many atoms and constants a result may be written with.
    most: usize,
}

impl<'a> DimParser<'a> {
    pub fn new(text: &'a str, at: usize) -> DimParser<'a> {
        DimParser { text, at, most: MAX_LENGTH }
    }

    fn whole(mut self) -> Result<Dim, ParseDimError> {
        let dim = self.sum(0)?;
        self.skip_space();
        if self.at < self.text.len() { Err(self.error("unexpected text after the size")) } else { Ok(dim) }
    }

    /// Parses the longest size that starts here.
    pub fn parse(&mut self) -> Result<Dim, ParseDimError> {
        self.sum(0)
    }

    fn sum(&mut self, depth: usize) -> Result<Dim, ParseDimError> {
        if depth > MAX_DEPTH {
            return Err(self.error("a size nested too deeply"));
        }
        let mut sum = self.product(depth)?;
        loop {
            if self.eat(b'+') {
                sum = &sum + &self.product(depth)?;
            } else if self.eat(b'-') {
                sum = &sum - &self.product(depth)?;
            } else {
                return Ok(sum);
            }
        }
    }

    fn product(&mut self, depth: usize) -> Result<Dim, ParseDimError> {
        if self.eat(b'-') {
            if depth > MAX_DEPTH {
                return Err(self.error("a size nested too deeply"));
            }
            return Ok(-&self.product(depth + 1)?);
        }
        let mut product = self.power(depth)?;
        while self.eat(b'*') {
            let factor = self.power(depth)?;
            product = self.multiply(&product, &factor)?;
        }
        Ok(product)
    }

    fn power(&mut self, depth: usize) -> Result<Dim, ParseDimError> {
        let base = self.factor(depth)?;
        if !self.eat(b'^') {
            return Ok(base);
        }
        self.skip_space();
        let exponent = self.integer()?;
        if !(0..=i64::from(MAX_DEGREE)).contains(&exponent) {
            return Err(self.error(&format!("a power of a size outside 0..={MAX_DEGREE}")));
        }
        (0..exponent).try_fold(Dim::constant(1), |power, _| self.multiply(&power, &base))
    }

    fn multiply(&self, left: &Dim, right: &Dim) -> Result<Dim, ParseDimError> {
        if left.n_terms().saturating_mul(right.n_terms()) > MAX_TERMS {
            return Err(self.error("a size of too many terms"));
        }
        if left.degree() + right.degree() > MAX_DEGREE {
            return Err(self.error(&format!("a size of a degree above {MAX_DEGREE}")));
        }
        self.short(left * right)
    }

    fn short(&self, dim: Dim) -> Result<Dim, ParseDimError> {
        let found = "a size that is much longer when it is multiplied out";
        if dim.is_written_in(self.most) { Ok(dim) } else { Err(self.error(found)) }
    }

    fn factor(&mut self, depth: usize) -> Result<Dim, ParseDimError> {
        self.skip_space();
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                let inner = self.sum(depth + 1)?;
                self.expect(b')')?;
                Ok(inner)
            }
            Some(byte) if byte.is_ascii_digit() => self.integer().map(Dim::constant),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.named(depth),
            _ => Err(self.error("expected a size")),
        }
    }

    fn named(&mut self, depth: usize) -> Result<Dim, ParseDimError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'\'') {
            self.at += 1;
        }
        let name = &self.text[start..self.at];
        let combine: fn(&Dim, &Dim) -> Dim = match name {
            "floordiv" => Dim::floor_div,
            "mod" => Dim::modulo,
            "min" => Dim::least,
            "max" => Dim::greatest,
            _ => return Ok(Dim::symbol(name)),
        };
        self.expect(b'(')?;
        let left = self.sum(depth + 1)?;
        self.expect(b',')?;
        let right = self.sum(depth + 1)?;
        self.expect(b')')?;
        self.short(combine(&left, &right))
    }

    fn integer(&mut self) -> Result<i64, ParseDimError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.text[start..self.at].parse().map_err(|_| self.error("expected an integer that fits 64 bits"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let start = self.at;
        self.skip_space();
        let found = self.peek() == Some(byte) && !(byte == b'-' && self.text[self.at..].starts_with("->"));
        self.at = if found { self.at + 1 } else { start };
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), ParseDimError> {
        if self.eat(byte) { Ok(()) } else { Err(self.error(&format!("expected `{}`", byte as char))) }
    }

    fn error(&self, message: &str) -> ParseDimError {
        ParseDimError { at: self.at, message: message.to_string() }
    }
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Dim, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parser = DimParser { most: text.len(), ..DimParser::new(&text, 0) };
        parser.whole().map_err(de::Error::custom)
    }
}
