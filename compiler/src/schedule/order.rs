//! Choosing the axis that lies along the lanes of a vector, by what its accesses would cost.

use super::body::{Load, Position};
use super::{Loops, tiles::Machine};
use crate::graph::Dim;

/// How an access moves when one axis advances by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stride {
    /// It stays where it is.
    None,
    /// The next element.
    One,
    /// Elsewhere: every lane is an access of its own.
    Other,
}

/// How much more storing here and there costs than loading from there: many loads wait at once, and blocks of them are
/// turned.
const SCATTER: f64 = 1.5;

/// Lanes at most so many elements apart lie in a few vectors.
const NEAR: i64 = 4;

/// What one vector of an access costs, in vector loads.
fn cost(stride: Stride, machine: &Machine) -> f64 {
    match stride {
        Stride::None => 0.25,
        Stride::One => 1.0,
        Stride::Other => 1.0 + machine.lanes as f64,
    }
}

/// The same for a load: lanes near each other are picked from whole vectors. Where sums follow, what they read next to each
/// other counts more.
fn cost_of_load(loops: &Loops, load: &Load, axis: usize, machine: &Machine) -> f64 {
    match step(loops, load, axis).and_then(|step| step.as_constant()) {
        Some(step) if is_near(step) && loops.stages.is_empty() => 1.0 + step.abs() as f64,
        _ => cost(stride(loops, load, axis), machine),
    }
}

fn is_near(step: i64) -> bool {
    step == -1 || (2..=NEAR).contains(&step.abs())
}

/// How many instructions read one vector along an axis, roughly: lanes near each other are picked from whole vectors, each
/// perhaps under a guard.
pub fn instructions(loops: &Loops, load: &Load, axis: usize, machine: &Machine) -> u64 {
    let symbol = Loops::symbol(axis);
    let n_guards = load.guards.iter().filter(|guard| guard.mentions(&symbol)).count() as u64;
    let near = step(loops, load, axis).and_then(|step| step.as_constant()).filter(|&step| is_near(step));
    match (stride(loops, load, axis), near) {
        (Stride::None, _) => 1,
        (Stride::One, _) => 1 + n_guards,
        // A thread has one lane.
        (Stride::Other, _) if machine.is_block() => 1 + n_guards,
        (Stride::Other, Some(step)) => (1 + step.unsigned_abs()) * if n_guards > 0 { 2 + n_guards } else { 1 },
        (Stride::Other, None) => machine.lanes * (6 + n_guards),
    }
}

pub fn stride(loops: &Loops, load: &Load, axis: usize) -> Stride {
    match step(loops, load, axis) {
        Some(step) if step.is(0) => Stride::None,
        Some(step) if step.is(1) => Stride::One,
        _ => Stride::Other,
    }
}

/// How many elements further an access is when an axis advances by one, if that is the same everywhere.
pub fn step(loops: &Loops, load: &Load, axis: usize) -> Option<Dim> {
    let symbol = Loops::symbol(axis);
    let shape = &loops.operands[load.operand].shape;
    let mut offset = Dim::constant(0);
    for (position, extent) in load.index.iter().zip(shape) {
        match position {
            Position::Dim(dim) => offset = &(&offset * extent) + dim,
            Position::Term(term) if loops.moves(*term, axis) => return None,
            Position::Term(_) => offset = &offset * extent,
        }
    }
    offset.affine_in(&symbol).map(|(slope, _)| slope)
}

/// The best axis for the lanes, `None` when there is no axis at all.
pub fn vector_axis(loops: &Loops, machine: &Machine) -> Option<usize> {
    best_axis(loops, machine, 0..loops.axes.len())
}

/// The best of these axes for the lanes.
pub fn best_axis(loops: &Loops, machine: &Machine, axes: impl IntoIterator<Item = usize>) -> Option<usize> {
    // What follows a reduction is done once for many points, unless every point is stored.
    let mut roots = loops.roots();
    if !loops.stages.is_empty() && !loops.stores_rows() {
        roots.pop();
    }
    let loads = loops.body.loads(&roots);
    let total = |axis: usize| {
        let reading: f64 = loads.iter().map(|load| cost_of_load(loops, load, axis, machine)).sum();
        let writing = match (axis < loops.n_parallel, axis + 1 == loops.n_parallel) {
            (true, true) => 1.0,
            (true, false) => SCATTER * cost(Stride::Other, machine),
            (false, _) => 0.0,
        };
        // Lanes along a row are combined at its end.
        let combining = if loops.inner.contains(&axis) { 0.5 } else { 0.0 };
        (0.5 + reading + writing + combining) / filling(&loops.axes[axis], machine)
    };
    axes.into_iter().min_by(|&a, &b| total(a).total_cmp(&total(b)).then(b.cmp(&a)))
}

/// Which part of the lanes does useful work, for an axis of this extent.
fn filling(extent: &Dim, machine: &Machine) -> f64 {
    let Some(extent) = extent.as_constant() else { return 1.0 };
    let (extent, lanes) = (extent.max(1) as u64, machine.lanes);
    let steps = match machine.masks {
        true => extent.div_ceil(lanes),
        false => extent / lanes + extent % lanes,
    };
    extent as f64 / (steps * lanes) as f64
}
