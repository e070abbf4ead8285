//! exp and expm1: with n the integer nearest to x / ln 2 and r = x - n·ln 2, exp(x) = 2^n · exp(r), |r| <= 0.35.
//!
//! The polynomials for (exp(r) - 1 - r) / r² err by 8e-9 and 2e-10 of exp(r). 2^n is applied in two factors, so that
//! results near the ends of the range neither overflow early nor lose their exponent.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::Value;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 as a sum of two; the first has so few bits that its product with an exponent is exact.
const LN_2: [f64; 2] = [0.693_359_375, -0.000_212_194_440_054_690_6];
const EXP: [f64; 5] =
    [0.5, 0.166_665_762_662_887_57, 0.041_666_552_424_430_85, 0.008_363_333_530_724_05, 0.001_392_637_612_298_131];
const EXPM1: [f64; 6] = [
    0.5,
    0.166_666_671_633_720_4,
    0.041_666_463_017_463_684,
    0.008_333_310_484_886_17,
    0.001_393_388_141_877_949_2,
    0.000_198_912_472_114_894_7,
];

impl Lower<'_> {
    pub(super) fn exp(&mut self, x: Value) -> Value {
        let (tail, r, n) = self.exp_parts(x, -105.0, &EXP);
        let sum = self.op(Scalar::Add, &[r, tail]);
        let power = self.with(Scalar::Add, sum, 1.0);
        let one = self.int_like(n, 1);
        let half = self.op(Scalar::Shr, &[n, one]);
        let rest = self.op(Scalar::Sub, &[n, half]);
        let (a, b) = (self.power_of_two(half), self.power_of_two(rest));
        let scaled = self.op(Scalar::Mul, &[power, a]);
        self.op(Scalar::Mul, &[scaled, b])
    }

    /// exp(x) - 1 = 2·(2^(n-1) · expm1(r) + (2^(n-1) - 1/2))
    pub(super) fn expm1(&mut self, x: Value) -> Value {
        let (tail, r, n) = self.exp_parts(x, -20.0, &EXPM1);
        let small = self.op(Scalar::Add, &[r, tail]);
        let one = self.int_like(n, 1);
        let less = self.op(Scalar::Sub, &[n, one]);
        let scale = self.power_of_two(less);
        let shift = self.with(Scalar::Add, scale, -0.5);
        let half = self.fma(scale, small, shift);
        self.with(Scalar::Mul, half, 2.0)
    }

    /// (r²·q(r), r, n) for x clamped to where the result still changes.
    fn exp_parts(&mut self, x: Value, low: f64, coefficients: &[f64]) -> (Value, Value, Value) {
        let x = self.with(Scalar::Min, x, 89.0);
        let x = self.with(Scalar::Max, x, low);
        let (n, exponent) = self.nearest(x, LOG2_E);
        let parts = LN_2.map(|part| self.like(x, -part));
        let r = self.fma(n, parts[0], x);
        let r = self.fma(n, parts[1], r);
        let q = self.polynomial(r, coefficients);
        let square = self.op(Scalar::Mul, &[r, r]);
        (self.op(Scalar::Mul, &[square, q]), r, exponent)
    }
}
