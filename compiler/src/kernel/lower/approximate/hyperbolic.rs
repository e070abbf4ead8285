//! tanh(x) = x · p(x²) / q(x²) up to 9.05, where it rounds to one; of f64 it is t / (t + 2) with t = expm1(2x). sinh and cosh are half the difference and the sum of E²
//! and 1/E² with E = exp(|x| / 2), which is finite as long as they are; sinh(x) = x + x³·r(x²) below one. The inverses are
//! log1p of what is exact for small x.
//!
//! The quotient errs by 3e-8 of tanh, and r by 3e-8 of sinh (by 9e-18 for f64); they are the best of their degrees by Remez' algorithm.

use super::Lower;
use super::floats::Floats;
use crate::graph::{DType, Scalar};
use crate::kernel::types::Value;

/// Here the quotient is at least one, however it is rounded.
const ONE: f64 = 9.049_099_922_180_176;
const ABOVE: [f64; 5] =
    [1.0, 0.133_810_251_951_217_65, 0.003_495_587_268_844_247, 2.060_907_172_563_02e-5, 1.335_464_805_407_582_4e-8];
const BELOW: [f64; 5] =
    [1.0, 0.467_143_416_404_724_1, 0.025_876_978_412_270_546, 0.000_328_563_357_470_557_1, 7.776_552_592_986_263e-7];

const SINH: Floats<&[f64]> = Floats {
    single: &[0.166_667_163_372_039_8, 0.008_330_283_686_518_669, 0.000_203_721_938_305_534_42],
    double: &[
        0.166_666_666_666_666_66,
        0.008_333_333_333_333_299,
        0.000_198_412_698_413_241_98,
        2.755_731_919_138_181_6e-06,
        2.505_211_769_590_782_3e-08,
        1.605_767_962_380_163_8e-10,
        7.746_178_593_018_827e-13,
    ],
};
/// From here on √(x² + 1) is x, and log1p(x) is log(x).
const LARGE: Floats<f64> = Floats { single: 1e9, double: 1e18 };
/// Here tanh rounds to one in f64.
const ONE_OF_DOUBLE: f64 = 20.0;

impl Lower<'_> {
    pub(super) fn sinh(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let is_small = self.with(Scalar::Lt, size, 1.0);
        let small = self.odd(size, SINH);
        let (grown, shrunk) = self.half_powers(size);
        let large = self.op(Scalar::Sub, &[grown, shrunk]);
        let size = self.select(is_small, small, large);
        self.with_sign_of(size, x)
    }

    pub(super) fn cosh(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let (grown, shrunk) = self.half_powers(size);
        self.op(Scalar::Add, &[grown, shrunk])
    }

    /// exp(x) / 2 and exp(-x) / 2 for x from zero on.
    fn half_powers(&mut self, x: Value) -> (Value, Value) {
        let half = self.with(Scalar::Mul, x, 0.5);
        let root = self.exp(half);
        let one = self.like(x, 1.0);
        let inverse = self.op(Scalar::Div, &[one, root]);
        let [grown, shrunk] = [root, inverse].map(|root| {
            let half = self.with(Scalar::Mul, root, 0.5);
            self.op(Scalar::Mul, &[half, root])
        });
        (grown, shrunk)
    }

    /// log(a + √(a² + 1)) = log1p(a + a² / (1 + √(a² + 1)))
    pub(super) fn asinh(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let one = self.like(x, 1.0);
        let square = self.op(Scalar::Mul, &[size, size]);
        let root = self.fma(size, size, one);
        let root = self.op(Scalar::Sqrt, &[root]);
        let below = self.op(Scalar::Add, &[one, root]);
        let more = self.op(Scalar::Div, &[square, below]);
        let sum = self.op(Scalar::Add, &[size, more]);
        let log = self.log1p_or_twice(size, sum);
        self.with_sign_of(log, x)
    }

    /// log(x + √(x² - 1)) = log1p(t + √(2t + t²)) with t = x - 1
    pub(super) fn acosh(&mut self, x: Value) -> Value {
        let t = self.with(Scalar::Add, x, -1.0);
        let twice = self.with(Scalar::Mul, t, 2.0);
        let square = self.fma(t, t, twice);
        let root = self.op(Scalar::Sqrt, &[square]);
        let sum = self.op(Scalar::Add, &[t, root]);
        let log = self.log1p_or_twice(x, sum);
        let is_less = self.with(Scalar::Lt, x, 1.0);
        let nan = self.like(x, f64::NAN);
        self.select(is_less, nan, log)
    }

    /// log1p of a sum, or log(2x) where x is large.
    fn log1p_or_twice(&mut self, x: Value, sum: Value) -> Value {
        let is_large = self.with(Scalar::Gt, x, self.of(x, LARGE));
        let of = self.select(is_large, x, sum);
        let log = self.log1p(of);
        let more = self.with(Scalar::Add, log, std::f64::consts::LN_2);
        self.select(is_large, more, log)
    }

    /// log((1 + a) / (1 - a)) / 2 = log1p(2a / (1 - a)) / 2
    pub(super) fn atanh(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let one = self.like(x, 1.0);
        let rest = self.op(Scalar::Sub, &[one, size]);
        let twice = self.with(Scalar::Mul, size, 2.0);
        let quotient = self.op(Scalar::Div, &[twice, rest]);
        let log = self.log1p(quotient);
        let half = self.with(Scalar::Mul, log, 0.5);
        self.with_sign_of(half, x)
    }

    pub(super) fn tanh(&mut self, x: Value) -> Value {
        if self.type_of(x).dtype != DType::F64 {
            return self.odd_quotient(x, ONE, &ABOVE, &BELOW);
        }
        let bounded = self.clamp(x, -ONE_OF_DOUBLE, ONE_OF_DOUBLE);
        let twice = self.with(Scalar::Mul, bounded, 2.0);
        let less = self.expm1(twice);
        let more = self.with(Scalar::Add, less, 2.0);
        let quotient = self.op(Scalar::Div, &[less, more]);
        // Which zero it is expm1 forgets.
        let is_zero = self.with(Scalar::Eq, x, 0.0);
        self.select(is_zero, x, quotient)
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
