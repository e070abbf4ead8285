//! Words for expansions and gradients that move elements along one axis.
//!
//! Invariant: the other axes keep their sizes and their order.

use super::formula::Built;
use super::{pad, slice};
use crate::graph::{Attrs, Builder, Dim, Value};

impl Builder<'_> {
    /// The elements from `start` up to `stop`.
    pub fn range(&mut self, x: Value, axis: usize, start: Dim, stop: Dim) -> Built {
        self.every(x, axis, start, stop, 1)
    }

    /// Every `step`-th element from `start` up to `stop`.
    pub fn every(&mut self, x: Value, axis: usize, start: Dim, stop: Dim, step: i64) -> Built {
        let shape = self.shape_of(x);
        if step == 1 && start.is(0) && stop == shape[axis] {
            return Ok(x);
        }
        let (mut starts, mut stops) = (vec![Dim::constant(0); shape.len()], shape);
        let mut steps = vec![1; stops.len()];
        (starts[axis], stops[axis], steps[axis]) = (start, stop, step);
        self.apply(&slice::OP, &[x], Attrs::none().with("starts", starts).with("stops", stops).with("steps", steps))
    }

    /// The elements from the last to the first.
    pub fn reversed(&mut self, x: Value, axis: usize) -> Built {
        let last = &self.shape_of(x)[axis] - 1;
        self.every(x, axis, last, Dim::constant(-1), -1)
    }

    /// Zeros before and after; negative counts crop.
    pub fn pad_axis(&mut self, x: Value, axis: usize, before: Dim, after: Dim) -> Built {
        self.pad_axis_with(x, axis, before, after, 0.0)
    }

    pub fn pad_axis_with(&mut self, x: Value, axis: usize, before: Dim, after: Dim, value: f64) -> Built {
        if before.is(0) && after.is(0) {
            return Ok(x);
        }
        let mut low = vec![Dim::constant(0); self.shape_of(x).len()];
        let mut high = low.clone();
        (low[axis], high[axis]) = (before, after);
        self.apply(&pad::OP, &[x], Attrs::none().with("low", low).with("high", high).with("value", value))
    }

    /// Each element with `apart - 1` zeros after it.
    pub fn spread(&mut self, x: Value, axis: usize, apart: i64) -> Built {
        if apart == 1 {
            return Ok(x);
        }
        let shape = self.shape_of(x);
        let mut split = shape.clone();
        split.insert(axis + 1, Dim::constant(1));
        let x = self.reshape(x, &split)?;
        let x = self.pad_axis(x, axis + 1, Dim::constant(0), Dim::constant(apart - 1))?;
        let mut joined = shape;
        joined[axis] = &joined[axis] * apart;
        self.reshape(x, &joined)
    }
}
