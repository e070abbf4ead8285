//! Turns convolutions with weights into products of transformed tiles, where those are fewer and that pays.
//!
//! ```text
//! convolve(x, w) {channels_last}   =>   winograd_result(contract(winograd_image(x), winograd_kernel(w)))
//! ```
//! for kernels of r by r taps that move by one place, over images that are padded already. Results fall into tiles of m by
//! m; where the last ones are not whole, zeros are added to the image and what they give is cut off. Under taps that lie n
//! apart, every n-th element makes an image of its own. The products, one for each of (m + r - 1)² numbers of a tile, are
//! contractions over the channels.
//! Exact but for rounding: sums of f32 are about as exact for m = 2, and lose two bits for m = 4.
//! In bf16 they stay in f32, as fast and more exact where tiles have four places; registers of matrices slide faster.
//! Stays as it is: what is read as integers, weights that change, open sizes of images, few channels, and what would take
//! longer by the model below. Off where results must be as exact as can be.

use super::frozen::{frozen, frozen_in_region};
use super::narrow::{RESULT, is_wide};
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, dce, op};
use crate::graph::{Attrs, Builder, DType, Dim, Graph, NodeId, OpError, Value};
use crate::ops::convolve::{Slide, has_channels_last, slides};
use crate::ops::winograd::is_known;
use crate::seeded::{Fault, is};

pub static PASS: Pass = Pass { name: "winograd", doc: "Multiplies transformed tiles instead of sliding kernels.", run };

/// The narrow factors beside which tiles in f32 are weighed; integers are faster in any case.
const BF16: Narrowing = Narrowing::Factors(DType::BF16);
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

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    if context.exact || context.panel.is_none() {
        return Ok(graph.clone());
    }
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    let graph = transformed(graph, live, &is_frozen, context)?;
    (dce::PASS.run)(&graph, context)
}

fn transformed(graph: &Graph, live: Vec<NodeId>, is_frozen: &[bool], context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let inside = |region: &Graph| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            transformed(region, Rebuild::live(region), &is_frozen, context)
        };
        let regions = graph.node(id).regions.iter().map(inside).collect::<Result<Vec<Graph>, _>>()?;
        // What a spec gives no type is read as narrow as was asked for.
        let narrows = context.narrowing != Narrowing::None && context.narrow_products;
        let is_narrow = graph.node(id).attrs.get(RESULT).is_some() && narrows;
        let sizes =
            sizes(graph, id, is_frozen).filter(|_| !is_narrow || context.narrowing == BF16 && !context.matrices);
        let Some((sizes, places)) = sizes.and_then(|sizes| Some((sizes, sizes.best(is_narrow)?))) else {
            rebuild.copy(id, regions);
            continue;
        };
        let origin = graph.node(id).origin.clone();
        context.remark(PASS.name, &origin, format!("tiles of {places} by {places} places are transformed"));
        tiled(&mut rebuild, id, places, sizes).map_err(PassError::at(PASS.name, &origin))?;
    }
    Ok(rebuild.finish())
}

/// The sizes of a convolution over one image.
#[derive(Clone, Copy)]
struct Sizes {
    /// Of the result.
    height: i64,
    width: i64,
    channels: i64,
    out: i64,
    taps: i64,
    /// How far the taps lie apart.
    apart: i64,
}

/// Those of a node that can be written as products of tiles.
fn sizes(graph: &Graph, id: NodeId, is_frozen: &[bool]) -> Option<Sizes> {
    let node = graph.node(id);
    let operands = graph.operands(id);
    if node.op.name != "convolve" || !is_wide(graph, id) || !is_frozen[operands[1].node.index()] {
        return None;
    }
    let apart = graph.with_call(id, |call| {
        let slides = slides(call, call.operand(0).rank() - 2).unwrap_or_default();
        let [down, across] = slides.as_slice() else { return None };
        let is_unit =
            |slide: &Slide| (slide.stride, slide.base_dilation) == (1, 1) && slide.low.is(0) && slide.high.is(0);
        let is_plain = [down, across].into_iter().all(is_unit) && down.dilation == across.dilation && down.dilation <= MAX_APART;
        (is_plain && has_channels_last(call) && call.attrs.int("groups") == 1).then_some(down.dilation)
    })?;
    let number = |dim: &Dim| dim.as_constant();
    let [_, height, width, out] = node.types[0].shape.as_slice() else { return None };
    let [_, channels, taps, other_taps] = graph.type_of(operands[1]).shape.as_slice() else { return None };
    let sizes = Sizes {
        height: number(height)?,
        width: number(width)?,
        channels: number(channels)?,
        out: number(out)?,
        taps: number(taps)?,
        apart,
    };
    let fits = taps == other_taps && sizes.channels >= CHANNELS && sizes.out >= CHANNELS;
    fits.then_some(sizes)
}

impl Sizes {
    /// The places of a tile that make it fastest, if any are faster than sliding.
    fn best(&self, is_narrow: bool) -> Option<i64> {
        let numbers = |m: i64| ((m + self.taps - 1) * (m + self.taps - 1)) as f64;
        let is_small = |&m: &i64| m == 2 || 4.0 * numbers(m) * self.pairs() <= LARGE;
        let costs = PLACES.into_iter().filter(|&m| is_known(m, self.taps)).filter(is_small).map(|m| {
            let n_tiles = |extent: i64| ((extent as u64).div_ceil((m * self.apart) as u64) as i64 * self.apart) as f64;
            let [down, across] = [self.height, self.width].map(n_tiles);
            let rows = down * across * numbers(m);
            (m, self.cost(rows, numbers(m), rows))
        });
        let best = costs.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (best.1 < GAIN * self.sliding(is_narrow)).then_some(best.0)
    }

