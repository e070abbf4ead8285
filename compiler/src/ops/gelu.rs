//! `gelu(x, approximate)`: x times the share of a normal distribution below it.

use super::formula::check_float;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Default, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value,
    attr,
};

pub static OP: OpDef = OpDef {
    name: "gelu",
    doc: "The Gaussian error linear unit, x * (1 + erf(x / sqrt(2))) / 2; where `approximate`, x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2 \
          (Hendrycks and Gimpel, 2016).",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("approximate", AttrKind::Bool, Default::Bool(false))],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    check_float(call, 0)?;
    Ok(vec![call.operand(0).clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let x = operands[0];
    let share = match call.attrs.bool("approximate") {
        false => {
            let scaled = b.mul_number(x, std::f64::consts::FRAC_1_SQRT_2)?;
            b.erf(scaled)?
        }
        true => {
            let square = b.mul(x, x)?;
            let factor = b.mul_number(square, 0.044715)?;
            let factor = b.add_number(factor, 1.0)?;
            let bent = b.mul(x, factor)?;
            let scaled = b.mul_number(bent, (2.0 / std::f64::consts::PI).sqrt())?;
            b.tanh(scaled)?
        }
    };
    let share = b.add_number(share, 1.0)?;
    let half = b.mul_number(x, 0.5)?;
    Ok(vec![b.mul(half, share)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("approximate", sampler.flip()))
}
