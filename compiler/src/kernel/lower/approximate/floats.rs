//! What is different for f32 and f64.

use crate::graph::DType;

#[derive(Clone, Copy, Debug)]
pub(super) struct Floats<T> {
    pub single: T,
    pub double: T,
}

impl<T: Copy> Floats<T> {
    pub fn of(&self, dtype: DType) -> T {
        if dtype == DType::F64 { self.double } else { self.single }
    }
}

/// How a float lies in an integer of its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    pub dtype: DType,
    /// Bits of the fraction, above which the exponent lies.
    pub fraction: i64,
    /// The exponent of one.
    pub bias: i64,
    pub infinity: i64,
    pub sign: i64,
    pub least_normal: f64,
}

pub(super) const BITS: Floats<Bits> = Floats {
    single: Bits {
        dtype: DType::I32,
        fraction: 23,
        bias: 127,
        infinity: f32::INFINITY.to_bits() as i64,
        sign: i32::MIN as i64,
        least_normal: f32::MIN_POSITIVE as f64,
    },
    double: Bits {
        dtype: DType::I64,
        fraction: 52,
        bias: 1023,
        infinity: f64::INFINITY.to_bits() as i64,
        sign: i64::MIN,
        least_normal: f64::MIN_POSITIVE,
    },
};

impl Floats<Bits> {
    /// By the type of the integer.
    pub fn of_bits(&self, dtype: DType) -> Bits {
        if dtype == self.double.dtype { self.double } else { self.single }
    }
}
