//! `clip(x, low, high)`: held between two bounds.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, DType, Default, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type,
    Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "clip",
    doc: "Held between bounds, min(max(x, low), high); a bound that is left out does not hold. NaN stays.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("low", AttrKind::Float, Default::Float(f64::NEG_INFINITY)),
        attr("high", AttrKind::Float, Default::Float(f64::INFINITY)),
    ],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, low, high) = (call.operand(0), call.attrs.float("low"), call.attrs.float("high"));
    if x.dtype == DType::Bool {
        return Err(OpError::operand(0, "`clip` takes numbers, found booleans"));
    }
    // Written so that NaN is refused too.
    if !matches!(low.partial_cmp(&high), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
        return Err(OpError::attr("low", format!("the lower bound {low} is above the upper bound {high}")));
    }
    Ok(vec![x.clone()])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (low, high) = (call.attrs.float("low"), call.attrs.float("high"));
    let mut x = operands[0];
    if low > f64::NEG_INFINITY {
        x = b.max_number(x, low)?;
    }
    if high < f64::INFINITY {
        x = b.min_number(x, high)?;
    }
    Ok(vec![x])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let attrs = if sampler.flip() { Attrs::none().with("low", -1.0) } else { Attrs::none() };
    Sample::floats(vec![sampler.shape(rank)], attrs.with("high", 0.75))
}
