//! exp and expm1: with n the integer nearest to x / ln 2 and r = x - n·ln 2, exp(x) = 2^n · exp(r), |r| <= 0.35. exp2: with
//! n the integer nearest to x, 2^x = 2^n · 2^(x - n); so exp too where an instruction multiplies by 2^n. There exp2 takes
//! the integer below x for n, which the same instruction finds.
//!
//! The rough 2^x errs by 9e-5, a twentieth of what rounding to bf16 does, where that takes fewer steps.
//!
//! The polynomials for (exp(r) - 1 - r) / r² err by 3e-9 and 2e-10 of exp(r), those for (2^r - 1) / r by 9e-8 of 2^r; of f64 all
//! err by 4e-17. Without that instruction 2^n is added to the exponent in integers: below the range the sum is negative and
//! becomes zero, and beyond it another value is taken; results that are denormal are some number below the least normal one.

use super::floats::{BITS, Floats};
use super::log::LN_2;
use super::{Lower, ROUNDER};
use crate::graph::Scalar;
use crate::kernel::types::Value;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
const EXP: Floats<&[f64]> = Floats {
    single: &[
        0.499_999_940_395_355_2,
        0.166_665_211_319_923_4,
        0.041_668_388_992_548,
        0.008_368_745_446_206,
        0.001_381_454_057_991_5,
    ],
    double: &[
        0.500_000_000_000_000_1,
        0.166_666_666_666_666_69,
        0.041_666_666_666_624_13,
        0.008_333_333_333_330_062,
        0.001_388_888_891_721_371_7,
        0.000_198_412_698_630_536_18,
        2.480_152_129_595_437_6e-05,
        2.755_726_845_999_706_4e-06,
        2.762_008_844_540_974_6e-07,
        2.510_038_549_551_032e-08,
    ],
};
const EXPM1: Floats<&[f64]> = Floats {
    single: &[
        0.5,
        0.166_666_671_633_720_4,
        0.041_666_463_017_463_684,
        0.008_333_310_484_886_17,
        0.001_393_388_141_877_949_2,
        0.000_198_912_472_114_894_7,
    ],
    double: EXP.double,
};
/// For |r| <= 1/2.
const EXP2: Floats<&[f64]> = Floats {
    single: &[
        0.693_147_003_650_665_3,
        0.240_222_409_367_561_34,
        0.055_507_350_713_014_6,
        0.009_671_619_161_963_463,
        0.001_326_459_110_714_495_2,
    ],
    double: &[
        std::f64::consts::LN_2,
        0.240_226_506_959_100_72,
        0.055_504_108_664_821_625,
        0.009_618_129_107_628_48,
        0.001_333_355_814_640_647,
        0.000_154_035_303_933_707_34,
        1.525_273_384_155_677_3e-05,
        1.321_548_680_870_556_3e-06,
        1.017_805_708_773_394_1e-07,
        7.054_897_304_155_499_5e-09,
        4.455_817_908_336_064_5e-10,
        2.572_932_417_736_230_5e-11,
    ],
};
/// For r from 0 to 1.
const EXP2_OF_FRACTION: [f64; 5] = [
    0.693_151_311_804_626_5,
    0.240_164_450_154_901_1,
    0.055_799_913_104_210_67,
    0.009_017_030_321_955_742,
    0.001_867_130_070_054_67,
];
/// The same to 9e-5 of 2^r.
const ROUGH_EXP2_OF_FRACTION: [f64; 3] = [0.695_116_783_489_764_1, 0.227_644_984_604_823_52, 0.077_067_052_613_236_85];
/// 1 / ln 2 as a sum of two numbers of f32.
const LOG2_E_PARTS: [f64; 2] = [1.442_695_021_629_333_5, 1.925_963_033_500_597_7e-8];
/// Below this, exp is zero in any rounding; above that, it is infinite.
const LEAST: Floats<f64> = Floats { single: -104.0, double: -746.0 };
const GREATEST: Floats<f64> = Floats { single: 88.722_831_726_074_22, double: 709.782_712_893_384 };
/// From where to where expm1 is neither -1 nor infinite.
const EXPM1_RANGE: Floats<[f64; 2]> = Floats { single: [-20.0, 89.0], double: [-40.0, 710.0] };
/// Beyond this, exp is infinite whatever the rest; up to here its exponent is one more than that of numbers.
const GREATEST_BEFORE_REST: f64 = 88.73;
/// The same for exp2.
const LEAST_EXPONENT: Floats<f64> = Floats { single: -150.0, double: -1075.0 };
const GREATEST_EXPONENT: Floats<f64> = Floats { single: 127.999_992_370_605_47, double: 1_023.999_999_999_999_9 };

