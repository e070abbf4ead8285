//! `flip(x, axes)`: elements in reverse order.

use super::slice;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type,
    Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "flip",
    doc: "The elements of `x` in reverse order along `axes`, or along all.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("axes", AttrKind::Axes, Default::Absent)],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    call.axes("axes", call.operand(0).rank())?;
    Ok(vec![call.operand(0).clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let shape = &call.operand(0).shape;
    let axes = call.axes("axes", shape.len())?;
    let (mut starts, mut stops) = (vec![Dim::constant(0); shape.len()], shape.clone());
    let mut steps = vec![1; shape.len()];
    for axis in axes {
        starts[axis] = &shape[axis] - 1;
        stops[axis] = Dim::constant(-1);
        steps[axis] = -1;
    }
    let attrs = Attrs::none().with("starts", starts).with("stops", stops).with("steps", steps);
    Ok(vec![b.apply(&slice::OP, operands, attrs)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3);
    let axes: Vec<i64> = (0..rank).filter(|_| sampler.flip()).collect();
    Sample::floats(vec![sampler.shape(rank as usize)], Attrs::none().with("axes", axes))
}
