//! A product of two factors that pass through memory that the threads of a block share, stretch by stretch of what is
//! summed. The threads store a stretch of each factor, with whatever computes it, then multiply.
//!
//! Invariant: each element is summed in the order of k. Positions beyond the end of K are zeros in both factors; rows and
//! columns beyond the end are computed of anything.

use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Memory, Span, Value, lane};
use crate::schedule::Loops;
use crate::schedule::body::{Term, TermId};
use crate::schedule::contraction::Plan;
use crate::schedule::emit::Tile;
use crate::schedule::order;
use crate::schedule::tiles::Machine;

/// Positions of a stretch of K: numbers, or words of two.
pub const STRETCH: u64 = 16;
/// Of words, as many are multiplied at once as the machine's instruction takes.
const WORDS: u64 = 8;
/// So that threads that read neighbouring rows at the same time find them in different banks.
const PAD_LEFT: u64 = 4;
const PAD_RIGHT: u64 = 8;

/// Rows of a tile that are finished together.
pub const FINISHED: u64 = 8;
/// Rows of a tile: the least that holds all there are, or the last.
const ROWS: [u64; 3] = [16, 32, 64];

/// The rows of a tile, of those that fit.
pub fn rows_of_tile(rows: &Dim, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let fit = ROWS.into_iter().filter(|&tile| fits(tile));
    let has_all = |tile: &u64| rows.as_constant().is_some_and(|rows| rows <= *tile as i64);
    fit.clone().find(has_all).or(fit.last())
}

pub struct Stretches<'a> {
    pub loops: &'a Loops,
    pub plan: &'a Plan,
    pub machine: &'a Machine,
    pub operands: &'a [Memory],
    /// Positions along the axes that are neither rows nor columns nor summed.
    pub at: Vec<Dim>,
    pub n_rows: u64,
    pub width: u64,
    pub row_start: Dim,
    pub column_start: Dim,
    pub left: Left,
    /// Positions × columns.
    pub right: Memory,
    /// Positions of the last summed axis are visited in multiples of this.
    pub step: u64,
}

/// Where the factor with the rows is multiplied.
#[derive(Clone, Copy)]
pub enum Left {
    /// A stretch of it, rows × positions.
    Passes(Memory),
    /// All of it that is visited.
    Lies(Memory),
}

/// Memory for a stretch of the factor with the rows.
pub fn left(b: &mut Builder, loops: &Loops, n_rows: u64) -> Memory {
    b.local("left", element(loops), [n_rows, STRETCH + PAD_LEFT])
}

/// Memory for a stretch of the other factor.
pub fn right(b: &mut Builder, name: &str, loops: &Loops, width: u64) -> Memory {
    b.local(name, element(loops), [STRETCH, width + PAD_RIGHT])
}

/// Bytes of both.
pub fn bytes(n_rows: u64, width: u64) -> u64 {
    4 * (n_rows * (STRETCH + PAD_LEFT) + STRETCH * (width + PAD_RIGHT))
}

