//! Leaves out the taps of convolutions that meet nothing but padding.
//!
//! ```text
//! y = convolve(x, w)   =>   y[a..b] = convolve(x, w[s..t])      for each band a..b of places that meet the taps s..t alone
//! ```
//! along each spatial axis, where sizes, kernel and padding are numbers: a kernel whose taps lie far apart on a small image
//! has few of them on it at a time. Bands are laid side by side; what is padding to all of a band is cropped instead. Taken
//! apart where a quarter of the products and more is with zeros and no band is small; where a tap meets no place at all, it
//! goes in any case. Exact but for the order of sums, and where a tap is infinite or NaN: it no longer meets the zeros.
//! Stays as it is: an image of open size, one with zeros between its elements, few weights.

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{Attrs, Builder, Dim, Graph, NodeId, OpError, Value};
use crate::ops::convolve::{Layout, Slide, slides};

pub static PASS: Pass =
    Pass { name: "padding", doc: "Leaves out the taps of convolutions that meet padding alone.", run };

/// A kernel of fewer weights takes no time worth saving.
const MANY_WEIGHTS: i64 = 1 << 14;
/// Products for an image that are worth several kernels.
const MANY_PRODUCTS: i64 = 1 << 24;
/// Bands along an axis at most: those before, on and after the middle of a window of three taps or five.
const MAX_BANDS: usize = 5;
/// Along an axis this long padding does not matter.
const MAX_PLACES: i64 = 1 << 16;
/// Places of the smallest piece: fewer use a kernel's registers badly.
const MIN_PLACES: i64 = 32;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let Some(padded) = find(graph, id) else {
            rebuild.copy_with(id, |region| run(region, context))?;
            continue;
        };
        let operands = rebuild.operands(id);
        let mut builder = Builder::new(&mut rebuild.new, node.origin.clone());
        let built = padded.joined(&mut builder, &operands, &mut Vec::new());
        let value = built.map_err(PassError::at(PASS.name, &node.origin))?;
        rebuild.set(id, vec![value]);
    }
    Ok(rebuild.finish())
}

/// Places along an axis, and the taps on the image at any of them.
#[derive(Clone, Copy, PartialEq)]
struct Band {
    places: (i64, i64),
    taps: (i64, i64),
}

impl Band {
    fn n_places(&self) -> i64 {
        self.places.1 - self.places.0
    }

    fn n_taps(&self) -> i64 {
        self.taps.1 - self.taps.0
    }
}

/// A convolution with taps on nothing but padding.
struct Padded {
    slides: Vec<Slide>,
    layout: Layout,
    attrs: Attrs,
    /// The image's sizes.
    extents: Vec<i64>,
    /// For each spatial axis.
    bands: Vec<Vec<Band>>,
}

fn find(graph: &Graph, id: NodeId) -> Option<Padded> {
    let node = graph.node(id);
    if node.op.name != "convolve" {
        return None;
    }
    let n_axes = node.types[0].rank() - 2;
    let sizes = |dims: &[Dim]| dims.iter().map(Dim::as_constant).collect::<Option<Vec<i64>>>();
    let (slides, layout, extents, kernel) = graph.with_call(id, |call| {
        let layout = Layout::of(call);
        let extents = sizes(&call.operand(0).shape[layout.spatial..layout.spatial + n_axes])?;
        Some((slides(call, n_axes).ok()?, layout, extents, sizes(&call.operand(1).shape)?))
    })?;
    let places = sizes(&node.types[0].shape[layout.spatial..layout.spatial + n_axes])?;
    let bands = (0..n_axes).map(|axis| bands(&slides[axis], extents[axis], kernel[2 + axis], places[axis]));
    let bands = bands.collect::<Option<Vec<_>>>()?;
    let n_weights = kernel.iter().try_fold(1i64, |n, &size| n.checked_mul(size))?;
    let n_places = places.iter().try_fold(1i64, |n, &size| n.checked_mul(size))?;
    let whole: Vec<Vec<Band>> = bands.iter().map(|bands| vec![whole(bands)]).collect();
    let products = n_weights.checked_mul(n_places)?;
    let bands = if products >= MANY_PRODUCTS && is_worth(&bands, &whole) { bands } else { whole };
    let is_less = bands.iter().zip(&kernel[2..]).any(|(bands, &taps)| bands.iter().any(|band| band.n_taps() < taps));
    (n_weights >= MANY_WEIGHTS && is_less).then(|| Padded { slides, layout, attrs: node.attrs.clone(), extents, bands })
}

