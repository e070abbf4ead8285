//! Reductions of floats that are formulas: `mean`, `var`, `std`, `norm` and `logsumexp`.
//!
//! Invariant: each subtracts before it squares or exponentiates, so that large inputs lose no digits.

use super::formula::check_float;
use super::reduction::{self, ATTRS, reduced_shape, some_axes};
use crate::graph::{
    Attr, AttrDef, AttrKind, Builder, Call, Cotangents, Default, Dim, Expand, Gradient, Meaning, OpDef, OpError,
    Operands, Pull, Sample, Sampler, Type, Value, attr,
};

pub static MEAN: OpDef = op("mean", "The mean along `axes`; of nothing, NaN.", ATTRS, mean, Gradient::ThroughExpansion);
pub static VAR: OpDef = op(
    "var",
    "The mean of squared differences from the mean; with `correction`, divided by n - correction.",
    VAR_ATTRS,
    var,
    Gradient::Rule(gradient_of_var),
);
pub static STD: OpDef = op("std", "The square root of `var`.", VAR_ATTRS, std, Gradient::Rule(gradient_of_std));
pub static NORM: OpDef =
    op("norm", "The square root of the sum of squares along `axes`.", ATTRS, norm, Gradient::Rule(gradient_of_norm));
pub static LOGSUMEXP: OpDef = op(
    "logsumexp",
    "The logarithm of the sum of exponentials along `axes`; of nothing, -inf.",
    ATTRS,
    logsumexp,
    Gradient::Rule(gradient_of_logsumexp),
);

const VAR_ATTRS: &[AttrDef] = &[ATTRS[0], ATTRS[1], attr("correction", AttrKind::Int, Default::Int(0))];

const fn op(
    name: &'static str,
    doc: &'static str,
    attrs: &'static [AttrDef],
    expand: Expand,
    gradient: Gradient,
) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs,
        infer,
        meaning: Meaning::Expand(expand),
        gradient,
        aliases: &[],
        sample: Some(sample),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    let x = call.operand(0);
    let axes = call.axes("axes", x.rank())?;
    Ok(vec![x.with_shape(reduced_shape(&x.shape, &axes, call.attrs.bool("keep")))])
}

/// The axes reduced along, and whether they stay.
fn asked(call: &Call) -> Result<(Vec<usize>, bool), OpError> {
    Ok((call.axes("axes", call.operand(0).rank())?, call.attrs.bool("keep")))
}

fn mean(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (axes, keep) = asked(call)?;
    let mean = b.mean_kept(operands[0], &axes)?;
    Ok(vec![b.without(mean, &axes, keep)?])
}

fn var(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (axes, keep) = asked(call)?;
    let x = operands[0];
    let mean = b.mean_kept(x, &axes)?;
    let mean = b.broadcast(mean, &call.operand(0).shape)?;
    let difference = b.sub(x, mean)?;
    let square = b.mul(difference, difference)?;
    let sum = b.sum(square, &axes, keep)?;
    let n = Dim::product(axes.iter().map(|&axis| &call.operand(0).shape[axis])) - correction(call);
    let n = b.size_like(&n, sum)?;
    Ok(vec![b.div(sum, n)?])
}

fn correction(call: &Call) -> i64 {
    match call.attrs.get("correction") {
        Some(Attr::Int(correction)) => *correction,
        _ => 0,
    }
}

fn std(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let variance = b.apply(&VAR, operands, call.attrs.clone())?;
    Ok(vec![b.sqrt(variance)?])
}

fn norm(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (axes, keep) = asked(call)?;
    let square = b.mul(operands[0], operands[0])?;
    let sum = b.sum(square, &axes, keep)?;
    Ok(vec![b.sqrt(sum)?])
}

fn logsumexp(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (axes, keep) = asked(call)?;
    let largest = b.reduce(&reduction::MAX, operands[0], &axes, true)?;
    let largest = b.finite_or_zero(largest)?;
    let spread = b.broadcast(largest, &call.operand(0).shape)?;
    let e = b.sub(operands[0], spread)?;
    let e = b.exp(e)?;
    let sum = b.sum(e, &axes, true)?;
    let log = b.log(sum)?;
    let result = b.add(log, largest)?;
    Ok(vec![b.without(result, &axes, keep)?])
}

/// A value of the reduced shape, spread over the shape of the operand.
fn spread(b: &mut Builder, call: &Call, value: Value) -> Result<Value, OpError> {
    let shape = &call.operand(0).shape;
    let kept = reduced_shape(shape, &call.axes("axes", shape.len())?, true);
    let value = b.reshape(value, &kept)?;
    b.broadcast(value, shape)
}

/// 2 / (n - correction) * (x - mean): the part through the mean is zero.
fn gradient_of_var(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    let g = b.mul_number(g, 2.0)?;
    Ok(vec![Some(from_mean(b, pull, g)?)])
}

/// (x - mean) / (n - correction) / y, and zero where the deviation is.
fn gradient_of_std(b: &mut Builder, pull: &Pull) -> Cotangents {
    let share = over_length(b, pull.cotangent()?, pull.results[0])?;
    Ok(vec![Some(from_mean(b, pull, share)?)])
}

/// `g / (n - correction) * (x - mean)`.
fn from_mean(b: &mut Builder, pull: &Pull, g: Value) -> Result<Value, OpError> {
    let (axes, _) = asked(pull.call)?;
    let (x, shape) = (pull.operands[0], &pull.call.operand(0).shape);
    let n = b.size_like(&(Dim::product(axes.iter().map(|&axis| &shape[axis])) - correction(pull.call)), g)?;
    let share = b.div(g, n)?;
    let share = spread(b, pull.call, share)?;
    let mean = b.mean_kept(x, &axes)?;
    let mean = b.broadcast(mean, shape)?;
    let difference = b.sub(x, mean)?;
    b.mul(share, difference)
}

/// x / y, and zero where the norm is.
fn gradient_of_norm(b: &mut Builder, pull: &Pull) -> Cotangents {
    let share = over_length(b, pull.cotangent()?, pull.results[0])?;
    let share = spread(b, pull.call, share)?;
    Ok(vec![Some(b.mul(share, pull.operands[0])?)])
}

/// A share of a length, as it is where the length is zero: what it is multiplied by is zero then.
fn over_length(b: &mut Builder, g: Value, length: Value) -> Result<Value, OpError> {
    let (zero, one) = (b.number(0.0, length)?, b.number(1.0, length)?);
    let none = b.eq(length, zero)?;
    let length = b.select(none, one, length)?;
    b.div(g, length)
}

/// exp(x - y)
fn gradient_of_logsumexp(b: &mut Builder, pull: &Pull) -> Cotangents {
    let y = b.finite_or_zero(pull.results[0])?;
    let y = spread(b, pull.call, y)?;
    let difference = b.sub(pull.operands[0], y)?;
    let share = b.exp(difference)?;
    let g = pull.cotangent()?;
    let g = spread(b, pull.call, g)?;
    Ok(vec![Some(b.mul(g, share)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], some_axes(sampler, rank))
}
