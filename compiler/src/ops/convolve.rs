//! `convolve(x, w, …)`: sums of products of a kernel with the windows of an image, of any number of axes.

mod gradient;

use super::contract::{how_to_multiply, may_multiply, result_dtype, summed_dtype};
use crate::graph::interpret::matrix::{multiply, permuted};
use crate::graph::interpret::{evaluate_nest, n_elements};
use crate::graph::{
    Attr, AttrKind, Attrs, Call, Data, Default, Dim, Eval, EvalError, Gradient, Guard, Meaning, Nest, OpDef, OpError,
    Operands, Precision, Sample, Sampler, Scalar, ScalarNode, Tensor, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "convolve",
    doc: "Slides the kernel `w` [out, in / groups, …] over `x` [batch, in, …] and sums the products. `low` and `high` \
          are zeros around `x` (negative: cropped), `dilation` spreads the kernel, `base_dilation` puts zeros between \
          the elements of `x`. The kernel is not flipped. With `channels_last`, `x` and the result are [batch, …, \
          channels]. Narrow floats are summed in f32. `result` is as in `contract`.",
    operands: Operands::Fixed(&["x", "w"]),
    attrs: &[
        attr("stride", AttrKind::PerAxis, Default::Absent),
        attr("low", AttrKind::PerAxisDims, Default::Absent),
        attr("high", AttrKind::PerAxisDims, Default::Absent),
        attr("dilation", AttrKind::PerAxis, Default::Absent),
        attr("base_dilation", AttrKind::PerAxis, Default::Absent),
        attr("groups", AttrKind::Int, Default::Int(1)),
        attr("channels_last", AttrKind::Bool, Default::Absent),
        attr("result", AttrKind::DType, Default::Absent),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: Some(eval) },
    gradient: Gradient::Rule(gradient::gradient),
    aliases: &[],
    sample: Some(sample),
};

/// How the kernel slides along one spatial axis.
#[derive(Clone)]
pub struct Slide {
    pub stride: i64,
    pub low: Dim,
    pub high: Dim,
    pub dilation: i64,
    pub base_dilation: i64,
}

impl Slide {
    /// The elements that there are with zeros between them and padding around them.
    fn padded(&self, input: &Dim) -> Dim {
        let spread = &((input - 1) * self.base_dilation) + 1;
        &(&spread + &self.low) + &self.high
    }

    /// The elements from the first tap of a kernel to its last.
    fn span(&self, size: &Dim) -> Dim {
        &((size - 1) * self.dilation) + 1
    }

    /// The number of places where a kernel of `size` fits.
    pub fn places(&self, input: &Dim, size: &Dim) -> Dim {
        let room = &self.padded(input) - &self.span(size);
        room.floor_div(&Dim::constant(self.stride)) + 1
    }

    /// Asks for a place for a kernel of `size`, which specs want and graphs may lack: no places are none too many. One that
    /// takes an element at a time may find no element.
    pub fn ask_place(
        &self,
        call: &Call,
        input: &Dim,
        size: &Dim,
        refusal: impl FnOnce(String) -> OpError,
    ) -> Result<(), OpError> {
        let (span, padded) = (self.span(size), self.padded(input));
        let refusal = || refusal(format!("it spans {span}, and there are {padded} with padding"));
        if call.sizes.proves_lt(&self.places(input, size), &Dim::constant(0)) {
            return Err(refusal());
        }
        let least = if span.is(1) { Dim::constant(0) } else { span.clone() };
        call.room(&padded - &least, refusal);
        Ok(())
    }

    /// The position read for one place and one tap of the kernel, before padding and spreading are undone.
    pub fn position(&self, place: &Dim, tap: &Dim) -> Dim {
        &(&(place * self.stride) + &(tap * self.dilation)) - &self.low
    }
}

