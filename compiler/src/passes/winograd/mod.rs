//! Turns convolutions with weights into products of transformed tiles, where those are fewer and that pays.
//!
//! ```text
//! convolve(x, w) {channels_last}   =>   winograd_result(contract(winograd_image(x), winograd_kernel(w)))
//! ```
//! for kernels of r by r taps that move by one place, over images that are padded already. Results fall into tiles of m by
//! m; where the last ones are not whole, zeros are added to the image and what they give is cut off. Under taps that lie n
//! apart, every n-th element makes an image of its own. The products, one for each of (m + r - 1)² numbers of a tile, are
//! contractions over the channels. Of a kernel over three axes the last two are transformed, and each of its taps along the
//! first gives products with the images that it meets, which are added up.
//! Exact but for rounding: sums of f32 are about as exact for m = 2, and lose two bits for m = 4.
//! In bf16 they stay in f32, as fast and more exact where tiles have four places; registers of matrices slide faster.
//! Stays as it is: what is read as integers, weights that change, open sizes of images, few channels, and what would take
//! longer by the model below. Off where results must be as exact as can be.

mod sizes;

use self::sizes::{Depth, Sizes, sizes};
use super::frozen::{frozen, frozen_in_region};
use super::narrow::RESULT;
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, dce, op};
use crate::graph::{Attrs, Builder, DType, Dim, Graph, NodeId, OpError, Value};
use crate::seeded::{Fault, is};

pub static PASS: Pass = Pass { name: "winograd", doc: "Multiplies transformed tiles instead of sliding kernels.", run };

/// The narrow factors beside which tiles in f32 are weighed; integers are faster in any case.
const BF16: Narrowing = Narrowing::Factors(DType::BF16);
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

fn tiled(rebuild: &mut Rebuild, id: NodeId, places: i64, sizes: Sizes) -> Result<(), OpError> {
    let (node, operands) = (rebuild.old.node(id), rebuild.operands(id));
    let attrs = Attrs::none().with("places", places).with("taps", sizes.taps);
    let shape = &node.types[0].shape;
    let mut b = Builder::new(&mut rebuild.new, node.origin.clone());
    let image = whole_tiles(&mut b, operands[0], shape, places * sizes.apart)?;
    let layers = b.shape_of(image);
    let image = flat(&mut b, image)?;
    let image = taken_apart(&mut b, image, sizes.apart)?;
    let image = b.apply(op("winograd_image")?, &[image], attrs.clone())?;
    let products = match sizes.depth {
        None => products(&mut b, image, operands[1], &attrs, "p b h w c, p o c -> p b h w o")?,
        Some(depth) => products_in_depth(&mut b, image, operands[1], &attrs, &layers, depth)?,
    };
    let result = b.apply(op("winograd_result")?, &[products], attrs)?;
    let result = put_together(&mut b, result, sizes.apart)?;
    let mut whole = shape.clone();
    let n_axes = whole.len();
    whole[n_axes - 3..].clone_from_slice(&b.shape_of(result)[1..]);
    let mut result = if shape.len() == 4 { result } else { b.reshape(result, &whole)? };
    if whole != *shape {
        let whole = Attrs::none().with("starts", vec![Dim::constant(0); n_axes]).with("stops", shape.clone());
        result = b.apply(op("slice")?, &[result], whole)?;
    }
    rebuild.set(id, vec![result]);
    Ok(())
}

/// The products of transformed tiles with a kernel of two axes.
fn products(b: &mut Builder, image: Value, w: Value, attrs: &Attrs, pattern: &str) -> Result<Value, OpError> {
    let kernel = b.apply(op("winograd_kernel")?, &[w], attrs.clone())?;
    b.apply(op("contract")?, &[image, kernel], Attrs::none().with("pattern", pattern))
}

/// The same with one of three, for images that are `layers` of volumes: sums over the taps along the first axis.
fn products_in_depth(
    b: &mut Builder,
    image: Value,
    w: Value,
    attrs: &Attrs,
    layers: &[Dim],
    depth: Depth,
) -> Result<Value, OpError> {
    let [numbers, all, height, width, channels] = &b.shape_of(image)[..] else {
        return Err(OpError::new("transformed tiles have five axes"));
    };
    let [batch, n_layers] = [&layers[0], &layers[1]];
    let of_layer = Dim::product([&all.floor_div(&(batch * n_layers)), height, width]);
    let volumes = [numbers, batch, n_layers, &of_layer, channels].map(Dim::clone);
    let image = b.reshape(image, &volumes)?;
    let mut sum = None;
    for tap in 0..depth.taps {
        let mut taps = b.shape_of(w);
        taps.remove(2);
        let w = b.range(w, 2, Dim::constant(tap), Dim::constant(tap + 1))?;
        let w = b.reshape(w, &taps)?;
        let (start, stop) = depth.layers(tap);
        let met = b.every(image, 2, Dim::constant(start), Dim::constant(stop), depth.stride)?;
        let products = products(b, met, w, attrs, "p b d r c, p o c -> p b d r o")?;
        sum = Some(match sum {
            Some(sum) => b.add(sum, products)?,
            None => products,
        });
    }
    let sum = sum.ok_or_else(|| OpError::new("a kernel without taps"))?;
    let out = b.shape_of(w).swap_remove(0);
    let images = &all.floor_div(n_layers) * depth.places;
    b.reshape(sum, &[numbers.clone(), images, height.clone(), width.clone(), out])
}

/// The layers of volumes as images.
fn flat(b: &mut Builder, image: Value) -> Result<Value, OpError> {
    match &b.shape_of(image)[..] {
        [batch, layers, rest @ ..] if rest.len() == 3 => {
            let images = [&[batch * layers], rest].concat();
            b.reshape(image, &images)
        }
        _ => Ok(image),
    }
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
    let n_axes = result.len();
    let mut more = vec![Dim::constant(0); n_axes];
    (n_axes - 3..n_axes - 1).for_each(|axis| more[axis] = lacking(&result[axis]));
    if more.iter().all(|dim| dim.is(0)) {
        return Ok(image);
    }
    let made_by = b.graph.node(image.node);
    let (from, low, high) = match made_by.op.name == "pad" && made_by.attrs.float("value") == 0.0 {
        true => (b.graph.operands(image.node)[0], made_by.attrs.dims("low"), made_by.attrs.dims("high")),
        false => (image, vec![Dim::constant(0); n_axes], vec![Dim::constant(0); n_axes]),
    };
    let with_more = |dims: &[Dim]| dims.iter().zip(&more).map(|(dim, more)| dim + more).collect();
    let (low, high): (Vec<Dim>, Vec<Dim>) = match is(Fault::TilesArePaddedBefore) {
        true => (with_more(&low), high),
        false => (low, with_more(&high)),
    };
    b.apply(op("pad")?, &[from], Attrs::none().with("low", low).with("high", high))
}
