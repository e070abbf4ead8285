//! `constant(value)`: a tensor known at compile time.

use crate::graph::{AttrKind, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Type, attr};

pub static OP: OpDef = OpDef {
    name: "constant",
    doc: "The tensor `value`, known at compile time.",
    operands: Operands::Fixed(&[]),
    attrs: &[attr("value", AttrKind::Tensor, Default::Required)],
    infer,
    meaning: Meaning::Source,
    gradient: Gradient::Zero,
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let value = call.attrs.tensor("value");
    let shape = value.shape.iter().map(|&size| i64::try_from(size).map(Dim::constant));
    let shape = shape.collect::<Result<_, _>>().map_err(|_| OpError::attr("value", "a size does not fit 64 bits"))?;
    Ok(vec![Type::new(value.dtype, shape)])
}
