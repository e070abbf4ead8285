//! `resize(x, scale or size, mode, align_corners)`: an image made larger or smaller.
//!
//! Invariant: positions, borders and weights are those of PyTorch's `interpolate`, axis by axis; but which element is
//! nearest is found in integers, without its rounding.

mod between;

use self::between::{bicubic, bilinear, nearest};
use super::formula::check_float;
use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "resize",
    doc: "Makes the trailing axes `scale` times as long, or `scale / per` times, rounded down; or as long as `size` says. \
          \"nearest\" repeats elements; \"bilinear\" is on the line between the two nearest, along each axis, and \"bicubic\" \
          on a curve through the four nearest (with -0.75 for its bend), where `align_corners` says whether the corners \
          are elements or their outer edges.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("scale", AttrKind::Ints, Default::Absent),
        attr("per", AttrKind::Ints, Default::Absent),
        attr("size", AttrKind::Dims, Default::Absent),
        attr("mode", AttrKind::Str, Default::Str("nearest")),
        attr("align_corners", AttrKind::Bool, Default::Bool(false)),
    ],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

/// What becomes of one axis.
struct Stretch {
    axis: usize,
    old: Dim,
    new: Dim,
    /// `scale` and `per`, where those say how long it becomes.
    factor: Option<(i64, i64)>,
}

fn stretches(call: &Call) -> Result<Vec<Stretch>, OpError> {
    let x = call.operand(0);
    let from = |name: &str, n: usize| {
        let n_outer = x.rank().checked_sub(n);
        n_outer.ok_or_else(|| OpError::attr(name, format!("`{name}` has {n} entries for {x}")))
    };
    let scale = match (call.attrs.get("scale"), call.attrs.get("size")) {
        (Some(Attr::Ints(scale)), None) => scale,
        (None, Some(Attr::Dims(size))) => {
            let n_outer = from("size", size.len())?;
            let stretch = |(idx, new): (usize, &Dim)| Stretch {
                axis: n_outer + idx,
                old: x.shape[n_outer + idx].clone(),
                new: new.clone(),
                factor: None,
            };
            return Ok(size.iter().enumerate().map(stretch).collect());
        }
        (None, None) => {
            return Err(OpError::new("`scale` or `size` says how large the result is, and neither is there"));
        }
        _ => return Err(OpError::attr("size", "`scale` or `size` says how large the result is, not both")),
    };
    let n_outer = from("scale", scale.len())?;
    let per = if call.attrs.get("per").is_some() { call.attrs.ints("per") } else { vec![1; scale.len()] };
    if per.len() != scale.len() {
        return Err(OpError::attr("per", format!("`scale` has {} entries and `per` has {}", scale.len(), per.len())));
    }
    let mut stretches = Vec::with_capacity(per.len());
    for (idx, (&scale, per)) in scale.iter().zip(per).enumerate() {
        if let Some(factor) = [scale, per].into_iter().find(|&factor| factor < 1) {
            return Err(OpError::attr("scale", format!("a factor must be positive, found {factor}")));
        }
        let old = x.shape[n_outer + idx].clone();
        let new = (&old * scale).floor_div(&Dim::constant(per));
        stretches.push(Stretch { axis: n_outer + idx, old, new, factor: Some((scale, per)) });
    }
    Ok(stretches)
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, one) = (call.operand(0), Dim::constant(1));
    match call.attrs.str("mode").as_str() {
        "nearest" => {}
        "bilinear" | "bicubic" => check_float(call, 0)?,
        other => {
            let message = format!("the mode is \"nearest\", \"bilinear\" or \"bicubic\", found \"{other}\"");
            let help = "\"bilinear\" and \"bicubic\" go along each axis by itself, so they fit lines and volumes too";
            return Err(OpError::attr("mode", message).help(help));
        }
    }
    let mut shape = x.shape.clone();
    for Stretch { axis, old, new, factor } in stretches(call)? {
        // Whole factors make nothing of nothing; else there must be something to read and to write.
        let is_whole = factor.is_some_and(|(_, per)| per == 1);
        if !is_whole && !(call.at_most(&one, &old) && call.at_most(&one, &new)) {
            let name = if factor.is_some() { "scale" } else { "size" };
            return Err(OpError::attr(name, format!("axis {axis} of {x} would go from {old} elements to {new}")));
        }
        shape[axis] = new;
    }
    Ok(vec![x.with_shape(shape)])
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (mut x, align_corners) = (operands[0], call.attrs.bool("align_corners"));
    for stretch in stretches(call)?.into_iter().filter(|stretch| stretch.old != stretch.new) {
        x = match call.attrs.str("mode").as_str() {
            "nearest" => nearest(b, x, &stretch)?,
            "bilinear" => bilinear(b, x, &stretch, align_corners)?,
            _ => bicubic(b, x, &stretch, align_corners)?,
        };
    }
    Ok(vec![x])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let n_axes = sampler.int(1, 2) as usize;
    let shape = (0..=n_axes).map(|_| Dim::constant(sampler.int(2, 5))).collect();
    let mut ints = |low: i64, high: i64| (0..n_axes).map(|_| sampler.int(low, high)).collect::<Vec<i64>>();
    let (scale, per, size) = (ints(1, 3), ints(1, 2), ints(1, 7));
    let attrs = match sampler.int(0, 2) {
        0 => Attrs::none().with("scale", scale),
        1 => Attrs::none().with("scale", scale).with("per", per),
        _ => Attrs::none().with("size", size.into_iter().map(Dim::constant).collect::<Vec<_>>()),
    };
    let attrs = attrs.with("mode", *sampler.pick(&["nearest", "bilinear", "bicubic"]));
    Sample::floats(vec![shape], attrs.with("align_corners", sampler.flip()))
}