impl Stretches<'_> {
    /// Along all summed axes.
    pub fn sum(&self, b: &mut Builder, sum: Value) -> Value {
        let summed: Vec<usize> = (self.loops.n_parallel..self.loops.axes.len()).collect();
        self.along(b, &summed, &self.at, sum)
    }

    /// Along the summed axes, the last of them in stretches.
    fn along(&self, b: &mut Builder, axes: &[usize], at: &[Dim], sum: Value) -> Value {
        let Some((&axis, rest)) = axes.split_first() else { return sum };
        let (extent, mut at) = (&self.loops.axes[axis], at.to_vec());
        if rest.is_empty() {
            return self.stretches(b, &at, &Dim::constant(0), extent.ceil_div(&Dim::constant(STRETCH as i64)), sum);
        }
        let span = Span::new(&format!("k{axis}"), 0, extent.clone(), 1);
        b.for_loop(span, &[sum], |b, position, carried| {
            at[axis] = position.clone();
            vec![self.along(b, rest, &at, carried[0])]
        })[0]
    }

    /// Along the last axis from `start` on.
    pub fn stretches(&self, b: &mut Builder, at: &[Dim], start: &Dim, n_stretches: Dim, sum: Value) -> Value {
        let mut at = at.to_vec();
        b.for_loop(Span::new("kb", 0, n_stretches, 1), &[sum], |b, stretch, carried| {
            let passed = stretch * STRETCH as i64;
            at[self.loops.axes.len() - 1] = start + &passed;
            if let Left::Passes(memory) = self.left {
                self.stage(b, &at, self.plan.row_factor, memory);
            }
            self.stage(b, &at, self.plan.column_factor, self.right);
            vec![self.multiply(b, &passed, carried[0])]
        })[0]
    }

    /// What is done with the sums of some rows from `row` on: positions beyond the end take no part.
    pub fn tile(&self, row: &Dim, n_rows: u64) -> Tile<'_> {
        let (columns, mut at, mut guards) = (self.plan.column_axis, self.at.clone(), Vec::new());
        at[columns] = &self.column_start + &lane(1);
        if !divides(self.width, &self.loops.axes[columns]) {
            guards.push(Builder::below(&at[columns], &self.loops.axes[columns]));
        }
        if let Some(rows) = self.plan.row_axis {
            at[rows] = &(&self.row_start + row) + &lane(0);
            if !divides(self.n_rows, &self.loops.axes[rows]) {
                guards.push(Builder::below(&at[rows], &self.loops.axes[rows]));
            }
        }
        Tile::new(self.loops, self.operands, at, vec![n_rows, self.width], guards)
    }

    /// Stores a stretch of a factor, whose first position along the summed axes is given: neighbours in memory by
    /// neighbouring threads.
    fn stage(&self, b: &mut Builder, at: &[Dim], factor: TermId, memory: Memory) {
        let (is_left, last) = (factor == self.plan.row_factor, self.loops.axes.len() - 1);
        let (axis, extent, own) = match self.plan.row_axis.filter(|_| is_left) {
            Some(axis) => (axis, self.n_rows, &self.row_start),
            None => (self.plan.column_axis, self.width, &self.column_start),
        };
        let (place, k, shape) = match self.is_along_sum(factor, axis) {
            true => self.spread(extent, STRETCH),
            false => {
                let (k, place, shape) = self.spread(STRETCH, extent);
                (place, k, shape)
            }
        };
        let mut at = at.to_vec();
        at[axis] = own + &place;
        at[last] = &at[last] + &k;
        let below = |axis: usize| Builder::below(&at[axis], &self.loops.axes[axis]);
        let end_of_sum = (!divides(self.step, &self.loops.axes[last])).then(|| below(last));
        let end = (!divides(extent, &self.loops.axes[axis])).then(|| below(axis));
        let guards = end_of_sum.iter().cloned().chain(end).collect();
        let mut tile = Tile::new(self.loops, self.operands, at.clone(), shape.clone(), guards);
        let mut value = tile.full(b, factor);
        if words_of(self.loops).is_none() {
            value = b.cast(value, self.plan.dtype);
        }
        if let Some(inside) = end_of_sum {
            let index = b.index(shape, inside);
            let zero = b.constant(b.type_of(index).clone(), 0.0);
            let inside = b.scalar(Scalar::Ge, &[index, zero]);
            let nothing = b.constant(b.type_of(value).clone(), 0.0);
            value = b.scalar(Scalar::Select, &[inside, value, nothing]);
        }
        match is_left {
            true => b.store(memory, [place, k], [], value),
            false => b.store(memory, [k, place], [], value),
        }
    }

    /// Whether what the factor reads lies closer together along the summed axis than along the other one. In panels,
    /// columns lie side by side.
    fn is_along_sum(&self, factor: TermId, other: usize) -> bool {
        if self.plan.is_packed && factor == self.plan.column_factor {
            return false;
        }
        let step = |load: &_, axis: usize| {
            let step = order::step(self.loops, load, axis).and_then(|step| step.as_constant());
            step.filter(|&step| step != 0).map_or(i64::MAX, i64::saturating_abs)
        };
        let loads = self.loops.body.loads(&[factor]);
        loads.iter().any(|load| step(load, self.loops.axes.len() - 1) < step(load, other))
    }

    /// All of `outer × inner` positions on tiles as wide as the block: positions along both, and the shape of the tile.
    fn spread(&self, outer: u64, inner: u64) -> (Dim, Dim, Vec<u64>) {
        let lanes = self.machine.lanes;
        let shape = vec![outer * inner / lanes, lanes];
        if inner >= lanes {
            let per_row = Dim::constant((inner / lanes) as i64);
            let within = &lane(1) + &(&lane(0).modulo(&per_row) * lanes as i64);
            return (lane(0).floor_div(&per_row), within, shape);
        }
        let inner = Dim::constant(inner as i64);
        let first = &lane(0) * (lanes as i64 / inner.as_constant().unwrap_or(1));
        (&first + &lane(1).floor_div(&inner), lane(1).modulo(&inner), shape)
    }

    /// `passed` positions lie before those of the stretch in the factor that lies as a whole.
    fn multiply(&self, b: &mut Builder, passed: &Dim, sum: Value) -> Value {
        let (words, width, n_rows) = (words_of(self.loops), self.width, self.n_rows);
        let at_once = if words.is_some() && self.machine.mma { WORDS } else { 1 };
        let unroll = at_once > 1;
        let span = Span { unroll, ..Span::new("k", 0, STRETCH as i64, at_once as i64) };
        b.for_loop(span, &[sum], |b, k, carried| {
            let shape = [n_rows, at_once];
            let left = match (self.left, words) {
                (Left::Passes(memory), _) => b.load(memory, shape, [&lane(0), &(k + &lane(1))], [], 0.0),
                (Left::Lies(memory), None) => b.load(memory, shape, [&lane(0), &(&(passed + k) + &lane(1))], [], 0.0),
                (Left::Lies(memory), Some(_)) => {
                    b.load_words(memory, shape, [&lane(0), &(&(&(passed + k) + &lane(1)) * 2)], [])
                }
            };
            let right = b.load(self.right, [at_once, width], [&(k + &lane(0)), &lane(1)], [], 0.0);
            vec![match words {
                Some(of) => b.dot(of, carried[0], left, right),
                None => b.contract(carried[0], left, right),
            }]
        })[0]
    }
}

/// The type of the numbers that are multiplied in words.
pub fn words_of(loops: &Loops) -> Option<DType> {
    loops.stages.iter().find_map(|stage| match loops.body.term(stage.element) {
        Term::Dot(of, _) => Some(*of),
        _ => None,
    })
}

/// What a factor lies in while it passes by.
fn element(loops: &Loops) -> DType {
    if words_of(loops).is_some() { DType::U32 } else { DType::F32 }
}

/// Whether tiles of this extent cover it and nothing more.
pub fn divides(tile: u64, extent: &Dim) -> bool {
    extent.exact_div(&Dim::constant(tile as i64)).is_some()
}
