//! `slice_at(x, at, axis, size)`: a range that starts at a computed position.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Domain, Gradient, Meaning, Nest, NestIndex, OpDef,
    OpError, Operands, Pull, Sample, Sampler, Scalar, ScalarNode, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "slice_at",
    doc: "The `size` elements of `x` from `at` on, along `axis`. A start from which they would leave `x` is moved to the \
          nearest from which they do not.",
    operands: Operands::Fixed(&["x", "at"]),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(0)), attr("size", AttrKind::Dim, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

/// That a position is an integer without axes.
pub fn check_position(call: &Call, idx: usize) -> Result<(), OpError> {
    let at = call.operand(idx);
    match at.dtype.is_int() && at.rank() == 0 {
        true => Ok(()),
        false => Err(OpError::operand(idx, format!("a position is an integer without axes, found {at}"))),
    }
}

/// The position in operand `at`, moved into `0..=room`, as i64.
pub fn clamped(nest: &mut Nest, at: usize, room: Dim) -> usize {
    let at = nest.load(at, vec![]);
    let at = nest.push(ScalarNode::Cast { dtype: DType::I64, arg: at });
    let room = nest.push(ScalarNode::Index(room));
    let start = nest.push(ScalarNode::Index(Dim::constant(0)));
    let below = nest.apply(Scalar::Min, &[at, room]);
    nest.apply(Scalar::Max, &[below, start])
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, size) = (call.operand(0), call.attrs.dim("size"));
    let along = call.axis("axis", x.rank())?;
    check_position(call, 1)?;
    if !call.at_most(&size, &x.shape[along]) || !call.at_most(&Dim::constant(0), &size) {
        return Err(OpError::attr("size", format!("axis {along} of {x} does not hold {size} elements")));
    }
    let mut shape = x.shape.clone();
    shape[along] = size;
    Ok(vec![x.with_shape(shape)])
}

fn nest(call: &Call) -> Nest {
    let (x, size) = (call.operand(0), call.attrs.dim("size"));
    let along = call.axis("axis", x.rank()).unwrap_or(0);
    let mut shape = x.shape.clone();
    shape[along] = size.clone();
    let mut nest = Nest::pointwise(&shape);
    let start = clamped(&mut nest, 1, &x.shape[along] - &size);
    let step = nest.push(ScalarNode::Index(axis(along)));
    let position = nest.apply(Scalar::Add, &[start, step]);
    let mut index: Vec<NestIndex> = (0..x.rank()).map(|idx| NestIndex::Affine(axis(idx))).collect();
    index[along] = NestIndex::Value(position);
    nest.push(ScalarNode::Load { operand: 0, index, guards: Vec::new(), otherwise: 0.0 });
    nest
}

/// The piece goes back to its place among zeros.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let zeros = b.filled(0.0, pull.call.operand(0).clone())?;
    let g = pull.cotangent()?;
    let attrs = Attrs::none().with("axis", pull.call.attrs.int("axis"));
    Ok(vec![Some(b.apply(&super::update::OP, &[zeros, g, pull.operands[1]], attrs)?), None])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let along = sampler.int(0, rank as i64 - 1);
    let shape = sampler.shape(rank);
    let size = sampler.int(1, shape[along as usize].as_constant().unwrap_or(1));
    let mut sample = Sample::floats(vec![shape], Attrs::none().with("axis", along).with("size", Dim::constant(size)));
    sample.operands.push(Type::scalar(DType::I64));
    sample.domains.push(Domain { low: -3.0, high: 20.0 });
    sample
}
