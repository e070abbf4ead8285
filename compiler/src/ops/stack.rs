//! `stack(xs…, axis)`: equal tensors along a new axis.

use super::concat;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type,
    Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "stack",
    doc: "The operands, of one type, along a new axis that stands at `axis` of the result.",
    operands: Operands::Variadic(&["x"], "more"),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(0))],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let first = call.operand(0);
    let axis = call.axis("axis", first.rank() + 1)?;
    if let Some(idx) = call.operands.iter().position(|x| x != first) {
        return Err(OpError::operand(idx, format!("{} is stacked on {first}", call.operand(idx))));
    }
    let mut shape = first.shape.clone();
    shape.insert(axis, Dim::constant(call.operands.len() as i64));
    Ok(vec![first.with_shape(shape)])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let mut shape = call.operand(0).shape.clone();
    let axis = call.axis("axis", shape.len() + 1)?;
    shape.insert(axis, Dim::constant(1));
    let layers = operands.iter().map(|&x| b.reshape(x, &shape)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![b.apply(&concat::OP, &layers, Attrs::none().with("axis", axis as i64))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 2) as usize;
    let shape = sampler.shape(rank);
    let n = sampler.int(1, 4) as usize;
    Sample::floats(vec![shape; n], Attrs::none().with("axis", sampler.int(0, rank as i64)))
}
