//! Taps of a window along a line, and the few channels at each, as one summed axis: they lie behind each other.
//!
//! Invariant: the joined axis visits the same products in the same order.

use crate::graph::Dim;
use crate::schedule::body::{Load, Position, Term};
use crate::schedule::{Loops, collapse, order};

/// The nest with its last two summed axes as one, where both factors see them so.
pub fn find(loops: &Loops) -> Option<Loops> {
    let inner = loops.axes.len().checked_sub(1)?;
    let outer = inner.checked_sub(1).filter(|&outer| outer >= loops.n_parallel)?;
    let extent = &loops.axes[inner];
    let Term::Dot(_, factors) = loops.body.term(loops.stages[0].element) else { return None };
    let mut operands = Vec::new();
    for &factor in factors {
        let Term::Load(load) = loops.body.term(factor) else { return None };
        operands.push(load.operand);
    }
    let mut joined = loops.clone();
    for &operand in &operands {
        joined = collapse::flat(&joined, operand, [outer, inner])?;
    }
    let is_straight = |load: &Load| {
        let step = |axis: usize| order::step(&joined, load, axis);
        let follows = step(outer).zip(step(inner)).is_some_and(|(of_outer, of_inner)| of_outer == &of_inner * extent);
        follows && load.guards.is_empty()
    };
    let loads = joined.body.loads(&joined.roots());
    if !loads.iter().filter(|load| operands.contains(&load.operand)).all(|load| is_straight(load)) {
        return None;
    }
    for operand in operands {
        joined = collapse::edit_loads(joined, operand, |load| load.index.iter_mut().for_each(|at| without(at, outer)));
    }
    let mut axes = joined.axes.clone();
    axes[inner] = &axes[outer] * extent;
    axes.remove(outer);
    let place = |axis: usize| match axis {
        _ if axis == outer => Dim::constant(0),
        _ if axis == inner => Dim::from(&Loops::symbol(outer)),
        _ => Dim::from(&Loops::symbol(axis)),
    };
    Some(collapse::rename(&joined, axes, outer, place))
}

/// The position at the start of an axis.
fn without(position: &mut Position, axis: usize) {
    if let Position::Dim(dim) = position
        && let Some((_, rest)) = dim.affine_in(&Loops::symbol(axis))
    {
        *dim = rest;
    }
}
