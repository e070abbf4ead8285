//! Scalar functions: those that backends print as they are, the others expanded.

use super::Lower;
use super::approximate::{self, Expansion};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

impl Lower<'_> {
    /// A scalar function on parts of one shape.
    pub(super) fn scalar(&mut self, scalar: Scalar, operands: &[Value]) -> Value {
        use Scalar::*;
        let dtype = self.type_of(operands[operands.len() - 1]).dtype;
        let a = operands[0];
        match scalar {
            Min | Max if dtype.is_float() => self.pick(scalar, a, operands[1]),
            Shl | Shr => self.shift(scalar, a, operands[1]),
            Sign => self.sign(a),
            Abs if !dtype.is_signed() => a,
            FloorDiv if !dtype.is_float() => self.floor_div(a, operands[1]),
            Modulo if !dtype.is_float() => self.int_modulo(a, operands[1]),
            FloorDiv => self.float_floor_div(a, operands[1]),
            Fma if !self.target.fma => {
                let product = self.op(Mul, &[a, operands[1]]);
                self.op(Add, &[product, operands[2]])
            }
            Fract => self.fraction(a),
            Recip if !self.has_scalb(a) => {
                let one = self.like(a, 1.0);
                self.op(Div, &[one, a])
            }
            Recip => self.op(Recip, operands),
            Scalb if self.has_scalb(a) => {
                // To the instruction NaN times an infinite power is that power.
                let (product, is_number) = (self.op(scalar, operands), self.op(Eq, &[a, a]));
                self.op(Select, &[is_number, product, a])
            }
            _ if crate::kernel::verify::is_primitive(scalar) => self.op(scalar, operands),
            _ => self.transcendental(scalar, operands, dtype),
        }
    }

    /// As the reference computes it: the quotient less that of the remainder is whole but for rounding.
    fn float_floor_div(&mut self, a: Value, b: Value) -> Value {
        let rest = self.scalar(Scalar::Modulo, &[a, b]);
        let [quotient, of_rest] = [a, rest].map(|value| self.op(Scalar::Div, &[value, b]));
        let whole = self.op(Scalar::Sub, &[quotient, of_rest]);
        let whole = self.op(Scalar::Round, &[whole]);
        let (minus_one, zero) = (self.like(a, -1.0), self.like(a, 0.0));
        let is_small = self.op(Scalar::Eq, &[rest, b]);
        let result = self.op(Scalar::Select, &[is_small, minus_one, whole]);
        let by_zero = self.op(Scalar::Eq, &[b, zero]);
        self.op(Scalar::Select, &[by_zero, quotient, result])
    }

    /// The smaller or the larger of two floats, the first of two equals, NaN if one of them is. Beside a number one
    /// comparison tells: nothing is less or greater than NaN, which stays.
    fn pick(&mut self, scalar: Scalar, a: Value, b: Value) -> Value {
        let is_number = |value: Value| self.as_literal(value).is_some_and(|literal| !literal.as_f64().is_nan());
        let least = scalar == Scalar::Min;
        let (number, x, wins) = match (is_number(a), is_number(b)) {
            _ if self.is_block() => return self.op(scalar, &[a, b]),
            (_, true) => (b, a, if least { Scalar::Lt } else { Scalar::Gt }),
            (true, _) => (a, b, if least { Scalar::Le } else { Scalar::Ge }),
            _ => return self.op(scalar, &[a, b]),
        };
        let wins = self.op(wins, &[number, x]);
        self.op(Scalar::Select, &[wins, number, x])
    }

    /// No instruction: that of x86 rounds down, and so its zeros are negative.
    fn fraction(&mut self, x: Value) -> Value {
        let floor = self.op(Scalar::Floor, &[x]);
        let (fraction, magnitude) = (self.op(Scalar::Sub, &[x, floor]), self.op(Scalar::Abs, &[x]));
        let (infinity, zero) = (self.like(x, f64::INFINITY), self.like(x, 0.0));
        let is_infinite = self.op(Scalar::Eq, &[magnitude, infinity]);
        self.op(Scalar::Select, &[is_infinite, zero, fraction])
    }

    fn transcendental(&mut self, scalar: Scalar, operands: &[Value], dtype: DType) -> Value {
        if matches!(dtype, DType::F32 | DType::F64)
            && let Some(Expansion { expand, .. }) = approximate::expansion(scalar, dtype, self.target)
        {
            return expand(self, operands);
        }
        self.of_host(scalar, operands)
    }

    /// Lane by lane, by the f64 function of the host or the function of a shader.
    pub(super) fn of_host(&mut self, scalar: Scalar, operands: &[Value]) -> Value {
        let dtype = self.type_of(operands[operands.len() - 1]).dtype;
        if self.is_block() && dtype == DType::F32 {
            return self.pure(Op::Call(scalar, operands.to_vec()), Type::scalar(dtype));
        }
        self.each_lane(operands, |lower, scalars| {
            let wide: Vec<Value> = scalars.iter().map(|&value| lower.cast(value, DType::F64)).collect();
            let called = lower.pure(Op::Call(scalar, wide), Type::scalar(DType::F64));
            lower.cast(called, dtype)
        })
    }
}
