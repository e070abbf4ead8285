//! `cast(x, to)`: the same values in another element type.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Gradient, Meaning, Nest, OpDef, OpError, Operands,
    Pull, Sample, Sampler, ScalarNode, Type, attr, axes,
};

pub static OP: OpDef = OpDef {
    name: "cast",
    doc: "The values of `x` in the element type `to`: floats round to the nearest, ties to even; floats to integers \
          round towards zero and saturate, NaN gives zero; integers wrap; whatever is not zero is true.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("to", AttrKind::DType, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    Ok(vec![call.operand(0).with_dtype(call.attrs.dtype("to"))])
}

fn nest(call: &Call) -> Nest {
    let shape = &call.operand(0).shape;
    let mut nest = Nest::pointwise(shape);
    let arg = nest.load(0, axes(shape.len()));
    nest.push(ScalarNode::Cast { dtype: call.attrs.dtype("to"), arg });
    nest
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    Ok(vec![Some(b.cast(g, pull.call.operand(0).dtype)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let to = *sampler.pick(&[DType::F32, DType::F64, DType::I64, DType::I8, DType::Bool]);
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("to", to))
}
