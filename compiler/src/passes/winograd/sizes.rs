//! Which convolutions are transformed, and in what tiles.
//!
//! Invariant: what is chosen takes less time than sliding by the model below, which weighs products against what is written
//! and read between them.

use super::super::narrow::is_wide;
use crate::graph::{Dim, Graph, NodeId};
use crate::ops::convolve::{Slide, has_channels_last, slides};
use crate::ops::winograd::is_known;

/// Places of a tile that are tried.
const PLACES: [i64; 2] = [4, 2];
/// Taps that lie further apart are those of no image worth transforming.
const MAX_APART: i64 = 64;
/// Channels fill vectors from here on.
const CHANNELS: i64 = 16;

/// What a byte costs that is read from memory once, in products and additions.
const FROM_MEMORY: f64 = 14.0;
/// The same for what is written and soon read again.
const FROM_CACHE: f64 = 4.0;
/// Bytes of a transformed weight beyond which places are not worth the memory: four times as large as it was for four.
const LARGE: f64 = (64 << 20) as f64;
/// It must be so much less.
const GAIN: f64 = 0.85;

/// The sizes of a convolution over one image, or one volume.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Of the result.
    height: i64,
    width: i64,
    channels: i64,
    out: i64,
    pub taps: i64,
    /// How far the taps lie apart.
    pub apart: i64,
    /// The axis before those that are transformed.
    pub depth: Option<Depth>,
}

/// How the kernel slides along the first of three axes.
#[derive(Clone, Copy)]
pub struct Depth {
    pub taps: i64,
    pub places: i64,
    pub stride: i64,
    dilation: i64,
}

impl Depth {
    /// From which layer on, and up to which, a tap meets every `stride`-th.
    pub fn layers(&self, tap: i64) -> (i64, i64) {
        let start = tap * self.dilation;
        (start, start + (self.places - 1) * self.stride + 1)
    }
}

/// Those of a node that can be written as products of tiles.
pub fn sizes(graph: &Graph, id: NodeId, is_frozen: &[bool]) -> Option<Sizes> {
    let node = graph.node(id);
    let operands = graph.operands(id);
    if node.op.name != "convolve" || !is_wide(graph, id) || !is_frozen[operands[1].node.index()] {
        return None;
    }
    let slides = graph.with_call(id, |call| {
        let is_plain = has_channels_last(call) && call.attrs.int("groups") == 1;
        slides(call, call.operand(0).rank() - 2).ok().filter(|_| is_plain)
    })?;
    let (before, [down, across]) = slides.split_last_chunk()?;
    let is_padded = |slide: &Slide| slide.base_dilation == 1 && slide.low.is(0) && slide.high.is(0);
    let is_unit = [down, across].into_iter().all(|slide| slide.stride == 1 && slide.dilation <= MAX_APART);
    if !slides.iter().all(is_padded) || !is_unit || down.dilation != across.dilation {
        return None;
    }
    let number = |dim: &Dim| dim.as_constant();
    let [_, layers @ .., height, width, out] = node.types[0].shape.as_slice() else { return None };
    let [_, channels, of_depth @ .., taps, other_taps] = graph.type_of(operands[1]).shape.as_slice() else {
        return None;
    };
    let depth = match (before, layers, of_depth) {
        ([], ..) => None,
        ([slide], [places], [taps]) => {
            let (stride, dilation) = (slide.stride, slide.dilation);
            Some(Depth { taps: number(taps)?, places: number(places)?, stride, dilation })
        }
        _ => return None,
    };
    let sizes = Sizes {
        height: number(height)?,
        width: number(width)?,
        channels: number(channels)?,
        out: number(out)?,
        taps: number(taps)?,
        apart: down.dilation,
        depth,
    };
    let has_places = depth.is_none_or(|depth| depth.taps > 0 && depth.places > 0);
    let fits = has_places && taps == other_taps && sizes.channels >= CHANNELS && sizes.out >= CHANNELS;
    fits.then_some(sizes)
}

impl Sizes {
    /// The places of a tile that make it fastest, if any are faster than sliding.
    pub fn best(&self, is_narrow: bool) -> Option<i64> {
        let numbers = |m: i64| ((m + self.taps - 1) * (m + self.taps - 1)) as f64;
        let is_small = |&m: &i64| m == 2 || 4.0 * numbers(m) * self.pairs() <= LARGE;
        let costs = PLACES.into_iter().filter(|&m| is_known(m, self.taps)).filter(is_small).map(|m| {
            let n_tiles = |extent: i64| ((extent as u64).div_ceil((m * self.apart) as u64) as i64 * self.apart) as f64;
            let [down, across] = [self.height, self.width].map(n_tiles);
            let rows = self.layers() * down * across * numbers(m);
            (m, self.cost(rows, numbers(m), rows))
        });
        let best = costs.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (best.1 < GAIN * self.sliding(is_narrow)).then_some(best.0)
    }

    /// The time of sliding over factors that are read narrow, or wide.
    fn sliding(&self, is_narrow: bool) -> f64 {
        let taps = (self.taps * self.taps) as f64 / if is_narrow { 2.0 } else { 1.0 };
        self.cost(self.layers() * self.height as f64 * self.width as f64 * taps, taps, 0.0)
    }

    /// The time for so many rows of products, each of which sums over the channels, with so many numbers for each pair of
    /// channels, after and before transforming so many rows. Weights arrive while products are computed. Sums over the depth
    /// are read and written again for each tap.
    fn cost(&self, rows: f64, weights: f64, transformed: f64) -> f64 {
        let products = 2.0 * rows * self.pairs();
        let arriving = 4.0 * weights * self.pairs() * FROM_MEMORY;
        let sums = (self.deep() - 1.0) * self.out as f64;
        products.max(arriving) + 8.0 * transformed * (self.channels as f64 + self.out as f64 + sums) * FROM_CACHE
    }

    /// Of a channel that is read and one that is made, at each tap along the depth.
    fn pairs(&self) -> f64 {
        self.channels as f64 * self.out as f64 * self.deep()
    }

    fn deep(&self) -> f64 {
        self.depth.map_or(1.0, |depth| depth.taps as f64)
    }

    /// Images that the result is made of.
    fn layers(&self) -> f64 {
        self.depth.map_or(1.0, |depth| depth.places as f64)
    }
}
