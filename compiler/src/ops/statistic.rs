//! Reductions of floats that are formulas: `mean`, `var`, `std`, `norm` and `logsumexp`.
//!
//! Invariant: each subtracts before it squares or exponentiates, so that large inputs lose no digits.

use super::formula::check_float;
use super::reduction::{self, ATTRS, reduced_shape, some_axes};
use crate::graph::{
    Attr, AttrDef, AttrKind, Builder, Call, Default, Dim, Expand, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

pub static MEAN: OpDef = op("mean", "The mean along `axes`; of nothing, NaN.", ATTRS, mean);
pub static VAR: OpDef = op(
    "var",
    "The mean of squared differences from the mean; with `correction`, divided by n - correction.",
    VAR_ATTRS,
    var,
);
pub static STD: OpDef = op("std", "The square root of `var`.", VAR_ATTRS, std);
pub static NORM: OpDef = op("norm", "The square root of the sum of squares along `axes`.", ATTRS, norm);
pub static LOGSUMEXP: OpDef =
    op("logsumexp", "The logarithm of the sum of exponentials along `axes`; of nothing, -inf.", ATTRS, logsumexp);

const VAR_ATTRS: &[AttrDef] = &[ATTRS[0], ATTRS[1], attr("correction", AttrKind::Int, Default::Int(0))];

const fn op(name: &'static str, doc: &'static str, attrs: &'static [AttrDef], expand: Expand) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs,
        infer,
        meaning: Meaning::Expand(expand),
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
    let correction = match call.attrs.get("correction") {
        Some(Attr::Int(correction)) => *correction,
        _ => 0,
    };
    let n = Dim::product(axes.iter().map(|&axis| &call.operand(0).shape[axis])) - correction;
    let n = b.size_like(&n, sum)?;
    Ok(vec![b.div(sum, n)?])
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

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], some_axes(sampler, rank))
}
