//! `max_pool` and `avg_pool`: the largest and the mean of each window over the trailing axes.
//!
//! Invariant: where `ceil`, one more window may stand at the end than fits, but none that starts in the padding there.

use super::convolve::{Slide, slides};
use super::formula::{Built, check_float};
use super::{pad, window};
use crate::graph::{
    Attr, AttrDef, AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands,
    Sample, Sampler, Type, Value, attr,
};

const ATTRS: [AttrDef; 6] = [
    attr("size", AttrKind::PerAxis, Default::Required),
    attr("stride", AttrKind::PerAxis, Default::Absent),
    attr("low", AttrKind::PerAxisDims, Default::Absent),
    attr("high", AttrKind::PerAxisDims, Default::Absent),
    attr("dilation", AttrKind::PerAxis, Default::Absent),
    attr("ceil", AttrKind::Bool, Default::Bool(false)),
];
const COUNT: AttrDef = attr("count_padding", AttrKind::Bool, Default::Bool(true));

pub static MAX: OpDef = op(
    "max_pool",
    "The largest element of each window over the trailing axes; `stride` is `size` where left out, and padding never wins.",
    &ATTRS,
);
pub static AVG: OpDef = op(
    "avg_pool",
    "The mean of each window over the trailing axes; `stride` is `size` where left out. Padding is zeros, counted unless \
     `count_padding` is false.",
    &[ATTRS[0], ATTRS[1], ATTRS[2], ATTRS[3], ATTRS[4], ATTRS[5], COUNT],
);

const fn op(name: &'static str, doc: &'static str, attrs: &'static [AttrDef]) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs,
        infer,
        meaning: Meaning::Expand(expand),
        gradient: Gradient::ThroughExpansion,
        aliases: &[],
        sample: Some(sample),
    }
}

/// The `window` over an operand: its attributes without `combine`, with what `ceil` adds written out.
fn windows(call: &Call) -> Result<(Attrs, Vec<Slide>), OpError> {
    let size = call.attrs.ints("size");
    let x = call.operand(0);
    let Some(n_outer) = x.rank().checked_sub(size.len()) else {
        return Err(OpError::attr("size", format!("a window over {} axes of {x}", size.len())));
    };
    let stride = match call.attrs.get("stride") {
        Some(Attr::Ints(stride)) => stride.clone(),
        _ => size.clone(),
    };
    let mut attrs = Attrs::none().with("size", size.clone()).with("stride", stride);
    for name in ["low", "high", "dilation"] {
        if let Some(value) = call.attrs.get(name) {
            attrs.set(name, value.clone());
        }
    }
    let asked = slides(&Call { attrs: &attrs, ..*call }, size.len())?;
    let mut high: Vec<Dim> = asked.iter().map(|slide| slide.high.clone()).collect();
    if call.attrs.bool("ceil") {
        for (idx, slide) in asked.iter().enumerate() {
            high[idx] = reach(slide, &x.shape[n_outer + idx], size[idx]);
        }
    }
    let low: Vec<Dim> = asked.iter().map(|slide| slide.low.clone()).collect();
    Ok((attrs.with("low", low).with("high", high), asked))
}

/// The padding at the end with which the last window fits, if it starts before the padding does.
fn reach(slide: &Slide, input: &Dim, size: i64) -> Dim {
    let stride = Dim::constant(slide.stride);
    let extent = (size - 1).saturating_mul(slide.dilation).saturating_add(1);
    let before_end = input + &slide.low;
    let whole = &(&before_end + &slide.high) - extent;
    let n_windows = (whole.ceil_div(&stride) + 1).least(&before_end.ceil_div(&stride));
    &(&((&n_windows - 1) * slide.stride) + extent) - &before_end
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    if call.op.name == "avg_pool" {
        check_float(call, 0)?;
    }
    let (attrs, _) = windows(call)?;
    let attrs = attrs.with("combine", "max").complete(window::OP.attrs).map_err(OpError::new)?;
    (window::OP.infer)(&Call { op: &window::OP, attrs: &attrs, ..*call })
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let (attrs, asked) = windows(call)?;
    let x = operands[0];
    if call.op.name == "max_pool" {
        return Ok(vec![b.apply(&window::OP, &[x], attrs.with("combine", "max"))?]);
    }
    let sum = b.apply(&window::OP, &[x], attrs.clone().with("combine", "add"))?;
    let counts_all = call.attrs.bool("count_padding");
    let padding = asked.iter().flat_map(|slide| [&slide.low, &slide.high]);
    let uniform = !call.attrs.bool("ceil") && (counts_all || padding.into_iter().all(|dim| dim.is(0)));
    let n = match uniform {
        true => b.number(call.attrs.ints("size").iter().product::<i64>() as f64, sum)?,
        false => counted(b, call, &attrs, &asked)?,
    };
    let n = b.broadcast(n, &b.shape_of(sum))?;
    Ok(vec![b.div(sum, n)?])
}

/// How many elements each window holds: a window over ones.
fn counted(b: &mut Builder, call: &Call, attrs: &Attrs, asked: &[Slide]) -> Built {
    let x = call.operand(0);
    let inner = x.shape[x.rank() - asked.len()..].to_vec();
    let mut ones = b.filled(1.0, Type::new(x.dtype, inner))?;
    let mut attrs = attrs.clone().with("combine", "add");
    if call.attrs.bool("count_padding") {
        let low: Vec<Dim> = asked.iter().map(|slide| slide.low.clone()).collect();
        let high: Vec<Dim> = asked.iter().map(|slide| slide.high.clone()).collect();
        let rest = attrs.dims("high").iter().zip(&high).map(|(reach, high)| reach - high).collect::<Vec<_>>();
        ones = b.apply(&pad::OP, &[ones], Attrs::none().with("low", low).with("high", high).with("value", 1.0))?;
        attrs = attrs.with("low", vec![Dim::constant(0); asked.len()]).with("high", rest);
    }
    b.apply(&window::OP, &[ones], attrs)
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let n_axes = sampler.int(1, 2) as usize;
    let mut ints = |low: i64, high: i64| (0..n_axes).map(|_| sampler.int(low, high)).collect::<Vec<i64>>();
    let (x, size, stride, low, high) = (ints(4, 9), ints(2, 3), ints(1, 3), ints(0, 1), ints(0, 1));
    let dims = |values: &[i64]| values.iter().map(|&value| Dim::constant(value)).collect::<Vec<_>>();
    let mut attrs = Attrs::none().with("size", size).with("low", dims(&low)).with("high", dims(&high));
    if sampler.flip() {
        attrs = attrs.with("stride", stride);
    }
    if op.name == "avg_pool" {
        attrs = attrs.with("count_padding", sampler.flip());
    }
    let mut sample = Sample::floats(vec![[dims(&[2]), dims(&x)].concat()], attrs.with("ceil", sampler.flip()));
    sample.operands[0].dtype = if op.name == "max_pool" && sampler.flip() { DType::I64 } else { DType::Real };
    sample
}
