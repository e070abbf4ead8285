//! `eye(size)`: the identity matrix.

use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample,
    Sampler, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "eye",
    doc: "The square matrix with ones on its diagonal and zeros elsewhere.",
    operands: Operands::Fixed(&[]),
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

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    Ok(vec![Type::new(dtype(call), vec![call.attrs.dim("size"); 2])])
}

fn expand(b: &mut Builder, call: &Call, _: &[Value]) -> Result<Vec<Value>, OpError> {
    let shape = vec![call.attrs.dim("size"); 2];
    let (row, column) = (b.position(&shape, 0)?, b.position(&shape, 1)?);
    let diagonal = b.eq(row, column)?;
    Ok(vec![b.cast(diagonal, dtype(call))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    Sample::floats(vec![], Attrs::none().with("size", Dim::constant(sampler.size())))
}
