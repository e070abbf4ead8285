//! `elu(x, alpha)`: linear above zero, an exponential below.

use super::formula::check_float;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "elu",
    doc: "The exponential linear unit: x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2015).",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("alpha", AttrKind::Float, Default::Float(1.0))],
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
    // The branch that is not taken must not overflow, for its gradient would not be a number.
    let below = b.min_number(x, 0.0)?;
    let below = b.expm1(below)?;
    let below = b.mul_number(below, call.attrs.float("alpha"))?;
    let zero = b.number(0.0, x)?;
    let above = b.gt(x, zero)?;
    Ok(vec![b.select(above, x, below)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("alpha", sampler.float(0.5, 2.0)))
}
