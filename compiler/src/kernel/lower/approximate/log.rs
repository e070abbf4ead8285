//! log: x = 2^e · m with m between √½ and √2, and log(m) = f - f²/2 + f³·p(f) for f = m - 1; p errs by 3e-9 of log(m), and
//! by 8e-18 for f64.
//!
//! log1p(x) = log(u) · x / (u - 1) with u = 1 + x rounded: the rounding error of u cancels (Kahan's method).

use super::Lower;
use super::floats::{BITS, Floats};
use crate::graph::Scalar;
use crate::kernel::types::Value;

/// ln 2 as a sum of two; the first has so few bits that its product with an exponent is exact.
pub(super) const LN_2: Floats<[f64; 2]> = Floats {
    single: [0.693_359_375, -0.000_212_194_440_054_690_6],
    double: [0.693_147_180_559_208_2, 7.371_002_565_167_799e-13],
};
const LOG: Floats<&[f64]> = Floats {
    single: &[
        0.333_333_313_465_118_4,
        -0.249_999_970_197_677_6,
        0.200_007_304_549_217_22,
        -0.166_678_503_155_708_3,
        0.142_485_514_283_180_24,
        -0.124_240_376_055_240_63,
        0.116_890_713_572_502_14,
        -0.114_945_463_836_193_08,
        0.069_807_015_359_401_7,
    ],
    double: &[
        0.333_333_333_333_333_37,
        -0.249_999_999_999_999_3,
        0.199_999_999_999_932_23,
        -0.166_666_666_666_973_1,
        0.142_857_142_875_920_38,
        -0.124_999_999_971_088_53,
        0.111_111_109_098_129_75,
        -0.099_999_999_963_148_51,
        0.090_909_198_772_855_8,
        -0.083_333_450_577_990_66,
        0.076_919_880_885_335_52,
        -0.071_422_319_903_224_76,
        0.066_719_859_695_772_72,
        -0.062_650_329_574_427_75,
        0.058_370_158_375_825_765,
        -0.053_682_708_539_703_22,
        0.053_718_801_451_167_544,
        -0.061_295_944_224_125_716,
        0.056_664_508_628_156_72,
        -0.025_061_216_015_680_07,
    ],
};
/// The bits of √½, below which m is doubled.
const ROOT_HALF_BITS: Floats<i64> = Floats { single: 0x3f35_04f3, double: 0x3fe6_a09e_667f_3bcd };

impl Lower<'_> {
    pub(super) fn log(&mut self, x: Value) -> Value {
        let (mantissa, exponent) = self.mantissa_and_exponent(x);
        let log = self.log_of_parts(mantissa, exponent);
        self.log_specials(x, log)
    }

    /// m and e as a float, for positive x.
    pub(super) fn mantissa_and_exponent(&mut self, x: Value) -> (Value, Value) {
        let format = self.of(x, BITS);
        let tiny = self.with(Scalar::Lt, x, format.least_normal);
        let raised = self.with(Scalar::Mul, x, (1i64 << format.fraction) as f64);
        let normal = self.select(tiny, raised, x);
        let bits = self.bits(normal);
        let (origin, shift) = (self.int_like(bits, self.of(x, ROOT_HALF_BITS)), self.int_like(bits, format.fraction));
        let above = self.op(Scalar::Sub, &[bits, origin]);
        let exponent = self.op(Scalar::Shr, &[above, shift]);
        let removed = self.op(Scalar::Shl, &[exponent, shift]);
        let mantissa = self.op(Scalar::Sub, &[bits, removed]);
        let mantissa = self.float(mantissa);
        let exponent = self.cast(exponent, self.type_of(x).dtype);
        let lowered = self.with(Scalar::Add, exponent, -format.fraction as f64);
        (mantissa, self.select(tiny, lowered, exponent))
    }

    fn log_of_parts(&mut self, mantissa: Value, exponent: Value) -> Value {
        let f = self.with(Scalar::Add, mantissa, -1.0);
        let p = self.polynomial(f, self.of(f, LOG));
        let square = self.op(Scalar::Mul, &[f, f]);
        let cube = self.op(Scalar::Mul, &[square, f]);
        let [high, low] = self.of(f, LN_2).map(|part| self.like(f, part));
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
