//! Element types, with the facts that every stage needs about them.

use half::{bf16, f16};
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

/// The nearest `f16`, halfway the even one.
pub fn to_f16(value: f64) -> f16 {
    f16::from_f32(to_odd(value))
}

/// The nearest `bf16`, halfway the even one.
pub fn to_bf16(value: f64) -> bf16 {
    bf16::from_f32(to_odd(value))
}

/// An `f32` that rounds to every narrower type as `value` itself does: where the value is no `f32`, its odd neighbour, which
/// no narrower type has and which is never halfway between two of its numbers. (`half` drops bits of an `f64` that decide.)
fn to_odd(value: f64) -> f32 {
    let single = value as f32;
    let back = f64::from(single);
    if back == value || value.is_nan() {
        return single;
    }
    let towards_zero = single.to_bits() - u32::from(back.abs() > value.abs());
    f32::from_bits(towards_zero | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearer of two neighbours, in exact arithmetic: halfway, the even one.
    fn nearest(value: f64, below: (f64, u16), above: (f64, u16)) -> u16 {
        // Neighbours of a narrow type and values near them have so few bits that differences are exact.
        match (value - below.0).partial_cmp(&(above.0 - value)) {
            Some(std::cmp::Ordering::Less) => below.1,
            Some(std::cmp::Ordering::Greater) => above.1,
            _ => {
                if below.1.is_multiple_of(2) {
                    below.1
                } else {
                    above.1
                }
            }
        }
    }

    fn check(widen: fn(u16) -> f64, narrow: fn(f64) -> u16) {
        for bits in (0..u16::MAX / 2).step_by(7) {
            let (below, above) = (widen(bits), widen(bits + 1));
            if !above.is_finite() {
                break;
            }
            let (gap, middle) = (above - below, below + (above - below) / 2.0);
            for value in [
                below,
                middle,
                middle - gap * 2f64.powi(-30),
                middle + gap * 2f64.powi(-30),
                middle - gap * 2f64.powi(-12),
                below + gap * 2f64.powi(-30),
                above - gap * 2f64.powi(-30),
            ] {
                let wanted = nearest(value, (below, bits), (above, bits + 1));
                assert_eq!(narrow(value), wanted, "{value:e} between {below:e} and {above:e}");
                assert_eq!(narrow(-value), wanted | 0x8000, "-{value:e}");
            }
        }
    }

    #[test]
    fn narrow_floats_are_rounded_once_to_nearest_even() {
        check(|bits| f16::from_bits(bits).to_f64(), |value| to_f16(value).to_bits());
        check(|bits| bf16::from_bits(bits).to_f64(), |value| to_bf16(value).to_bits());
    }

    #[test]
    fn the_ends_of_narrow_floats_are_right() {
        let half = to_f16;
        assert_eq!(half(65519.999999999), f16::MAX);
        assert_eq!((half(65520.0), half(1e300)), (f16::INFINITY, f16::INFINITY));
        assert_eq!((half(2f64.powi(-25)).to_bits(), half(2f64.powi(-25) * (1.0 + f64::EPSILON)).to_bits()), (0, 1));
        assert_eq!((half(-1e-300).to_bits(), half(f64::NEG_INFINITY)), (0x8000, f16::NEG_INFINITY));
        assert!(half(f64::NAN).is_nan());
        assert_eq!(to_bf16(f64::MAX), bf16::INFINITY);
        assert_eq!(to_bf16(f64::from(f32::MAX)), bf16::INFINITY);
        assert_eq!(to_bf16(-1e-60).to_bits(), 0x8000);
    }
}
