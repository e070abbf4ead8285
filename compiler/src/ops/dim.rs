//! `dim(size)`: a size as a value.

use crate::graph::{
    AttrKind, Attrs, Call, DType, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands, Sample, Sampler,
    ScalarNode, Type, attr,
};

pub static OP: OpDef = OpDef {
    name: "dim",
    doc: "The value of `size`, as an i64 without axes.",
    operands: Operands::Fixed(&[]),
    attrs: &[attr("size", AttrKind::Dim, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Zero,
    aliases: &[],
    sample: Some(sample),
};

fn infer(_: &Call) -> Result<Vec<Type>, OpError> {
    Ok(vec![Type::scalar(DType::I64)])
}

fn nest(call: &Call) -> Nest {
    let mut nest = Nest::pointwise(&[]);
    nest.push(ScalarNode::Index(call.attrs.dim("size")));
    nest
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    Sample::floats(vec![], Attrs::none().with("size", Dim::constant(sampler.size())))
}
