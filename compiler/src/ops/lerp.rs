//! `lerp(a, b, t)`: on the line between two values.

use super::formula::check_float;
use crate::graph::{
    Attrs, Builder, Call, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Shape, Type, Value,
};

pub static OP: OpDef = OpDef {
    name: "lerp",
    doc: "On the line between two values, a + t * (b - a): `a` where `t` is zero, `b` where it is one.",
    operands: Operands::Fixed(&["a", "b", "t"]),
    attrs: &[],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    let first = call.operand(0);
    match (1..3).find(|&idx| call.operand(idx) != first) {
        Some(idx) => {
            let (name, other) = (call.operand_name(idx), call.operand(idx));
            let message = format!("`a` is {first} and `{name}` is {other}");
            Err(OpError::operand(idx, message).help(format!("broadcast it to {}", Shape(&first.shape))))
        }
        None => Ok(vec![first.clone()]),
    }
}

fn expand(b: &mut Builder, _: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let difference = b.sub(operands[1], operands[0])?;
    let part = b.mul(operands[2], difference)?;
    Ok(vec![b.add(operands[0], part)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank); 3], Attrs::none())
}
