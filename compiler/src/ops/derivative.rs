//! The derivatives of the scalar functions, from which the gradients of their ops are made.
//!
//! Invariant: every function of floats that is not flat has its row, and a row uses only functions that have theirs. At a
//! tie of `min` and `max` the second operand is the one that counts, so that `max(x, 0)` is flat at zero.

use super::elementwise::scalar_of;
use super::formula::Built;
use crate::graph::{Builder, Cotangents, Gradient, OpError, Pull, Scalar, Value};

/// The cotangent of `x`, from `x`, the result and its cotangent.
type Unary = fn(&mut Builder, Value, Value, Value) -> Built;
/// The cotangent of operand `idx` of `[a, b]`.
type Binary = fn(&mut Builder, [Value; 2], Value, Value, usize) -> Built;

/// The gradient that goes into the record of a scalar function's op.
pub const fn of(scalar: Scalar) -> Gradient {
    match scalar {
        Scalar::Sign | Scalar::Floor | Scalar::Ceil | Scalar::Round | Scalar::Trunc | Scalar::FloorDiv => {
            Gradient::Zero
        }
        Scalar::Eq | Scalar::Ne | Scalar::Lt | Scalar::Le | Scalar::Gt | Scalar::Ge => Gradient::Zero,
        Scalar::And | Scalar::Or | Scalar::Xor | Scalar::Not | Scalar::Shl | Scalar::Shr => Gradient::Zero,
        _ => Gradient::Rule(gradient),
    }
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (scalar, y, g) = (scalar_of(pull.call.op), pull.results[0], pull.cotangent()?);
    let wanted = |idx: usize| pull.wanted[idx];
    match *pull.operands {
        [x] => Ok(vec![Some(row(UNARY, scalar)?(b, x, y, g)?)]),
        [a, c] => {
            let rule = row(BINARY, scalar)?;
            let mut part = |idx| if wanted(idx) { rule(b, [a, c], y, g, idx).map(Some) } else { Ok(None) };
            Ok(vec![part(0)?, part(1)?])
        }
        [a, c, _] if scalar == Scalar::Fma => {
            let mut part = |idx, other| if wanted(idx) { b.mul(g, other).map(Some) } else { Ok(None) };
            Ok(vec![part(0, c)?, part(1, a)?, Some(g)])
        }
        [test, ..] => {
            let zero = b.number(0.0, g)?;
            let chosen = if wanted(1) { Some(b.select(test, g, zero)?) } else { None };
            let other = if wanted(2) { Some(b.select(test, zero, g)?) } else { None };
            Ok(vec![None, chosen, other])
        }
        [] => Err(OpError::new("a scalar function has an operand")),
    }
}

fn row<T: Copy>(table: &[(Scalar, T)], scalar: Scalar) -> Result<T, OpError> {
    let found = table.iter().find(|(known, _)| *known == scalar);
    found.map(|(_, rule)| *rule).ok_or_else(|| OpError::new(format!("`{scalar}` has no derivative")))
}