/// One entry per spatial axis; what is absent is one, or zero for padding.
pub fn slides(call: &Call, n_axes: usize) -> Result<Vec<Slide>, OpError> {
    let ints = |name: &str| match call.attrs.get(name) {
        Some(Attr::Ints(values)) => values.clone(),
        _ => vec![1; n_axes],
    };
    let dims = |name: &str| match call.attrs.get(name) {
        Some(Attr::Dims(values)) => values.clone(),
        _ => vec![Dim::constant(0); n_axes],
    };
    let (stride, dilation, base) = (ints("stride"), ints("dilation"), ints("base_dilation"));
    let (low, high) = (dims("low"), dims("high"));
    for (name, n) in [
        ("stride", stride.len()),
        ("dilation", dilation.len()),
        ("base_dilation", base.len()),
        ("low", low.len()),
        ("high", high.len()),
    ] {
        if n != n_axes {
            return Err(OpError::attr(name, format!("there are {n_axes} spatial axes and `{name}` has {n} entries")));
        }
    }
    for (name, values) in [("stride", &stride), ("dilation", &dilation), ("base_dilation", &base)] {
        if let Some(value) = values.iter().find(|&&value| value < 1) {
            return Err(OpError::attr(name, format!("`{name}` must be positive, found {value}")));
        }
    }
    let axes = stride.into_iter().zip(dilation).zip(base).zip(low).zip(high);
    Ok(axes
        .map(|((((stride, dilation), base_dilation), low), high)| Slide { stride, low, high, dilation, base_dilation })
        .collect())
}

/// Where the axes of an image lie.
#[derive(Clone, Copy)]
pub struct Layout {
    pub channels: usize,
    /// The first spatial axis.
    pub spatial: usize,
}

/// Whether images are [batch, …, channels]; absent means [batch, channels, …].
pub fn has_channels_last(call: &Call) -> bool {
    matches!(call.attrs.get("channels_last"), Some(Attr::Bool(true)))
}

impl Layout {
    pub fn of(call: &Call) -> Layout {
        match has_channels_last(call) {
            true => Layout { channels: call.operand(0).rank() - 1, spatial: 1 },
            false => Layout { channels: 1, spatial: 2 },
        }
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, w, groups) = (call.operand(0), call.operand(1), call.attrs.int("groups"));
    if !may_multiply(call) {
        return Err(OpError::operand(1, format!("`x` is {x} and `w` is {w}: both must be numbers of one type"))
            .help(how_to_multiply(call)));
    }
    if x.rank() < 2 || w.rank() != x.rank() {
        let help = "`x` is [batch, channels, …] and `w` is [channels out, channels in / groups, …]";
        return Err(OpError::operand(1, format!("`x` is {x} and `w` is {w}")).help(help));
    }
    if groups < 1 {
        return Err(OpError::attr("groups", format!("there must be one group at least, found {groups}")));
    }
    let (expected, found) = (&w.shape[1] * groups, &x.shape[Layout::of(call).channels]);
    if !call.same_size(found, &expected) {
        let message = format!("`x` has {found} channels and `w` takes {} in each of {groups} groups", w.shape[1]);
        return Err(OpError::operand(0, message));
    }
    if w.shape[0].exact_div(&Dim::constant(groups)).is_none() {
        return Err(OpError::operand(1, format!("{} channels out do not fall into {groups} groups", w.shape[0])));
    }
    let slides = slides(call, x.rank() - 2)?;
    let axes = x.shape.iter().enumerate().skip(Layout::of(call).spatial);
    for ((slide, (idx, input)), size) in slides.iter().zip(axes).zip(&w.shape[2..]) {
        slide.ask_place(call, input, size, |why| {
            let message = format!("the kernel {w} does not fit into axis {idx} of `x`, {x}: {why}");
            OpError::operand(1, message).help("pad more, or take a smaller kernel or `dilation`")
        })?;
    }
    Ok(vec![x.with_shape(result_shape(call)?).with_dtype(result_dtype(call)?)])
}

fn result_shape(call: &Call) -> Result<Vec<Dim>, OpError> {
    let (x, w) = (call.operand(0), call.operand(1));
    let slides = slides(call, x.rank() - 2)?;
    let layout = Layout::of(call);
    let images = slides.iter().zip(&x.shape[layout.spatial..]).zip(&w.shape[2..]);
    let mut shape = vec![x.shape[0].clone()];
    shape.extend(images.map(|((slide, x), w)| slide.places(x, w)));
    shape.insert(layout.channels, w.shape[0].clone());
    Ok(shape)
}

