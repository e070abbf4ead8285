//! tanh(x) = x · p(x²) / q(x²) up to 9.05, where it rounds to one.
//!
//! The quotient errs by 3e-8 of tanh; it is the best of its degrees by Remez' algorithm.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::Value;

/// Here the quotient is at least one, however it is rounded.
const ONE: f64 = 9.049_099_922_180_176;
const ABOVE: [f64; 5] =
    [1.0, 0.133_810_251_951_217_65, 0.003_495_587_268_844_247, 2.060_907_172_563_02e-5, 1.335_464_805_407_582_4e-8];
const BELOW: [f64; 5] =
    [1.0, 0.467_143_416_404_724_1, 0.025_876_978_412_270_546, 0.000_328_563_357_470_557_1, 7.776_552_592_986_263e-7];

impl Lower<'_> {
    pub(super) fn tanh(&mut self, x: Value) -> Value {
        self.odd_quotient(x, ONE, &ABOVE, &BELOW)
    }

    /// x · above(x²) / below(x²) for x up to `one`, from where it is one; never more.
    pub(super) fn odd_quotient(&mut self, x: Value, one: f64, above: &[f64], below: &[f64]) -> Value {
        let x = self.clamp(x, -one, one);
        let square = self.op(Scalar::Mul, &[x, x]);
        let above = self.polynomial(square, above);
        let above = self.op(Scalar::Mul, &[above, x]);
        let below = self.polynomial(square, below);
        let quotient = self.op(Scalar::Div, &[above, below]);
        self.clamp(quotient, -1.0, 1.0)
    }
}