    /// The time of sliding over factors that are read narrow, or wide.
    fn sliding(&self, is_narrow: bool) -> f64 {
        let taps = (self.taps * self.taps) as f64 / if is_narrow { 2.0 } else { 1.0 };
        self.cost(self.height as f64 * self.width as f64 * taps, taps, 0.0)
    }

    /// The time for so many rows of products, each of which sums over the channels, with so many numbers for each pair of
    /// channels, after and before transforming so many rows. Weights arrive while products are computed.
    fn cost(&self, rows: f64, weights: f64, transformed: f64) -> f64 {
        let products = 2.0 * rows * self.pairs();
        let arriving = 4.0 * weights * self.pairs() * FROM_MEMORY;
        products.max(arriving) + 8.0 * transformed * (self.channels as f64 + self.out as f64) * FROM_CACHE
    }

    /// Of a channel that is read and one that is made.
    fn pairs(&self) -> f64 {
        self.channels as f64 * self.out as f64
    }
}

fn tiled(rebuild: &mut Rebuild, id: NodeId, places: i64, sizes: Sizes) -> Result<(), OpError> {
    let (node, operands) = (rebuild.old.node(id), rebuild.operands(id));
    let attrs = Attrs::none().with("places", places).with("taps", sizes.taps);
    let mut b = Builder::new(&mut rebuild.new, node.origin.clone());
    let image = whole_tiles(&mut b, operands[0], &node.types[0].shape, places * sizes.apart)?;
    let image = taken_apart(&mut b, image, sizes.apart)?;
    let image = b.apply(op("winograd_image")?, &[image], attrs.clone())?;
    let kernel = b.apply(op("winograd_kernel")?, &[operands[1]], attrs.clone())?;
    let pattern = Attrs::none().with("pattern", "p b h w c, p o c -> p b h w o");
    let products = b.apply(op("contract")?, &[image, kernel], pattern)?;
    let result = b.apply(op("winograd_result")?, &[products], attrs)?;
    let mut result = put_together(&mut b, result, sizes.apart)?;
    let shape = &node.types[0].shape;
    if b.shape_of(result) != *shape {
        let whole = Attrs::none().with("starts", vec![Dim::constant(0); 4]).with("stops", shape.clone());
        result = b.apply(op("slice")?, &[result], whole)?;
    }
    rebuild.set(id, vec![result]);
    Ok(())
}

/// `n` by `n` images, of which each has every `n`-th element: neighbours under taps that lie so far apart.
fn taken_apart(b: &mut Builder, image: Value, n: i64) -> Result<Value, OpError> {
    let [batch, height, width, channels] = &b.shape_of(image)[..] else { return Ok(image) };
    if n == 1 {
        return Ok(image);
    }
    let by = Dim::constant(n);
    let [height, width] = [height, width].map(|extent| extent.floor_div(&by));
    let split = [batch.clone(), height.clone(), by.clone(), width.clone(), by, channels.clone()];
    let images = [batch * n * n, height, width, channels.clone()];
    let image = b.reshape(image, &split)?;
    let image = b.apply(op("permute")?, &[image], Attrs::none().with("axes", vec![0i64, 2, 4, 1, 3, 5]))?;
    b.reshape(image, &images)
}

/// The image of which these are every `n`-th element.
fn put_together(b: &mut Builder, images: Value, n: i64) -> Result<Value, OpError> {
    let [all, height, width, channels] = &b.shape_of(images)[..] else { return Ok(images) };
    if n == 1 {
        return Ok(images);
    }
    let (by, batch) = (Dim::constant(n), all.floor_div(&Dim::constant(n * n)));
    let split = [batch.clone(), by.clone(), by, height.clone(), width.clone(), channels.clone()];
    let image = [batch, height * n, width * n, channels.clone()];
    let images = b.reshape(images, &split)?;
    let images = b.apply(op("permute")?, &[images], Attrs::none().with("axes", vec![0i64, 3, 1, 4, 2, 5]))?;
    b.reshape(images, &image)
}

/// An image with as many zeros at the ends of its axes as the last tiles lack; those of a `pad` become more.
fn whole_tiles(b: &mut Builder, image: Value, result: &[Dim], places: i64) -> Result<Value, OpError> {
    let lacking = |extent: &Dim| Dim::constant(extent.as_constant().map_or(0, |n| -n).rem_euclid(places));
    let more = [Dim::constant(0), lacking(&result[1]), lacking(&result[2]), Dim::constant(0)];
    if more.iter().all(|dim| dim.is(0)) {
        return Ok(image);
    }
    let made_by = b.graph.node(image.node);
    let (from, low, high) = match made_by.op.name == "pad" && made_by.attrs.float("value") == 0.0 {
        true => (b.graph.operands(image.node)[0], made_by.attrs.dims("low"), made_by.attrs.dims("high")),
        false => (image, vec![Dim::constant(0); 4], vec![Dim::constant(0); 4]),
    };
    let with_more = |dims: &[Dim]| dims.iter().zip(&more).map(|(dim, more)| dim + more).collect();
    let (low, high): (Vec<Dim>, Vec<Dim>) = match is(Fault::TilesArePaddedBefore) {
        true => (with_more(&low), high),
        false => (low, with_more(&high)),
    };
    b.apply(op("pad")?, &[from], Attrs::none().with("low", low).with("high", high))
}
