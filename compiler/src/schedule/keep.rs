//! What is kept of a row: terms that several stages need and that cost more to compute again than to store and load.
//!
//! Invariant: a kept term is stored by the first stage that needs it, at every point of the row, before any other loads it.

use super::Loops;
use super::body::{Body, Term, TermId};
use crate::graph::Dim;
use crate::graph::rows::divides;

/// Bytes of a row that stay in the second-level cache with what else the row needs.
pub const ROOM: u64 = 128 << 10;
/// Work, in additions, that is rather done again than stored and loaded.
const CHEAP: u32 = 6;

/// A term, and the stage that is the first to need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub term: TermId,
    pub stage: usize,
}

/// The terms worth keeping, in order of their stages.
pub fn worthwhile(loops: &Loops) -> Vec<Keep> {
    let roots = loops.roots();
    let n_passes = loops.stages.len() + usize::from(loops.stores_rows());
    let inner: Vec<_> = loops.inner.iter().map(|&axis| Loops::symbol(axis)).collect();
    let varying = loops.body.varying(&roots, &inner);
    let first_needed = |term: TermId| roots.iter().position(|&root| loops.body.needed(&[root]).contains(&term));
    let mut kept: Vec<Keep> = Vec::new();
    for (pass, &root) in roots.iter().enumerate().take(n_passes).skip(1) {
        // Users before operands: the largest terms first, and nothing below one that is kept.
        let mut wanted = vec![root];
        for id in loops.body.needed(&[root]).into_iter().rev() {
            if !wanted.contains(&id) || !varying[&id] {
                continue;
            }
            let stage = first_needed(id).filter(|&stage| stage < pass);
            match stage.filter(|_| cost(&loops.body, id, &varying, &|_| false) > CHEAP) {
                Some(stage) => kept.push(Keep { term: id, stage }),
                None => loops.body.term(id).for_each_operand(&mut |operand| wanted.push(operand)),
            }
        }
    }
    kept.sort_by_key(|keep| (keep.stage, keep.term));
    kept.dedup();
    kept
}

/// The work of computing a term at a point, in additions: without what is the same along the row, and where some terms
/// are at hand.
pub fn work(loops: &Loops, root: TermId, is_kept: &dyn Fn(TermId) -> bool) -> u32 {
    let inner: Vec<_> = loops.inner.iter().map(|&axis| Loops::symbol(axis)).collect();
    cost(&loops.body, root, &loops.body.varying(&[root], &inner), is_kept)
}

/// The same, where it is known what changes along the row.
fn cost(
    body: &Body,
    root: TermId,
    varying: &rustc_hash::FxHashMap<TermId, bool>,
    is_kept: &dyn Fn(TermId) -> bool,
) -> u32 {
    let terms = body.needed_until(&[root], &|id| !varying[&id] || is_kept(id));
    let each = terms.into_iter().filter(|id| varying[id]).map(|id| match body.term(id) {
        _ if is_kept(id) => 1,
        Term::Apply(scalar, _) => scalar.work(),
        Term::RandomBits { .. } => 32,
        Term::Load(_) | Term::Cast(_) | Term::Test(_) => 1,
        _ => 0,
    });
    each.sum()
}

/// Where kept terms fit.
pub struct Room {
    /// How much along each inner axis.
    pub shape: Vec<u64>,
    /// They do only where this is at least 0.
    pub fits: Option<Dim>,
}

/// The memory for these terms of so many rows at once; none if it would be too much.
pub fn room(loops: &Loops, keeps: &[Keep], width: u64) -> Option<Room> {
    let bytes = keeps.iter().map(|keep| loops.body.dtype(keep.term).size_of() as u64 * width).sum::<u64>().max(1);
    let extents = loops.inner.iter().map(|&axis| &loops.axes[axis]);
    let most = |extent: &Dim| loops.ranges.upper_bound(extent).and_then(|extent| u64::try_from(extent).ok());
    if let Some(shape) = extents.clone().map(most).collect::<Option<Vec<u64>>>() {
        let points = shape.iter().try_fold(1u64, |points, &extent| points.checked_mul(extent))?;
        if points.checked_mul(bytes)? <= ROOM {
            let shape = shape.into_iter().map(|extent| extent.max(1)).collect();
            return Some(Room { shape, fits: None });
        }
    }
    match loops.inner[..] {
        [axis] if loops.axes[axis].as_constant().is_none() && !divides(&loops.axes[axis]) => {
            let limit = ROOM / bytes;
            let fits = &Dim::constant(limit as i64) - &loops.axes[axis];
            Some(Room { shape: vec![limit], fits: Some(fits) })
        }
        _ => None,
    }
}
