//! `window(x, combine, …)`: the maximum or the sum of each window over the trailing axes.

mod gradient;

use super::convolve::{has_channels_last, slides};
use super::reduction::accumulator;
use crate::graph::{
    AttrKind, Attrs, Call, DType, Default, Dim, Gradient, Guard, Meaning, Nest, OpDef, OpError, Operands, Sample,
    Sampler, Scalar, ScalarNode, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "window",
    doc: "Combines (\"max\" or \"add\") the elements of each window over the trailing axes, one for each entry of \
          `size`; with `channels_last`, over those before the last. Padding changes nothing: it counts as -inf, or as zero.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("combine", AttrKind::Str, Default::Required),
        attr("size", AttrKind::Ints, Default::Required),
        attr("stride", AttrKind::Ints, Default::Absent),
        attr("low", AttrKind::Dims, Default::Absent),
        attr("high", AttrKind::Dims, Default::Absent),
        attr("dilation", AttrKind::Ints, Default::Absent),
        attr("channels_last", AttrKind::Bool, Default::Absent),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient::gradient),
    aliases: &[],
    sample: Some(sample),
};

fn combine(call: &Call) -> Result<(Scalar, f64), OpError> {
    match call.attrs.str("combine").as_str() {
        "max" => Ok((Scalar::Max, f64::NEG_INFINITY)),
        "add" => Ok((Scalar::Add, 0.0)),
        other => Err(OpError::attr("combine", format!("a window combines by \"max\" or \"add\", found \"{other}\""))),
    }
}

fn result_shape(call: &Call) -> Result<Vec<Dim>, OpError> {
    let (x, size) = (call.operand(0), call.attrs.ints("size"));
    let n_last = usize::from(has_channels_last(call));
    let Some(n_outer) = x.rank().checked_sub(size.len() + n_last) else {
        return Err(OpError::attr("size", format!("a window over {} axes of {x}", size.len())));
    };
    if let Some(size) = size.iter().find(|&&size| size < 1) {
        return Err(OpError::attr("size", format!("a window holds one element at least, found {size}")));
    }
    let slides = slides(call, size.len())?;
    let places = slides.iter().zip(&x.shape[n_outer..]).zip(&size);
    let places = places.map(|((slide, from), &size)| slide.places(from, &Dim::constant(size)));
    let channels = &x.shape[x.rank() - n_last..];
    Ok(x.shape[..n_outer].iter().cloned().chain(places).chain(channels.iter().cloned()).collect())
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    combine(call)?;
    if x.dtype == DType::Bool {
        return Err(OpError::operand(0, "a window combines numbers, found booleans"));
    }
    let (shape, size) = (result_shape(call)?, call.attrs.ints("size"));
    let n_outer = x.rank() - size.len() - usize::from(has_channels_last(call));
    for (idx, (slide, size)) in slides(call, size.len())?.iter().zip(size).enumerate() {
        let axis = n_outer + idx;
        slide.ask_place(call, &x.shape[axis], &Dim::constant(size), |why| {
            let error = OpError::attr("size", format!("the window does not fit into axis {axis} of {x}: {why}"));
            error.help("pad more, or take a smaller window or `dilation`")
        })?;
    }
    Ok(vec![x.with_shape(shape)])
}

fn nest(call: &Call) -> Nest {
    let (x, size) = (call.operand(0), call.attrs.ints("size"));
    let (Ok(shape), Ok(slides), Ok((scalar, identity))) = (result_shape(call), slides(call, size.len()), combine(call))
    else {
        return Nest::pointwise(&[]);
    };
    let taps: Vec<Dim> = size.iter().map(|&size| Dim::constant(size)).collect();
    let mut nest = Nest::reduction(&shape, &taps, scalar, identity);
    let n_last = usize::from(has_channels_last(call));
    let n_outer = x.rank() - size.len() - n_last;
    let (mut index, mut guards) = ((0..n_outer).map(axis).collect::<Vec<_>>(), Vec::new());
    for (idx, slide) in slides.iter().enumerate() {
        let at = slide.position(&axis(n_outer + idx), &axis(x.rank() + idx));
        guards.extend(Guard::within(&at, &x.shape[n_outer + idx]));
        index.push(at);
    }
    index.extend((x.rank() - n_last..x.rank()).map(axis));
    let element = nest.load_where(0, index, guards, identity);
    if scalar == Scalar::Add && accumulator(x.dtype) != x.dtype {
        nest.push(ScalarNode::Cast { dtype: accumulator(x.dtype), arg: element });
    }
    nest
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let n_axes = sampler.int(1, 2) as usize;
    let mut ints = |low: i64, high: i64| (0..n_axes).map(|_| sampler.int(low, high)).collect::<Vec<i64>>();
    let (x, size, stride, dilation) = (ints(5, 9), ints(1, 3), ints(1, 3), ints(1, 2));
    let (low, high) = (ints(0, 1), ints(0, 1));
    let dims = |values: &[i64]| values.iter().map(|&value| Dim::constant(value)).collect::<Vec<_>>();
    let attrs = Attrs::none().with("combine", *sampler.pick(&["max", "add"])).with("size", size);
    let attrs = attrs.with("stride", stride).with("dilation", dilation);
    let channels_last = sampler.int(0, 1) == 1;
    let channels = if channels_last { dims(&[3]) } else { Vec::new() };
    let attrs = if channels_last { attrs.with("channels_last", true) } else { attrs };
    Sample::floats(
        vec![[dims(&[2]), dims(&x), channels].concat()],
        attrs.with("low", dims(&low)).with("high", dims(&high)),
    )
}
