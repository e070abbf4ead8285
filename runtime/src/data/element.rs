//! The Rust types that elements may be viewed as, and conversion between element types.

use half::{bf16, f16};

use crate::program::{DType, to_bf16, to_f16};

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
    f16, F16, f16::to_f64, to_f16;
    bf16, BF16, bf16::to_f64, to_bf16;
    i64, I64, |v| v as f64, |v| v as i64;
    i32, I32, |v| v as f64, |v| v as i32;
    i8, I8, |v| v as f64, |v| v as i8;
    u8, U8, |v| v as f64, |v| v as u8;
    u32, U32, |v| v as f64, |v| v as u32;
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
