//! `pack(x, width)` and `unpack(x, extent)`: the last axis in panels, as contractions read their weights, and back.
//!
//! A panel holds `width` neighbours of the last axis for every position of the other axes, so that a register tile reads it
//! from end to end. The last panel is filled up with zeros. With a `depth`, so many neighbours of the axis before the last
//! lie side by side: what an instruction for dot products takes in one word.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Dim, Gradient, Guard, Meaning, Nest, OpDef, OpError, Operands,
    Pull, Sample, Sampler, Type, attr, axis,
};

pub static PACK: OpDef = OpDef {
    name: "pack",
    doc: "The last axis cut into panels of `width`, the panels outermost: `[..., n]` becomes `[ceil(n / width), ..., \
          width]`. Room in the last panel is zero. With a `depth`, `[..., k, n]` becomes `[ceil(n / width), ..., k / \
          depth, width, depth]`.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("width", AttrKind::Int, Default::Required), attr("depth", AttrKind::Int, Default::Absent)],
    infer: infer_pack,
    meaning: Meaning::Structured { nest: nest_pack, eval: None },
    gradient: Gradient::Rule(gradient_pack),
    aliases: &[],
    sample: Some(sample_pack),
};

pub static UNPACK: OpDef = OpDef {
    name: "unpack",
    doc: "What `pack` cut, in one piece again: `[p, ..., width]` becomes `[..., extent]`. With `depth`, as `pack` had it, \
          `[p, ..., k, width, depth]` becomes `[..., k * depth, extent]`.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("extent", AttrKind::Dim, Default::Required), attr("depth", AttrKind::Int, Default::Absent)],
    infer: infer_unpack,
    meaning: Meaning::Structured { nest: nest_unpack, eval: None },
    gradient: Gradient::Rule(gradient_unpack),
    aliases: &[],
    sample: Some(sample_unpack),
};

fn width(call: &Call) -> Dim {
    Dim::constant(call.attrs.int("width").max(1))
}

/// How many neighbours of the axis before the last lie side by side, if that is said.
fn depth(call: &Call) -> Option<i64> {
    call.attrs.get("depth").map(|_| call.attrs.int("depth"))
}

fn infer_pack(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let Some((last, rest)) = x.shape.split_last() else {
        return Err(OpError::operand(0, "a scalar has no axis to cut into panels"));
    };
    if call.attrs.int("width") < 1 {
        return Err(OpError::attr("width", format!("a panel of {} elements", call.attrs.int("width"))));
    }
    let panels = [last.ceil_div(&width(call))];
    let Some(depth) = depth(call) else {
        return Ok(vec![x.with_shape(panels.iter().chain(rest).chain([&width(call)]).cloned().collect())]);
    };
    let deep = rest.split_last().and_then(|(before, rest)| Some((positive(before, depth)?, rest)));
    let Some((deep, rest)) = deep else {
        return Err(OpError::attr("depth", format!("the axis before the last of {x} does not fall into {depth}s")));
    };
    Ok(vec![
        x.with_shape(panels.iter().chain(rest).chain([&deep, &width(call), &Dim::constant(depth)]).cloned().collect()),
    ])
}

/// `dim / n`, if that is exact.
fn positive(dim: &Dim, n: i64) -> Option<Dim> {
    if n < 1 { None } else { dim.exact_div(&Dim::constant(n)) }
}

fn nest_pack(call: &Call) -> Nest {
    let (Ok(types), Some((last, rest))) = (infer_pack(call), call.operand(0).shape.split_last()) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::pointwise(&types[0].shape);
    let at = &(&axis(0) * &width(call)) + &axis(rest.len() + 1);
    let whole = last.as_constant().is_some_and(|extent| extent % call.attrs.int("width").max(1) == 0);
    let [_, before_end] = Guard::within(&at, last);
    let mut index: Vec<Dim> = (1..=rest.len()).map(axis).chain([at]).collect();
    if let Some(depth) = depth(call) {
        index[rest.len() - 1] = &(&axis(rest.len()) * depth) + &axis(rest.len() + 2);
    }
    nest.load_where(0, index, if whole { Vec::new() } else { vec![before_end] }, 0.0);
    nest
}

