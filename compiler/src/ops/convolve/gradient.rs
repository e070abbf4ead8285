//! The cotangents of a convolution, which are convolutions again.
//!
//! ```text
//! y[o] = sum over t of w[t] * x[(o*s + t*d - low) / b]           s stride, d dilation, b base dilation, along each axis
//! dx   = convolve(dy, w turned round)    stride b, dilation d, base dilation s
//! dw   = convolve(x, dy)                 stride d, dilation s, base dilation b, with batch and channels exchanged, or,
//!                                        where every channel is a group of its own, the batch as one more axis
//! ```
//! Invariant: padding is chosen so that as many places fit as the operand has elements, exactly.

use super::{Layout, OP, Slide, has_channels_last, slides};
use crate::graph::{Attrs, Builder, Cotangents, Dim, Pull, Value};
use crate::ops::contract::typed;
use crate::ops::formula::Built;

pub fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let slides = slides(pull.call, pull.call.operand(0).rank() - 2)?;
    let g = pull.cotangent()?;
    let of_image = if pull.wanted[0] { Some(image(b, pull, &slides, g)?) } else { None };
    let of_kernel = if pull.wanted[1] { Some(kernel(b, pull, &slides, g)?) } else { None };
    Ok(vec![of_image, of_kernel])
}

/// The attributes of a convolution, from slides.
fn attrs(slides: &[Slide], groups: i64) -> Attrs {
    let ints = |f: &dyn Fn(&Slide) -> i64| slides.iter().map(f).collect::<Vec<_>>();
    let dims = |f: &dyn Fn(&Slide) -> Dim| slides.iter().map(f).collect::<Vec<_>>();
    Attrs::none()
        .with("stride", ints(&|slide| slide.stride))
        .with("dilation", ints(&|slide| slide.dilation))
        .with("base_dilation", ints(&|slide| slide.base_dilation))
        .with("low", dims(&|slide| slide.low.clone()))
        .with("high", dims(&|slide| slide.high.clone()))
        .with("groups", groups)
}

fn image(b: &mut Builder, pull: &Pull, slides: &[Slide], g: Value) -> Built {
    let (x, w) = (pull.call.operand(0), pull.call.operand(1));
    let (layout, groups) = (Layout::of(pull.call), pull.call.attrs.int("groups"));
    let places = b.shape_of(g);
    let back = |(idx, slide): (usize, &Slide)| {
        let reach = &(&w.shape[2 + idx] - 1) * slide.dilation;
        let (n, m) = (&x.shape[layout.spatial + idx], &places[layout.spatial + idx]);
        Slide {
            stride: slide.base_dilation,
            base_dilation: slide.stride,
            dilation: slide.dilation,
            low: &reach - &slide.low,
            high: &(&(&(n - 1) * slide.base_dilation) - &(&(m - 1) * slide.stride)) + &slide.low,
        }
    };
    let slides: Vec<Slide> = slides.iter().enumerate().map(back).collect();
    let mut attrs = attrs(&slides, groups);
    if has_channels_last(pull.call) {
        attrs = attrs.with("channels_last", true);
    }
    let w = turned(b, pull.operands[1], groups)?;
    b.apply(&OP, &[g, w], typed(attrs, pull.call, 0))
}

/// [out, in / groups, …] as [in, out / groups, …], each tap at the other end.
fn turned(b: &mut Builder, w: Value, groups: i64) -> Built {
    let shape = b.shape_of(w);
    let mut w = if groups == 1 { exchanged(b, w)? } else { exchanged_in_groups(b, w, groups)? };
    for axis in 2..shape.len() {
        w = b.reversed(w, axis)?;
    }
    Ok(w)
}

/// The first two axes the other way round.
fn exchanged(b: &mut Builder, x: Value) -> Built {
    let order: Vec<usize> = [1, 0].into_iter().chain(2..b.shape_of(x).len()).collect();
    b.permute(x, &order)
}