fn nest(call: &Call) -> Nest {
    let (x, w) = (call.operand(0), call.operand(1));
    let (Ok(slides), Ok(shape)) = (slides(call, x.rank() - 2), result_shape(call)) else {
        return Nest::pointwise(&[]);
    };
    let (rank, layout) = (x.rank(), Layout::of(call));
    // The summed axes: taps and channels, in the order in which the image has them.
    let (n_taps, last) = (rank - 2, layout.channels > layout.spatial);
    let (channel_in, first_tap) = if last { (axis(rank + n_taps), rank) } else { (axis(rank), rank + 1) };
    let mut summed = w.shape[2..].to_vec();
    summed.insert(if last { n_taps } else { 0 }, w.shape[1].clone());
    let mut nest = Nest::reduction(&shape, &summed, Scalar::Add, 0.0);
    let per_group = w.shape[0].floor_div(&Dim::constant(call.attrs.int("groups")));
    let group = match call.attrs.int("groups") {
        1 => Dim::constant(0),
        _ => axis(layout.channels).floor_div(&per_group),
    };
    let (mut index, mut guards) = (vec![axis(0)], Vec::new());
    for (idx, slide) in slides.iter().enumerate() {
        let at = slide.position(&axis(layout.spatial + idx), &axis(first_tap + idx));
        let spread = Dim::constant(slide.base_dilation);
        let last = &(&(&x.shape[layout.spatial + idx] - 1) * &spread) - &at;
        let pads = |dim: &Dim| !dim.is(0) || slide.base_dilation > 1;
        guards.extend(pads(&slide.low).then(|| Guard(at.clone())));
        guards.extend(pads(&slide.high).then_some(Guard(last)));
        if slide.base_dilation > 1 {
            guards.push(Guard(-&at.modulo(&spread)));
        }
        index.push(at.floor_div(&spread));
    }
    index.insert(layout.channels, &(&group * &w.shape[1]) + &channel_in);
    let element = nest.load_where(0, index, guards, 0.0);
    let taps = (first_tap..first_tap + n_taps).map(axis);
    let weight = nest.load(1, [axis(layout.channels), channel_in].into_iter().chain(taps).collect());
    let wide = summed_dtype(call);
    let factors = [(element, x), (weight, w)].map(|(arg, ty)| match wide == ty.dtype {
        true => arg,
        false => nest.push(ScalarNode::Cast { dtype: wide, arg }),
    });
    nest.apply(Scalar::Mul, &factors);
    nest
}

/// How many windows are laid out at a time, and how many of their elements.
const MAX_WINDOWS: usize = 2048;
const MAX_LAID_OUT: usize = 1 << 23;

/// The sizes of a convolution whose symbols are known.
struct Sizes {
    x: Vec<usize>,
    taps: Vec<usize>,
    places: Vec<usize>,
    /// Per spatial axis: stride, low, dilation, base dilation.
    slides: Vec<[i64; 4]>,
    channels: usize,
    n_places: usize,
    n_taps: usize,
}

/// Lays the windows out as the columns of a matrix and multiplies it by the kernel.
fn eval(eval: &Eval) -> Result<Tensor, EvalError> {
    let (Data::Float(x), Data::Float(w)) = (&eval.operands[0].data, &eval.operands[1].data) else {
        return evaluate_nest(&nest(eval.call), eval);
    };
    let (stored_shape, last) = (eval.shape(0)?, has_channels_last(eval.call));
    let (to_first, to_last) = orders(stored_shape.len());
    let first = |shape: &[usize]| match last {
        true => to_first.iter().map(|&axis| shape[axis]).collect(),
        false => shape.to_vec(),
    };
    let (x_shape, shape) = (first(&eval.operands[0].shape), first(&stored_shape));
    let x = if last { permuted(x, &eval.operands[0].shape, &to_first) } else { x.as_slice().into() };
    let sizes = Sizes::new(eval, &x_shape, &shape)?;
    let groups = eval.call.attrs.int("groups") as usize;
    let per_group = shape[1] / groups;
    let image: usize = sizes.x.iter().product();
    let (depth, n_places) = (sizes.channels * sizes.n_taps, sizes.n_places);
    let mut result = vec![0.0; n_elements(&shape).unwrap_or(0)];
    if result.is_empty() || depth == 0 {
        return Ok(Tensor::floats(eval.results[0].dtype, stored_shape, result));
    }
    let mut columns = Vec::new();
    for (idx, out) in result.chunks_mut(per_group * n_places).enumerate() {
        let group = idx % groups;
        let x = &x[idx * sizes.channels * image..(idx + 1) * sizes.channels * image];
        let w = &w[group * per_group * depth..(group + 1) * per_group * depth];
        let n_windows = (MAX_LAID_OUT / depth).clamp(1, MAX_WINDOWS);
        for first in (0..n_places).step_by(n_windows) {
            let n = n_windows.min(n_places - first);
            sizes.lay_out(x, first, n, &mut columns);
            multiply([per_group, depth, n], w, &columns, &mut out[first..], n_places);
        }
    }
    let result = if last { permuted(&result, &shape, &to_last).into_owned() } else { result };
    let tensor = Tensor::floats(eval.results[0].dtype, stored_shape, result);
    Ok(match eval.context.precision {
        Precision::Wide | Precision::Asked => tensor,
        Precision::Declared => tensor.cast(tensor.dtype),
    })
}