fn infer_unpack(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let (panels, mut rest, width) = match (x.shape.as_slice(), depth(call)) {
        ([panels, rest @ .., width], None) => (panels, rest.to_vec(), width),
        ([panels, rest @ .., deep, width, depth], Some(wanted)) if depth.is(wanted) => {
            (panels, [rest, &[deep * depth]].concat(), width)
        }
        (_, None) => return Err(OpError::operand(0, format!("panels have two axes or more, found {}", x.rank()))),
        (_, Some(depth)) => return Err(OpError::operand(0, format!("{x} is not packed {depth} deep"))),
    };
    let extent = call.attrs.dim("extent");
    if extent.ceil_div(width) != *panels {
        let message = format!("{panels} panels of {width} do not hold {extent} elements");
        return Err(OpError::attr("extent", message));
    }
    rest.push(extent);
    Ok(vec![x.with_shape(rest)])
}

fn nest_unpack(call: &Call) -> Nest {
    let Ok(types) = infer_unpack(call) else { return Nest::pointwise(&[]) };
    let mut nest = Nest::pointwise(&types[0].shape);
    let shape = &call.operand(0).shape;
    let n_rest = types[0].rank() - 1;
    let deep = depth(call).map(Dim::constant);
    let width = &shape[shape.len() - 1 - usize::from(deep.is_some())];
    let at = axis(n_rest);
    let mut index: Vec<Dim> = [at.floor_div(width)].into_iter().chain((0..n_rest).map(axis)).collect();
    index.push(at.modulo(width));
    if let Some(depth) = deep {
        let k = axis(n_rest - 1);
        index[n_rest] = k.floor_div(&depth);
        index.push(k.modulo(&depth));
    }
    nest.load(0, index);
    nest
}

fn gradient_pack(b: &mut Builder, pull: &Pull) -> Cotangents {
    let extent = pull.call.operand(0).shape.last().cloned().unwrap_or(Dim::constant(1));
    let g = pull.cotangent()?;
    Ok(vec![Some(b.apply(&UNPACK, &[g], deep(pull.call, Attrs::none().with("extent", extent)))?)])
}

fn gradient_unpack(b: &mut Builder, pull: &Pull) -> Cotangents {
    let inner = usize::from(depth(pull.call).is_some());
    let width = pull.call.operand(0).shape.iter().rev().nth(inner).and_then(Dim::as_constant);
    let width = width.ok_or_else(|| OpError::operand(0, "the width of its panels is no number"))?;
    let g = pull.cotangent()?;
    Ok(vec![Some(b.apply(&PACK, &[g], deep(pull.call, Attrs::none().with("width", width)))?)])
}

/// With the depth of the call, if it has one.
fn deep(call: &Call, attrs: Attrs) -> Attrs {
    match depth(call) {
        Some(depth) => attrs.with("depth", depth),
        None => attrs,
    }
}

fn sample_pack(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let (mut shape, depth) = (sampler.shape(rank), sampler.int(1, 2));
    let mut attrs = Attrs::none().with("width", sampler.int(1, 4));
    if rank > 1 && depth > 1 {
        shape[rank - 2] = &shape[rank - 2] * depth;
        attrs = attrs.with("depth", depth);
    }
    Sample::floats(vec![shape], attrs)
}

fn sample_unpack(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let (extent, width, deep, depth) = (sampler.int(1, 9), sampler.int(1, 4), sampler.int(1, 3), sampler.int(1, 2));
    let mut shape = [(extent + width - 1) / width, deep, width].map(Dim::constant).to_vec();
    let mut attrs = Attrs::none().with("extent", Dim::constant(extent));
    if depth > 1 {
        shape.push(Dim::constant(depth));
        attrs = attrs.with("depth", depth);
    }
    Sample::floats(vec![shape], attrs)
}
