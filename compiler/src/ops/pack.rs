//! `pack(x, width)` and `unpack(x, extent)`: the last axis in panels, as contractions read their weights, and back.
//!
//! A panel holds `width` neighbours of the last axis for every position of the other axes, so that a register tile reads it
//! from end to end. The last panel is filled up with zeros.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Dim, Gradient, Guard, Meaning, Nest, OpDef, OpError, Operands,
    Pull, Sample, Sampler, Type, attr, axis,
};

pub static PACK: OpDef = OpDef {
    name: "pack",
    doc: "The last axis cut into panels of `width`, the panels outermost: `[..., n]` becomes `[ceil(n / width), ..., \
          width]`. Room in the last panel is zero.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("width", AttrKind::Int, Default::Required)],
    infer: infer_pack,
    meaning: Meaning::Structured { nest: nest_pack, eval: None },
    gradient: Gradient::Rule(gradient_pack),
    aliases: &[],
    sample: Some(sample_pack),
};

pub static UNPACK: OpDef = OpDef {
    name: "unpack",
    doc: "What `pack` cut, in one piece again: `[p, ..., width]` becomes `[..., extent]`.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("extent", AttrKind::Dim, Default::Required)],
    infer: infer_unpack,
    meaning: Meaning::Structured { nest: nest_unpack, eval: None },
    gradient: Gradient::Rule(gradient_unpack),
    aliases: &[],
    sample: Some(sample_unpack),
};

fn width(call: &Call) -> Dim {
    Dim::constant(call.attrs.int("width").max(1))
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
    Ok(vec![x.with_shape(panels.iter().chain(rest).chain([&width(call)]).cloned().collect())])
}

fn nest_pack(call: &Call) -> Nest {
    let (Ok(types), Some((last, rest))) = (infer_pack(call), call.operand(0).shape.split_last()) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::pointwise(&types[0].shape);
    let at = &(&axis(0) * &width(call)) + &axis(rest.len() + 1);
    let whole = last.as_constant().is_some_and(|extent| extent % call.attrs.int("width").max(1) == 0);
    let [_, before_end] = Guard::within(&at, last);
    let index = (1..=rest.len()).map(axis).chain([at]).collect();
    nest.load_where(0, index, if whole { Vec::new() } else { vec![before_end] }, 0.0);
    nest
}

fn infer_unpack(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let [panels, rest @ .., width] = x.shape.as_slice() else {
        return Err(OpError::operand(0, format!("panels have two axes or more, found {}", x.rank())));
    };
    let extent = call.attrs.dim("extent");
    if extent.ceil_div(width) != *panels {
        let message = format!("{panels} panels of {width} do not hold {extent} elements");
        return Err(OpError::attr("extent", message));
    }
    Ok(vec![x.with_shape(rest.iter().chain([&extent]).cloned().collect())])
}

fn nest_unpack(call: &Call) -> Nest {
    let (Ok(types), Some(width)) = (infer_unpack(call), call.operand(0).shape.last()) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::pointwise(&types[0].shape);
    let n_rest = types[0].rank() - 1;
    let at = axis(n_rest);
    let index = [at.floor_div(width)].into_iter().chain((0..n_rest).map(axis)).chain([at.modulo(width)]);
    nest.load(0, index.collect());
    nest
}

fn gradient_pack(b: &mut Builder, pull: &Pull) -> Cotangents {
    let extent = pull.call.operand(0).shape.last().cloned().unwrap_or(Dim::constant(1));
    let g = pull.cotangent()?;
    Ok(vec![Some(b.apply(&UNPACK, &[g], Attrs::none().with("extent", extent))?)])
}

fn gradient_unpack(b: &mut Builder, pull: &Pull) -> Cotangents {
    let width = pull.call.operand(0).shape.last().and_then(Dim::as_constant);
    let width = width.ok_or_else(|| OpError::operand(0, "the width of its panels is no number"))?;
    let g = pull.cotangent()?;
    Ok(vec![Some(b.apply(&PACK, &[g], Attrs::none().with("width", width))?)])
}

fn sample_pack(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let shape = sampler.shape(rank);
    Sample::floats(vec![shape], Attrs::none().with("width", sampler.int(1, 4)))
}

fn sample_unpack(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let (extent, width, depth) = (sampler.int(1, 9), sampler.int(1, 4), sampler.int(1, 3));
    let shape = [(extent + width - 1) / width, depth, width].map(Dim::constant).to_vec();
    Sample::floats(vec![shape], Attrs::none().with("extent", Dim::constant(extent)))
}
