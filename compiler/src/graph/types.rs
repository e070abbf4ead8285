//! The type of a value: an element type and a shape of symbolic sizes.

use std::fmt;

use super::{DType, Dim};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    pub dtype: DType,
    pub shape: Vec<Dim>,
}

impl Type {
    pub fn new(dtype: DType, shape: Vec<Dim>) -> Type {
        Type { dtype, shape }
    }

    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Vec::new() }
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    pub fn with_dtype(&self, dtype: DType) -> Type {
        Type { dtype, shape: self.shape.clone() }
    }

    pub fn with_shape(&self, shape: Vec<Dim>) -> Type {
        Type { dtype: self.dtype, shape }
    }

    /// The number of bytes, where the shape is known.
    pub fn n_bytes(&self) -> Option<i64> {
        self.n_elements().as_constant()?.checked_mul(self.dtype.size_of() as i64)
    }

    /// The number of elements.
    pub fn n_elements(&self) -> Dim {
        Dim::product(&self.shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, Shape(&self.shape))
    }
}

/// Prints a shape as `[B, 3, 8*H]`.
pub struct Shape<'a>(pub &'a [Dim]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (idx, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if idx > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}
