//! `linspace(start, stop, size)`: evenly spaced numbers.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "linspace",
    doc: "`size` evenly spaced numbers from `start` to `stop`, both included; a single one is `start`.",
    operands: Operands::Fixed(&[]),
    attrs: &[
        attr("start", AttrKind::Float, Default::Required),
        attr("stop", AttrKind::Float, Default::Required),
        attr("size", AttrKind::Dim, Default::Required),
    ],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    Ok(vec![Type::new(DType::Real, vec![call.attrs.dim("size")])])
}

fn expand(b: &mut Builder, call: &Call, _: &[Value]) -> Result<Vec<Value>, OpError> {
    let (start, stop, size) = (call.attrs.float("start"), call.attrs.float("stop"), call.attrs.dim("size"));
    let position = b.position(std::slice::from_ref(&size), 0)?;
    let position = b.cast(position, DType::Real)?;
    // With a single number the last position is zero, and one in its place divides nothing.
    let last = b.size_like(&(&size - 1).greatest(&Dim::constant(1)), position)?;
    let share = b.div(position, last)?;
    let part = b.mul_number(share, stop - start)?;
    Ok(vec![b.add_number(part, start)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let attrs = Attrs::none().with("start", sampler.float(-2.0, 2.0)).with("stop", sampler.float(-2.0, 2.0));
    Sample::floats(vec![], attrs.with("size", Dim::constant(sampler.size())))
}
