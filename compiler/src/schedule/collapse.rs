//! Collapsing: neighbouring axes that every access walks together become one, and axes of size one vanish.
//!
//! Invariant: the collapsed nest computes the same elements in the same row-major order; shapes of operands become views
//! of the same memory.

use rustc_hash::FxHashMap;

use super::Loops;
use super::body::{Load, Position, Term};
use crate::graph::{Atom, Dim, Symbol};

/// Collapses as far as possible.
pub fn collapse(loops: Loops) -> Loops {
    let mut loops = without_units(loops);
    let mut axis = loops.axes.len();
    while axis > 1 {
        axis -= 1;
        if axis < loops.axes.len()
            && let Some(merged) = merge(&loops, axis - 1)
        {
            loops = merged;
            axis = loops.axes.len();
        }
    }
    loops
}

/// The same without merging: operands and the result keep their axes but those of size one.
pub fn without_units(mut loops: Loops) -> Loops {
    let is_idle = |loops: &Loops, axis: usize| {
        loops.axes[axis].is(1) && loops.result.shape.get(axis).is_none_or(|extent| extent.is(1))
    };
    while let Some(axis) = (0..loops.axes.len()).find(|&axis| is_idle(&loops, axis)) {
        loops = without_axis(&loops, axis);
    }
    without_unit_dims(loops)
}

/// Renames axes, all at once; one is gone.
pub fn rename(loops: &Loops, axes: Vec<Dim>, gone: usize, to: impl Fn(usize) -> Dim) -> Loops {
    let n_parallel = loops.n_parallel - usize::from(gone < loops.n_parallel);
    let inner = loops.inner.iter().filter(|&&axis| axis != gone).map(|&axis| axis - usize::from(axis > gone)).collect();
    let n_old = loops.axes.len();
    Loops { n_parallel, inner, ..loops.over(axes, &|axis| (axis < n_old).then(|| to(axis))) }
}

fn without_axis(loops: &Loops, gone: usize) -> Loops {
    let mut axes = loops.axes.clone();
    axes.remove(gone);
    let mut collapsed = rename(loops, axes, gone, |idx| match idx.cmp(&gone) {
        std::cmp::Ordering::Less => Dim::from(&Loops::symbol(idx)),
        std::cmp::Ordering::Equal => Dim::constant(0),
        std::cmp::Ordering::Greater => Dim::from(&Loops::symbol(idx - 1)),
    });
    if gone < loops.n_parallel {
        collapsed.result.shape.remove(gone);
        collapsed.start.remove(gone);
    }
    collapsed
}

/// Drops axes of size one from operands that are always read at zero there.
fn without_unit_dims(mut loops: Loops) -> Loops {
    for operand in 0..loops.operands.len() {
        for axis in (0..loops.operands[operand].rank()).rev() {
            let zero = |load: &Load| matches!(&load.index[axis], Position::Dim(dim) if dim.is(0));
            let loads = loops.body.loads(&loops.roots());
            let unused = loads.iter().filter(|load| load.operand == operand).all(|load| zero(load));
            if loops.operands[operand].shape[axis].is(1) && unused {
                loops.operands[operand].shape.remove(axis);
                loops = edit_loads(loops, operand, |load| drop(load.index.remove(axis)));
            }
        }
    }
    loops
}

/// The nest with loads of one operand that read elsewhere.
pub fn edit_loads(mut loops: Loops, operand: usize, edit: impl Fn(&mut Load)) -> Loops {
    let mut roots = loops.roots();
    loops.body = loops.body.rewrite(&mut roots, &Dim::clone, &|load| {
        if load.operand == operand {
            edit(load);
        }
    });
    loops.set_roots(&roots);
    loops
}

/// The nest with one position in an operand for all of those at which two axes move.
pub fn flat(loops: &Loops, operand: usize, axes: [usize; 2]) -> Option<Loops> {
    let symbols = axes.map(Loops::symbol);
    let loads = loops.body.loads(&loops.roots()).into_iter().filter(|load| load.operand == operand);
    let mut range: Option<(usize, usize)> = None;
    for load in loads.clone() {
        for (at, position) in load.index.iter().enumerate() {
            if matches!(position, Position::Dim(dim) if symbols.iter().any(|symbol| dim.mentions(symbol))) {
                let (first, last) = range.unwrap_or((at, at));
                range = Some((first.min(at), last.max(at)));
            }
        }
    }
    let (first, last) = range?;
    let is_known = |load: &&Load| load.index[first..=last].iter().all(|position| matches!(position, Position::Dim(_)));
    if !loads.clone().all(|load| is_known(&load)) {
        return None;
    }
    let extents = loops.operands[operand].shape[first..=last].to_vec();
    let mut flat = edit_loads(loops.clone(), operand, |load| {
        let positions = load.index.drain(first..=last).zip(&extents);
        let place = positions.fold(Dim::constant(0), |place, (position, extent)| match position {
            Position::Dim(dim) => &(&place * extent) + &dim,
            Position::Term(_) => place,
        });
        load.index.insert(first, Position::Dim(place));
    });
    let shape = &mut flat.operands[operand].shape;
    shape.splice(first..=last, [Dim::product(&extents)]);
    Some(flat)
}

