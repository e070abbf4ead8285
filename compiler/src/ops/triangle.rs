//! `tril(x, diagonal)` and `triu(x, diagonal)`: matrices with one of their corners cleared.

use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Default, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

const ATTRS: &[AttrDef] = &[attr("diagonal", AttrKind::Int, Default::Int(0))];

pub static LOWER: OpDef =
    op("tril", "The matrices in the last two axes with zeros above the diagonal, which `diagonal` moves to the right.");
pub static UPPER: OpDef =
    op("triu", "The matrices in the last two axes with zeros below the diagonal, which `diagonal` moves to the right.");

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
    match x.rank() >= 2 {
        true => Ok(vec![x.clone()]),
        false => Err(OpError::operand(0, format!("`{}` takes matrices, found {x}", call.op.name))),
    }
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let x = operands[0];
    let shape = &call.operand(0).shape;
    let (row, column) = (b.position(shape, shape.len() - 2)?, b.position(shape, shape.len() - 1)?);
    let border = b.add_number(row, call.attrs.int("diagonal") as f64)?;
    let keeps = if call.op.name == "tril" { b.le(column, border)? } else { b.ge(column, border)? };
    let zero = b.number(0.0, x)?;
    Ok(vec![b.select(keeps, x, zero)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(2, 3) as usize;
    Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("diagonal", sampler.int(-2, 2)))
}
