//! Transcendental functions of f32 and f64, expanded into arithmetic that every target has.
//!
//! Invariant: each agrees with its function to the relative error stated beside it, and exactly at infinities, NaN and
//! where it overflows; denormal results may be flushed. Coefficients were computed for these files from the functions
//! themselves, by interpolation at Chebyshev nodes or Remez' algorithm; what is not here calls the host's f64 function lane by lane.
//! The steps are the same for both types; see `Floats` for what is not.

mod erf;
mod exp;
mod floats;
mod hyperbolic;
mod inverse;
mod log;
mod power;
mod remainder;
mod trigonometric;

use super::{Lower, TargetDesc};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;
use floats::{BITS, Floats};

pub(in crate::kernel) struct Expansion {
    pub scalar: Scalar,
    pub expand: fn(&mut Lower, &[Value]) -> Value,
    /// The largest relative error; of a type without one the host is asked.
    error: Floats<Option<f64>>,
}

const fn single(error: f64) -> Floats<Option<f64>> {
    Floats { single: Some(error), double: None }
}

const fn both(single: f64, double: f64) -> Floats<Option<f64>> {
    Floats { single: Some(single), double: Some(double) }
}

static EXPANSIONS: &[Expansion] = &[
    Expansion { scalar: Scalar::Exp, expand: |lower, x| lower.exp(x[0]), error: both(2.5e-7, 5e-16) },
    Expansion { scalar: Scalar::Exp2, expand: |lower, x| lower.exp2(x[0]), error: both(2.5e-7, 5e-16) },
    Expansion { scalar: Scalar::RoughExp2, expand: |lower, x| lower.rough_exp2(x[0]), error: single(9e-5) },
    Expansion { scalar: Scalar::Scalb, expand: |lower, x| lower.scalb(x[0], x[1]), error: single(1.2e-7) },
    Expansion { scalar: Scalar::Expm1, expand: |lower, x| lower.expm1(x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Log, expand: |lower, x| lower.log(x[0]), error: both(2e-7, 5e-16) },
    Expansion { scalar: Scalar::Log1p, expand: |lower, x| lower.log1p(x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Tanh, expand: |lower, x| lower.tanh(x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Erf, expand: |lower, x| lower.erf(x[0]), error: single(4e-7) },
    Expansion { scalar: Scalar::Sin, expand: |lower, x| lower.of_angle(Scalar::Sin, x[0]), error: both(2e-7, 5e-16) },
    Expansion { scalar: Scalar::Cos, expand: |lower, x| lower.of_angle(Scalar::Cos, x[0]), error: both(2e-7, 5e-16) },
    Expansion { scalar: Scalar::Tan, expand: |lower, x| lower.of_angle(Scalar::Tan, x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Asin, expand: |lower, x| lower.asin(x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Acos, expand: |lower, x| lower.acos(x[0]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Atan, expand: |lower, x| lower.atan(x[0]), error: both(3e-7, 1e-15) },
    Expansion { scalar: Scalar::Atan2, expand: |lower, x| lower.atan2(x[0], x[1]), error: both(4e-7, 1e-15) },
    Expansion { scalar: Scalar::Sinh, expand: |lower, x| lower.sinh(x[0]), error: both(1e-6, 2e-15) },
    Expansion { scalar: Scalar::Cosh, expand: |lower, x| lower.cosh(x[0]), error: both(1e-6, 2e-15) },
    Expansion { scalar: Scalar::Asinh, expand: |lower, x| lower.asinh(x[0]), error: both(6e-7, 2e-15) },
    Expansion { scalar: Scalar::Acosh, expand: |lower, x| lower.acosh(x[0]), error: both(6e-7, 2e-15) },
    Expansion { scalar: Scalar::Atanh, expand: |lower, x| lower.atanh(x[0]), error: both(8e-7, 2e-15) },
    Expansion { scalar: Scalar::Pow, expand: |lower, x| lower.pow(x[0], x[1]), error: single(5e-7) },
    Expansion { scalar: Scalar::Modulo, expand: |lower, x| lower.modulo(x[0], x[1]), error: single(0.0) },
];

/// Exact only where multiply-adds are fused.
const FUSED: [Scalar; 5] = [Scalar::Sin, Scalar::Cos, Scalar::Tan, Scalar::Pow, Scalar::Modulo];

/// Those that compilers of shaders expand themselves.
const OF_SHADERS: [Scalar; 12] = [
    Scalar::Tan,
    Scalar::Asin,
    Scalar::Acos,
    Scalar::Atan,
    Scalar::Atan2,
    Scalar::Sinh,
    Scalar::Cosh,
    Scalar::Asinh,
    Scalar::Acosh,
    Scalar::Atanh,
    Scalar::Pow,
    Scalar::Modulo,
];

pub(super) fn expansion(scalar: Scalar, dtype: DType, target: &TargetDesc) -> Option<&'static Expansion> {
    let is_exact = target.fma || !FUSED.contains(&scalar);
    let is_ours = target.threads == 1 || !OF_SHADERS.contains(&scalar);
    let mut known = EXPANSIONS.iter().filter(|expansion| expansion.error.of(dtype).is_some());
    known.find(|expansion| is_exact && is_ours && expansion.scalar == scalar)
}

/// Adding this to a small float leaves its nearest integer in the low bits of the sum.
const ROUNDER: Floats<f64> = Floats { single: 12_582_912.0, double: 6_755_399_441_055_744.0 };

impl Lower<'_> {
    /// The polynomial with these coefficients, lowest first.
    fn polynomial(&mut self, x: Value, coefficients: &[f64]) -> Value {
        let mut rest = coefficients.iter().rev();
        let mut sum = self.like(x, rest.next().copied().unwrap_or(0.0));
        for &coefficient in rest {
            let coefficient = self.like(x, coefficient);
            sum = self.scalar(Scalar::Fma, &[sum, x, coefficient]);
        }
        sum
    }

    fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        self.scalar(Scalar::Fma, &[a, b, c])
    }

    /// `scalar(x, number)`
    fn with(&mut self, scalar: Scalar, x: Value, number: f64) -> Value {
        let number = self.like(x, number);
        self.op(scalar, &[x, number])
    }

    /// The nearest number between these; NaN stays. One instruction for each bound on x86, unlike `min` and `max`.
    fn clamp(&mut self, x: Value, low: f64, high: f64) -> Value {
        let (low, high) = (self.like(x, low), self.like(x, high));
        let is_below = self.op(Scalar::Gt, &[low, x]);
        let x = self.select(is_below, low, x);
        let is_above = self.op(Scalar::Lt, &[high, x]);
        self.select(is_above, high, x)
    }

    /// What `near` gives, unless some lane's size is beyond the limit or no number: then each lane is asked of the host.
    fn unless_far(
        &mut self,
        scalar: Scalar,
        operands: &[Value],
        size: Value,
        limit: f64,
        near: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        let ty = self.type_of(size).clone();
        let mut largest = size;
        if !ty.is_scalar() {
            let op = Op::Reduce { scalar: Scalar::Max, value: size, axis: 0 };
            largest = self.pure(op, Type::scalar(ty.dtype));
        }
        let is_near = self.with(Scalar::Le, largest, limit);
        self.open(true);
        let near = near(self);
        let then = self.close(vec![near]);
        self.open(true);
        let far = self.of_host(scalar, operands);
        let otherwise = self.close(vec![far]);
        self.push_if(is_near, then, otherwise, &[ty])[0]
    }

    fn select(&mut self, condition: Value, a: Value, b: Value) -> Value {
        self.op(Scalar::Select, &[condition, a, b])
    }

    /// What belongs to the type of a float.
    fn of<T: Copy>(&self, x: Value, floats: Floats<T>) -> T {
        floats.of(self.type_of(x).dtype)
    }

    fn bits(&mut self, x: Value) -> Value {
        let dtype = self.of(x, BITS).dtype;
        self.bitcast(x, dtype)
    }

    /// The float of these bits.
    fn float(&mut self, bits: Value) -> Value {
        let dtype = if self.type_of(bits).dtype == DType::I64 { DType::F64 } else { DType::F32 };
        self.bitcast(bits, dtype)
    }

    /// The integer nearest to `x · factor`, as a float and as an integer of as many bits.
    fn nearest(&mut self, x: Value, factor: f64) -> (Value, Value) {
        if self.is_block() {
            // Compilers of shaders may take the sum below apart.
            let scaled = self.with(Scalar::Mul, x, factor);
            let float = self.op(Scalar::Round, &[scaled]);
            return (float, self.cast(float, DType::I32));
        }
        let (factor, rounder) = (self.like(x, factor), self.like(x, self.of(x, ROUNDER)));
        let shifted = self.fma(x, factor, rounder);
        let float = self.op(Scalar::Sub, &[shifted, rounder]);
        let [bits, origin] = [shifted, rounder].map(|float| self.bits(float));
        (float, self.op(Scalar::Sub, &[bits, origin]))
    }

    /// Whether values like this one are multiplied by powers of two in one instruction, and one gives their fractions.
    pub(super) fn has_scalb(&self, x: Value) -> bool {
        self.target.scalb && *self.type_of(x) == Type::new(DType::F32, [u64::from(self.lanes)])
    }

    /// The power in three factors, as one number does not hold all that leave neither zero nor infinity.
    fn scalb(&mut self, a: Value, b: Value) -> Value {
        let floor = self.op(Scalar::Floor, &[b]);
        let bounded = self.clamp(floor, -378.0, 381.0);
        let (_, mut rest) = self.nearest(bounded, 1.0);
        let (least, most) = (self.int_like(rest, -126), self.int_like(rest, 127));
        let mut product = a;
        for _ in 0..3 {
            let part = self.op(Scalar::Max, &[rest, least]);
            let part = self.op(Scalar::Min, &[part, most]);
            let factor = self.power_of_two(part);
            product = self.op(Scalar::Mul, &[product, factor]);
            rest = self.op(Scalar::Sub, &[rest, part]);
        }
        for (infinite, power) in [(f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, 0.0)] {
            let is_infinite = self.with(Scalar::Eq, b, infinite);
            let limit = self.with(Scalar::Mul, a, power);
            product = self.select(is_infinite, limit, product);
        }
        let is_number = self.op(Scalar::Eq, &[b, b]);
        self.select(is_number, product, b)
    }

    /// 2^n for an integer in the range of normal exponents.
    fn power_of_two(&mut self, n: Value) -> Value {
        let format = BITS.of_bits(self.type_of(n).dtype);
        let (bias, shift) = (self.int_like(n, format.bias), self.int_like(n, format.fraction));
        let exponent = self.op(Scalar::Add, &[n, bias]);
        let bits = self.op(Scalar::Shl, &[exponent, shift]);
        self.float(bits)
    }
}

#[cfg(test)]
mod tests;
