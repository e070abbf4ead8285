//! `dot(a, b)`: the inner product of two vectors.

use super::contract;
use crate::graph::{
    Attrs, Builder, Call, DType, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value,
};

pub static OP: OpDef = OpDef {
    name: "dot",
    doc: "The sum of the products of two vectors, element by element.",
    operands: Operands::Fixed(&["a", "b"]),
    attrs: &[],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (a, b) = (call.operand(0), call.operand(1));
    match a == b && a.rank() == 1 && a.dtype != DType::Bool {
        true => Ok(vec![Type::scalar(a.dtype)]),
        false => Err(OpError::operand(1, format!("`dot` takes two equal vectors, found {a} and {b}"))
            .help("`matmul` multiplies matrices, `einsum` anything")),
    }
}

fn expand(b: &mut Builder, _: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    Ok(vec![b.apply(&contract::OP, operands, Attrs::none().with("pattern", "i, i ->"))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let shape = sampler.shape(1);
    Sample::floats(vec![shape; 2], Attrs::none())
}
