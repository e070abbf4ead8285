//! `leaky_relu(x, slope)` and `elu(x, alpha)`: x above zero, something less steep below.

use super::formula::check_float;
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Cotangents, Default, Gradient, Meaning, OpDef, OpError, Operands, Pull,
    Sample, Sampler, Type, Value, attr,
};

pub static LEAKY_RELU: OpDef = op(
    "leaky_relu",
    "The leaky rectifier: x above zero, slope * x below.",
    &[attr("slope", AttrKind::Float, Default::Float(0.01))],
    Gradient::ThroughExpansion,
);
pub static ELU: OpDef = op(
    "elu",
    "The exponential linear unit: x above zero, alpha * (exp(x) - 1) below (Clevert et al., 2015).",
    &[attr("alpha", AttrKind::Float, Default::Float(1.0))],
    Gradient::Rule(gradient_of_elu),
);

/// Its one attribute is the factor of what is below zero.
const fn op(name: &'static str, doc: &'static str, attrs: &'static [AttrDef], gradient: Gradient) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs,
        infer,
        meaning: Meaning::Expand(expand),
        gradient,
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

/// One above zero, and `y + alpha` below: at zero it is that of the left side.
fn gradient_of_elu(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (x, y, g) = (pull.operands[0], pull.results[0], pull.cotangent()?);
    let zero = b.number(0.0, x)?;
    let above = b.gt(x, zero)?;
    let below = b.add_number(y, pull.call.attrs.float("alpha"))?;
    let below = b.mul(g, below)?;
    Ok(vec![Some(b.select(above, g, below)?)])
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with(op.attrs[0].name, sampler.float(0.0, 2.0)))
}
