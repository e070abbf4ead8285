//! Reads types, attributes and constants of the text form.
//!
//! Invariant: an attribute is read as the kind its record declares, so no text is ambiguous; a constant's elements are
//! never more than what is written out, except splats, which share one budget.

use std::sync::Arc;

use crate::graph::print::{MAX_INLINE, MAX_SPLAT};
use crate::graph::{Attr, AttrKind, Attrs, DType, OpDef, Tensor, Type, round};

use super::Parser;
use super::cursor::{Cursor, Parsed};

impl Parser<'_> {
    pub(super) fn dtype(&mut self) -> Parsed<DType> {
        self.cursor.skip();
        let start = self.cursor.at;
        let word = self.cursor.expect_word("an element type")?;
        match DType::from_name(word) {
            Some(dtype) => Ok(dtype),
            None => self.cursor.error_at(start, format!("there is no element type `{word}`")),
        }
    }

    pub(super) fn ty(&mut self) -> Parsed<Type> {
        let dtype = self.dtype()?;
        Ok(Type::new(dtype, self.cursor.list("[", "]", Cursor::dim)?))
    }

    pub(super) fn attrs(&mut self, op: &'static OpDef) -> Parsed<Attrs> {
        let mut attrs = Attrs::none();
        if !self.cursor.eat_before_comment("{") || self.cursor.eat("}") {
            return Ok(attrs);
        }
        loop {
            self.cursor.skip();
            let start = self.cursor.at;
            let name = self.cursor.expect_word("the name of an attribute")?;
            let Some(def) = op.attrs.iter().find(|def| def.name == name) else {
                return self.cursor.error_at(start, format!("`{}` has no attribute `{name}`", op.name));
            };
            if attrs.get(name).is_some() {
                return self.cursor.error_at(start, format!("the attribute `{name}` is written twice"));
            }
            self.cursor.expect("=")?;
            let value = self.attr(def.kind)?;
            attrs.set(def.name, value);
            if !self.cursor.eat(",") {
                self.cursor.expect("}")?;
                return Ok(attrs);
            }
        }
    }

    fn attr(&mut self, kind: AttrKind) -> Parsed<Attr> {
        Ok(match kind {
            AttrKind::Bool => Attr::Bool(self.boolean()?),
            AttrKind::Int | AttrKind::Axis => Attr::Int(self.cursor.int()?),
            AttrKind::Float => Attr::Float(self.cursor.float()?),
            AttrKind::Str => Attr::Str(self.cursor.string()?),
            AttrKind::Ints | AttrKind::Axes | AttrKind::PerAxis => {
                Attr::Ints(self.cursor.list("[", "]", Cursor::int)?)
            }
            AttrKind::Dim => Attr::Dim(self.cursor.dim()?),
            AttrKind::Dims | AttrKind::PerAxisDims => Attr::Dims(self.cursor.list("[", "]", Cursor::dim)?),
            AttrKind::DType => Attr::DType(self.dtype()?),
            AttrKind::Tensor => Attr::Tensor(self.tensor()?),
        })
    }

    fn boolean(&mut self) -> Parsed<bool> {
        match (self.cursor.eat_word("true"), self.cursor.eat_word("false")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => self.cursor.error("expected true or false"),
        }
    }

    fn tensor(&mut self) -> Parsed<Arc<Tensor>> {
        let dtype = self.dtype()?;
        self.cursor.skip();
        let start = self.cursor.at;
        let shape = self.cursor.list("[", "]", Cursor::count)?;
        let Some(n_elements) = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)) else {
            return self.cursor.error_at(start, "a constant with too many elements");
        };
        if self.cursor.eat_word("hash") {
            return self.stored(dtype, &shape);
        }
        let mut elements = Elements::new(dtype);
        if self.cursor.peek("[") {
            self.cursor.list("[", "]", |cursor| elements.read(cursor))?;
            if elements.len() != n_elements {
                let message = format!("{} elements are written for a shape of {n_elements}", elements.len());
                return self.cursor.error_at(start, message);
            }
        } else {
            if n_elements > MAX_SPLAT || n_elements > self.splat_budget {
                return self.cursor.error_at(start, "a constant with too many elements to be written as one");
            }
            self.splat_budget -= if n_elements > MAX_INLINE { n_elements } else { 0 };
            elements.read(&mut self.cursor)?;
            elements.repeat(n_elements);
        }
        Ok(Arc::new(elements.into_tensor(shape)))
    }

    fn stored(&mut self, dtype: DType, shape: &[usize]) -> Parsed<Arc<Tensor>> {
        self.cursor.skip();
        let start = self.cursor.at;
        let hash = self.cursor.string()?;
        match (self.library.constant)(&hash) {
            Some(tensor) if tensor.dtype == dtype && tensor.shape == shape => Ok(tensor),
            Some(_) => self.cursor.error_at(start, "the stored constant of this hash has another type"),
            None => self.cursor.error_at(start, "no stored constant has this hash"),
        }
    }
}

/// Elements of a constant as they are read.
enum Elements {
    Float(DType, Vec<f64>),
    Int(DType, Vec<i64>),
}

impl Elements {
    fn new(dtype: DType) -> Elements {
        match dtype.is_float() {
            true => Elements::Float(dtype, Vec::new()),
            false => Elements::Int(dtype, Vec::new()),
        }
    }

    fn read(&mut self, cursor: &mut Cursor) -> Parsed<()> {
        match self {
            Elements::Float(DType::F32, data) => data.push(cursor.float32()?),
            Elements::Float(dtype, data) => data.push(round(*dtype, cursor.float()?)),
            Elements::Int(DType::Bool, data) => match (cursor.eat_word("true"), cursor.eat_word("false")) {
                (false, false) => return cursor.error("expected true or false"),
                (value, _) => data.push(i64::from(value)),
            },
            Elements::Int(dtype, data) => {
                cursor.skip();
                let start = cursor.at;
                let value = cursor.int()?;
                if crate::graph::wrap(*dtype, value) != value {
                    return cursor.error_at(start, format!("{value} does not fit {dtype}"));
                }
                data.push(value);
            }
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self {
            Elements::Float(_, data) => data.len(),
            Elements::Int(_, data) => data.len(),
        }
    }

    fn repeat(&mut self, n: usize) {
        match self {
            Elements::Float(_, data) => data.resize(n, data[0]),
            Elements::Int(_, data) => data.resize(n, data[0]),
        }
    }

    fn into_tensor(self, shape: Vec<usize>) -> Tensor {
        match self {
            Elements::Float(dtype, data) => Tensor::floats(dtype, shape, data),
            Elements::Int(dtype, data) => Tensor::ints(dtype, shape, data),
        }
    }
}
