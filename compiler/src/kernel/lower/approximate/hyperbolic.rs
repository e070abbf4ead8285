//! tanh(x) = sign(x) · e / (e + 2) with e = expm1(2|x|), which keeps its digits near zero. From 10 on it rounds to one.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::Value;

impl Lower<'_> {
    pub(super) fn tanh(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let size = self.with(Scalar::Min, size, 10.0);
        let double = self.with(Scalar::Mul, size, 2.0);
        let e = self.expm1(double);
        let divisor = self.with(Scalar::Add, e, 2.0);
        let tanh = self.op(Scalar::Div, &[e, divisor]);
        self.with_sign_of(x, tanh)
    }

    /// An odd function from its value at |x|.
    pub(super) fn with_sign_of(&mut self, x: Value, value: Value) -> Value {
        let negative = self.with(Scalar::Lt, x, 0.0);
        let negated = self.op(Scalar::Neg, &[value]);
        self.select(negative, negated, value)
    }
}
