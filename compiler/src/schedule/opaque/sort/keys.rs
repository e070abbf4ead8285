//! Elements as whole numbers, which compare in one step whatever the elements are.
//!
//! Invariant: keys are in the order of the elements, and equal where those are; NaN has the greatest, or in descending order
//! the least.

use super::Row;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Type, Value, lane};

/// The type of keys for elements of this type.
pub fn key_type(dtype: DType) -> DType {
    if dtype.size_of() == 8 { DType::I64 } else { DType::U32 }
}

/// The bit of the sign, and all bits.
fn bits_of(b: &mut Builder, key: &Type) -> (Value, Value) {
    let (sign, all) = match key.dtype {
        DType::I64 => (i64::MIN as f64, -1.0),
        _ => (f64::from(1u32 << 31), f64::from(u32::MAX)),
    };
    (b.constant(key.clone(), sign), b.constant(key.clone(), all))
}

impl Row {
    /// The keys of neighbours, the first of which stands at `t`, in order when they are taken as numbers without a sign.
    pub fn keys(&self, b: &mut Builder, t: &Dim, lanes: u64) -> Value {
        let dtype = self.dtype;
        let element = b.load(self.x, [lanes], self.at(t + &lane(0)), [], 0.0);
        let key = Type::new(key_type(dtype), [lanes]);
        let (sign, all) = bits_of(b, &key);
        let bits = match dtype {
            dtype if dtype.is_float() => {
                let wide = if dtype.size_of() == 8 { dtype } else { DType::F32 };
                let number = b.cast(element, wide);
                let zero = b.constant(key.with_dtype(wide), 0.0);
                // Both zeros are equal, and any NaN is the greatest.
                let is_zero = b.scalar(Scalar::Eq, &[number, zero]);
                let number = b.scalar(Scalar::Select, &[is_zero, zero, number]);
                let is_nan = b.scalar(Scalar::Ne, &[number, number]);
                let bits = b.bitcast(number, key.dtype);
                let is_negative = b.scalar(Scalar::Lt, &[number, zero]);
                let turned = b.scalar(Scalar::Select, &[is_negative, all, sign]);
                let bits = b.scalar(Scalar::Xor, &[bits, turned]);
                b.scalar(Scalar::Select, &[is_nan, all, bits])
            }
            dtype if dtype.size_of() == 8 => b.scalar(Scalar::Xor, &[element, sign]),
            dtype if dtype.is_signed() => {
                let wide = b.cast(element, DType::I32);
                let bits = b.bitcast(wide, key.dtype);
                b.scalar(Scalar::Xor, &[bits, sign])
            }
            _ => b.cast(element, key.dtype),
        };
        if self.descending { b.scalar(Scalar::Xor, &[bits, all]) } else { bits }
    }

    /// The same keys in the order of their type.
    pub fn ordered_keys(&self, b: &mut Builder, t: &Dim, lanes: u64) -> Value {
        let keys = self.keys(b, t, lanes);
        let ty = b.type_of(keys).clone();
        if !ty.dtype.is_signed() {
            return keys;
        }
        let (sign, _) = bits_of(b, &ty);
        b.scalar(Scalar::Xor, &[keys, sign])
    }
}
