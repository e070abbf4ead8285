//! `resize(x, scale, mode, align_corners)`: an image made larger by whole factors.

use super::formula::{Built, check_float};
use super::gather;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "resize",
    doc: "Makes the trailing axes `scale` times as long. \"nearest\" repeats elements; \"bilinear\" is on the line between \
          the two nearest, along each axis, where `align_corners` says whether the corners are elements or their outer \
          edges.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("scale", AttrKind::Ints, Default::Required),
        attr("mode", AttrKind::Str, Default::Str("nearest")),
        attr("align_corners", AttrKind::Bool, Default::Bool(false)),
    ],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, scale) = (call.operand(0), call.attrs.ints("scale"));
    let Some(n_outer) = x.rank().checked_sub(scale.len()) else {
        return Err(OpError::attr("scale", format!("{} factors for {x}", scale.len())));
    };
    if let Some(factor) = scale.iter().find(|&&factor| factor < 1) {
        return Err(OpError::attr("scale", format!("a factor must be positive, found {factor}")));
    }
    match call.attrs.str("mode").as_str() {
        "nearest" => {}
        "bilinear" => check_float(call, 0)?,
        other => {
            let message = format!("the mode is \"nearest\" or \"bilinear\", found \"{other}\"");
            return Err(OpError::attr("mode", message));
        }
    }
    let mut shape = x.shape.clone();
    shape[n_outer..].iter_mut().zip(scale).for_each(|(size, factor)| *size = &*size * factor);
    Ok(vec![x.with_shape(shape)])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let scale = call.attrs.ints("scale");
    let n_outer = call.operand(0).rank() - scale.len();
    let mut x = operands[0];
    for (idx, factor) in scale.into_iter().enumerate().filter(|(_, factor)| *factor > 1) {
        x = match call.attrs.str("mode").as_str() {
            "nearest" => repeat(b, x, n_outer + idx, factor)?,
            _ => between(b, x, n_outer + idx, factor, call.attrs.bool("align_corners"))?,
        };
    }
    Ok(vec![x])
}

/// Each element along an axis, several times.
fn repeat(b: &mut Builder, x: Value, axis: usize, factor: i64) -> Built {
    let shape = b.shape_of(x);
    let mut apart = shape.clone();
    apart.insert(axis + 1, Dim::constant(1));
    let x = b.reshape(x, &apart)?;
    apart[axis + 1] = Dim::constant(factor);
    let x = b.broadcast(x, &apart)?;
    let mut joined = shape;
    joined[axis] = &joined[axis] * factor;
    b.reshape(x, &joined)
}

/// Along an axis, the elements on both sides of each new position, weighted by their nearness.
fn between(b: &mut Builder, x: Value, axis: usize, factor: i64, align_corners: bool) -> Built {
    let (dtype, shape) = (b.type_of(x).dtype, b.shape_of(x));
    let (old, new) = (&shape[axis], &shape[axis] * factor);
    let step = b.position(std::slice::from_ref(&new), 0)?;
    let step = b.cast(step, dtype)?;
    let at = match align_corners {
        true => {
            let (last_old, last_new) = (b.size_like(&(old - 1), step)?, b.size_like(&(&new - 1), step)?);
            let scaled = b.mul(step, last_old)?;
            b.div(scaled, last_new)?
        }
        false => {
            let middle = b.add_number(step, 0.5)?;
            let scaled = b.mul_number(middle, 1.0 / factor as f64)?;
            let at = b.add_number(scaled, -0.5)?;
            b.max_number(at, 0.0)?
        }
    };
    let low = b.floor(at)?;
    let share = b.sub(at, low)?;
    let low = b.cast(low, DType::I64)?;
    let last = b.size_like(&(old - 1), low)?;
    let low = b.min(low, last)?;
    let high = b.add_number(low, 1.0)?;
    let high = b.min(high, last)?;
    let (below, above) = (take(b, x, low, axis)?, take(b, x, high, axis)?);
    let mut column = vec![Dim::constant(1); shape.len() - axis];
    column[0] = new;
    let share = b.reshape(share, &column)?;
    let share = b.broadcast(share, &b.shape_of(below))?;
    let difference = b.sub(above, below)?;
    let part = b.mul(share, difference)?;
    b.add(below, part)
}

/// The elements at some positions along one axis.
fn take(b: &mut Builder, x: Value, positions: Value, axis: usize) -> Built {
    let names = |at: &str| {
        (0..b.shape_of(x).len())
            .map(|idx| if idx == axis { at.into() } else { format!("a{idx}") })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = format!("{}, n -> {}", names("[n]"), names("n"));
    b.apply(&gather::OP, &[x, positions], Attrs::none().with("pattern", text))
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let n_axes = sampler.int(1, 2) as usize;
    let shape = (0..=n_axes).map(|_| Dim::constant(sampler.int(1, 5))).collect();
    let scale: Vec<i64> = (0..n_axes).map(|_| sampler.int(1, 3)).collect();
    let attrs = Attrs::none().with("scale", scale).with("mode", *sampler.pick(&["nearest", "bilinear"]));
    Sample::floats(vec![shape], attrs.with("align_corners", sampler.flip()))
}