/// Neighbouring places that meet the same taps, if a number says each size and there are few such bands; else all of them.
fn bands(slide: &Slide, extent: i64, n_taps: i64, n_places: i64) -> Option<Vec<Band>> {
    let (low, _) = slide.low.as_constant().zip(slide.high.as_constant())?;
    if slide.base_dilation != 1 || n_taps < 1 || !(1..=MAX_PLACES).contains(&n_places) {
        return None;
    }
    let mut bands: Vec<Band> = Vec::new();
    for place in 0..n_places {
        let from = place.checked_mul(slide.stride)?.checked_sub(low)?;
        let first = ceil_div(-from, slide.dilation).clamp(0, n_taps - 1);
        let stop = ceil_div(extent.checked_sub(from)?, slide.dilation).clamp(first + 1, n_taps);
        match bands.last_mut() {
            Some(band) if band.taps == (first, stop) => band.places.1 = place + 1,
            _ => bands.push(Band { places: (place, place + 1), taps: (first, stop) }),
        }
    }
    Some(if bands.len() > MAX_BANDS { vec![whole(&bands)] } else { bands })
}

fn ceil_div(a: i64, by: i64) -> i64 {
    -(-a).div_euclid(by)
}

/// All places, with the taps that meet the image at one of them.
fn whole(bands: &[Band]) -> Band {
    let joined = bands.iter().copied().reduce(|a, b| Band {
        places: (a.places.0, b.places.1),
        taps: (a.taps.0.min(b.taps.0), a.taps.1.max(b.taps.1)),
    });
    joined.unwrap_or(Band { places: (0, 0), taps: (0, 0) })
}

/// Whether a quarter of the products goes, and no piece is small.
fn is_worth(bands: &[Vec<Band>], whole: &[Vec<Band>]) -> bool {
    let products = |bands: &[Vec<Band>]| -> f64 {
        bands
            .iter()
            .map(|bands| bands.iter().map(|band| (band.n_places() * band.n_taps()) as f64).sum::<f64>())
            .product()
    };
    let shortest = bands.iter().filter_map(|bands| bands.iter().map(Band::n_places).min());
    products(bands) <= 0.75 * products(whole) && shortest.fold(1, i64::saturating_mul) >= MIN_PLACES
}

impl Padded {
    /// The result, given the bands along the first axes.
    fn joined(&self, b: &mut Builder, operands: &[Value], chosen: &mut Vec<Band>) -> Result<Value, OpError> {
        let axis = chosen.len();
        let Some(bands) = self.bands.get(axis) else { return self.piece(b, operands, chosen) };
        let mut parts = Vec::with_capacity(bands.len());
        for &band in bands {
            chosen.push(band);
            parts.push(self.joined(b, operands, chosen)?);
            chosen.pop();
        }
        match parts[..] {
            [part] => Ok(part),
            _ => b.apply(op("concat")?, &parts, Attrs::none().with("axis", (self.layout.spatial + axis) as i64)),
        }
    }

    /// The convolution at the places where some bands meet.
    fn piece(&self, b: &mut Builder, operands: &[Value], bands: &[Band]) -> Result<Value, OpError> {
        let (x, mut w) = (operands[0], operands[1]);
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (axis, (slide, band)) in self.slides.iter().zip(bands).enumerate() {
            w = b.range(w, 2 + axis, Dim::constant(band.taps.0), Dim::constant(band.taps.1))?;
            let before = slide.low.as_constant().ok_or_else(|| OpError::new("a padding is no number"))?;
            let before = before - band.places.0 * slide.stride - band.taps.0 * slide.dilation;
            let span = (band.n_places() - 1) * slide.stride + (band.n_taps() - 1) * slide.dilation + 1;
            low.push(Dim::constant(before));
            high.push(Dim::constant(span - self.extents[axis] - before));
        }
        b.apply(op("convolve")?, &[x, w], self.attrs.clone().with("low", low).with("high", high))
    }
}
