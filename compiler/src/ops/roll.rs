//! `roll(x, axis, shift)`: elements moved along an axis, round the end.

use super::{concat, slice};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type,
    Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "roll",
    doc: "The elements of `x` moved `shift` places along `axis`; what leaves at one end enters at the other.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(-1)), attr("shift", AttrKind::Int, Default::Required)],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    call.axis("axis", call.operand(0).rank())?;
    Ok(vec![call.operand(0).clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let shape = &call.operand(0).shape;
    let axis = call.axis("axis", shape.len())?;
    if shape[axis].is(0) {
        return Ok(operands.to_vec());
    }
    let shift = Dim::constant(call.attrs.int("shift")).modulo(&shape[axis]);
    let border = &shape[axis] - &shift;
    let mut part = |from: Dim, to: Dim| {
        let (mut starts, mut stops) = (vec![Dim::constant(0); shape.len()], shape.clone());
        (starts[axis], stops[axis]) = (from, to);
        b.apply(&slice::OP, operands, Attrs::none().with("starts", starts).with("stops", stops))
    };
    let parts = [part(border.clone(), shape[axis].clone())?, part(Dim::constant(0), border)?];
    Ok(vec![b.apply(&concat::OP, &parts, Attrs::none().with("axis", axis as i64))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let attrs = Attrs::none().with("axis", sampler.int(0, rank as i64 - 1)).with("shift", sampler.int(-5, 5));
    Sample::floats(vec![sampler.shape(rank)], attrs)
}