/// The orders of axes that bring the channels to the front of the image, and back to its end.
fn orders(rank: usize) -> (Vec<usize>, Vec<usize>) {
    let to_first = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    (to_first, std::iter::once(0).chain(2..rank).chain([1]).collect())
}

impl Sizes {
    fn new(eval: &Eval, x: &[usize], shape: &[usize]) -> Result<Sizes, EvalError> {
        let w = &eval.operands[1].shape;
        let slides = slides(eval.call, x.len() - 2).map_err(|error| EvalError::new(error.message))?;
        let slide =
            |slide: &Slide| Ok([slide.stride, eval.context.value_of(&slide.low)?, slide.dilation, slide.base_dilation]);
        let (taps, places) = (w[2..].to_vec(), shape[2..].to_vec());
        Ok(Sizes {
            slides: slides.iter().map(slide).collect::<Result<_, EvalError>>()?,
            channels: w[1],
            n_places: places.iter().product(),
            n_taps: taps.iter().product(),
            x: x[2..].to_vec(),
            taps,
            places,
        })
    }

    /// For each channel and tap a row, for each of `n` places from `first` a column.
    fn lay_out(&self, x: &[f64], first: usize, n: usize, columns: &mut Vec<f64>) {
        columns.clear();
        columns.resize(self.channels * self.n_taps * n, 0.0);
        let image: usize = self.x.iter().product();
        for tap in 0..self.n_taps {
            let tap_position = positions(tap, &self.taps);
            for column in 0..n {
                let Some(at) = self.offset(&positions(first + column, &self.places), &tap_position) else { continue };
                for channel in 0..self.channels {
                    columns[(channel * self.n_taps + tap) * n + column] = x[channel * image + at];
                }
            }
        }
    }

    /// Where one tap at one place reads, unless that is padding.
    fn offset(&self, place: &[usize], tap: &[usize]) -> Option<usize> {
        let mut offset = 0;
        for (axis, &[stride, low, dilation, base]) in self.slides.iter().enumerate() {
            let at = (place[axis] as i64).checked_mul(stride)?;
            let at = at.checked_add((tap[axis] as i64).checked_mul(dilation)?)?.checked_sub(low)?;
            let index = usize::try_from(at / base).ok().filter(|&index| index < self.x[axis])?;
            if at < 0 || at % base != 0 {
                return None;
            }
            offset = offset * self.x[axis] + index;
        }
        Some(offset)
    }
}

/// The position along each axis of an element of a row-major tensor.
fn positions(mut idx: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (place, size) in position.iter_mut().zip(shape).rev() {
        *place = idx % size;
        idx /= size;
    }
    position
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let n_axes = sampler.int(1, 2) as usize;
    let groups = sampler.int(1, 2);
    // Groups of few columns, of half a vector, and of more.
    let of_group = [1, 2, 3, 8, 11][sampler.int(0, 4) as usize];
    let (channels, out) = (sampler.int(1, 3), groups * of_group);
    let mut ints = |low: i64, high: i64| (0..n_axes).map(|_| sampler.int(low, high)).collect::<Vec<i64>>();
    let (x, w, low, high) = (ints(3, 7), ints(1, 3), ints(-1, 2), ints(0, 2));
    let (stride, dilation, base) = (ints(1, 3), ints(1, 2), ints(1, 2));
    let dims = |values: &[i64]| values.iter().map(|&value| Dim::constant(value)).collect::<Vec<_>>();
    let attrs = Attrs::none().with("stride", stride).with("dilation", dilation).with("base_dilation", base);
    let (batch, channels_last) = (dims(&[1 + groups % 2]), sampler.int(0, 1) == 1);
    let image = match channels_last {
        true => [batch, dims(&x), dims(&[channels * groups])].concat(),
        false => [batch, dims(&[channels * groups]), dims(&x)].concat(),
    };
    let shapes = vec![image, [dims(&[out, channels]), dims(&w)].concat()];
    let attrs = if channels_last { attrs.with("channels_last", true) } else { attrs };
    Sample::floats(shapes, attrs.with("low", dims(&low)).with("high", dims(&high)).with("groups", groups))
}