static UNARY: &[(Scalar, Unary)] = &[
    (Scalar::Neg, |b, _, _, g| b.neg(g)),
    (Scalar::Abs, |b, x, _, g| {
        let sign = b.sign(x)?;
        b.mul(g, sign)
    }),
    (Scalar::Sqrt, |b, _, y, g| {
        let twice = b.mul_number(y, 2.0)?;
        b.div(g, twice)
    }),
    (Scalar::Exp, |b, _, y, g| b.mul(g, y)),
    (Scalar::Exp2, |b, _, y, g| {
        let slope = b.mul_number(y, std::f64::consts::LN_2)?;
        b.mul(g, slope)
    }),
    (Scalar::Fract, |_, _, _, g| Ok(g)),
    (Scalar::Log, |b, x, _, g| b.div(g, x)),
    (Scalar::Sin, |b, x, _, g| {
        let slope = b.cos(x)?;
        b.mul(g, slope)
    }),
    (Scalar::Cos, |b, x, _, g| {
        let slope = b.sin(x)?;
        let part = b.mul(g, slope)?;
        b.neg(part)
    }),
    (Scalar::Tan, |b, _, y, g| {
        let slope = b.quadratic(y, 1.0, 1.0)?;
        b.mul(g, slope)
    }),
    (Scalar::Asin, |b, x, _, g| {
        let square = b.quadratic(x, -1.0, 1.0)?;
        let width = b.sqrt(square)?;
        b.div(g, width)
    }),
    (Scalar::Acos, |b, x, _, g| {
        let square = b.quadratic(x, -1.0, 1.0)?;
        let width = b.sqrt(square)?;
        let part = b.div(g, width)?;
        b.neg(part)
    }),
    (Scalar::Atan, |b, x, _, g| {
        let square = b.quadratic(x, 1.0, 1.0)?;
        b.div(g, square)
    }),
    (Scalar::Sinh, |b, x, _, g| {
        let slope = b.cosh(x)?;
        b.mul(g, slope)
    }),
    (Scalar::Cosh, |b, x, _, g| {
        let slope = b.sinh(x)?;
        b.mul(g, slope)
    }),
    (Scalar::Asinh, |b, x, _, g| {
        let square = b.quadratic(x, 1.0, 1.0)?;
        let width = b.sqrt(square)?;
        b.div(g, width)
    }),
    (Scalar::Acosh, |b, x, _, g| {
        let square = b.quadratic(x, 1.0, -1.0)?;
        let width = b.sqrt(square)?;
        b.div(g, width)
    }),
    (Scalar::Atanh, |b, x, _, g| {
        let square = b.quadratic(x, -1.0, 1.0)?;
        b.div(g, square)
    }),
    (Scalar::Tanh, |b, _, y, g| {
        let slope = b.quadratic(y, -1.0, 1.0)?;
        b.mul(g, slope)
    }),
    (Scalar::Erf, |b, x, _, g| {
        let square = b.quadratic(x, -1.0, 0.0)?;
        let bell = b.exp(square)?;
        let slope = b.mul_number(bell, std::f64::consts::FRAC_2_SQRT_PI)?;
        b.mul(g, slope)
    }),
    (Scalar::Log1p, |b, x, _, g| {
        let from_zero = b.add_number(x, 1.0)?;
        b.div(g, from_zero)
    }),
    (Scalar::Expm1, |b, _, y, g| {
        let slope = b.add_number(y, 1.0)?;
        b.mul(g, slope)
    }),
];

static BINARY: &[(Scalar, Binary)] = &[
    (Scalar::Add, |_, _, _, g, _| Ok(g)),
    (Scalar::Sub, |b, _, _, g, idx| if idx == 0 { Ok(g) } else { b.neg(g) }),
    (Scalar::Mul, |b, operands, _, g, idx| b.mul(g, operands[1 - idx])),
    (Scalar::Div, |b, [_, below], y, g, idx| {
        let part = b.div(g, below)?;
        if idx == 0 {
            return Ok(part);
        }
        let part = b.mul(part, y)?;
        b.neg(part)
    }),
    (Scalar::Modulo, |b, [a, by], _, g, idx| {
        if idx == 0 {
            return Ok(g);
        }
        let times = b.floor_div(a, by)?;
        let part = b.mul(g, times)?;
        b.neg(part)
    }),
    (Scalar::Max, |b, [left, right], _, g, idx| {
        let first = b.gt(left, right)?;
        one_side(b, first, g, idx)
    }),
    (Scalar::Min, |b, [left, right], _, g, idx| {
        let first = b.lt(left, right)?;
        one_side(b, first, g, idx)
    }),
    (Scalar::Pow, power),
    (Scalar::Scalb, |b, [_, exponent], _, g, idx| if idx == 0 { b.scalb(g, exponent) } else { b.number(0.0, g) }),
    (Scalar::Atan2, |b, [height, width], _, g, idx| {
        let (h2, w2) = (b.mul(height, height)?, b.mul(width, width)?);
        let square = b.add(h2, w2)?;
        let share = b.div(g, square)?;
        if idx == 0 {
            return b.mul(share, width);
        }
        let part = b.mul(share, height)?;
        b.neg(part)
    }),
];

fn one_side(b: &mut Builder, first: Value, g: Value, idx: usize) -> Built {
    let zero = b.number(0.0, g)?;
    if idx == 0 { b.select(first, g, zero) } else { b.select(first, zero, g) }
}

/// Where the exponent is zero the base does not count, and where the base is zero the exponent does not.
fn power(b: &mut Builder, [base, exponent]: [Value; 2], y: Value, g: Value, idx: usize) -> Built {
    let zero = b.number(0.0, g)?;
    let (flat, slope) = match idx {
        0 => {
            let below = b.add_number(exponent, -1.0)?;
            let lower = b.pow(base, below)?;
            (b.eq(exponent, zero)?, b.mul(exponent, lower)?)
        }
        _ => {
            let flat = b.eq(base, zero)?;
            let one = b.number(1.0, base)?;
            let base = b.select(flat, one, base)?;
            let log = b.log(base)?;
            (flat, b.mul(y, log)?)
        }
    };
    let part = b.mul(g, slope)?;
    b.select(flat, zero, part)
}
