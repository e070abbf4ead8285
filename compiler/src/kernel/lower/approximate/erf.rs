//! erf(x) = x · p(x²) / q(x²) up to 3.95, where it rounds to one.
//!
//! The quotient errs by 2e-8 of erf; it is the best of its degrees by Remez' algorithm.

use super::Lower;
use crate::kernel::types::Value;

/// Here the quotient is at least one, however it is rounded.
const ONE: f64 = 3.948_874_950_408_935_5;
const ABOVE: [f64; 6] = [
    1.128_379_106_521_606_4,
    0.190_407_350_659_370_42,
    0.052_748_844_027_519_226,
    0.003_765_656_379_982_829,
    0.000_284_883_892_163_634_3,
    2.050_084_049_187_717e-6,
];
const BELOW: [f64; 6] = [
    1.0,
    0.502_076_864_242_553_7,
    0.114_109_478_890_895_84,
    0.014_969_294_890_761_375,
    0.001_162_545_639_090_24,
    3.809_174_086_200_073_4e-5,
];

impl Lower<'_> {
    pub(super) fn erf(&mut self, x: Value) -> Value {
        self.odd_quotient(x, ONE, &ABOVE, &BELOW)
    }
}
