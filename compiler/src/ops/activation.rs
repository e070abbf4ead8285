//! Functions of one float, element by element, that are short formulas of the scalar functions.
//!
//! Invariant: each formula is finite wherever its function is, for inputs of any size.

use super::formula::{Built, check_float};
use crate::graph::{
    Attrs, Builder, Call, Cotangents, DType, Domain, Gradient, Meaning, OpDef, OpError, Operands, Pull, Sample,
    Sampler, Type, Value,
};

/// That of the formula, unless a rule is better.
macro_rules! gradient {
    () => {
        Gradient::ThroughExpansion
    };
    ($rule:ident) => {
        Gradient::Rule($rule)
    };
}

/// One static for each function, with its formula.
macro_rules! activations {
    ($($name:ident $text:literal $doc:literal $($rule:ident)? |$b:ident, $x:ident| $formula:block)*) => {
        $(pub static $name: OpDef = OpDef {
            name: $text,
            doc: $doc,
            operands: Operands::Fixed(&["x"]),
            attrs: &[],
            infer,
            meaning: Meaning::Expand(|b, _, operands| {
                fn formula($b: &mut Builder, $x: Value) -> Built $formula
                Ok(vec![formula(b, operands[0])?])
            }),
            gradient: gradient!($($rule)?),
            aliases: &[],
            sample: Some(sample),
        };)*
    };
}

activations! {
    SIGMOID "sigmoid" "The logistic function, 1 / (1 + exp(-x))." slope_of_sigmoid |b, x| {
        let e = b.neg(x)?;
        let e = b.exp(e)?;
        let below = b.add_number(e, 1.0)?;
        let one = b.number(1.0, x)?;
        b.div(one, below)
    }
    SILU "silu" "The sigmoid linear unit, x * sigmoid(x), also called swish (Elfwing et al., 2017)." |b, x| {
        let gate = b.apply(&SIGMOID, &[x], Attrs::none())?;
        b.mul(x, gate)
    }
    RELU "relu" "The rectifier, max(x, 0)." |b, x| { b.max_number(x, 0.0) }
    RELU6 "relu6" "The rectifier cut at six, min(max(x, 0), 6) (Howard et al., 2017)." |b, x| {
        let x = b.max_number(x, 0.0)?;
        b.min_number(x, 6.0)
    }
    SOFTPLUS "softplus" "The smooth rectifier log(1 + exp(x)), computed as max(x, 0) + log1p(exp(-|x|))." slope_of_softplus |b, x| {
        let e = b.abs(x)?;
        let e = b.neg(e)?;
        let e = b.exp(e)?;
        let rest = b.log1p(e)?;
        let line = b.max_number(x, 0.0)?;
        b.add(line, rest)
    }
    HARDSIGMOID "hardsigmoid" "The sigmoid made of straight lines, relu6(x + 3) / 6 (Howard et al., 2019)." |b, x| {
        let x = b.add_number(x, 3.0)?;
        let x = b.apply(&RELU6, &[x], Attrs::none())?;
        b.mul_number(x, 1.0 / 6.0)
    }
    HARDSWISH "hardswish" "The swish made of straight lines, x * hardsigmoid(x) (Howard et al., 2019)." |b, x| {
        let gate = b.apply(&HARDSIGMOID, &[x], Attrs::none())?;
        b.mul(x, gate)
    }
    MISH "mish" "The self-gated unit x * tanh(softplus(x)) (Misra, 2019)." |b, x| {
        let gate = b.apply(&SOFTPLUS, &[x], Attrs::none())?;
        let gate = b.tanh(gate)?;
        b.mul(x, gate)
    }
    SELU "selu" "The scaled unit s * x above zero, s * a * (exp(x) - 1) below, with the constants of Klambauer et al., 2017." |b, x| {
        let x = b.apply(&super::rectifier::ELU, &[x], Attrs::none().with("alpha", 1.673_263_242_354_377_2))?;
        b.mul_number(x, 1.050_700_987_355_480_5)
    }
    RSQRT "rsqrt" "The reciprocal square root, 1 / sqrt(x)." |b, x| {
        let root = b.sqrt(x)?;
        let one = b.number(1.0, x)?;
        b.div(one, root)
    }
    RECIPROCAL "reciprocal" "The reciprocal, 1 / x." |b, x| {
        let one = b.number(1.0, x)?;
        b.div(one, x)
    }
    SQUARE "square" "The square, x * x." |b, x| { b.mul(x, x) }
    ISNAN "isnan" "True where `x` is NaN." |b, x| { b.ne(x, x) }
    ISINF "isinf" "True where `x` is infinite, of either sign." |b, x| {
        let size = b.abs(x)?;
        let infinity = b.number(f64::INFINITY, x)?;
        b.eq(size, infinity)
    }
    ISFINITE "isfinite" "True where `x` is neither infinite nor NaN." |b, x| {
        let size = b.abs(x)?;
        let infinity = b.number(f64::INFINITY, x)?;
        b.lt(size, infinity)
    }
}

/// y * (1 - y), which stays finite where the exponential does not.
fn slope_of_sigmoid(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (y, g) = (pull.results[0], pull.cotangent()?);
    let one = b.number(1.0, y)?;
    let rest = b.sub(one, y)?;
    let slope = b.mul(y, rest)?;
    Ok(vec![Some(b.mul(g, slope)?)])
}

fn slope_of_softplus(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    let slope = b.apply(&SIGMOID, pull.operands, Attrs::none())?;
    Ok(vec![Some(b.mul(g, slope)?)])
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    if call.op.name != "square" || x.dtype == DType::Bool {
        check_float(call, 0)?;
    }
    let dtype = if call.op.name.starts_with("is") { DType::Bool } else { x.dtype };
    Ok(vec![x.with_dtype(dtype)])
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let mut sample = Sample::floats(vec![sampler.shape(rank)], Attrs::none());
    if matches!(op.name, "rsqrt" | "reciprocal") {
        sample.domains[0] = Domain { low: 0.25, high: 4.0 };
    }
    sample
}
