//! `slice(x, starts, stops, steps)`: every `step`-th element of a range, along each axis.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands, Pull,
    Sample, Sampler, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "slice",
    doc: "Along each axis, every `step`-th element from `start` on, `stop` not included. Where the step is negative, \
          positions count down and `start` is above `stop`, which is -1 to go through the first element.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("starts", AttrKind::Dims, Default::Required),
        attr("stops", AttrKind::Dims, Default::Required),
        attr("steps", AttrKind::Ints, Default::Absent),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

/// Start, stop and step of each axis.
fn ranges(call: &Call) -> Result<Vec<(Dim, Dim, i64)>, OpError> {
    let rank = call.operand(0).rank();
    let (starts, stops) = (call.attrs.dims("starts"), call.attrs.dims("stops"));
    let steps = match call.attrs.get("steps") {
        Some(_) => call.attrs.ints("steps"),
        None => vec![1; rank],
    };
    for (name, n) in [("starts", starts.len()), ("stops", stops.len()), ("steps", steps.len())] {
        if n != rank {
            return Err(OpError::attr(name, format!("`x` has {rank} axes and `{name}` has {n} entries")));
        }
    }
    Ok(starts.into_iter().zip(stops).zip(steps).map(|((start, stop), step)| (start, stop, step)).collect())
}

/// How many elements a range has.
fn length(start: &Dim, stop: &Dim, step: i64) -> Dim {
    match step > 0 {
        true => (stop - start).ceil_div(&Dim::constant(step)),
        false => (start - stop).ceil_div(&Dim::constant(step.saturating_neg())),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let mut shape = Vec::with_capacity(x.rank());
    for (idx, ((start, stop, step), size)) in ranges(call)?.into_iter().zip(&x.shape).enumerate() {
        if step == 0 {
            return Err(OpError::attr("steps", format!("the step along axis {idx} is zero")));
        }
        let (low, high) = if step > 0 { (start.clone(), stop.clone()) } else { (&stop + 1, &start + 1) };
        // What cannot be decided here is checked where the sizes are known.
        let outside = [&low, &(size - &high), &(&high - &low)].iter().any(|room| call.sizes.proves_lt(room, &0.into()));
        if outside {
            let message = format!("axis {idx} has size {size}: {start}..{stop} with step {step} is not within it");
            return Err(OpError::operand(0, message));
        }
        shape.push(length(&start, &stop, step));
    }
    Ok(vec![x.with_shape(shape)])
}

fn nest(call: &Call) -> Nest {
    let ranges = ranges(call).unwrap_or_default();
    let shape: Vec<Dim> = ranges.iter().map(|(start, stop, step)| length(start, stop, *step)).collect();
    let mut nest = Nest::pointwise(&shape);
    let index = ranges.iter().enumerate().map(|(idx, (start, _, step))| start + &(axis(idx) * *step));
    nest.load(0, index.collect());
    nest
}

/// Every element goes back to its place among zeros.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let x = pull.call.operand(0);
    let mut g = pull.cotangent()?;
    for (idx, (start, _, step)) in ranges(pull.call)?.into_iter().enumerate() {
        let n = b.shape_of(g)[idx].clone();
        let first = if step > 0 { start } else { &start + &(&(&n - 1) * step) };
        g = if step > 0 { g } else { b.reversed(g, idx)? };
        g = b.spread(g, idx, step.saturating_abs())?;
        let after = &(&x.shape[idx] - &first) - &b.shape_of(g)[idx];
        g = b.pad_axis(g, idx, first, after)?;
    }
    Ok(vec![Some(g)])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let shape = sampler.shape(rank);
    let (mut starts, mut stops, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for size in shape.iter().filter_map(Dim::as_constant) {
        let low = sampler.int(0, size - 1);
        let high = sampler.int(low, size);
        let step = sampler.int(1, 3);
        let (start, stop, step) = if sampler.flip() { (low, high, step) } else { (high - 1, low - 1, -step) };
        starts.push(Dim::constant(start));
        stops.push(Dim::constant(stop));
        steps.push(step);
    }
    Sample::floats(vec![shape], Attrs::none().with("starts", starts).with("stops", stops).with("steps", steps))
}
