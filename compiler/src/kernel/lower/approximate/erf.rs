//! erf: x·p(x²) up to 1, and 1 - exp(-q(|x|)) beyond, where q is fitted to -log(erfc) up to 4; there erf rounds to one.
//!
//! The polynomials err by 1.5e-9 and 9e-10 of erf.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::Value;

const NEAR: [f64; 7] = [
    1.128_379_106_521_606_4,
    -0.376_126_259_565_353_4,
    0.112_835_757_434_368_13,
    -0.026_853_317_394_852_638,
    0.005_187_195_725_739_002,
    -0.000_799_860_863_480_717,
    7.810_311_944_922_432e-5,
];
const FAR: [f64; 9] = [
    -0.000_321_471_015_922_725_2,
    1.130_239_248_275_756_8,
    0.631_815_671_920_776_4,
    0.110_090_196_132_659_91,
    -0.026_427_043_601_870_537,
    0.004_761_717_282_235_622,
    -0.000_597_264_443_058_520_6,
    4.611_291_296_925_52e-5,
    -1.639_937_977_415_684_1e-6,
];

impl Lower<'_> {
    pub(super) fn erf(&mut self, x: Value) -> Value {
        let size = self.op(Scalar::Abs, &[x]);
        let size = self.with(Scalar::Min, size, 4.0);
        let square = self.op(Scalar::Mul, &[size, size]);
        let near = self.polynomial(square, &NEAR);
        let near = self.op(Scalar::Mul, &[near, size]);
        let exponent = self.polynomial(size, &FAR);
        let exponent = self.op(Scalar::Neg, &[exponent]);
        let complement = self.exp(exponent);
        let one = self.like(x, 1.0);
        let far = self.op(Scalar::Sub, &[one, complement]);
        let is_near = self.with(Scalar::Lt, size, 1.0);
        let erf = self.select(is_near, near, far);
        self.with_sign_of(x, erf)
    }
}
