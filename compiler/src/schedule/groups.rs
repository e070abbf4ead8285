//! Groups: where one factor of a sum goes along the last axis of the result only group by group, as in a convolution of
//! groups, that axis becomes two, the groups and what lies in one of them.
//!
//! Invariant: the nest computes the same elements in the same row-major order; the result becomes a view of its memory.

use super::Loops;
use super::tiles::Machine;
use crate::graph::Dim;
use crate::graph::rows::{divisor, fills_vectors};

/// The nest with an axis for groups, if it has any that fill vectors.
pub fn apart(loops: &Loops, machine: &Machine) -> Option<Loops> {
    let last = loops.n_parallel.checked_sub(1)?;
    let extent = loops.axes[last].as_constant()?;
    let is_whole = loops.start[last].is(0) && loops.result.shape[last].is(extent);
    let points = Dim::product(loops.inner.iter().map(|&axis| &loops.axes[axis])).as_constant();
    let is_group = |size: &i64| {
        (2..extent).contains(size) && extent % size == 0 && fills_vectors(*size, machine.lanes as i64, points)
    };
    let mut loads = loops.body.loads(&loops.roots()).into_iter();
    let size = loads.find_map(|load| divisor(load.dims(), &Loops::symbol(last))).filter(is_group)?;
    if machine.is_block() || !is_whole || loops.stages.is_empty() || loops.stores_rows() {
        return None;
    }
    let mut axes = loops.axes.clone();
    axes[last] = Dim::constant(extent / size);
    axes.insert(last + 1, Dim::constant(size));
    let symbol = |axis: usize| Dim::from(&Loops::symbol(axis));
    let mut nest = loops.over(axes, &|axis| {
        Some(match axis {
            _ if axis < last => symbol(axis),
            _ if axis == last => &(&symbol(last) * size) + &symbol(last + 1),
            _ => symbol(axis + 1),
        })
    });
    nest.n_parallel += 1;
    nest.inner.iter_mut().for_each(|axis| *axis += 1);
    nest.result.shape.splice(last.., [extent / size, size].map(Dim::constant));
    nest.start.push(Dim::constant(0));
    Some(nest)
}
