//! exp and expm1: with n the integer nearest to x / ln 2 and r = x - n·ln 2, exp(x) = 2^n · exp(r), |r| <= 0.35.
//!
//! The polynomials for (exp(r) - 1 - r) / r² err by 3e-9 and 2e-10 of exp(r). For exp, 2^n is added to the exponent in
//! integers: below the range the sum is negative and becomes zero, and beyond it another value is taken. Results that are
//! denormal are some number below the least normal one.

use super::{Lower, ROUNDER};
use crate::graph::{DType, Scalar};
use crate::kernel::types::Value;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 as a sum of two; the first has so few bits that its product with an exponent is exact.
const LN_2: [f64; 2] = [0.693_359_375, -0.000_212_194_440_054_690_6];
const EXP: [f64; 5] = [
    0.499_999_940_395_355_2,
    0.166_665_211_319_923_4,
    0.041_668_388_992_548,
    0.008_368_745_446_206,
    0.001_381_454_057_991_5,
];
const EXPM1: [f64; 6] = [
    0.5,
    0.166_666_671_633_720_4,
    0.041_666_463_017_463_684,
    0.008_333_310_484_886_17,
    0.001_393_388_141_877_949_2,
    0.000_198_912_472_114_894_7,
];
/// Below this, exp is zero in any rounding; above that, it is infinite.
const LEAST: f64 = -104.0;
const GREATEST: f64 = 88.722_831_726_074_22;

impl Lower<'_> {
    pub(super) fn exp(&mut self, x: Value) -> Value {
        // NaN becomes the least: no integer below may depend on it.
        let least = self.like(x, LEAST);
        let above = self.op(Scalar::Gt, &[x, least]);
        let bounded = self.select(above, x, least);
        let (n, exponent) = self.exponent(bounded);
        let r = self.without_logs_of_two(bounded, n);
        let q = self.polynomial(r, &EXP);
        let one = self.like(x, 1.0);
        let slope = self.fma(q, r, one);
        let power = self.fma(slope, r, one);
        let power = self.bitcast(power, DType::I32);
        let (shift, zero) = (self.int_like(exponent, 23), self.int_like(exponent, 0));
        let exponent = self.op(Scalar::Shl, &[exponent, shift]);
        let bits = self.op(Scalar::Add, &[power, exponent]);
        let bits = self.op(Scalar::Max, &[bits, zero]);
        let result = self.bitcast(bits, DType::F32);
        let is_inside = self.with(Scalar::Le, x, GREATEST);
        // NaN stays, and everything else is infinite.
        let outside = self.with(Scalar::Add, x, f64::INFINITY);
        self.select(is_inside, result, outside)
    }

    /// The integer nearest to `x / ln 2`, and an i32 with its low bits.
    fn exponent(&mut self, x: Value) -> (Value, Value) {
        if self.is_block() {
            return self.nearest(x, LOG2_E);
        }
        let (factor, rounder) = (self.like(x, LOG2_E), self.like(x, ROUNDER));
        let shifted = self.fma(x, factor, rounder);
        (self.op(Scalar::Sub, &[shifted, rounder]), self.bitcast(shifted, DType::I32))
    }

    /// exp(x) - 1 = 2·(2^(n-1) · expm1(r) + (2^(n-1) - 1/2))
    pub(super) fn expm1(&mut self, x: Value) -> Value {
        let x = self.clamp(x, -20.0, 89.0);
        let (n, exponent) = self.nearest(x, LOG2_E);
        let r = self.without_logs_of_two(x, n);
        let q = self.polynomial(r, &EXPM1);
        let square = self.op(Scalar::Mul, &[r, r]);
        let tail = self.op(Scalar::Mul, &[square, q]);
        let small = self.op(Scalar::Add, &[r, tail]);
        let one = self.int_like(exponent, 1);
        let less = self.op(Scalar::Sub, &[exponent, one]);
        let scale = self.power_of_two(less);
        let shift = self.with(Scalar::Add, scale, -0.5);
        let half = self.fma(scale, small, shift);
        self.with(Scalar::Mul, half, 2.0)
    }

    /// `x - n·ln 2`
    fn without_logs_of_two(&mut self, x: Value, n: Value) -> Value {
        let parts = LN_2.map(|part| self.like(x, -part));
        let r = self.fma(n, parts[0], x);
        self.fma(n, parts[1], r)
    }
}
