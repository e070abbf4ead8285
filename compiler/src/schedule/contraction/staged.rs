//! Contractions on a block of threads: both factors pass through memory that the threads share, so that each element that
//! is read serves many sums.
//!
//! An item of the grid has a tile of rows × columns. Its sums stay in registers, several of each thread, while stretches of
//! K pass by: the threads store the stretch of both factors, with whatever computes them, then multiply. What follows the
//! sums is done row by row, once all are there.
//!
//! Invariant: each element is summed in the order of k. Positions beyond the end of K are zeros in both factors; rows and
//! columns beyond the end are computed of anything and not stored.

use super::Plan;
use super::block::Block;
use super::depth::Depth;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Kernel, Memory, Span, Type, Value, lane};
use crate::schedule::body::{Term, TermId};
use crate::schedule::emit::{Tile, begin};
use crate::schedule::order;
use crate::schedule::tiles::{Machine, RegisterTile};
use crate::schedule::{Loops, Reduce};

/// Positions of a stretch of K: numbers, or words of two.
const STRETCH: u64 = 16;
/// Of words, as many are multiplied at once as the machine's instruction takes.
const WORDS: u64 = 8;
/// Rows of a tile: the least that holds all there are, or the last.
const ROWS: [u64; 3] = [16, 32, 64];
/// Rows of which it is worth it, positions of the last summed axis, columns.
const ENOUGH: i64 = 8;
/// Rows of a tile that are finished together.
const FINISHED: u64 = 8;
/// So that threads that read neighbouring rows at the same time find them in different banks.
const PAD_LEFT: u64 = 4;
const PAD_RIGHT: u64 = 8;

/// Rows of a tile, if this is how the contraction is best computed.
pub fn rows_of_tile(loops: &Loops, plan: &Plan, machine: &Machine) -> Option<u64> {
    let at_least = |dim: &Dim, n: i64| dim.as_constant().is_none_or(|size| size >= n);
    let (last, words) = (loops.axes.last().filter(|_| loops.axes.len() > loops.n_parallel)?, is_of_words(loops));
    let rows = &loops.axes[plan.row_axis?];
    let is_worth_it = at_least(rows, ENOUGH)
        && at_least(&loops.axes[plan.column_axis], ENOUGH)
        && at_least(last, if words { ENOUGH / 2 } else { ENOUGH });
    if !is_worth_it || plan.scaled.is_some() || plan.dtype != DType::F32 {
        return None;
    }
    let width = plan.tile.vectors * machine.lanes;
    let bytes = |rows: u64| 4 * (rows * (STRETCH + PAD_LEFT) + STRETCH * (width + PAD_RIGHT) + rows * width);
    let fit = ROWS.into_iter().filter(|&rows| bytes(rows) <= machine.shared_bytes);
    let has_all = |tile: &u64| rows.as_constant().is_some_and(|rows| rows <= *tile as i64);
    fit.clone().find(has_all).or(fit.last())
}

/// The type of the numbers that are multiplied in words.
fn words_of(loops: &Loops) -> Option<DType> {
    loops.stages.iter().find_map(|stage| match loops.body.term(stage.element) {
        Term::Dot(of, _) => Some(*of),
        _ => None,
    })
}

fn is_of_words(loops: &Loops) -> bool {
    words_of(loops).is_some()
}

/// The kernel, with tiles of this many rows.
pub fn kernel(loops: &Loops, reduce: &Reduce, plan: &Plan, machine: &Machine, tile_rows: u64) -> Kernel {
    let (mut b, operands, result) = begin(loops);
    let width = plan.tile.vectors * machine.lanes;
    let (rows, columns) = (plan.rows(loops), &loops.axes[plan.column_axis]);
    let mut at = vec![Dim::constant(0); loops.axes.len()];
    for axis in plan.outer_axes(loops) {
        at[axis] = b.grid(&format!("g{axis}"), loops.axes[axis].clone());
    }
    let column_start = &b.grid("n", columns.ceil_div(&Dim::constant(width as i64))) * width as i64;
    let row_start = &b.grid("m", rows.ceil_div(&Dim::constant(tile_rows as i64))) * tile_rows as i64;
    let dtype = if is_of_words(loops) { DType::U32 } else { plan.dtype };
    let left = b.local("left", dtype, [tile_rows, STRETCH + PAD_LEFT]);
    let right = b.local("right", dtype, [STRETCH, width + PAD_RIGHT]);
    let sums = b.local("sums", plan.dtype, [tile_rows, width]);
    let (operands, n_rows) = (operands.as_slice(), tile_rows);
    let staged = Staged {
        loops,
        reduce,
        plan,
        machine,
        operands,
        result,
        at,
        n_rows,
        width,
        row_start,
        column_start,
        left,
        right,
        sums,
    };
    // Few rows of a factor that lies in panels are better read as it lies.
    match plan.is_packed && rows.as_constant().is_none() {
        false => staged.emit(&mut b),
        true => {
            _ = b.if_else(
                Condition::Guards(vec![&(&rows - &staged.row_start) - ENOUGH]),
                |b| {
                    staged.emit(b);
                    Vec::new()
                },
                |b| {
                    staged.few(b);
                    Vec::new()
                },
            )
        }
    }
    b.finish()
}

struct Staged<'a> {
    loops: &'a Loops,
    reduce: &'a Reduce,
    plan: &'a Plan,
    machine: &'a Machine,
    operands: &'a [Memory],
    result: Memory,
    /// Positions along the outer axes.
    at: Vec<Dim>,
    n_rows: u64,
    width: u64,
    row_start: Dim,
    column_start: Dim,
    /// A stretch of each factor: rows × positions, positions × columns.
    left: Memory,
    right: Memory,
    sums: Memory,
}

