//! Nests whose elements are told apart by where they lie along the lanes, such as what is put together from several tensors
//! or padded: each piece between two borders has a loop of its own, free of the tests that it decides.
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

/// Index expressions that are held against zero, each less what it is compared with.
fn tested(loops: &Loops) -> Vec<Dim> {
    let body = &loops.body;
    let mut dims = Vec::new();
    for id in loops.results().iter().flat_map(|&root| body.needed(&[root])) {
        match body.term(id) {
            Term::Test(tests) => dims.extend(tests.iter().cloned()),
            Term::Load(load) => dims.extend(load.guards.iter().cloned()),
            Term::Apply(Scalar::Ge, sides) => {
                if let [Term::Index(dim), Term::Index(least)] = [sides[0], sides[1]].map(|side| body.term(side)) {
                    dims.push(dim - least)
                }
            }
            _ => {}
        }
    }
    dims
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
