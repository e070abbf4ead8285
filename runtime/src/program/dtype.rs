//! Element types, with the facts that every stage needs about them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// A float whose precision is not decided yet. It occurs in graphs before the precision pass, never in programs.
    Real,
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I8,
    U8,
    U32,
    Bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float,
    Int,
    Bool,
}

impl DType {
    pub const ALL: [DType; 11] = [
        DType::Real,
        DType::F64,
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I64,
        DType::I32,
        DType::I8,
        DType::U8,
        DType::U32,
        DType::Bool,
    ];

    pub fn name(self) -> &'static str {
        match self {
            DType::Real => "real",
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::U32 => "u32",
            DType::Bool => "bool",
        }
    }

    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of one element in memory; an undecided float counts as the widest.
    pub fn size_of(self) -> usize {
        match self {
            DType::Real | DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            DType::Real | DType::F64 | DType::F32 | DType::F16 | DType::BF16 => Kind::Float,
            DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::U32 => Kind::Int,
            DType::Bool => Kind::Bool,
        }
    }

    pub fn is_float(self) -> bool {
        self.kind() == Kind::Float
    }

    pub fn is_int(self) -> bool {
        self.kind() == Kind::Int
    }

    pub fn is_signed(self) -> bool {
        !matches!(self, DType::U8 | DType::U32 | DType::Bool)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many elements a shape has, unless that overflows.
pub fn n_elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    product.filter(|&product| product <= isize::MAX as usize)
}

/// How many bytes a tensor has, unless no memory could hold them.
pub fn byte_len(dtype: DType, shape: &[usize]) -> Option<usize> {
    let bytes = n_elements(shape)?.checked_mul(dtype.size_of())?;
    (bytes <= isize::MAX as usize).then_some(bytes)
}
