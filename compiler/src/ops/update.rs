//! `update(x, piece, at, axis)`: a piece written over a tensor, as into a cache.

use super::slice_at::{check_position, clamped};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Domain, Gradient, Meaning, Nest, NestIndex, OpDef,
    OpError, Operands, Pull, Sample, Sampler, Scalar, ScalarNode, Type, attr, axes, axis,
};

pub static OP: OpDef = OpDef {
    name: "update",
    doc: "`x` with `piece` written over it from `at` on, along `axis`. A start from which the piece would leave `x` is \
          moved to the nearest from which it does not.",
    operands: Operands::Fixed(&["x", "piece", "at"]),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(0))],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[(0, 0)],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, piece) = (call.operand(0), call.operand(1));
    let along = call.axis("axis", x.rank())?;
    check_position(call, 2)?;
    let agrees = |idx: usize| idx == along || call.same_size(&x.shape[idx], &piece.shape[idx]);
    if piece.dtype != x.dtype || piece.rank() != x.rank() || !(0..x.rank()).all(agrees) {
        let message = format!("`piece` is {piece} and `x` is {x}");
        return Err(OpError::operand(1, message).help(format!("they may differ along axis {along} only")));
    }
    if !call.at_most(&piece.shape[along], &x.shape[along]) {
        return Err(OpError::operand(1, format!("`piece`, {piece}, is longer than `x`, {x}, along axis {along}")));
    }
    Ok(vec![x.clone()])
}

fn nest(call: &Call) -> Nest {
    let (x, piece) = (call.operand(0), call.operand(1));
    let along = call.axis("axis", x.rank()).unwrap_or(0);
    let mut nest = Nest::pointwise(&x.shape);
    let start = clamped(&mut nest, 2, &x.shape[along] - &piece.shape[along]);
    let here = nest.push(ScalarNode::Index(axis(along)));
    let offset = nest.apply(Scalar::Sub, &[here, start]);
    let size = nest.push(ScalarNode::Index(piece.shape[along].clone()));
    let before_end = nest.apply(Scalar::Lt, &[offset, size]);
    let after_start = nest.apply(Scalar::Ge, &[here, start]);
    let inside = nest.apply(Scalar::And, &[after_start, before_end]);
    let mut index: Vec<NestIndex> = (0..x.rank()).map(|idx| NestIndex::Affine(axis(idx))).collect();
    index[along] = NestIndex::Value(offset);
    let new = nest.push(ScalarNode::Load { operand: 1, index, guards: Vec::new(), otherwise: 0.0 });
    let old = nest.load(0, axes(x.rank()));
    nest.apply(Scalar::Select, &[inside, new, old]);
    nest
}

/// The piece gets its stretch, and `x` the rest.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let axis = pull.call.attrs.int("axis");
    let (g, at, piece) = (pull.cotangent()?, pull.operands[2], pull.call.operand(1).clone());
    let along = pull.call.axis("axis", piece.rank())?;
    let mut cotangents = vec![None; 3];
    if pull.wanted[0] {
        let zeros = b.filled(0.0, piece.clone())?;
        cotangents[0] = Some(b.apply(&OP, &[g, zeros, at], Attrs::none().with("axis", axis))?);
    }
    if pull.wanted[1] {
        let attrs = Attrs::none().with("axis", axis).with("size", piece.shape[along].clone());
        cotangents[1] = Some(b.apply(&super::slice_at::OP, &[g, at], attrs)?);
    }
    Ok(cotangents)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let along = sampler.int(0, rank as i64 - 1);
    let shape = sampler.shape(rank);
    let mut piece = shape.clone();
    piece[along as usize] = Dim::constant(sampler.int(1, shape[along as usize].as_constant().unwrap_or(1)));
    let mut sample = Sample::floats(vec![shape, piece], Attrs::none().with("axis", along));
    sample.operands.push(Type::scalar(DType::I64));
    sample.domains.push(Domain { low: -3.0, high: 20.0 });
    sample
}
