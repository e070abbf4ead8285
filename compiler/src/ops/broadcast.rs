//! `broadcast(x, shape)`: repeats `x` along new or unit axes.

use crate::graph::{
    AttrKind, Builder, Call, Cotangents, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands, Pull, Sample,
    Sampler, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "broadcast",
    doc: "Repeats `x` to `shape`: axes align from the last, and axes of size one or missing are stretched.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("shape", AttrKind::Dims, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, shape) = (call.operand(0), call.attrs.dims("shape"));
    let Some(new_axes) = shape.len().checked_sub(x.rank()) else {
        return Err(OpError::operand(
            0,
            format!("a tensor of rank {} cannot be broadcast to rank {}", x.rank(), shape.len()),
        ));
    };
    for (from, to) in x.shape.iter().zip(&shape[new_axes..]) {
        if from != to && !from.is(1) {
            return Err(OpError::operand(0, format!("an axis of size {from} cannot be broadcast to {to}")));
        }
    }
    Ok(vec![x.with_shape(shape)])
}

fn nest(call: &Call) -> Nest {
    let (x, shape) = (call.operand(0), call.attrs.dims("shape"));
    let new_axes = shape.len() - x.rank();
    let mut nest = Nest::pointwise(&shape);
    let index = x.shape.iter().enumerate().map(|(idx, from)| match from.is(1) {
        true => Dim::constant(0),
        false => axis(idx + new_axes),
    });
    nest.load(0, index.collect());
    nest
}

/// What was repeated is summed.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let x = pull.call.operand(0);
    let g = pull.cotangent()?;
    let n_new = b.shape_of(g).len() - x.rank();
    let stretched = |axis: &usize| *axis < n_new || x.shape[*axis - n_new] != pull.call.attrs.dims("shape")[*axis];
    let axes: Vec<usize> = (0..n_new + x.rank()).filter(stretched).collect();
    let sum = if axes.is_empty() { g } else { b.sum(g, &axes, false)? };
    Ok(vec![Some(b.reshape(sum, &x.shape)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let shape = sampler.shape(rank);
    let skipped = sampler.int(0, rank as i64) as usize;
    let from = shape[skipped..].iter().map(|dim| if sampler.flip() { Dim::constant(1) } else { dim.clone() }).collect();
    let attrs = crate::graph::Attrs::none().with("shape", shape);
    Sample::floats(vec![from], attrs)
}
