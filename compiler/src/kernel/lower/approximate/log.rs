//! log: x = 2^e · m with m between √½ and √2, and log(m) = f - f²/2 + f³·p(f) for f = m - 1; p errs by 3e-9 of log(m).
//!
//! log1p(x) = log(u) · x / (u - 1) with u = 1 + x rounded: the rounding error of u cancels (Kahan's method).

use super::Lower;
use crate::graph::{DType, Scalar};
use crate::kernel::types::Value;

/// ln 2 as a sum of two; the first has so few bits that its product with an exponent is exact.
pub(super) const LN_2: [f64; 2] = [0.693_359_375, -0.000_212_194_440_054_690_6];
const LOG: [f64; 9] = [
    0.333_333_313_465_118_4,
    -0.249_999_970_197_677_6,
    0.200_007_304_549_217_22,
    -0.166_678_503_155_708_3,
    0.142_485_514_283_180_24,
    -0.124_240_376_055_240_63,
    0.116_890_713_572_502_14,
    -0.114_945_463_836_193_08,
    0.069_807_015_359_401_7,
];
/// The bits of √½, below which m is doubled.
const ROOT_HALF_BITS: i64 = 0x3f35_04f3;
const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;

impl Lower<'_> {
    pub(super) fn log(&mut self, x: Value) -> Value {
        let (mantissa, exponent) = self.mantissa_and_exponent(x);
        let log = self.log_of_parts(mantissa, exponent);
        self.log_specials(x, log)
    }

    /// m and e as a float, for positive x.
    pub(super) fn mantissa_and_exponent(&mut self, x: Value) -> (Value, Value) {
        let tiny = self.with(Scalar::Lt, x, LEAST_NORMAL);
        let raised = self.with(Scalar::Mul, x, (1i64 << 23) as f64);
        let normal = self.select(tiny, raised, x);
        let bits = self.bitcast(normal, DType::I32);
        let (origin, shift) = (self.int_like(bits, ROOT_HALF_BITS), self.int_like(bits, 23));
        let above = self.op(Scalar::Sub, &[bits, origin]);
        let exponent = self.op(Scalar::Shr, &[above, shift]);
        let removed = self.op(Scalar::Shl, &[exponent, shift]);
        let mantissa = self.op(Scalar::Sub, &[bits, removed]);
        let mantissa = self.bitcast(mantissa, DType::F32);
        let exponent = self.cast(exponent, DType::F32);
        let lowered = self.with(Scalar::Add, exponent, -23.0);
        (mantissa, self.select(tiny, lowered, exponent))
    }

    fn log_of_parts(&mut self, mantissa: Value, exponent: Value) -> Value {
        let f = self.with(Scalar::Add, mantissa, -1.0);
        let p = self.polynomial(f, &LOG);
        let square = self.op(Scalar::Mul, &[f, f]);
        let cube = self.op(Scalar::Mul, &[square, f]);
        let (high, low) = (self.like(f, LN_2[0]), self.like(f, LN_2[1]));
        let small = self.op(Scalar::Mul, &[exponent, low]);
        let small = self.fma(cube, p, small);
        let minus_half = self.like(f, -0.5);
        let small = self.fma(square, minus_half, small);
        let sum = self.op(Scalar::Add, &[f, small]);
        self.fma(exponent, high, sum)
    }

    fn log_specials(&mut self, x: Value, log: Value) -> Value {
        let infinity = self.like(x, f64::INFINITY);
        let finite = self.op(Scalar::Lt, &[x, infinity]);
        // Infinity and NaN stay as they are.
        let log = self.select(finite, log, x);
        let zero = self.like(x, 0.0);
        let is_zero = self.op(Scalar::Eq, &[x, zero]);
        let least = self.like(x, f64::NEG_INFINITY);
        let log = self.select(is_zero, least, log);
        let negative = self.op(Scalar::Lt, &[x, zero]);
        let nan = self.like(x, f64::NAN);
        self.select(negative, nan, log)
    }

    pub(super) fn log1p(&mut self, x: Value) -> Value {
        let u = self.with(Scalar::Add, x, 1.0);
        let log = self.log(u);
        let change = self.with(Scalar::Add, u, -1.0);
        let ratio = self.op(Scalar::Div, &[x, change]);
        let corrected = self.op(Scalar::Mul, &[log, ratio]);
        let unchanged = self.with(Scalar::Eq, u, 1.0);
        let infinite = self.with(Scalar::Eq, x, f64::INFINITY);
        let as_it_is = self.op(Scalar::Or, &[unchanged, infinite]);
        self.select(as_it_is, x, corrected)
    }
}
