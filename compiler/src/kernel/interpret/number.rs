//! One element, and the scalar functions on it.
//!
//! Invariant: a number is in the normal form of its type: floats rounded to it, integers sign- or zero-extended.

use half::{bf16, f16};

use crate::graph::{self, DType, Scalar};
use crate::kernel::types::Literal;

/// The bits of an f64, or of an i64; the element type says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Number(u64);

impl Number {
    pub fn float(value: f64) -> Number {
        Number(value.to_bits())
    }

    pub fn int(value: i64) -> Number {
        Number(value as u64)
    }

    pub fn as_float(self) -> f64 {
        f64::from_bits(self.0)
    }

    pub fn as_int(self) -> i64 {
        self.0 as i64
    }

    pub fn literal(literal: Literal, dtype: DType) -> Number {
        if dtype.is_float() { round(literal.as_f64(), dtype) } else { wrap(literal.as_i64(), dtype) }
    }

    pub fn from_bytes(bytes: &[u8], dtype: DType) -> Number {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_ne_bytes(wide);
        match dtype {
            DType::F64 => Number(bits),
            DType::F32 => Number::float(f32::from_bits(bits as u32).into()),
            DType::F16 => Number::float(f16::from_bits(bits as u16).into()),
            DType::BF16 => Number::float(bf16::from_bits(bits as u16).into()),
            _ => wrap(bits as i64, dtype),
        }
    }

    pub fn to_bytes(self, dtype: DType) -> [u8; 8] {
        let value = self.as_float();
        let bits = match dtype {
            DType::F32 => (value as f32).to_bits().into(),
            DType::F16 => f16::from_f32(value as f32).to_bits().into(),
            DType::BF16 => bf16::from_f32(value as f32).to_bits().into(),
            _ => self.0,
        };
        bits.to_ne_bytes()
    }
}

pub(super) fn round(value: f64, dtype: DType) -> Number {
    Number::float(graph::round(dtype, value))
}

pub(super) fn wrap(value: i64, dtype: DType) -> Number {
    Number::int(graph::wrap(dtype, value))
}

/// The function on operands of type `from` (of the values, for a select), giving one of type `to`.
pub(super) fn apply(scalar: Scalar, from: DType, to: DType, operands: &[Number]) -> Number {
    let at = |idx: usize| operands.get(idx).copied().unwrap_or_default();
    let def = scalar.def();
    if scalar == Scalar::Select {
        return if at(0).as_int() != 0 { at(1) } else { at(2) };
    }
    if from == DType::F32 && scalar == Scalar::Fma {
        // Rounding the fused f64 result once more could differ from one rounding.
        let [a, b, c] = [0, 1, 2].map(|idx| at(idx).as_float() as f32);
        return Number::float(a.mul_add(b, c).into());
    }
    match (def.float, def.int) {
        (Some(float), _) if from.is_float() => {
            let value = float(at(0).as_float(), at(1).as_float(), at(2).as_float());
            if to.is_float() { round(value, to) } else { wrap(value as i64, to) }
        }
        (_, Some(int)) => wrap(int(at(0).as_int(), at(1).as_int(), at(2).as_int()), to),
        _ => Number::default(),
    }
}

/// `acc` and the products of what lies in two words.
pub(super) fn dot(of: DType, a: Number, b: Number, acc: Number) -> Number {
    if of.is_float() { dot_halves(of, a, b, acc) } else { dot_bytes(of, a, b, acc) }
}

/// Four i8 in `a`, and four of a type in `b`.
fn dot_bytes(of: DType, a: Number, b: Number, acc: Number) -> Number {
    let bytes = |word: Number| (word.as_int() as u32).to_le_bytes();
    let right = |byte: u8| if of == DType::I8 { i32::from(byte as i8) } else { i32::from(byte) };
    let products = bytes(a).into_iter().zip(bytes(b)).map(|(a, b)| i32::from(a as i8) * right(b));
    Number::int(products.fold(acc.as_int() as i32, i32::wrapping_add).into())
}

/// The upper numbers first, as `vdpbf16ps` adds them.
fn dot_halves(of: DType, a: Number, b: Number, acc: Number) -> Number {
    let float =
        |bits: u16| if of == DType::BF16 { bf16::from_bits(bits).to_f32() } else { f16::from_bits(bits).to_f32() };
    let halves = |word: Number| [(word.as_int() >> 16) as u16, word.as_int() as u16].map(float);
    let products = halves(a).into_iter().zip(halves(b));
    Number::float(products.fold(acc.as_float() as f32, |sum, (a, b)| a.mul_add(b, sum)).into())
}

pub(super) fn cast(value: Number, from: DType, to: DType) -> Number {
    match (from.is_float(), to) {
        (true, DType::Bool) => Number::int((value.as_float() != 0.0).into()),
        (false, DType::Bool) => Number::int((value.as_int() != 0).into()),
        (true, _) if to.is_float() => round(value.as_float(), to),
        (false, _) if to.is_float() => Number::float(graph::round_int(to, value.as_int())),
        (false, _) => wrap(value.as_int(), to),
        (true, _) => Number::int(graph::saturate(to, value.as_float())),
    }
}
