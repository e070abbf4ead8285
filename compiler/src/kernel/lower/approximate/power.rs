//! pow: exp(y · log|x|), where the logarithm and the product are sums of two numbers, as an exponent is the more wrong the
//! larger it is.
//!
//! x = 2^e · m as for log, and log(m) = 2z + z³·p(z²) with z = (m - 1) / (m + 1); p errs by 1e-12 of z³, and its rounding by
//! 1e-9 of log(m). Needs products that are not rounded before they are added to.

use super::Lower;
use super::log::LN_2;
use crate::graph::Scalar;
use crate::kernel::types::Value;

const LOG: [f64; 4] =
    [0.666_666_626_930_236_8, 0.400_004_386_901_855_47, 0.285_317_838_191_986_1, 0.236_740_604_043_006_9];
/// Beyond this no base but one has a power that is neither zero nor infinite.
const GREATEST_POWER: f64 = 4e9;

/// A number as the sum of two, the second at most a rounding of the first.
type Pair = (Value, Value);

impl Lower<'_> {
    pub(super) fn pow(&mut self, x: Value, y: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let log = self.log_pair(size);
        let power = self.clamp(y, -GREATEST_POWER, GREATEST_POWER);
        let (exponent, rest) = self.times(log, power);
        let result = self.exp_of_sum(exponent, Some(rest));
        let result = self.power_of_ends(size, y, result);
        let result = self.power_of_negative(x, y, result);
        let are_numbers = self.hold_both(Scalar::Eq, [x, x], [y, y]);
        let nan = self.like(x, f64::NAN);
        let result = self.select(are_numbers, result, nan);
        let [zero, one] = [0.0, 1.0].map(|number| self.like(x, number));
        let of_one = self.op(Scalar::Eq, &[x, one]);
        let to_none = self.op(Scalar::Eq, &[y, zero]);
        let is_one = self.op(Scalar::Or, &[of_one, to_none]);
        self.select(is_one, one, result)
    }

    /// The natural logarithm of a positive number.
    fn log_pair(&mut self, x: Value) -> Pair {
        let (mantissa, exponent) = self.mantissa_and_exponent(x);
        let less = self.with(Scalar::Add, mantissa, -1.0);
        let more = self.with(Scalar::Add, mantissa, 1.0);
        let whole = self.with(Scalar::Add, more, -1.0);
        let more_rest = self.op(Scalar::Sub, &[mantissa, whole]);
        let one = self.like(x, 1.0);
        let inverse = self.op(Scalar::Div, &[one, more]);
        let z = self.op(Scalar::Mul, &[less, inverse]);
        let minus = self.op(Scalar::Neg, &[z]);
        let missed = self.fma(minus, more, less);
        let missed = self.fma(minus, more_rest, missed);
        let z_rest = self.op(Scalar::Mul, &[missed, inverse]);
        let square = self.op(Scalar::Mul, &[z, z]);
        let p = self.polynomial(square, &LOG);
        let cube = self.op(Scalar::Mul, &[square, z]);
        let [high, low] = LN_2.single.map(|part| self.like(x, part));
        let twice = self.with(Scalar::Mul, z_rest, 2.0);
        let rest = self.fma(exponent, low, twice);
        let rest = self.fma(cube, p, rest);
        let of_exponent = self.op(Scalar::Mul, &[exponent, high]);
        let of_mantissa = self.with(Scalar::Mul, z, 2.0);
        let (sum, lost) = self.exact_sum(of_exponent, of_mantissa);
        let rest = self.op(Scalar::Add, &[lost, rest]);
        self.exact_sum(sum, rest)
    }

    /// The sum of two numbers and what its rounding lost, whichever is larger.
    fn exact_sum(&mut self, a: Value, b: Value) -> Pair {
        let sum = self.op(Scalar::Add, &[a, b]);
        let of_b = self.op(Scalar::Sub, &[sum, a]);
        let of_a = self.op(Scalar::Sub, &[sum, of_b]);
        let [lost_a, lost_b] = [(a, of_a), (b, of_b)].map(|(whole, part)| self.op(Scalar::Sub, &[whole, part]));
        let lost = self.op(Scalar::Add, &[lost_a, lost_b]);
        (sum, lost)
    }

    fn times(&mut self, (a, rest): Pair, b: Value) -> Pair {
        let product = self.op(Scalar::Mul, &[a, b]);
        let minus = self.op(Scalar::Neg, &[product]);
        let lost = self.fma(a, b, minus);
        (product, self.fma(rest, b, lost))
    }

    /// Powers of zero and of infinity: one of them.
    fn power_of_ends(&mut self, size: Value, y: Value, result: Value) -> Value {
        let [zero, infinity] = [0.0, f64::INFINITY].map(|number| self.like(size, number));
        let is_zero = self.op(Scalar::Eq, &[size, zero]);
        let is_infinite = self.op(Scalar::Eq, &[size, infinity]);
        let shrinks = self.op(Scalar::Lt, &[y, zero]);
        let [of_zero, of_infinity] =
            [(infinity, zero), (zero, infinity)].map(|(then, otherwise)| self.select(shrinks, then, otherwise));
        let result = self.select(is_zero, of_zero, result);
        self.select(is_infinite, of_infinity, result)
    }

    /// Odd powers have the sign of their base; a finite negative one has none that are not whole.
    fn power_of_negative(&mut self, x: Value, y: Value, result: Value) -> Value {
        let floor = self.op(Scalar::Floor, &[y]);
        let half = self.with(Scalar::Mul, y, 0.5);
        let floor_of_half = self.op(Scalar::Floor, &[half]);
        let is_whole = self.op(Scalar::Eq, &[floor, y]);
        let is_uneven = self.op(Scalar::Ne, &[floor_of_half, half]);
        let is_odd = self.op(Scalar::And, &[is_whole, is_uneven]);
        let [zero, one] = [0.0, 1.0].map(|number| self.like(x, number));
        let signed = self.select(is_odd, x, one);
        let result = self.with_sign_of(result, signed);
        let least = self.like(x, f64::NEG_INFINITY);
        let is_finite = self.hold_both(Scalar::Lt, [least, x], [x, zero]);
        let is_broken = self.op(Scalar::Ne, &[floor, y]);
        let is_none = self.op(Scalar::And, &[is_finite, is_broken]);
        let nan = self.like(x, f64::NAN);
        self.select(is_none, nan, result)
    }

    fn hold_both(&mut self, scalar: Scalar, a: [Value; 2], b: [Value; 2]) -> Value {
        let [a, b] = [a, b].map(|sides| self.op(scalar, &sides));
        self.op(Scalar::And, &[a, b])
    }
}