/// Merges axis `at` with the next one, where every access allows it.
fn merge(loops: &Loops, at: usize) -> Option<Loops> {
    let is_inner = |axis: usize| loops.inner.contains(&axis);
    let is_part = at + 1 < loops.n_parallel && loops.result.shape[at + 1] != loops.axes[at + 1];
    if at + 1 == loops.n_parallel || is_inner(at) != is_inner(at + 1) || is_part {
        return None;
    }
    let (outer, inner) = (Loops::symbol(at), Loops::symbol(at + 1));
    let touches = |dim: &Dim| dim.mentions(&outer) || dim.mentions(&inner);
    // For each operand, the axis of its shape at which the pair lies, if it is touched at all.
    let mut places: FxHashMap<usize, Option<usize>> = FxHashMap::default();
    for load in loops.body.loads(&loops.roots()) {
        let place = pair_in(loops, load, at, &touches)?;
        if *places.entry(load.operand).or_insert(place) != place {
            return None;
        }
    }
    let mut axes = loops.axes.clone();
    let inner_extent = axes.remove(at + 1);
    axes[at] = &axes[at] * &inner_extent;
    let merged_symbol = Dim::from(&outer);
    let mut merged = rename(loops, axes, at + 1, |idx| match idx {
        _ if idx == at => merged_symbol.floor_div(&inner_extent),
        _ if idx == at + 1 => merged_symbol.modulo(&inner_extent),
        _ if idx > at => Dim::from(&Loops::symbol(idx - 1)),
        _ => Dim::from(&Loops::symbol(idx)),
    });
    if at < loops.n_parallel {
        let inner_extent = merged.result.shape.remove(at + 1);
        merged.start.remove(at + 1);
        for size in [&mut merged.result.shape[at], &mut merged.start[at]] {
            *size = &*size * &inner_extent;
        }
    }
    for (operand, place) in places {
        let Some(place) = place else { continue };
        let inner_extent = merged.operands[operand].shape.remove(place + 1);
        let shape = &mut merged.operands[operand].shape;
        shape[place] = &shape[place] * &inner_extent;
        merged = edit_loads(merged, operand, |load| {
            load.index.remove(place + 1);
            load.index[place] = Position::Dim(merged_symbol.clone());
        });
    }
    is_clean(&merged, &outer).then_some(merged)
}

/// Where the pair of axes lies in this load: `Some(None)` if nowhere, `None` if in a way that forbids merging.
fn pair_in(loops: &Loops, load: &Load, at: usize, touches: &dyn Fn(&Dim) -> bool) -> Option<Option<usize>> {
    let touched: Vec<usize> = load
        .index
        .iter()
        .enumerate()
        .filter(|(_, position)| matches!(position, Position::Dim(dim) if touches(dim)))
        .map(|(idx, _)| idx)
        .collect();
    match touched[..] {
        [] => Some(None),
        [first, second] if second == first + 1 => {
            let is = |idx: usize, axis: usize| {
                let exact =
                    matches!(&load.index[idx], Position::Dim(dim) if dim.as_symbol() == Some(&Loops::symbol(axis)));
                exact && loops.operands[load.operand].shape[idx] == loops.axes[axis]
            };
            (is(first, at) && is(second, at + 1)).then_some(Some(first))
        }
        _ => None,
    }
}

/// No division by the inner extent is left outside the positions that were merged: everything was affine in the pair.
fn is_clean(loops: &Loops, merged: &Symbol) -> bool {
    let roots = loops.roots();
    loops.body.needed(&roots).into_iter().all(|id| {
        let mut clean = true;
        let mut term: Term = loops.body.term(id).clone();
        term.for_each_dim_mut(&mut |dim| clean &= is_affine(dim, merged));
        clean
    })
}

fn is_affine(dim: &Dim, symbol: &Symbol) -> bool {
    dim.terms().all(|(monomial, _)| {
        monomial.iter().all(|(atom, _)| match atom {
            Atom::Symbol(_) => true,
            Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => {
                !a.mentions(symbol) && !b.mentions(symbol)
            }
        })
    })
}
