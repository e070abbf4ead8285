//! Contractions on a block of threads: both factors pass through memory that the threads share, so that each element that
//! is read serves many sums.
//!
//! An item of the grid has a tile of rows × columns. Its sums stay in registers, several of each thread, while `stretches`
//! of K pass by. What follows the sums is done row by row, once all are there.
//!
//! Invariant: each element is summed in the order of k; rows and columns beyond the end are not stored.

use super::Plan;
use super::block::{Block, Lines};
use super::depth::Depth;
use super::stretches::{self, FINISHED, Left, STRETCH, Stretches, divides, words_of};
use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Condition, Kernel, Memory, Span, Type, lane};
use crate::schedule::emit::begin;
use crate::schedule::tiles::{Machine, RegisterTile};
use crate::schedule::{Loops, Reduce};

/// Rows of which it is worth it, positions of the last summed axis, columns.
const ENOUGH: i64 = 8;

/// Rows of a tile, if this is how the contraction is best computed.
pub fn rows_of_tile(loops: &Loops, plan: &Plan, machine: &Machine) -> Option<u64> {
    let at_least = |dim: &Dim, n: i64| dim.as_constant().is_none_or(|size| size >= n);
    let last = loops.axes.last().filter(|_| loops.axes.len() > loops.n_parallel)?;
    let rows = &loops.axes[plan.row_axis?];
    let is_worth_it = at_least(rows, ENOUGH)
        && at_least(&loops.axes[plan.column_axis], ENOUGH)
        && at_least(last, if words_of(loops).is_some() { ENOUGH / 2 } else { ENOUGH });
    if !is_worth_it || plan.scaled.is_some() || plan.dtype != DType::F32 {
        return None;
    }
    let width = plan.tile.vectors * machine.lanes;
    let bytes = |rows: u64| stretches::bytes(rows, width) + 4 * rows * width;
    stretches::rows_of_tile(rows, |rows| bytes(rows) <= machine.shared_bytes)
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
    let (left, right) = (stretches::left(&mut b, loops, tile_rows), stretches::right(&mut b, "right", loops, width));
    let sums = b.local("sums", plan.dtype, [tile_rows, width]);
    let (operands, n_rows, left) = (operands.as_slice(), tile_rows, Left::Passes(left));
    let product = Stretches {
        loops,
        plan,
        machine,
        operands,
        at,
        n_rows,
        width,
        row_start,
        column_start,
        left,
        right,
        step: STRETCH,
    };
    let staged = Staged { product, reduce, result, sums };
    // Few rows of a factor that lies in panels are better read as it lies.
    match plan.is_packed && rows.as_constant().is_none() {
        false => staged.emit(&mut b),
        true => {
            _ = b.if_else(
                Condition::Guards(vec![&(&rows - &staged.product.row_start) - ENOUGH]),
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
    product: Stretches<'a>,
    reduce: &'a Reduce,
    result: Memory,
    sums: Memory,
}

impl Staged<'_> {
    fn emit(&self, b: &mut Builder) {
        let product = &self.product;
        let shape = [product.n_rows, product.width];
        let zero = b.constant(Type::new(product.plan.dtype, shape), self.reduce.initial.value());
        let sum = product.sum(b, zero);
        b.store(self.sums, [lane(0), lane(1)], [], sum);
        let tile = Dim::constant(product.n_rows as i64);
        let n_rows = if self.has_whole_rows() { tile } else { (&self.rows() - &product.row_start).least(&tile) };
        b.for_loop(Span::new("r", 0, n_rows.ceil_div(&Dim::constant(FINISHED as i64)), 1), &[], |b, r, _| {
            self.finish(b, &(r * FINISHED as i64));
            Vec::new()
        });
    }

    fn rows(&self) -> Dim {
        self.product.plan.rows(self.product.loops)
    }

    fn has_whole_rows(&self) -> bool {
        divides(self.product.n_rows, &self.rows())
    }

    /// Rows that are too few for a tile, one by one.
    fn few(&self, b: &mut Builder) {
        let Stretches { loops, plan, machine, operands, width, .. } = self.product;
        let tile = Dim::constant(self.product.n_rows as i64);
        let one_by_one = Plan { tile: RegisterTile { rows: 1, ..plan.tile }, ..plan.clone() };
        let row_start = self.product.row_start.clone();
        let block = Block {
            loops,
            reduce: self.reduce,
            plan: &one_by_one,
            machine,
            operands,
            result: self.result,
            at: self.product.at.clone(),
            width,
            n_rows: (&self.rows() - &row_start).least(&tile),
            row_start,
            depth: Depth::whole(loops),
            panel: None,
            lines: Lines::one(),
            next_panel: None,
            partial: None,
            sums: None,
            products: None,
            last_words: None,
        };
        block.columns(b, &self.product.column_start);
    }

    /// What follows the sums, for the rows from `row` on.
    fn finish(&self, b: &mut Builder, row: &Dim) {
        let shape = [FINISHED, self.product.width];
        let sum = b.load(self.sums, shape, [&(row + &lane(0)), &lane(1)], [], 0.0);
        let mut tile = self.product.tile(row, FINISHED);
        tile.reduced(b, 0, sum);
        let value = tile.full(b, self.product.loops.stored);
        tile.store(b, self.result, value);
    }
}
