//! `softmax(x, axis)` and `log_softmax(x, axis)`: exponentials along an axis, scaled to sum to one, and their logarithms.

use super::formula::check_float;
use super::reduction;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Gradient, Meaning, OpDef, OpError, Operands, Pull, Sample,
    Sampler, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "softmax",
    doc: "Exponentials along `axis`, scaled to sum to one. A row that is all -inf gives zeros, one with inf \
          NaN.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(-1))],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

pub static LOG: OpDef = OpDef {
    name: "log_softmax",
    doc: "The logarithm of `softmax`, computed without it: precise where that vanishes. A row that is all -inf stays so, \
          one with inf is NaN.",
    meaning: Meaning::Expand(expand_log),
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(-1))],
    infer,
    gradient: Gradient::Rule(gradient_log),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    call.axis("axis", call.operand(0).rank())?;
    Ok(vec![call.operand(0).clone()])
}

/// `x` minus its largest along the axis, the exponential of that, and their sums, which are not zero. Where the largest is
/// -inf nothing is subtracted; where it is inf, it less itself makes the row NaN.
fn parts(b: &mut Builder, call: &Call, x: Value) -> Result<[Value; 3], OpError> {
    let axes = [call.axis("axis", call.operand(0).rank())?];
    let shape = b.shape_of(x);
    let largest = b.reduce(&reduction::MAX, x, &axes, true)?;
    let (zero, nothing) = (b.number(0.0, largest)?, b.number(f64::NEG_INFINITY, largest)?);
    let is_nothing = b.eq(largest, nothing)?;
    let largest = b.select(is_nothing, zero, largest)?;
    let largest = b.broadcast(largest, &shape)?;
    let shifted = b.sub(x, largest)?;
    let e = b.exp(shifted)?;
    let sum = b.sum(e, &axes, true)?;
    let (zero, one) = (b.number(0.0, sum)?, b.number(1.0, sum)?);
    let masked = b.eq(sum, zero)?;
    let sum = b.select(masked, one, sum)?;
    Ok([shifted, e, sum])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let [_, e, sum] = parts(b, call, operands[0])?;
    let sum = b.broadcast(sum, &call.operand(0).shape)?;
    Ok(vec![b.div(e, sum)?])
}

fn expand_log(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let [shifted, _, sum] = parts(b, call, operands[0])?;
    let log = b.log(sum)?;
    let log = b.broadcast(log, &call.operand(0).shape)?;
    Ok(vec![b.sub(shifted, log)?])
}

/// y * (g - sum(g * y))
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (y, g) = (pull.results[0], pull.cotangent()?);
    let shape = b.shape_of(y);
    let part = b.mul(g, y)?;
    let sum = b.sum(part, &[pull.call.axis("axis", shape.len())?], true)?;
    let sum = b.broadcast(sum, &shape)?;
    let difference = b.sub(g, sum)?;
    Ok(vec![Some(b.mul(y, difference)?)])
}

/// g - exp(y) * sum(g)
fn gradient_log(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (y, g) = (pull.results[0], pull.cotangent()?);
    let shape = b.shape_of(y);
    let sum = b.sum(g, &[pull.call.axis("axis", shape.len())?], true)?;
    let sum = b.broadcast(sum, &shape)?;
    let softmax = b.exp(y)?;
    let part = b.mul(softmax, sum)?;
    Ok(vec![Some(b.sub(g, part)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let axis = sampler.int(-(rank as i64), rank as i64 - 1);
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("axis", axis))
}
