//! Sorting along one axis, or finding the first few in order: of long rows by digits, of short ones by merging places bottom
//! up, between the second result and working memory of the same size; few of a row by selection.
//!
//! Invariant: stable in either direction; NaN is greater than all numbers. Rows are independent items of the grid.

mod digits;
mod keys;
mod merging;
mod selection;

use self::digits::Half;
use super::{Opaque, buffer};
use crate::graph::{DType, Dim};
use crate::kernel::{self, Builder, Condition, Index, Kernel, Memory, Rights, Span, Value};
use crate::ops;
use crate::schedule::ScheduleError;
use crate::schedule::tiles::Machine;

/// Rows so short are merged sooner than the values of digits are counted.
const SHORT: i64 = 64;

pub fn kernel(op: &Opaque, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let x = op.call.operand(0);
    let axis = op.call.axis("axis", x.rank()).map_err(|error| ScheduleError::new(error.message))?;
    let with_size = |size: &Dim| [Dim::product(&x.shape[..axis]), size.clone(), Dim::product(&x.shape[axis + 1..])];
    let (shape, count) = (with_size(&x.shape[axis]), op.results[0].shape[axis].clone());
    let mut b = op.begin();
    let elements = buffer(&mut b, "x", x, shape.clone(), Rights::Read);
    let sorted = buffer(&mut b, "sorted", x, with_size(&count), Rights::Write);
    let places = buffer(&mut b, "places", &x.with_dtype(DType::I64), with_size(&count), Rights::ReadWrite);
    let row = Row {
        x: elements,
        dtype: x.dtype,
        outer: b.grid("g0", shape[0].clone()),
        inner: b.grid("g1", shape[2].clone()),
        size: shape[1].clone(),
        descending: ops::sort::is_descending(op.call),
    };
    // No row is shorter than what is asked of it: that is checked at entry, and here said again.
    let n_first = count.least(&row.size);
    let few = count.as_constant().filter(|n| !machine.is_block() && (1..=selection::MOST).contains(n));
    match few {
        Some(n) => selection::select(&row, &mut b, places, n, &n_first),
        None => {
            let working = |b: &mut Builder, name: &str, dtype: DType| {
                buffer(b, name, &x.with_dtype(dtype), shape.clone(), Rights::ReadWrite)
            };
            let all = if count == row.size { places } else { working(&mut b, "all_places", DType::I64) };
            row.sort(&mut b, all, machine, working);
            if all != places {
                row.copy(&mut b, &n_first, all, places);
            }
        }
    }
    b.for_loop(Span::new("u", 0, n_first, 1), &[], |b, u, _| {
        let place = b.load(places, [1], row.at(u), [], 0.0);
        let value = b.load(elements, [1], row.at(place), [], 0.0);
        b.store(sorted, row.at(u), [], value);
        Vec::new()
    });
    Ok(b.finish())
}

struct Row {
    x: Memory,
    dtype: DType,
    outer: Dim,
    inner: Dim,
    size: Dim,
    descending: bool,
}

impl Row {
    fn at(&self, index: impl Into<Index>) -> [Index; 3] {
        [(&self.outer).into(), index.into(), (&self.inner).into()]
    }

    /// Puts the places of all elements in order, with working memory as large as the elements.
    fn sort(
        &self,
        b: &mut Builder,
        places: Memory,
        machine: &Machine,
        working: impl Fn(&mut Builder, &str, DType) -> Memory,
    ) {
        let spare = working(b, "spare", DType::I64);
        let size = self.size.as_constant();
        if machine.is_block() || size.is_some_and(|size| size <= SHORT) {
            return self.sort_by_merging(b, places, spare);
        }
        let keys = ["keys", "spare_keys"].map(|name| working(b, name, keys::key_type(self.dtype)));
        let halves = [Half { keys: keys[0], places }, Half { keys: keys[1], places: spare }];
        if size.is_some() {
            return digits::sort(self, b, halves);
        }
        let is_short = Builder::at_most(&self.size, &Dim::constant(SHORT));
        b.if_else(
            Condition::Guards(vec![is_short]),
            |b| {
                self.sort_by_merging(b, places, spare);
                Vec::new()
            },
            |b| {
                digits::sort(self, b, halves);
                Vec::new()
            },
        );
    }

    fn copy(&self, b: &mut Builder, count: &Dim, from: Memory, to: Memory) {
        b.for_loop(Span::new("c", 0, count.clone(), 1), &[], |b, u, _| {
            let place = b.load(from, [1], self.at(u), [], 0.0);
            b.store(to, self.at(u), [], place);
            Vec::new()
        });
    }
}

fn int(b: &mut Builder, value: i64) -> Value {
    b.constant(kernel::Type::new(DType::I64, [1]), value as f64)
}
