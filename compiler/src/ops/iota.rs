//! `iota(size)`: counting from zero.

use crate::graph::{
    AttrKind, Attrs, Call, DType, Default, Gradient, Meaning, Nest, OpDef, OpError, Operands, Sample, Sampler,
    ScalarNode, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "iota",
    doc: "The integers 0, 1, … up to `size`, which is not included, as i64.",
    operands: Operands::Fixed(&[]),
    attrs: &[attr("size", AttrKind::Dim, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Zero,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    Ok(vec![Type::new(DType::I64, vec![call.attrs.dim("size")])])
}

fn nest(call: &Call) -> Nest {
    let mut nest = Nest::pointwise(&[call.attrs.dim("size")]);
    nest.push(ScalarNode::Index(axis(0)));
    nest
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    Sample::floats(vec![], Attrs::none().with("size", crate::graph::Dim::constant(sampler.size())))
}
