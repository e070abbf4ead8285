//! The Rust types that elements may be viewed as, and conversion between element types.

use half::{bf16, f16};

use crate::program::DType;

/// A Rust type whose values are the elements of a [`DType`].
///
/// # Safety
/// Every bit pattern of `DTYPE.size_of()` bytes must be a valid value, without padding, and the
/// type's alignment must not exceed its size.
pub unsafe trait Element: Copy + Default + Send + Sync + 'static {
    const DTYPE: DType;

    fn to_f64(self) -> f64;
    /// The nearest value; integers saturate.
    fn from_f64(value: f64) -> Self;
}

macro_rules! element {
    ($($type:ty, $dtype:ident, $to:expr, $from:expr;)*) => {$(
        // SAFETY: a primitive number, or a `half` type, which is a transparent `u16`.
        unsafe impl Element for $type {
            const DTYPE: DType = DType::$dtype;

            fn to_f64(self) -> f64 {
                ($to)(self)
            }

            fn from_f64(value: f64) -> $type {
                ($from)(value)
            }
        }
    )*};
}

element! {
    f64, F64, |v| v, |v| v;
    f32, F32, |v| v as f64, |v| v as f32;
    f16, F16, f16::to_f64, |v| f16::from_f32(to_odd(v));
    bf16, BF16, bf16::to_f64, |v| bf16::from_f32(to_odd(v));
    i64, I64, |v| v as f64, |v| v as i64;
    i32, I32, |v| v as f64, |v| v as i32;
    i8, I8, |v| v as f64, |v| v as i8;
    u8, U8, |v| v as f64, |v| v as u8;
    u32, U32, |v| v as f64, |v| v as u32;
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

/// Calls `$body` with `$type` standing for the Rust type of a `DType`; booleans are bytes.
macro_rules! with_element {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            // An undecided float is kept as the widest; no program holds one.
            $crate::program::DType::Real | $crate::program::DType::F64 => {
                type $type = f64;
                $body
            }
            $crate::program::DType::F32 => {
                type $type = f32;
                $body
            }
            $crate::program::DType::F16 => {
                type $type = half::f16;
                $body
            }
            $crate::program::DType::BF16 => {
                type $type = half::bf16;
                $body
            }
            $crate::program::DType::I64 => {
                type $type = i64;
                $body
            }
            $crate::program::DType::I32 => {
                type $type = i32;
                $body
            }
            $crate::program::DType::I8 => {
                type $type = i8;
                $body
            }
            $crate::program::DType::U8 | $crate::program::DType::Bool => {
                type $type = u8;
                $body
            }
            $crate::program::DType::U32 => {
                type $type = u32;
                $body
            }
        }
    };
}
pub(crate) use with_element;

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearer of two neighbours, in exact arithmetic: halfway, the even one.
    fn nearest(value: f64, below: (f64, u16), above: (f64, u16)) -> u16 {
        // Neighbours of a narrow type and values near them have so few bits that differences are exact.
        match (value - below.0).partial_cmp(&(above.0 - value)) {
            Some(std::cmp::Ordering::Less) => below.1,
            Some(std::cmp::Ordering::Greater) => above.1,
            _ => if below.1 % 2 == 0 { below.1 } else { above.1 },
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
        check(|bits| f16::from_bits(bits).to_f64(), |value| f16::to_bits(Element::from_f64(value)));
        check(|bits| bf16::from_bits(bits).to_f64(), |value| bf16::to_bits(Element::from_f64(value)));
    }

    #[test]
    fn the_ends_of_narrow_floats_are_right() {
        let half = |value: f64| <f16 as Element>::from_f64(value);
        assert_eq!(half(65519.999999999), f16::MAX);
        assert_eq!((half(65520.0), half(1e300)), (f16::INFINITY, f16::INFINITY));
        assert_eq!((half(2f64.powi(-25)).to_bits(), half(2f64.powi(-25) * (1.0 + f64::EPSILON)).to_bits()), (0, 1));
        assert_eq!((half(-1e-300).to_bits(), half(f64::NEG_INFINITY)), (0x8000, f16::NEG_INFINITY));
        assert!(half(f64::NAN).is_nan());
        assert_eq!(<bf16 as Element>::from_f64(f64::MAX), bf16::INFINITY);
        assert_eq!(<bf16 as Element>::from_f64(f64::from(f32::MAX)), bf16::INFINITY);
        assert_eq!(<bf16 as Element>::from_f64(-1e-60).to_bits(), 0x8000);
    }
}
