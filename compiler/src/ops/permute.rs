//! `permute(x, axes)`: the axes in another order.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands, Pull,
    Sample, Sampler, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "permute",
    doc: "The axes of `x` in the order of `axes`: axis `i` of the result is axis `axes[i]` of `x`.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("axes", AttrKind::Axes, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

/// The axes in their written order, which `Call::axes` would sort.
fn order(call: &Call) -> Result<Vec<usize>, OpError> {
    let rank = call.operand(0).rank();
    let (axes, sorted) = (call.attrs.ints("axes"), call.axes("axes", rank)?);
    if sorted.len() != rank {
        return Err(OpError::attr(
            "axes",
            format!("`x` has {rank} axes, found {}: name each of them once", axes.len()),
        ));
    }
    Ok(axes.into_iter().map(|axis| if axis < 0 { axis + rank as i64 } else { axis } as usize).collect())
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    Ok(vec![x.with_shape(order(call)?.into_iter().map(|from| x.shape[from].clone()).collect())])
}

fn nest(call: &Call) -> Nest {
    let x = call.operand(0);
    let order = order(call).unwrap_or_default();
    let mut nest = Nest::pointwise(&order.iter().map(|&from| x.shape[from].clone()).collect::<Vec<_>>());
    let mut index = vec![Dim::constant(0); x.rank()];
    order.iter().enumerate().for_each(|(to, &from)| index[from] = axis(to));
    nest.load(0, index);
    nest
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let order = order(pull.call)?;
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    let g = pull.cotangent()?;
    Ok(vec![Some(b.permute(g, &back)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 4);
    let mut axes: Vec<i64> = (0..rank).collect();
    for last in (1..axes.len()).rev() {
        axes.swap(last, sampler.int(0, last as i64) as usize);
    }
    let attrs = Attrs::none().with("axes", axes);
    Sample::floats(vec![sampler.shape(rank as usize)], attrs)
}
