//! `pad(x, low, high, value)`: more room before and after, along each axis.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Guard, Meaning, Nest, OpDef, OpError,
    Operands, Pull, Sample, Sampler, Type, attr, axis, holds, saturate,
};

pub static OP: OpDef = OpDef {
    name: "pad",
    doc: "Along each axis, `low` elements of `value` before `x` and `high` after it. Negative counts crop.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("low", AttrKind::Dims, Default::Required),
        attr("high", AttrKind::Dims, Default::Required),
        attr("value", AttrKind::Float, Default::Float(0.0)),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

fn padded(call: &Call) -> Vec<Dim> {
    let (low, high) = (call.attrs.dims("low"), call.attrs.dims("high"));
    call.operand(0).shape.iter().zip(&low).zip(&high).map(|((size, low), high)| &(size + low) + high).collect()
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    for name in ["low", "high"] {
        let n = call.attrs.dims(name).len();
        if n != x.rank() {
            return Err(OpError::attr(name, format!("`x` has {} axes and `{name}` has {n} entries", x.rank())));
        }
    }
    let value = call.attrs.float("value");
    if !holds(x.dtype, value) {
        return Err(OpError::attr("value", format!("{value} is no {}, as the elements of `x` are", x.dtype)));
    }
    let shape = padded(call);
    match shape.iter().zip(&x.shape).find(|(size, _)| call.sizes.proves_lt(size, &Dim::constant(0))) {
        Some((_, from)) => Err(OpError::operand(0, format!("more than all is cropped from an axis of size {from}"))),
        None => Ok(vec![x.with_shape(shape)]),
    }
}

fn nest(call: &Call) -> Nest {
    let x = call.operand(0);
    let mut nest = Nest::pointwise(&padded(call));
    let (mut index, mut guards) = (Vec::new(), Vec::new());
    for (idx, (low, high)) in call.attrs.dims("low").iter().zip(call.attrs.dims("high")).enumerate() {
        let at = &axis(idx) - low;
        let [after_start, before_end] = Guard::within(&at, &x.shape[idx]);
        // Where an axis is only cropped the position is in range by itself, and can be proved so.
        let pads = |dim: &Dim| dim.as_constant().is_none_or(|count| count > 0);
        guards.extend(pads(low).then_some(after_start));
        guards.extend(pads(&high).then_some(before_end));
        index.push(at);
    }
    let value = call.attrs.float("value");
    let value = if x.dtype == DType::Bool { saturate(x.dtype, value) as f64 } else { value };
    nest.load_where(0, index, guards, value);
    nest
}

/// Padding is cropped, and what was cropped had no effect.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let negated = |name: &str| pull.call.attrs.dims(name).iter().map(|dim| -dim).collect::<Vec<Dim>>();
    let attrs = Attrs::none().with("low", negated("low")).with("high", negated("high"));
    let g = pull.cotangent()?;
    Ok(vec![Some(b.apply(&OP, &[g], attrs)?)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let shape = sampler.shape(rank);
    let mut counts = |least: i64| (0..rank).map(|_| Dim::constant(sampler.int(least, 2))).collect::<Vec<_>>();
    let (low, high) = (counts(-1), counts(0));
    let attrs = Attrs::none().with("low", low).with("high", high).with("value", *sampler.pick(&[0.5, 0.0]));
    Sample::floats(vec![shape], attrs)
}
