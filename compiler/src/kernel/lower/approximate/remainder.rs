//! x mod y with the sign of y: x - n·y for n = ⌊x / y⌋, exact wherever n is an f32, as a remainder has no more digits than
//! its operands.
//!
//! The quotient is rounded, and may reach the integer above: then the remainder has the other sign, and y is added. A vector
//! with a lane whose quotient is too large, or not a number, goes to the host.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::Value;

/// Integers up to here are f32.
const LIMIT: f64 = (1 << 23) as f64;

impl Lower<'_> {
    pub(super) fn modulo(&mut self, x: Value, y: Value) -> Value {
        let quotient = self.op(Scalar::Div, &[x, y]);
        let size = self.op(Scalar::Abs, &[quotient]);
        // What is infinitely small against y, and y itself then, is no remainder of the product below.
        let of_divisor = self.op(Scalar::Abs, &[y]);
        let is_infinite = self.with(Scalar::Eq, of_divisor, f64::INFINITY);
        let size = self.select(is_infinite, of_divisor, size);
        self.unless_far(Scalar::Modulo, &[x, y], size, LIMIT, |lower| {
            let n = lower.op(Scalar::Floor, &[quotient]);
            let minus = lower.op(Scalar::Neg, &[n]);
            let rest = lower.fma(minus, y, x);
            let zero = lower.like(x, 0.0);
            let [is_below, is_negative] = [rest, y].map(|value| lower.op(Scalar::Lt, &[value, zero]));
            let differs = lower.op(Scalar::Ne, &[is_below, is_negative]);
            let is_rest = lower.op(Scalar::Ne, &[rest, zero]);
            let is_beyond = lower.op(Scalar::And, &[differs, is_rest]);
            let more = lower.op(Scalar::Add, &[rest, y]);
            lower.select(is_beyond, more, rest)
        })
    }
}
