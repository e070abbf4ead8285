//! `leaky_relu(x, slope)` and `elu(x, alpha)`: x above zero, something less steep below.

use super::formula::check_float;
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Default, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value,
    attr,
};

pub static LEAKY_RELU: OpDef = op(
    "leaky_relu",
    "The leaky rectifier: x above zero, slope * x below.",
    &[attr("slope", AttrKind::Float, Default::Float(0.01))],
);
pub static ELU: OpDef = op(
    "elu",
    "The exponential linear unit: x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2015).",
    &[attr("alpha", AttrKind::Float, Default::Float(1.0))],
);

/// Its one attribute is the factor of what is below zero.
const fn op(name: &'static str, doc: &'static str, attrs: &'static [AttrDef]) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs,
        infer,
        meaning: Meaning::Expand(expand),
        aliases: &[],
        sample: Some(sample),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    Ok(vec![call.operand(0).clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let x = operands[0];
    let below = match call.op.name {
        // The branch that is not taken must not overflow, for its gradient would not be a number.
        "elu" => {
            let below = b.min_number(x, 0.0)?;
            b.expm1(below)?
        }
        _ => x,
    };
    let below = b.mul_number(below, call.attrs.float(call.op.attrs[0].name))?;
    let zero = b.number(0.0, x)?;
    let above = b.gt(x, zero)?;
    Ok(vec![b.select(above, x, below)?])
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with(op.attrs[0].name, sampler.float(0.0, 2.0)))
}
