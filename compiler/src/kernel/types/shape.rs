//! Types of values, and literals.
//!
//! Invariant: equal literals are equal data: floats are kept as bits, with one NaN.

use std::fmt;

use crate::graph::{DType, saturate};

/// The element type and the constant shape of a value; an empty shape is a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    pub dtype: DType,
    pub shape: Vec<u64>,
}

impl Type {
    pub fn new(dtype: DType, shape: impl Into<Vec<u64>>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Vec::new() }
    }

    pub fn with_dtype(&self, dtype: DType) -> Type {
        Type { dtype, shape: self.shape.clone() }
    }

    pub fn is_scalar(&self) -> bool {
        self.shape.is_empty()
    }

    /// How many elements; saturates, so that a hostile shape can only become too large.
    pub fn n_elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &extent| product.saturating_mul(extent))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        write!(f, "{}<{}>", self.dtype, extents.join("x"))
    }
}

/// A number in the text of a kernel. Booleans are the integers 0 and 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Literal {
    /// The bits of an f64.
    Float(u64),
    Int(i64),
}

impl Literal {
    pub fn float(value: f64) -> Literal {
        Literal::Float(if value.is_nan() { f64::NAN } else { value }.to_bits())
    }

    pub fn int(value: i64) -> Literal {
        Literal::Int(value)
    }

    pub fn bool(value: bool) -> Literal {
        Literal::Int(value.into())
    }

    /// `value` as a literal of the type: a float, or the integer next to it that the type has.
    pub fn of(dtype: DType, value: f64) -> Literal {
        if dtype.is_float() { Literal::float(value) } else { Literal::Int(saturate(dtype, value)) }
    }

    pub fn zero(dtype: DType) -> Literal {
        Literal::of(dtype, 0.0)
    }

    pub fn as_f64(self) -> f64 {
        match self {
            Literal::Float(bits) => f64::from_bits(bits),
            Literal::Int(value) => value as f64,
        }
    }

    pub fn as_i64(self) -> i64 {
        match self {
            Literal::Float(bits) => f64::from_bits(bits) as i64,
            Literal::Int(value) => value,
        }
    }

    /// Whether it can be written for this type: floats for float types, in range for the others.
    pub fn fits(self, dtype: DType) -> bool {
        let Literal::Int(value) = self else { return dtype.is_float() };
        match dtype {
            DType::Real | DType::F64 | DType::F32 | DType::F16 | DType::BF16 => false,
            DType::I64 => true,
            DType::I32 => i32::try_from(value).is_ok(),
            DType::I8 => i8::try_from(value).is_ok(),
            DType::U8 => u8::try_from(value).is_ok(),
            DType::U32 => u32::try_from(value).is_ok(),
            DType::Bool => value == 0 || value == 1,
        }
    }
}

/// Floats always show a point, an exponent or a name, so that they read back as floats.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(bits) => match f64::from_bits(bits) {
                value if value.is_nan() => f.write_str("nan"),
                value => write!(f, "{value:?}"),
            },
        }
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
