//! Nests without a reduction: the grid runs over all axes but one, and tiles run along that one.

use super::emit::{Tile, begin};
use super::pieces::{self, Piece};
use super::tiles::{Machine, each_tile, segments};
use super::{Loops, interleave, order, residues, stream, transpose};
use crate::graph::Dim;
use crate::kernel::{Builder, Condition, Kernel, Memory, Rights, Value, lane};

/// Elements of the inner axis that one item of the grid handles.
const CHUNK: i64 = 4096;
/// The same for a block of threads, of which there should be many.
const THREADS_CHUNK: i64 = 512;

pub fn chunk_size(machine: &Machine) -> i64 {
    if machine.is_block() { THREADS_CHUNK } else { CHUNK }
}

pub fn kernel(loops: &Loops, machine: &Machine) -> Kernel {
    let inner = order::vector_axis(loops, machine);
    if loops.more.is_empty() {
        if let Some(plan) = interleave::find(loops, machine) {
            return interleave::kernel(&plan, machine);
        }
        if let Some(plan) = residues::find(loops) {
            return residues::kernel(&plan, machine);
        }
        if let Some(plan) = inner.and_then(|inner| transpose::find(loops, inner, machine)) {
            return transpose::kernel(loops, &plan, machine);
        }
    }
    let (mut b, operands, result) = begin(loops);
    let mut results = vec![result];
    results.extend(loops.more.iter().enumerate().map(|(idx, &id)| {
        b.buffer(format!("out{}", idx + 1), loops.body.dtype(id), loops.result.shape.clone(), Rights::Write)
    }));
    results.iter().for_each(|&result| stream::stream(&mut b, result, loops, machine));
    let mut at = grid(&mut b, loops, inner);
    let Some(inner) = inner else {
        store(&mut b, Tile::new(loops, &operands, at, vec![1], Vec::new()), &results);
        return b.finish();
    };
    if let Some(pieces) = pieces::find(loops, inner, machine) {
        for (number, Piece { start, end, loops }) in pieces.iter().enumerate() {
            let (length, end) = (Dim::constant(end - start), Dim::constant(*end));
            each_tile(&mut b, &format!("p{number}_"), &segments(&length, machine), &[], &mut |b, base, segment, _| {
                at[inner] = &(base + *start) + &lane(0);
                let guards = if segment.guarded { vec![Builder::below(&at[inner], &end)] } else { Vec::new() };
                store(b, Tile::new(loops, &operands, at.clone(), vec![segment.width], guards), &results);
                Vec::new()
            });
        }
        return b.finish();
    }
    let span = chunk(&mut b, &loops.axes[inner], chunk_size(machine));
    let row = |b: &mut Builder, loops: &Loops| {
        each_tile(b, "j", &segments(&span.1, machine), &[], &mut |b, base, segment, _| {
            let mut at = at.clone();
            at[inner] = &(&span.0 + base) + &lane(0);
            let guards =
                if segment.guarded { vec![Builder::below(&at[inner], &loops.axes[inner])] } else { Vec::new() };
            store(b, Tile::new(loops, &operands, at, vec![segment.width], guards), &results);
            Vec::new()
        });
    };
    match pieces::branches(loops, inner, machine) {
        Some((axis, pieces)) => branch(&mut b, &at[axis], &pieces, &row),
        None => row(&mut b, loops),
    }
    b.finish()
}

/// The piece in which a position lies, found by halving.
fn branch(b: &mut Builder, position: &Dim, pieces: &[Piece], row: &dyn Fn(&mut Builder, &Loops)) {
    match pieces {
        [] => {}
        [piece] => row(b, &piece.loops),
        _ => {
            let (before, after) = pieces.split_at(pieces.len() / 2);
            let later = Condition::Guards(vec![position - after[0].start]);
            let side = |b: &mut Builder, pieces: &[Piece]| {
                branch(b, position, pieces, row);
                Vec::new()
            };
            b.if_else(later, |b| side(b, after), |b| side(b, before));
        }
    }
}

/// Stores the results of a tile after all have been computed: one may lie over an operand that another reads.
fn store(b: &mut Builder, mut tile: Tile, results: &[Memory]) {
    let values: Vec<Value> = tile.loops.results().into_iter().map(|id| tile.full(b, id)).collect();
    for (&result, value) in results.iter().zip(values) {
        tile.store(b, result, value);
    }
}

/// More than any axis has.
const WHOLE: i64 = 1 << 40;

/// A grid axis for every axis along which nothing is reduced but `lanes`; gives the positions along all axes.
pub fn grid(b: &mut Builder, loops: &Loops, lanes: Option<usize>) -> Vec<Dim> {
    (0..loops.axes.len())
        .map(|axis| match !loops.inner.contains(&axis) && Some(axis) != lanes {
            true => b.grid(&format!("g{axis}"), loops.axes[axis].clone()),
            false => Dim::constant(0),
        })
        .collect()
}

/// Splits an axis of more than `size` elements over the grid: the start and the length of the part of one item. An extent
/// that is a quotient stays whole: no proof follows quotients of its parts.
pub fn chunk(b: &mut Builder, extent: &Dim, size: i64) -> (Dim, Dim) {
    if crate::graph::rows::divides(extent) {
        // An extent that only a check at entry keeps from being negative must not reach the loops when it is.
        b.grid("c", extent.ceil_div(&Dim::constant(WHOLE)));
        return (Dim::constant(0), extent.clone());
    }
    if extent.as_constant().is_some_and(|extent| extent <= size) {
        return (Dim::constant(0), extent.clone());
    }
    let chunk = Dim::constant(size);
    let item = b.grid("c", extent.ceil_div(&chunk));
    let start = &item * size;
    let whole = extent.as_constant().is_some_and(|extent| extent % size == 0);
    let length = if whole { chunk } else { (extent - &start).least(&chunk) };
    (start, length)
}
