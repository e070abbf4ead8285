//! atan(x) = z + z³·p(z²) for |z| <= 1, and π/2 less the same of 1/x beyond; atan2 divides the smaller by the larger, so that
//! neither over- nor underflows. asin(x) = x + x³·q(x²) for |x| <= 1/2, and π/2 - 2·asin(√((1 - |x|) / 2)) beyond, where
//! acos is twice the same angle: 1 - |x| is exact there.
//!
//! The polynomials err by 3e-9 of atan and 5e-9 of asin, and by 4e-17 and 5e-18 for f64.

use super::Lower;
use super::floats::{BITS, Floats};
use super::trigonometric::HALF_PI;
use crate::graph::Scalar;
use crate::kernel::types::Value;

const ATAN: Floats<&[f64]> = Floats {
    single: &[
        -0.333_332_985_639_572_14,
        0.199_985_489_249_229_43,
        -0.142_642_408_609_390_26,
        0.109_521_821_141_242_98,
        -0.084_034_398_198_127_75,
        0.057_957_433_164_119_72,
        -0.031_177_693_977_952_003,
        0.010_914_528_742_432_594,
        -0.001_793_605_275_452_137,
    ],
    double: &[
        -0.333_333_333_333_333_3,
        0.199_999_999_999_995_54,
        -0.142_857_142_856_484_04,
        0.111_111_111_072_347_99,
        -0.090_909_089_695_574_03,
        0.076_923_053_546_786_55,
        -0.066_666_364_357_776_92,
        0.058_820_749_563_712_94,
        -0.052_612_657_357_094_54,
        0.047_520_867_735_766_56,
        -0.043_081_196_553_304_71,
        0.038_726_402_140_426_32,
        -0.033_750_132_001_619_734,
        0.027_567_942_297_344_678,
        -0.020_238_706_986_393_514,
        0.012_756_172_907_694_298,
        -0.006_575_683_344_151_699,
        0.002_622_977_891_906_089,
        -0.000_751_847_252_697_382_2,
        0.000_136_872_485_314_812_2,
        -1.183_250_541_755_569_2e-05,
    ],
};
const ASIN: Floats<&[f64]> = Floats {
    single: &[
        0.166_667_520_999_908_45,
        0.074_952_974_915_504_46,
        0.045_470_379_292_964_935,
        0.024_179_507_046_937_943,
        0.042_166_318_744_421_005,
    ],
    double: &[
        0.166_666_666_666_666_69,
        0.074_999_999_999_984_33,
        0.044_642_857_146_355_43,
        0.030_381_944_138_531_247,
        0.022_372_172_942_149_89,
        0.017_352_392_720_869_973,
        0.013_971_212_973_552_933,
        0.011_479_177_415_184_906,
        0.010_322_814_350_185_78,
        0.005_457_506_718_640_358,
        0.017_400_879_442_694_02,
        -0.014_851_887_071_247_204,
        0.028_757_851_367_421_566,
    ],
};

impl Lower<'_> {
    pub(super) fn atan(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let is_steep = self.with(Scalar::Gt, size, 1.0);
        let one = self.like(x, 1.0);
        let inverse = self.op(Scalar::Div, &[one, size]);
        let z = self.select(is_steep, inverse, size);
        let angle = self.odd(z, ATAN);
        let angle = self.unless_less(is_steep, 1.0, angle);
        self.with_sign_of(angle, x)
    }

    pub(super) fn atan2(&mut self, y: Value, x: Value) -> Value {
        let sizes = [y, x].map(|side| self.op(Scalar::Abs, &[side]));
        let is_steep = self.op(Scalar::Gt, &sizes);
        let least = self.scalar(Scalar::Min, &sizes);
        let most = self.scalar(Scalar::Max, &sizes);
        let quotient = self.op(Scalar::Div, &[least, most]);
        // Of two zeros the quotient is zero, of two infinities one.
        let is_same = self.op(Scalar::Eq, &[least, most]);
        let [zero, one] = [0.0, 1.0].map(|number| self.like(x, number));
        let is_nothing = self.op(Scalar::Eq, &[most, zero]);
        let quotient = self.select(is_same, one, quotient);
        let quotient = self.select(is_nothing, zero, quotient);
        let angle = self.odd(quotient, ATAN);
        let angle = self.unless_less(is_steep, 1.0, angle);
        let bits = self.bits(x);
        let nothing = self.int_like(bits, 0);
        let is_behind = self.op(Scalar::Lt, &[bits, nothing]);
        let angle = self.unless_less(is_behind, 2.0, angle);
        self.with_sign_of(angle, y)
    }

    pub(super) fn asin(&mut self, x: Value) -> Value {
        let (is_steep, angle) = self.small_angle(x);
        let twice = self.with(Scalar::Mul, angle, 2.0);
        let angle = self.select(is_steep, twice, angle);
        let angle = self.unless_less(is_steep, 1.0, angle);
        self.with_sign_of(angle, x)
    }

    pub(super) fn acos(&mut self, x: Value) -> Value {
        let (is_steep, angle) = self.small_angle(x);
        let twice = self.with(Scalar::Mul, angle, 2.0);
        let flat = self.with_sign_of(angle, x);
        let right = self.like(x, std::f64::consts::FRAC_PI_2);
        let flat = self.op(Scalar::Sub, &[right, flat]);
        let is_behind = self.with(Scalar::Lt, x, 0.0);
        let steep = self.unless_less(is_behind, 2.0, twice);
        self.select(is_steep, steep, flat)
    }

    /// asin(|x|), or that of √((1 - |x|) / 2) where |x| is more than one half, and whether it is.
    fn small_angle(&mut self, x: Value) -> (Value, Value) {
        let size = self.op(Scalar::Abs, &[x]);
        let is_steep = self.with(Scalar::Gt, size, 0.5);
        let (half, minus_half) = (self.like(x, 0.5), self.like(x, -0.5));
        let rest = self.fma(size, minus_half, half);
        let root = self.op(Scalar::Sqrt, &[rest]);
        let z = self.select(is_steep, root, size);
        let angle = self.odd(z, ASIN);
        (is_steep, angle)
    }

    /// z + z³·p(z²)
    pub(super) fn odd(&mut self, z: Value, coefficients: Floats<&[f64]>) -> Value {
        let square = self.op(Scalar::Mul, &[z, z]);
        let p = self.polynomial(square, self.of(z, coefficients));
        let cube = self.op(Scalar::Mul, &[square, z]);
        self.fma(cube, p, z)
    }

    /// An angle, or so many right angles less the angle.
    fn unless_less(&mut self, is_less: Value, n_right: f64, angle: Value) -> Value {
        let [high, low, _] = self.of(angle, HALF_PI).map(|part| self.like(angle, n_right * part));
        let less = self.op(Scalar::Sub, &[low, angle]);
        let less = self.op(Scalar::Add, &[high, less]);
        self.select(is_less, less, angle)
    }

    /// The sign of another number, instead of the own plus.
    pub(super) fn with_sign_of(&mut self, size: Value, signed: Value) -> Value {
        let format = self.of(size, BITS);
        let [size, signed] = [size, signed].map(|value| self.bits(value));
        let sign = self.int_like(signed, format.sign);
        let sign = self.op(Scalar::And, &[signed, sign]);
        let bits = self.op(Scalar::Or, &[size, sign]);
        self.float(bits)
    }
}