fn exchanged_in_groups(b: &mut Builder, w: Value, groups: i64) -> Built {
    let shape = b.shape_of(w);
    let n_groups = Dim::constant(groups);
    let per_group = shape[0].floor_div(&n_groups);
    let split: Vec<Dim> = [n_groups, per_group.clone()].into_iter().chain(shape[1..].iter().cloned()).collect();
    let w = b.reshape(w, &split)?;
    let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..split.len()).collect();
    let w = b.permute(w, &order)?;
    let joined: Vec<Dim> = [&shape[1] * groups, per_group].into_iter().chain(shape[2..].iter().cloned()).collect();
    b.reshape(w, &joined)
}

fn kernel(b: &mut Builder, pull: &Pull, slides: &[Slide], g: Value) -> Built {
    let (w, groups) = (pull.call.operand(1), pull.call.attrs.int("groups"));
    let (x, g) = match has_channels_last(pull.call) {
        true => (channels_first(b, pull.operands[0])?, channels_first(b, g)?),
        false => (pull.operands[0], g),
    };
    let (image, places) = (b.shape_of(x), b.shape_of(g));
    let across = |(idx, slide): (usize, &Slide)| {
        let reach = &(&w.shape[2 + idx] - 1) * slide.dilation;
        let (n, m) = (&image[2 + idx], &places[2 + idx]);
        let rest = &(&(n - 1) * slide.base_dilation) - &(&(m - 1) * slide.stride);
        Slide {
            stride: slide.dilation,
            dilation: slide.stride,
            base_dilation: slide.base_dilation,
            low: slide.low.clone(),
            high: &(&reach - &rest) - &slide.low,
        }
    };
    let slides: Vec<Slide> = slides.iter().enumerate().map(across).collect();
    if groups > 1 && w.shape[1].is(1) && w.shape[0].is(groups) {
        return kernel_of_channels(b, pull, slides, [x, g]);
    }
    let x = batch_for_channels(b, x, groups)?;
    let g = exchanged(b, g)?;
    let product = b.apply(&OP, &[x, g], typed(attrs(&slides, groups), pull.call, 1))?;
    exchanged(b, product)
}

/// Where no channels are summed over, the batch is an axis that the whole of `dy` slides over, in one place. Then the
/// channels stay neighbours in both operands, which they are not as groups of the batch.
fn kernel_of_channels(b: &mut Builder, pull: &Pull, mut slides: Vec<Slide>, [x, g]: [Value; 2]) -> Built {
    let (w, groups) = (pull.call.operand(1), pull.call.attrs.int("groups"));
    let zero = Dim::constant(0);
    slides.insert(0, Slide { stride: 1, dilation: 1, base_dilation: 1, low: zero.clone(), high: zero });
    let [x, g] = [exchanged(b, x)?, exchanged(b, g)?];
    let [image, kernel] = [(x, 0), (g, 1)].map(|(value, at)| {
        let mut shape = b.shape_of(value).to_vec();
        shape.insert(at, Dim::constant(1));
        b.reshape(value, &shape)
    });
    let product = b.apply(&OP, &[image?, kernel?], typed(attrs(&slides, groups), pull.call, 1))?;
    b.reshape(product, &w.shape)
}

fn channels_first(b: &mut Builder, x: Value) -> Built {
    let rank = b.shape_of(x).len();
    let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    b.permute(x, &order)
}

/// [batch, groups * channels, …] as [channels, groups * batch, …].
fn batch_for_channels(b: &mut Builder, x: Value, groups: i64) -> Built {
    if groups == 1 {
        return exchanged(b, x);
    }
    let shape = b.shape_of(x);
    let (n_groups, inner) = (Dim::constant(groups), &shape[2..]);
    let channels = shape[1].floor_div(&n_groups);
    let split: Vec<Dim> = [&shape[0], &n_groups, &channels].into_iter().chain(inner).cloned().collect();
    let x = b.reshape(x, &split)?;
    let order: Vec<usize> = [2, 1, 0].into_iter().chain(3..split.len()).collect();
    let x = b.permute(x, &order)?;
    let joined: Vec<Dim> = [channels, &shape[0] * groups].into_iter().chain(inner.iter().cloned()).collect();
    b.reshape(x, &joined)
}
