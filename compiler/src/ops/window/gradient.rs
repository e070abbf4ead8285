//! The cotangents of windows.
//!
//! ```text
//! y[o] = sum over t of x[o*s + t*d - low]     =>   dx = the same sum over dy with s - 1 zeros between, the other way round
//! y[o] = max over t of x[o*s + t*d - low]     =>   dx = dy at the first t that gave it, axis by axis
//! ```
//! Invariant: equal elements of a window are told apart by their place, the first in row-major order gets all.

use super::{OP, has_channels_last, slides};
use crate::graph::{Attrs, Builder, Cotangents, Dim, OpError, Pull, Value};
use crate::ops::convolve::Slide;
use crate::ops::formula::Built;

/// Taps that are written out for a maximum; a longer window is better a reduction.
const MAX_TAPS: i64 = 4096;

pub fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let size = pull.call.attrs.ints("size");
    let slides = slides(pull.call, size.len())?;
    let g = pull.cotangent()?;
    let x = pull.operands[0];
    let (n_axes, channels_last) = (size.len(), has_channels_last(pull.call));
    let first = pull.call.operand(0).rank() - n_axes - usize::from(channels_last);
    let windows: Vec<Window> = slides
        .into_iter()
        .zip(size)
        .enumerate()
        .map(|(idx, (slide, size))| Window { axis: first + idx, idx, n_axes, channels_last, slide, size })
        .collect();
    Ok(vec![Some(match pull.call.attrs.str("combine").as_str() {
        "add" => of_sum(b, pull, &windows, g)?,
        _ => of_maximum(b, x, &windows, g)?,
    })])
}

/// The windows along one axis.
struct Window {
    axis: usize,
    /// Which of the windowed axes that is.
    idx: usize,
    n_axes: usize,
    channels_last: bool,
    slide: Slide,
    size: i64,
}

impl Window {
    fn reach(&self) -> i64 {
        (self.size - 1).saturating_mul(self.slide.dilation)
    }

    /// The maximum of each window along this axis alone.
    fn maximum(&self, b: &mut Builder, x: Value) -> Built {
        let ints = |own: i64| {
            let mut all = vec![1; self.n_axes];
            all[self.idx] = own;
            all
        };
        let dims = |own: &Dim| {
            let mut all = vec![Dim::constant(0); self.n_axes];
            all[self.idx] = own.clone();
            all
        };
        let mut attrs = Attrs::none()
            .with("combine", "max")
            .with("size", ints(self.size))
            .with("stride", ints(self.slide.stride))
            .with("dilation", ints(self.slide.dilation))
            .with("low", dims(&self.slide.low))
            .with("high", dims(&self.slide.high));
        if self.channels_last {
            attrs = attrs.with("channels_last", true);
        }
        b.apply(&OP, &[x], attrs)
    }

    /// What each window reads at one tap.
    fn tap(&self, b: &mut Builder, padded: Value, tap: i64, n_places: &Dim) -> Built {
        let start = Dim::constant(tap.saturating_mul(self.slide.dilation));
        let stop = &(&start + &(&(n_places - 1) * self.slide.stride)) + 1;
        b.every(padded, self.axis, start, stop, self.slide.stride)
    }
}

fn of_sum(b: &mut Builder, pull: &Pull, windows: &[Window], mut g: Value) -> Built {
    let x = pull.call.operand(0);
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for window in windows {
        g = b.spread(g, window.axis, window.slide.stride)?;
        let spread = b.shape_of(g)[window.axis].clone();
        let before = &Dim::constant(window.reach()) - &window.slide.low;
        high.push(&(&(&x.shape[window.axis] + window.reach()) - &spread) - &before);
        low.push(before);
    }
    let attrs = pull.call.attrs.clone().with("low", low).with("high", high);
    b.apply(&OP, &[g], attrs.with("stride", vec![1; windows.len()]))
}

/// The maximum over several axes is that over the last of them, then over the others.
fn of_maximum(b: &mut Builder, x: Value, windows: &[Window], mut g: Value) -> Built {
    let mut inputs = vec![x];
    for window in windows.iter().skip(1).rev() {
        let last = inputs[inputs.len() - 1];
        inputs.push(window.maximum(b, last)?);
    }
    for (window, input) in windows.iter().zip(inputs.into_iter().rev()) {
        g = along_axis(b, input, window, g)?;
    }
    Ok(g)
}

fn along_axis(b: &mut Builder, x: Value, window: &Window, g: Value) -> Built {
    if window.size > MAX_TAPS {
        let message = format!("a maximum over windows of {} elements is not differentiated", window.size);
        return Err(OpError::attr("size", message));
    }
    let (axis, slide) = (window.axis, &window.slide);
    let extent = b.shape_of(x)[axis].clone();
    let best = window.maximum(b, x)?;
    let n_places = b.shape_of(best)[axis].clone();
    if n_places.is(0) {
        return b.number(0.0, x);
    }
    let padded = b.pad_axis_with(x, axis, slide.low.clone(), slide.high.clone(), f64::NEG_INFINITY)?;
    let padded_extent = b.shape_of(padded)[axis].clone();
    let zero = b.number(0.0, g)?;
    let (mut open, mut sum) = (None, None);
    for tap in 0..window.size {
        let element = window.tap(b, padded, tap, &n_places)?;
        let hit = b.eq(element, best)?;
        let first = match open {
            Some(open) => b.and(hit, open)?,
            None => hit,
        };
        let missed = b.not(hit)?;
        open = Some(match open {
            Some(open) => b.and(open, missed)?,
            None => missed,
        });
        let part = b.select(first, g, zero)?;
        let part = b.spread(part, axis, slide.stride)?;
        let start = Dim::constant(tap.saturating_mul(slide.dilation));
        let after = &(&padded_extent - &start) - &b.shape_of(part)[axis];
        let part = b.pad_axis(part, axis, start, after)?;
        sum = Some(match sum {
            Some(sum) => b.add(sum, part)?,
            None => part,
        });
    }
    let sum = sum.unwrap_or(zero);
    let stop = &slide.low + &extent;
    let uncropped = b.pad_axis(sum, axis, -&slide.low, &stop - &padded_extent)?;
    Ok(uncropped)
}
