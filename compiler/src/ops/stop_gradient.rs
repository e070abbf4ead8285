//! `stop_gradient(x)` and `straight_through(hard, soft)`: values whose gradients go another way.

use crate::graph::{Attrs, Call, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type};

pub static OP: OpDef = OpDef {
    name: "stop_gradient",
    doc: "`x` itself, as a constant to whatever is differentiated.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[],
    infer: |call| Ok(vec![call.operand(0).clone()]),
    meaning: Meaning::Expand(|_, _, operands| Ok(operands.to_vec())),
    gradient: Gradient::Zero,
    aliases: &[],
    sample: Some(sample),
};

pub static STRAIGHT_THROUGH: OpDef = OpDef {
    name: "straight_through",
    doc: "`hard`, with the gradient of `soft`: what reaches it goes to `soft` as it is (Bengio et al., 2013).",
    operands: Operands::Fixed(&["hard", "soft"]),
    attrs: &[],
    infer,
    meaning: Meaning::Expand(|_, _, operands| Ok(vec![operands[0]])),
    gradient: Gradient::Rule(|_, pull| Ok(vec![None, Some(pull.cotangent()?)])),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (hard, soft) = (call.operand(0), call.operand(1));
    match hard == soft {
        true => Ok(vec![hard.clone()]),
        false => Err(OpError::operand(1, format!("`hard` is {hard} and `soft` is {soft}"))
            .help("both have one type: cast or broadcast one of them")),
    }
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let n = if op.name == "stop_gradient" { 1 } else { 2 };
    Sample::floats(vec![sampler.shape(rank); n], Attrs::none())
}
