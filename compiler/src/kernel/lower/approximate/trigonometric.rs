//! sin, cos and tan: with n the integer nearest to x·2/π and r = x - n·π/2, |r| <= π/4, one of ±sin(r), ±cos(r), or a
//! quotient of them.
//!
//! π/2 is a sum of three floats, subtracted with fused multiply-adds: exact enough up to the limit below. A vector with a
//! lane beyond it (or NaN) goes to the host, lane by lane. The polynomials err by 2e-11, and by 2e-17 for f64.

use super::Lower;
use super::floats::Floats;
use crate::graph::Scalar;
use crate::kernel::types::Value;

const LIMIT: Floats<f64> = Floats { single: 1e5, double: 1e8 };
pub(super) const HALF_PI: Floats<[f64; 3]> = Floats {
    single: [1.570_796_370_506_286_6, -4.371_138_828_673_793e-8, -1.715_124_510_005_881_9e-15],
    double: [std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33],
};
const SIN: Floats<&[f64]> = Floats {
    single: &[
        -0.166_666_671_633_720_4,
        0.008_333_331_905_305_386,
        -0.000_198_400_812_223_553_66,
        2.724_914_793_361_677e-6,
    ],
    double: &[
        -0.166_666_666_666_666_66,
        0.008_333_333_333_330_946,
        -0.000_198_412_698_367_549_7,
        2.755_731_610_068_303e-06,
        -2.505_113_145_542_794_6e-08,
        1.591_810_123_027_412e-10,
    ],
};
const COS: Floats<&[f64]> = Floats {
    single: &[
        0.041_666_667_908_430_1,
        -0.001_388_888_806_104_66,
        2.480_059_447_407_256_8e-5,
        -2.730_030_814_745_987_3e-7,
    ],
    double: &[
        0.041_666_666_666_666_664,
        -0.001_388_888_888_888_739_5,
        2.480_158_729_876_343_3e-05,
        -2.755_731_727_056_032_6e-07,
        2.087_614_602_468_974_7e-09,
        -1.138_261_486_855_632_5e-11,
    ],
};

impl Lower<'_> {
    pub(super) fn of_angle(&mut self, scalar: Scalar, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let limit = self.of(x, LIMIT);
        self.unless_far(scalar, &[x], size, limit, |lower| lower.reduced(scalar, x))
    }

    fn reduced(&mut self, scalar: Scalar, x: Value) -> Value {
        let (n, quadrant) = self.nearest(x, std::f64::consts::FRAC_2_PI);
        let mut r = x;
        for part in self.of(x, HALF_PI) {
            let part = self.like(x, -part);
            r = self.fma(n, part, r);
        }
        let square = self.op(Scalar::Mul, &[r, r]);
        let sin = self.polynomial(square, self.of(x, SIN));
        let cube = self.op(Scalar::Mul, &[square, r]);
        let sin = self.fma(cube, sin, r);
        let cos = self.polynomial(square, self.of(x, COS));
        let (minus_half, one) = (self.like(x, -0.5), self.like(x, 1.0));
        let cos = self.fma(square, cos, minus_half);
        let cos = self.fma(square, cos, one);
        let odd = self.bit(quadrant, 1);
        let (negative, value) = match scalar {
            Scalar::Tan => {
                let [above, below] =
                    [(cos, sin), (sin, cos)].map(|(then, otherwise)| self.select(odd, then, otherwise));
                (odd, self.op(Scalar::Div, &[above, below]))
            }
            // cos(x) = sin(x + π/2)
            Scalar::Cos => {
                let one = self.int_like(quadrant, 1);
                let quadrant = self.op(Scalar::Add, &[quadrant, one]);
                (self.bit(quadrant, 2), self.select(odd, sin, cos))
            }
            _ => (self.bit(quadrant, 2), self.select(odd, cos, sin)),
        };
        let negated = self.op(Scalar::Neg, &[value]);
        let value = self.select(negative, negated, value);
        match scalar {
            Scalar::Cos => value,
            // Which zero it is the products forget.
            _ => {
                let is_zero = self.with(Scalar::Eq, x, 0.0);
                self.select(is_zero, x, value)
            }
        }
    }

    fn bit(&mut self, value: Value, bit: i64) -> Value {
        let (bit, zero) = (self.int_like(value, bit), self.int_like(value, 0));
        let masked = self.op(Scalar::And, &[value, bit]);
        self.op(Scalar::Ne, &[masked, zero])
    }
}
