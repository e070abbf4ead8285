//! Nests whose elements are told apart by where they lie along an axis, such as what is put together from several tensors or
//! padded: each piece between two borders has code of its own, free of the tests that it decides. Along the lanes that is a
//! loop; along another axis it is a branch that an item takes.
//!
//! Invariant: the pieces, one after the other, are the whole axis, and each element is computed as before.

use super::Loops;
use super::body::{Body, Term, TermId};
use super::settle::settle;
use super::tiles::Machine;
use crate::graph::{Dim, Scalar};

/// More pieces than this make large kernels, and so do longer rows, of which one item takes all.
const MAX_PIECES: usize = 8;
const MAX_EXTENT: i64 = 64 << 10;
/// Branches at most; and terms of all of them together, as many times those of the nest.
const MAX_BRANCHES: usize = 64;
const MAX_GROWTH: usize = 2;

/// From where, to where, and what is computed there.
pub struct Piece {
    pub start: i64,
    pub end: i64,
    pub loops: Loops,
}

/// The pieces of an axis of known extent, if there are several; each fills a vector at least.
pub fn find(loops: &Loops, lanes: usize, machine: &Machine) -> Option<Vec<Piece>> {
    let extent = loops.axes[lanes].as_constant().filter(|&extent| extent <= MAX_EXTENT)?;
    let mut borders: Vec<i64> = tested(loops).iter().filter_map(|dim| border(dim, lanes)).collect();
    borders.extend([0, extent]);
    borders.retain(|border| (0..=extent).contains(border));
    borders.sort_unstable();
    borders.dedup();
    let is_long = |piece: &[i64]| piece[1] - piece[0] >= machine.lanes as i64;
    let is_worthwhile = !machine.is_block() && (3..=MAX_PIECES + 1).contains(&borders.len());
    (is_worthwhile && borders.windows(2).all(is_long))
        .then(|| borders.windows(2).map(|ends| piece(loops, lanes, ends[0], ends[1])).collect())
}

/// The pieces of an axis that is not that of the lanes, if choices of whole rows depend on where they lie along it.
pub fn branches(loops: &Loops, lanes: usize, machine: &Machine) -> Option<(usize, Vec<Piece>)> {
    if machine.is_block() {
        return None;
    }
    let choices = choices(loops);
    let found = (0..loops.n_parallel).filter(|&axis| axis != lanes).filter_map(|axis| {
        let extent = loops.axes[axis].as_constant()?;
        let mut borders: Vec<i64> = choices.iter().filter_map(|dim| border(dim, axis)).collect();
        borders.retain(|border| (1..extent).contains(border));
        borders.extend([0, extent]);
        borders.sort_unstable();
        borders.dedup();
        (3..=MAX_BRANCHES + 1).contains(&borders.len()).then_some((axis, borders))
    });
    let (axis, borders) = found.max_by_key(|(_, borders)| borders.len())?;
    let pieces: Vec<Piece> = borders.windows(2).map(|ends| piece(loops, axis, ends[0], ends[1])).collect();
    let n_terms = |loops: &Loops| loops.body.needed(&loops.results()).len();
    let n_together: usize = pieces.iter().map(|piece| n_terms(&piece.loops)).sum();
    (n_together <= MAX_GROWTH * n_terms(loops)).then_some((axis, pieces))
}

/// Index expressions that are held against zero, each less what it is compared with.
fn tested(loops: &Loops) -> Vec<Dim> {
    let needed = loops.body.needed(&loops.results());
    let dims = needed.into_iter().flat_map(|id| match loops.body.term(id) {
        Term::Load(load) => load.guards.clone(),
        _ => tests(&loops.body, id),
    });
    dims.collect()
}

/// Those of them on which it depends what an element is made of.
fn choices(loops: &Loops) -> Vec<Dim> {
    let needed = loops.body.needed(&loops.results());
    let dims = needed.into_iter().flat_map(|id| match loops.body.term(id) {
        Term::Apply(Scalar::Select, args) => tests(&loops.body, args[0]),
        _ => Vec::new(),
    });
    dims.collect()
}

fn tests(body: &Body, id: TermId) -> Vec<Dim> {
    match body.term(id) {
        Term::Test(tests) => tests.to_vec(),
        Term::Apply(Scalar::Ge, sides) => match [sides[0], sides[1]].map(|side| body.term(side)) {
            [Term::Index(dim), Term::Index(least)] => vec![dim - least],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The first position along an axis from which on, or up to which, an expression is not negative, if that is one number.
fn border(dim: &Dim, axis: usize) -> Option<i64> {
    let (slope, rest) = dim.affine_in(&Loops::symbol(axis))?;
    match (slope.as_constant()?, rest.as_constant()?) {
        (1, rest) => Some(-rest),
        (-1, rest) => Some(rest + 1),
        _ => None,
    }
}

fn piece(loops: &Loops, lanes: usize, start: i64, end: i64) -> Piece {
    let mut ranges = loops.ranges.clone();
    ranges.remove(&Loops::symbol(lanes));
    ranges.declare(Loops::symbol(lanes), Dim::constant(start), Some(Dim::constant(end - 1)));
    let (mut body, mut roots) = (Body::default(), loops.roots());
    let settled = |body: &mut Body, id: TermId, mut term: Term| {
        if let Term::Load(load) = &mut term {
            load.guards.retain(|guard| !ranges.proves_le(&Dim::constant(0), guard));
        }
        settle(body, &loops.body, id, term, &ranges)
    };
    loops.body.map_to(&mut body, &mut roots, settled);
    let mut loops = Loops { body, ..loops.clone() };
    loops.set_roots(&roots);
    Piece { start, end, loops }
}
