//! `concat(xs, axis)`: tensors one after another along an axis.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Guard, Meaning, Nest, OpDef, OpError,
    Operands, Pull, Sample, Sampler, Scalar, ScalarNode, Shape, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "concat",
    doc: "The operands one after another along `axis`; their other axes agree.",
    operands: Operands::Variadic(&["x"], "more"),
    attrs: &[attr("axis", AttrKind::Axis, Default::Int(0))],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let first = call.operand(0);
    let along = call.axis("axis", first.rank())?;
    let mut size = Dim::constant(0);
    for (idx, x) in call.operands.iter().enumerate() {
        let agrees = |axis: usize| axis == along || call.same_size(&x.shape[axis], &first.shape[axis]);
        if x.dtype != first.dtype || x.rank() != first.rank() || !(0..x.rank()).all(agrees) {
            let message = format!("{x} does not continue {first} along axis {along}");
            let help = format!("apart from axis {along}, the shapes must equal {}", Shape(&first.shape));
            return Err(OpError::operand(idx, message).help(help));
        }
        size = &size + &x.shape[along];
    }
    let mut shape = first.shape.clone();
    shape[along] = size;
    Ok(vec![first.with_shape(shape)])
}

/// Each operand is read where the position falls into it; the last whose start is passed is chosen.
fn nest(call: &Call) -> Nest {
    let first = call.operand(0);
    let along = call.axis("axis", first.rank()).unwrap_or(0);
    let size = call.operands.iter().fold(Dim::constant(0), |sum, x| &sum + &x.shape[along]);
    let mut shape = first.shape.clone();
    shape[along] = size;
    let mut nest = Nest::pointwise(&shape);
    let (mut start, mut chosen) = (Dim::constant(0), None);
    for (operand, x) in call.operands.iter().enumerate() {
        let mut index: Vec<Dim> = (0..x.rank()).map(axis).collect();
        index[along] = &axis(along) - &start;
        let guards = Guard::within(&index[along], &x.shape[along]).to_vec();
        let element = nest.load_where(operand, index, guards, 0.0);
        chosen = Some(match chosen {
            None => element,
            Some(before) => {
                let position = nest.push(ScalarNode::Index(axis(along)));
                let border = nest.push(ScalarNode::Index(start.clone()));
                let passed = nest.apply(Scalar::Ge, &[position, border]);
                nest.apply(Scalar::Select, &[passed, element, before])
            }
        });
        start = &start + &x.shape[along];
    }
    nest
}

/// Each operand gets its stretch.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    let along = pull.call.axis("axis", pull.call.operand(0).rank())?;
    let mut start = Dim::constant(0);
    let mut parts = Vec::with_capacity(pull.operands.len());
    for (x, wanted) in pull.call.operands.iter().zip(pull.wanted) {
        let stop = &start + &x.shape[along];
        parts.push(if *wanted { Some(b.range(g, along, start, stop.clone())?) } else { None });
        start = stop;
    }
    Ok(parts)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let along = sampler.int(0, rank as i64 - 1);
    let shape = sampler.shape(rank);
    let dtype = *sampler.pick(&[DType::Real, DType::I64]);
    let operands = (0..sampler.int(1, 4)).map(|_| {
        let mut shape = shape.clone();
        shape[along as usize] = Dim::constant(sampler.int(0, 5));
        shape
    });
    let mut sample = Sample::floats(operands.collect(), Attrs::none().with("axis", along));
    sample.operands.iter_mut().for_each(|ty| ty.dtype = dtype);
    sample
}
