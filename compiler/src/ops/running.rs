//! `cumsum(x, axis)` and `cumprod(x, axis)`: the usual running values.

use super::cumulate;
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, DType, Default, Gradient, Meaning, OpDef, OpError, Operands, Sample,
    Sampler, Type, Value, attr,
};

const ATTRS: &[AttrDef] = &[attr("axis", AttrKind::Axis, Default::Int(-1))];

pub static SUM: OpDef = op("cumsum", "At each position along `axis`, the sum of all elements up to it and with it.");
pub static PROD: OpDef =
    op("cumprod", "At each position along `axis`, the product of all elements up to it and with it.");

const fn op(name: &'static str, doc: &'static str) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs: ATTRS,
        infer,
        meaning: Meaning::Expand(expand),
        gradient: Gradient::ThroughExpansion,
        aliases: &[],
        sample: Some(sample),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    call.axis("axis", x.rank())?;
    match x.dtype {
        DType::Bool => Err(OpError::operand(0, "running values are of numbers, found booleans")),
        _ => Ok(vec![x.clone()]),
    }
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let combine = if call.op.name == "cumsum" { "add" } else { "mul" };
    let attrs = Attrs::none().with("combine", combine).with("axis", call.attrs.int("axis"));
    Ok(vec![b.apply(&cumulate::OP, operands, attrs)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("axis", sampler.int(0, rank as i64 - 1)))
}