impl Lower<'_> {
    pub(super) fn exp(&mut self, x: Value) -> Value {
        if self.has_scalb(x) {
            return self.exp_by_scalb(x);
        }
        self.exp_of_sum(x, None)
    }

    /// exp(x + rest), where the rest is a rounding of x.
    pub(super) fn exp_of_sum(&mut self, x: Value, rest: Option<Value>) -> Value {
        // NaN becomes the least: no integer below may depend on it.
        let least = self.like(x, self.of(x, LEAST));
        let above = self.op(Scalar::Gt, &[x, least]);
        let bounded = self.select(above, x, least);
        let (n, exponent) = self.exponent(bounded, LOG2_E);
        let mut r = self.without_logs_of_two(bounded, n);
        if let Some(rest) = rest {
            let nothing = self.like(x, 0.0);
            let rest = self.select(above, rest, nothing);
            r = self.op(Scalar::Add, &[r, rest]);
        }
        let q = self.polynomial(r, self.of(x, EXP));
        let one = self.like(x, 1.0);
        let slope = self.fma(q, r, one);
        let power = self.fma(slope, r, one);
        let result = self.raised(power, exponent);
        match rest {
            None => self.inside(x, self.of(x, GREATEST), result),
            Some(_) => {
                let result = self.at_most_infinite(result);
                self.inside(x, GREATEST_BEFORE_REST, result)
            }
        }
    }

    /// Bits beyond those of infinity are infinity.
    fn at_most_infinite(&mut self, x: Value) -> Value {
        let bits = self.bits(x);
        let infinity = self.int_like(bits, self.of(x, BITS).infinity);
        let bits = self.op(Scalar::Min, &[bits, infinity]);
        self.float(bits)
    }

    pub(super) fn exp2(&mut self, x: Value) -> Value {
        if self.has_scalb(x) {
            return self.exp2_by_scalb(x, &EXP2_OF_FRACTION);
        }
        let least = self.like(x, self.of(x, LEAST_EXPONENT));
        let above = self.op(Scalar::Gt, &[x, least]);
        let bounded = self.select(above, x, least);
        let (n, exponent) = self.exponent(bounded, 1.0);
        let r = self.op(Scalar::Sub, &[bounded, n]);
        let power = self.power(r, self.of(x, EXP2));
        let result = self.raised(power, exponent);
        self.inside(x, self.of(x, GREATEST_EXPONENT), result)
    }

    pub(super) fn rough_exp2(&mut self, x: Value) -> Value {
        if self.has_scalb(x) { self.exp2_by_scalb(x, &ROUGH_EXP2_OF_FRACTION) } else { self.exp2(x) }
    }

    fn exp2_by_scalb(&mut self, x: Value, coefficients: &[f64]) -> Value {
        let fraction = self.op(Scalar::Fract, &[x]);
        let power = self.power(fraction, coefficients);
        self.op(Scalar::Scalb, &[power, x])
    }

    /// x = (n + r)·ln 2, where the product in r is not rounded; NaN stays.
    fn exp_by_scalb(&mut self, x: Value) -> Value {
        let x = self.clamp(x, LEAST.single, GREATEST.single + 1.0);
        let (n, _) = self.exponent(x, LOG2_E);
        let negative = self.op(Scalar::Neg, &[n]);
        let parts = LOG2_E_PARTS.map(|part| self.like(x, part));
        let r = self.fma(x, parts[0], negative);
        let r = self.fma(x, parts[1], r);
        let power = self.power(r, EXP2.single);
        self.op(Scalar::Scalb, &[power, n])
    }

    /// 2^r by the polynomial for (2^r - 1) / r.
    fn power(&mut self, r: Value, coefficients: &[f64]) -> Value {
        let q = self.polynomial(r, coefficients);
        let one = self.like(r, 1.0);
        self.fma(q, r, one)
    }

    /// `power · 2^exponent` by its bits.
    fn raised(&mut self, power: Value, exponent: Value) -> Value {
        let fraction = self.of(power, BITS).fraction;
        let power = self.bits(power);
        let (shift, zero) = (self.int_like(exponent, fraction), self.int_like(exponent, 0));
        let exponent = self.op(Scalar::Shl, &[exponent, shift]);
        let bits = self.op(Scalar::Add, &[power, exponent]);
        let bits = self.op(Scalar::Max, &[bits, zero]);
        self.float(bits)
    }

    /// The result for an argument up to `greatest`. NaN stays, and everything else is infinite.
    fn inside(&mut self, x: Value, greatest: f64, result: Value) -> Value {
        let is_inside = self.with(Scalar::Le, x, greatest);
        let outside = self.with(Scalar::Add, x, f64::INFINITY);
        self.select(is_inside, result, outside)
    }

    /// The integer nearest to `x · factor`, and an integer with its low bits.
    fn exponent(&mut self, x: Value, factor: f64) -> (Value, Value) {
        if self.is_block() {
            return self.nearest(x, factor);
        }
        let (factor, rounder) = (self.like(x, factor), self.like(x, self.of(x, ROUNDER)));
        let shifted = self.fma(x, factor, rounder);
        (self.op(Scalar::Sub, &[shifted, rounder]), self.bits(shifted))
    }

    /// exp(x) - 1 = 2·(2^(n-1) · expm1(r) + (2^(n-1) - 1/2))
    pub(super) fn expm1(&mut self, x: Value) -> Value {
        let [low, high] = self.of(x, EXPM1_RANGE);
        let x = self.clamp(x, low, high);
        let (n, exponent) = self.nearest(x, LOG2_E);
        let r = self.without_logs_of_two(x, n);
        let q = self.polynomial(r, self.of(x, EXPM1));
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
        let parts = self.of(x, LN_2).map(|part| self.like(x, -part));
        let r = self.fma(n, parts[0], x);
        self.fma(n, parts[1], r)
    }
}
