//! `leaky_relu(x, slope)`: linear above zero, less steep below.

use super::formula::check_float;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "leaky_relu",
    doc: "The leaky rectifier: x above zero, slope * x below.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("slope", AttrKind::Float, Default::Float(0.01))],
    infer,
    meaning: Meaning::Expand(expand),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    Ok(vec![call.operand(0).clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let x = operands[0];
    let below = b.mul_number(x, call.attrs.float("slope"))?;
    let zero = b.number(0.0, x)?;
    let above = b.gt(x, zero)?;
    Ok(vec![b.select(above, x, below)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("slope", sampler.float(0.0, 0.5)))
}
