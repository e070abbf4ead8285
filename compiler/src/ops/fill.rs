//! `fill(value, shape, dtype)`: one number everywhere.

use crate::graph::{
    AttrKind, Attrs, Call, DType, Default, Gradient, Meaning, Nest, OpDef, OpError, Operands, Sample, Sampler, Type,
    attr, holds,
};

pub static OP: OpDef = OpDef {
    name: "fill",
    doc: "A tensor of `shape` with `value` everywhere.",
    operands: Operands::Fixed(&[]),
    attrs: &[
        attr("value", AttrKind::Float, Default::Required),
        attr("shape", AttrKind::Dims, Default::Required),
        attr("dtype", AttrKind::DType, Default::Required),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Zero,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (dtype, value) = (call.attrs.dtype("dtype"), call.attrs.float("value"));
    if !holds(dtype, value) {
        return Err(OpError::attr("value", format!("{value} is no {dtype}")));
    }
    Ok(vec![Type::new(dtype, call.attrs.dims("shape"))])
}

fn nest(call: &Call) -> Nest {
    let mut nest = Nest::pointwise(&call.attrs.dims("shape"));
    nest.constant(call.attrs.dtype("dtype"), call.attrs.float("value"));
    nest
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let attrs = Attrs::none().with("value", sampler.int(-3, 3) as f64).with("shape", sampler.shape(rank));
    Sample::floats(vec![], attrs.with("dtype", *sampler.pick(&[DType::Real, DType::I64, DType::F32])))
}
