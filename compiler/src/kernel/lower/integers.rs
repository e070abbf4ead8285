//! Integer functions and casts that machines lack, from those that they have.
//!
//! Invariant: no division by zero and no overflowing division is ever made, whatever the operands.

use super::Lower;
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;
use crate::seeded::{Fault, is};

impl Lower<'_> {
    /// The floor of the quotient; 0 for a divisor of 0.
    pub(super) fn floor_div(&mut self, a: Value, b: Value) -> Value {
        self.each_lane(&[a, b], |lower, operands| lower.floor_div_scalar(operands[0], operands[1]))
    }

    fn floor_div_scalar(&mut self, a: Value, b: Value) -> Value {
        let signed = self.type_of(a).dtype.is_signed();
        let (zero, one) = (self.int_like(a, 0), self.int_like(a, 1));
        if let Some(divisor) = self.as_literal(b).map(Literal::as_i64)
            && divisor > 0
            && !signed
        {
            return self.quotient(a, b);
        }
        let by_zero = self.op(Scalar::Eq, &[b, zero]);
        let mut divisor = self.op(Scalar::Select, &[by_zero, one, b]);
        if !signed {
            let quotient = self.quotient(a, divisor);
            return self.op(Scalar::Select, &[by_zero, zero, quotient]);
        }
        let minus_one = self.int_like(a, -1);
        let negates = self.op(Scalar::Eq, &[b, minus_one]);
        divisor = self.op(Scalar::Select, &[negates, one, divisor]);
        let truncated = self.quotient(a, divisor);
        let product = self.op(Scalar::Mul, &[truncated, divisor]);
        let inexact = self.op(Scalar::Ne, &[product, a]);
        let (a_negative, b_negative) = (self.op(Scalar::Lt, &[a, zero]), self.op(Scalar::Lt, &[divisor, zero]));
        let differ = self.op(Scalar::Xor, &[a_negative, b_negative]);
        let below = self.op(Scalar::And, &[inexact, differ]);
        let less = self.op(Scalar::Sub, &[truncated, one]);
        let floor = match is(Fault::FloorDivTruncates) {
            true => truncated,
            false => self.op(Scalar::Select, &[below, less, truncated]),
        };
        let negated = self.op(Scalar::Neg, &[a]);
        let quotient = self.op(Scalar::Select, &[negates, negated, floor]);
        self.op(Scalar::Select, &[by_zero, zero, quotient])
    }

    pub(super) fn int_modulo(&mut self, a: Value, b: Value) -> Value {
        let quotient = self.floor_div(a, b);
        let product = self.op(Scalar::Mul, &[quotient, b]);
        self.op(Scalar::Sub, &[a, product])
    }

    /// Applies a function of scalars lane by lane.
    pub(super) fn each_lane(
        &mut self,
        operands: &[Value],
        mut make: impl FnMut(&mut Self, &[Value]) -> Value,
    ) -> Value {
        if self.type_of(operands[0]).is_scalar() {
            return make(self, operands);
        }
        let lanes: Vec<Value> = (0..self.lanes)
            .map(|lane| {
                let scalars: Vec<Value> = operands.iter().map(|&value| self.extract(value, lane)).collect();
                make(self, &scalars)
            })
            .collect();
        self.gather_lanes(&lanes)
    }

    /// Shifts whose amount may be anything.
    pub(super) fn shift(&mut self, scalar: Scalar, a: Value, amount: Value) -> Value {
        let dtype = self.type_of(a).dtype;
        let width = 8 * dtype.size_of() as i64;
        if self.as_literal(amount).is_some_and(|literal| (0..width).contains(&literal.as_i64())) {
            return self.op(scalar, &[a, amount]);
        }
        let (zero, last) = (self.int_like(a, 0), self.int_like(a, width - 1));
        let inside = self.op(Scalar::And, &[amount, last]);
        let is_inside = self.op(Scalar::Eq, &[inside, amount]);
        let shifted = self.op(scalar, &[a, inside]);
        let all_out = match scalar {
            _ if is(Fault::ShiftKeepsBits) => shifted,
            Scalar::Shr if dtype.is_signed() => self.op(Scalar::Shr, &[a, last]),
            _ => zero,
        };
        self.op(Scalar::Select, &[is_inside, shifted, all_out])
    }

    /// -1, 0 or 1; for floats zeros and NaN stay as they are.
    pub(super) fn sign(&mut self, a: Value) -> Value {
        let dtype = self.type_of(a).dtype;
        let (zero, one) = (self.like(a, 0.0), self.like(a, 1.0));
        let above = self.op(Scalar::Gt, &[a, zero]);
        let rest = if dtype.is_float() { a } else { zero };
        let positive = self.op(Scalar::Select, &[above, one, rest]);
        if !dtype.is_signed() || is(Fault::SignOfNegativesIsLost) {
            return positive;
        }
        let minus_one = self.like(a, -1.0);
        let below = self.op(Scalar::Lt, &[a, zero]);
        self.op(Scalar::Select, &[below, minus_one, positive])
    }

    pub(super) fn cast(&mut self, a: Value, to: DType) -> Value {
        let ty = self.type_of(a).clone();
        let narrow = |dtype: DType| matches!(dtype, DType::F16 | DType::BF16);
        if ty.dtype == to {
            return a;
        }
        if narrow(ty.dtype) && to != DType::F32 || narrow(to) && ty.dtype != DType::F32 {
            let single = if ty.dtype == DType::F64 { self.to_odd(a) } else { self.cast(a, DType::F32) };
            return self.cast(single, to);
        }
        if to == DType::Bool {
            let zero = self.like(a, 0.0);
            return self.op(Scalar::Ne, &[a, zero]);
        }
        self.pure(Op::Cast(a), ty.with_dtype(to))
    }

    /// An f32 that rounds to narrower floats as the f64 itself does: where that is no f32, its odd neighbour.
    fn to_odd(&mut self, a: Value) -> Value {
        let single = self.cast(a, DType::F32);
        let back = self.cast(single, DType::F64);
        let exact = self.op(Scalar::Eq, &[back, a]);
        let (found, wanted) = (self.op(Scalar::Abs, &[back]), self.op(Scalar::Abs, &[a]));
        let above = self.op(Scalar::Gt, &[found, wanted]);
        let bits = self.bitcast(single, DType::I32);
        let one = self.int_like(bits, 1);
        let less = self.op(Scalar::Sub, &[bits, one]);
        let towards_zero = self.op(Scalar::Select, &[above, less, bits]);
        let odd = self.op(Scalar::Or, &[towards_zero, one]);
        let bits = self.op(Scalar::Select, &[exact, bits, odd]);
        self.bitcast(bits, DType::F32)
    }
}
