//! `reshape(x, shape)`: the same elements in the same order under another shape.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Pull,
    Sample, Sampler, Shape, Type, attr,
};

pub static OP: OpDef = OpDef {
    name: "reshape",
    doc: "The elements of `x`, in row-major order, under another shape with as many elements.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("shape", AttrKind::Dims, Default::Required)],
    infer,
    meaning: Meaning::View,
    gradient: Gradient::Rule(gradient),
    aliases: &[(0, 0)],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, shape) = (call.operand(0), call.attrs.dims("shape"));
    if let Some(size) = shape.iter().find(|size| size.as_constant().is_some_and(|size| size < 0)) {
        let error = OpError::attr("shape", format!("a size is never negative, and this is {size}"));
        return Err(error.help("what other frameworks work out of a -1 is written here, as `[B, N / 2]`"));
    }
    let (from, to) = (x.n_elements(), Dim::product(&shape));
    if !call.same_size(&from, &to) {
        let (old, new) = (Shape(&x.shape), Shape(&shape));
        return Err(OpError::attr("shape", format!("{old} holds {from} elements and {new} holds {to}")));
    }
    Ok(vec![x.with_shape(shape)])
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    Ok(vec![Some(b.reshape(g, &pull.call.operand(0).shape)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let [a, b, c] = [sampler.size(), sampler.size(), sampler.size()];
    let shapes = [vec![a, b, c], vec![a * b, c], vec![a, b * c], vec![a * b * c], vec![c, 1, b, a]];
    let dims = |shape: &Vec<i64>| shape.iter().map(|&size| Dim::constant(size)).collect::<Vec<_>>();
    let from = dims(sampler.pick(&shapes));
    Sample::floats(vec![from], Attrs::none().with("shape", dims(sampler.pick(&shapes))))
}