impl Staged<'_> {
    fn emit(&self, b: &mut Builder) {
        let zero = b.constant(Type::new(self.plan.dtype, [self.n_rows, self.width]), self.reduce.initial.value());
        let summed: Vec<usize> = (self.loops.n_parallel..self.loops.axes.len()).collect();
        let sum = self.sum(b, &summed, &self.at, zero);
        b.store(self.sums, [lane(0), lane(1)], [], sum);
        let left = (&self.rows() - &self.row_start).least(&Dim::constant(self.n_rows as i64));
        let n_rows = if self.has_whole_rows() { Dim::constant(self.n_rows as i64) } else { left };
        b.for_loop(Span::new("r", 0, n_rows.ceil_div(&Dim::constant(FINISHED as i64)), 1), &[], |b, r, _| {
            self.finish(b, &(r * FINISHED as i64));
            Vec::new()
        });
    }

    fn rows(&self) -> Dim {
        self.plan.rows(self.loops)
    }

    fn has_whole_rows(&self) -> bool {
        divides(self.n_rows, &self.rows())
    }

    /// Rows that are too few for a tile, one by one.
    fn few(&self, b: &mut Builder) {
        let tile = Dim::constant(self.n_rows as i64);
        let one_by_one = Plan { tile: RegisterTile { rows: 1, ..self.plan.tile }, ..self.plan.clone() };
        let block = Block {
            loops: self.loops,
            reduce: self.reduce,
            plan: &one_by_one,
            machine: self.machine,
            operands: self.operands,
            result: self.result,
            at: self.at.clone(),
            width: self.width,
            row_start: self.row_start.clone(),
            n_rows: (&self.rows() - &self.row_start).least(&tile),
            depth: Depth::whole(self.loops),
            panel: None,
            next_panel: None,
            partial: None,
        };
        block.columns(b, &self.column_start);
    }

    /// Along the summed axes, the last of them in stretches.
    fn sum(&self, b: &mut Builder, axes: &[usize], at: &[Dim], sum: Value) -> Value {
        let Some((&axis, rest)) = axes.split_first() else { return sum };
        let (extent, mut at) = (&self.loops.axes[axis], at.to_vec());
        if !rest.is_empty() {
            let span = Span::new(&format!("k{axis}"), 0, extent.clone(), 1);
            return b.for_loop(span, &[sum], |b, position, carried| {
                at[axis] = position.clone();
                vec![self.sum(b, rest, &at, carried[0])]
            })[0];
        }
        let n_stretches = extent.ceil_div(&Dim::constant(STRETCH as i64));
        b.for_loop(Span::new("kb", 0, n_stretches, 1), &[sum], |b, stretch, carried| {
            at[axis] = stretch * STRETCH as i64;
            self.stage(b, &at, self.plan.row_factor);
            self.stage(b, &at, self.plan.column_factor);
            vec![self.multiply(b, carried[0])]
        })[0]
    }

    /// Stores a stretch of a factor, whose first position along the summed axes is given: neighbours in memory by
    /// neighbouring threads.
    fn stage(&self, b: &mut Builder, at: &[Dim], factor: TermId) {
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
        let end_of_sum = (!divides(STRETCH, &self.loops.axes[last])).then(|| below(last));
        let end = (!divides(extent, &self.loops.axes[axis])).then(|| below(axis));
        let guards = end_of_sum.iter().cloned().chain(end).collect();
        let mut tile = Tile::new(self.loops, self.operands, at.clone(), shape.clone(), guards);
        let mut value = tile.full(b, factor);
        if !is_of_words(self.loops) {
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
            true => b.store(self.left, [place, k], [], value),
            false => b.store(self.right, [k, place], [], value),
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

    fn multiply(&self, b: &mut Builder, sum: Value) -> Value {
        let (words, width, n_rows) = (words_of(self.loops), self.width, self.n_rows);
        let at_once = if words.is_some() && self.machine.mma { WORDS } else { 1 };
        let unroll = at_once > 1;
        let span = Span { unroll, ..Span::new("k", 0, STRETCH as i64, at_once as i64) };
        b.for_loop(span, &[sum], |b, k, carried| {
            let left = b.load(self.left, [n_rows, at_once], [&lane(0), &(k + &lane(1))], [], 0.0);
            let right = b.load(self.right, [at_once, width], [&(k + &lane(0)), &lane(1)], [], 0.0);
            vec![match words {
                Some(of) => b.dot(of, carried[0], left, right),
                None => b.contract(carried[0], left, right),
            }]
        })[0]
    }

    /// What follows the sums, for the rows from `row` on.
    fn finish(&self, b: &mut Builder, row: &Dim) {
        let mut at = self.at.clone();
        let (columns, mut guards) = (&self.loops.axes[self.plan.column_axis], Vec::new());
        at[self.plan.column_axis] = &self.column_start + &lane(1);
        if !divides(self.width, columns) {
            guards.push(Builder::below(&at[self.plan.column_axis], columns));
        }
        if let Some(axis) = self.plan.row_axis {
            at[axis] = &(&self.row_start + row) + &lane(0);
            if !self.has_whole_rows() {
                guards.push(Builder::below(&at[axis], &self.loops.axes[axis]));
            }
        }
        let shape = vec![FINISHED, self.width];
        let sum = b.load(self.sums, shape.clone(), [&(row + &lane(0)), &lane(1)], [], 0.0);
        let mut tile = Tile::new(self.loops, self.operands, at, shape, guards);
        tile.reduced(b, 0, sum);
        let value = tile.full(b, self.loops.stored);
        tile.store(b, self.result, value);
    }
}

/// Whether tiles of this extent cover it and nothing more.
fn divides(tile: u64, extent: &Dim) -> bool {
    extent.exact_div(&Dim::constant(tile as i64)).is_some()
}
