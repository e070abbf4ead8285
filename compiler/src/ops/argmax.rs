//! `argmax(x, axis)` and `argmin(x, axis)`: where the largest and the smallest element stand.

use super::reduction::{self, reduced_shape};
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample,
    Sampler, Type, Value, attr,
};

const ATTRS: &[AttrDef] =
    &[attr("axis", AttrKind::Axis, Default::Int(-1)), attr("keep", AttrKind::Bool, Default::Bool(false))];

pub static MAX: OpDef = op(
    "argmax",
    "The position of the largest element along `axis`, which has one; the first of several. NaN is the largest.",
);
pub static MIN: OpDef = op(
    "argmin",
    "The position of the smallest element along `axis`, which has one; the first of several. NaN is the smallest.",
);

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
    let axis = call.axis("axis", x.rank())?;
    if x.dtype == DType::Bool {
        let message = format!("`{}` takes numbers, found booleans", call.op.name);
        return Err(OpError::operand(0, message).help("cast it: as `i64(x)`, each that is true is one"));
    }
    call.room(&x.shape[axis] - 1, || {
        let message = format!("`{}` has nothing to choose from: axis {axis} has no elements", call.op.name);
        OpError::operand(0, message)
    });
    Ok(vec![Type::new(DType::I64, reduced_shape(&x.shape, &[axis], call.attrs.bool("keep")))])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (x, shape) = (operands[0], &call.operand(0).shape);
    let axis = call.axis("axis", shape.len())?;
    let reduction = if call.op.name == "argmax" { &reduction::MAX } else { &reduction::MIN };
    let best = b.reduce(reduction, x, &[axis], true)?;
    let best = b.broadcast(best, shape)?;
    let hit = b.eq(x, best)?;
    let nan = b.ne(x, x)?;
    let hit = b.or(hit, nan)?;
    // Half as wide, positions are compared twice as fast.
    let narrow = call.sizes.proves_lt(&shape[axis], &Dim::constant(i64::from(i32::MAX)));
    let dtype = if narrow { DType::I32 } else { DType::I64 };
    let position = b.position(shape, axis)?;
    let outside = b.size_like(&shape[axis], position)?;
    let [position, outside] = [b.cast(position, dtype)?, b.cast(outside, dtype)?];
    let candidate = b.select(hit, position, outside)?;
    let first = b.reduce(&reduction::MIN, candidate, &[axis], call.attrs.bool("keep"))?;
    Ok(vec![b.cast(first, DType::I64)?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let attrs = Attrs::none().with("axis", sampler.int(0, rank as i64 - 1)).with("keep", sampler.flip());
    let mut sample = Sample::floats(vec![sampler.shape(rank)], attrs);
    sample.operands[0].dtype = *sampler.pick(&[DType::Real, DType::I64]);
    sample
}
