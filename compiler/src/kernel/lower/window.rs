//! Loads whose lanes lie near each other though not side by side: every other element, elements from last to first, one for
//! four lanes. The vectors around them are read whole, and lanes put in their places.
//!
//! Invariant: each vector that is read begins and ends between two elements of the load, or at multiples of the lanes in
//! memory that is a multiple of them long.

use super::Lower;
use super::dims::at_lane;
use super::element::strides;
use super::layout::Part;
use crate::graph::{DType, Dim};
use crate::kernel::types::*;

/// Vectors that are read for one at most.
const MAX_VECTORS: i64 = 4;
/// Fewer lanes are sooner read one by one.
const FEW: u32 = 4;

/// Where the lanes of a vector lie, and the vectors that are read for them, in elements after the first lane.
struct Window {
    offsets: Vec<i64>,
    starts: Vec<i64>,
    /// Elements of the only vector, if these are not all of it.
    n_read: Option<i64>,
}

impl Lower<'_> {
    /// The vector of a part, if its lanes lie so and take part together.
    pub(super) fn load_window(&mut self, access: &Access, part: &Part, otherwise: Literal, ty: &Type) -> Option<Value> {
        let is_number = ty.dtype != DType::Bool && self.source.memory_dtype(access.memory) == ty.dtype;
        if self.is_block() || !is_number || part.valid < FEW || !self.same_for_all_lanes(access, part) {
            return None;
        }
        let window = self.window(access, part)?;
        let read: Vec<Value> = window
            .starts
            .iter()
            .map(|&start| self.load_from(access, part, start, window.n_read, otherwise, ty))
            .collect();
        Some(self.picked(&window, &read))
    }

    fn window(&self, access: &Access, part: &Part) -> Option<Window> {
        let shape = self.source.memory_shape(access.memory);
        let strides = strides(&shape);
        let mut flat = Dim::constant(0);
        for (index, stride) in access.index.iter().zip(&strides) {
            let Index::Dim(dim) = index else { return None };
            flat = &flat + &(&self.resolve(dim) * stride);
        }
        let first = at_lane(&flat, &part.index, 0);
        let offset = |lane| (&at_lane(&flat, &part.index, lane) - &first).as_constant();
        let offsets = (0..part.valid).map(offset).collect::<Option<Vec<i64>>>()?;
        let (low, high) = (*offsets.iter().min()?, *offsets.iter().max()?);
        let (lanes, n_between) = (i64::from(self.lanes), high.checked_sub(low)?);
        if n_between >= MAX_VECTORS * lanes {
            return None;
        }
        // Loads that differ by less than a vector read the same ones, where these begin at multiples.
        let is_multiple = |dim: &Dim| dim.exact_div(&Dim::constant(lanes)).is_some();
        let constant = first.constant_term();
        if is_multiple(&Dim::product(&shape)) && is_multiple(&(&first - &Dim::constant(constant))) {
            let start = low - (constant + low).rem_euclid(lanes);
            let starts: Vec<i64> = (0..=(high - start) / lanes).map(|number| start + number * lanes).collect();
            return (starts.len() as i64 <= MAX_VECTORS).then_some(Window { offsets, starts, n_read: None });
        }
        if n_between + 1 < lanes {
            let n_read = Some(n_between + 1);
            return self.target.masks.then_some(Window { offsets, starts: vec![low], n_read });
        }
        let last = high + 1 - lanes;
        let starts = (0..=n_between / lanes).map(|number| (low + number * lanes).min(last)).collect();
        Some(Window { offsets, starts, n_read: None })
    }

    /// The lanes of a window among the vectors that were read.
    fn picked(&mut self, window: &Window, read: &[Value]) -> Value {
        let lanes = self.lanes;
        let ty = self.type_of(read[0]).clone();
        let found: Vec<(usize, u32)> = (0..lanes as usize)
            .map(|lane| {
                let offset = window.offsets[lane.min(window.offsets.len() - 1)];
                let vector = window.starts.iter().rposition(|&start| start <= offset).unwrap_or(0);
                (vector, (offset - window.starts[vector]) as u32)
            })
            .collect();
        let mut picked = read[0];
        for (number, &b) in read.iter().enumerate().skip(usize::from(read.len() > 1)) {
            let pick = |(lane, &(vector, at)): (u32, &(usize, u32))| match vector {
                _ if vector == number && number > 0 => lanes + at,
                _ if number <= 1 => at,
                _ => lane,
            };
            let order = (0..lanes).zip(&found).map(pick).collect();
            picked = self.pure(Op::Shuffle { a: picked, b, lanes: order }, ty.clone());
        }
        picked
    }
}
