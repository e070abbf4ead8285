//! Takes convolutions over spread images apart: between elements that stand `b` apart, most products are with zeros.
//!
//! ```text
//! y = convolve(x, w) {base_dilation b}   =>   y[b i + r] = convolve(x, w_r)[i]      w_r = w[t₀ of r], w[t₀ + b], …
//! ```
//! along each such axis, for `r` in `0..b`: each of these phases meets the taps from `t₀ = (low - r) mod b` on, every
//! `b`-th, and reads `x` from `i + (r + t₀ - low) / b` on. The phases are laid side by side and what is too much at the end
//! is cut off. The gradient of a strided convolution is one, and so is a transposed one. Exact but for the order of sums,
//! and where a tap is infinite or NaN: it no longer meets the zeros between, nor those of the padding where none of the
//! elements could stand.
//! Stays as it is: strides or a dilation along such an axis, sizes of the kernel or a padding that are not numbers.

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{Attrs, Builder, Dim, Graph, NodeId, OpError, Type, Value};
use crate::ops::convolve::{Layout, Slide, slides};

pub static PASS: Pass =
    Pass { name: "phases", doc: "Takes convolutions over images with zeros between their elements apart.", run };

/// More phases than this are too many convolutions.
pub const MAX_PHASES: i64 = 16;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let Some(spread) = find(graph, id) else {
            rebuild.copy_with(id, |region| run(region, context))?;
            continue;
        };
        let operands = rebuild.operands(id);
        let mut builder = Builder::new(&mut rebuild.new, node.origin.clone());
        let built = spread.interleaved(&mut builder, &operands, &mut Vec::new());
        let value = built.map_err(PassError::at(PASS.name, &node.origin))?;
        rebuild.set(id, vec![value]);
    }
    Ok(rebuild.finish())
}

/// A convolution over a spread image.
struct Spread {
    slides: Vec<Slide>,
    layout: Layout,
    attrs: Attrs,
    result: Type,
    /// The extents of the kernel.
    taps: Vec<i64>,
}

fn find(graph: &Graph, id: NodeId) -> Option<Spread> {
    let node = graph.node(id);
    if node.op.name != "convolve" || node.attrs.get("base_dilation").is_none() {
        return None;
    }
    let result = node.types[0].clone();
    let (slides, layout, taps) = graph.with_call(id, |call| {
        let taps: Option<Vec<i64>> = call.operand(1).shape[2..].iter().map(Dim::as_constant).collect();
        Some((slides(call, result.rank() - 2).ok()?, Layout::of(call), taps?))
    })?;
    let is_spread = |slide: &&Slide| slide.base_dilation > 1;
    let is_simple = |slide: &Slide| slide.stride == 1 && slide.dilation == 1 && slide.low.as_constant().is_some();
    let n_phases = slides.iter().filter(is_spread).try_fold(1i64, |n, slide| n.checked_mul(slide.base_dilation))?;
    let fits = (2..=MAX_PHASES).contains(&n_phases) && slides.iter().filter(is_spread).all(is_simple);
    fits.then(|| Spread { slides, layout, attrs: node.attrs.clone(), result, taps })
}

impl Spread {
    /// The result, given the phases along the first axes.
    fn interleaved(&self, b: &mut Builder, operands: &[Value], phases: &mut Vec<i64>) -> Result<Value, OpError> {
        let Some(slide) = self.slides.get(phases.len()) else { return self.phase(b, operands, phases) };
        if slide.base_dilation == 1 {
            phases.push(0);
            let result = self.interleaved(b, operands, phases);
            phases.pop();
            return result;
        }
        let axis = self.layout.spatial + phases.len();
        let mut parts = Vec::new();
        for phase in 0..slide.base_dilation {
            phases.push(phase);
            let part = self.interleaved(b, operands, phases)?;
            phases.pop();
            let mut shape = b.shape_of(part);
            shape.insert(axis + 1, Dim::constant(1));
            parts.push(b.reshape(part, &shape)?);
        }
        let side_by_side = b.apply(op("concat")?, &parts, Attrs::none().with("axis", axis as i64 + 1))?;
        let mut shape = b.shape_of(side_by_side);
        shape.remove(axis + 1);
        shape[axis] = &shape[axis] * slide.base_dilation;
        let joined = b.reshape(side_by_side, &shape)?;
        b.range(joined, axis, Dim::constant(0), self.result.shape[axis].clone())
    }

    /// Places of each phase along a spatial axis.
    fn places(&self, idx: usize) -> Dim {
        self.result.shape[self.layout.spatial + idx].ceil_div(&Dim::constant(self.slides[idx].base_dilation))
    }

    /// One convolution, or zeros where no tap falls on an element.
    fn phase(&self, b: &mut Builder, operands: &[Value], phases: &[i64]) -> Result<Value, OpError> {
        let (x, mut w) = (operands[0], operands[1]);
        let n_axes = self.slides.len();
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (idx, (slide, &phase)) in self.slides.iter().zip(phases).enumerate() {
            let apart = slide.base_dilation;
            if apart == 1 {
                low.push(slide.low.clone());
                high.push(slide.high.clone());
                continue;
            }
            let before = slide.low.as_constant().ok_or_else(|| OpError::new("a padding is no number"))?;
            let first = (before - phase).rem_euclid(apart);
            let n_taps = ((self.taps[idx] - first).max(0) as u64).div_ceil(apart as u64) as i64;
            if n_taps == 0 {
                return self.zeros(b);
            }
            let stop = Dim::constant(first + (n_taps - 1) * apart + 1);
            w = b.every(w, 2 + idx, Dim::constant(first), stop, apart)?;
            let start = Dim::constant((before - phase - first) / apart);
            let extent = &b.shape_of(x)[self.layout.spatial + idx];
            high.push(&(&(&self.places(idx) + (n_taps - 1)) - extent) - &start);
            low.push(start);
        }
        let attrs = self.attrs.clone().with("base_dilation", vec![1; n_axes]).with("low", low).with("high", high);
        b.apply(op("convolve")?, &[x, w], attrs)
    }

    fn zeros(&self, b: &mut Builder) -> Result<Value, OpError> {
        let mut shape = self.result.shape.clone();
        for (idx, _) in self.slides.iter().enumerate().filter(|(_, slide)| slide.base_dilation > 1) {
            shape[self.layout.spatial + idx] = self.places(idx);
        }
        b.filled(0.0, self.result.with_shape(shape))
    }
}
