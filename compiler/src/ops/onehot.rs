//! `onehot(x, size)`: a new last axis that is one at a position and zero elsewhere.

use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, DType, Default, Dim, Domain, Gradient, Meaning, OpDef, OpError, Operands,
    Sample, Sampler, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "onehot",
    doc: "For each integer of `x` a row of `size` elements, one at that position and zero elsewhere; all zero where it is \
          out of range.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("size", AttrKind::Dim, Default::Required), attr("dtype", AttrKind::DType, Default::Absent)],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn dtype(call: &Call) -> DType {
    match call.attrs.get("dtype") {
        Some(Attr::DType(dtype)) => *dtype,
        _ => DType::Real,
    }
}

fn shape(call: &Call) -> Vec<Dim> {
    call.operand(0).shape.iter().cloned().chain([call.attrs.dim("size")]).collect()
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    match call.operand(0).dtype.is_int() {
        true => Ok(vec![Type::new(dtype(call), shape(call))]),
        false => Err(OpError::operand(0, format!("positions are integers, found {}", call.operand(0)))),
    }
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let shape = shape(call);
    let rank = shape.len() - 1;
    let mut column = shape.clone();
    column[rank] = Dim::constant(1);
    let x = b.cast(operands[0], DType::I64)?;
    let x = b.reshape(x, &column)?;
    let x = b.broadcast(x, &shape)?;
    let position = b.position(&shape, rank)?;
    let hit = b.eq(x, position)?;
    Ok(vec![b.cast(hit, dtype(call))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 2) as usize;
    let mut sample =
        Sample::floats(vec![sampler.shape(rank)], Attrs::none().with("size", Dim::constant(sampler.int(1, 6))));
    sample.operands[0].dtype = DType::I64;
    sample.domains[0] = Domain { low: -1.0, high: 7.0 };
    sample
}
