//! Products of words in registers of matrices: some rows and all columns of a panel at once, over all of the sum.
//!
//! Invariant: each element is summed in the order of k. A tile of rows that would reach over the end starts earlier, and
//! only what is new of it is finished.

use super::Plan;
use super::block::Block;
use super::depth::Stretch;
use crate::graph::{DType, Dim};
use crate::kernel::matrix::SIDE;
use crate::kernel::{Builder, Condition, Memory, Span, Type, lane};
use crate::schedule::Loops;
use crate::schedule::body::Term;
use crate::schedule::emit::Tile;
use crate::schedule::order;
use crate::schedule::tiles::{Machine, RegisterTile};

/// Two by two registers of sums, and as many of each factor.
pub const ROWS: i64 = 2 * SIDE as i64;
pub const COLUMNS: u64 = 2 * SIDE;
/// Fewer words at once waste most of a register.
const FEWEST_WORDS: u64 = 6;
/// So few rows are better multiplied as vectors: to read the panel takes all the time.
const FEW_ROWS: i64 = 2;
/// Rows that are finished together.
const FINISHED: u64 = 4;

/// How wide panels are that registers of matrices read.
pub fn panel_width(columns: &Dim) -> u64 {
    if columns.as_constant().is_some_and(|columns| columns <= SIDE as i64) { SIDE } else { COLUMNS }
}

/// The plan with registers of matrices, where both factors lie as those want them.
pub fn find(loops: &Loops, machine: &Machine) -> Option<(Loops, Plan)> {
    if !machine.matrices {
        return None;
    }
    let loops = loops.without_guards_of_panels();
    let plan = super::find(&loops, &loops.stages[0], machine)?;
    let fits = plan.is_packed && plan.tile.vectors * machine.lanes <= COLUMNS;
    let words = words(&loops, &plan).filter(|_| fits)?;
    let tile = RegisterTile { rows: ROWS as u64, vectors: plan.tile.vectors };
    Some((loops, Plan { matrices: Some(words), tile, ..plan }))
}

impl Plan {
    /// Tiles of equal height, of which the last overlaps.
    pub(super) fn with_even_matrices(mut self, rows: &Dim, shares: i64) -> Plan {
        self.tile.rows = even_rows(rows, shares).unwrap_or(self.tile.rows);
        self
    }
}

/// Rows of a tile, so that tiles of each share of the rows are equal, where the number of rows is known.
pub fn even_rows(rows: &Dim, shares: i64) -> Option<u64> {
    let rows = rows.as_constant().filter(|&rows| rows > 0)?;
    let of_share = (rows + shares - 1) / shares;
    let n_tiles = (of_share + ROWS - 1) / ROWS;
    Some(((of_share + n_tiles - 1) / n_tiles) as u64)
}

/// How many words of the last summed axis are multiplied at once, if both factors lie so that registers can hold them.
fn words(loops: &Loops, plan: &Plan) -> Option<u64> {
    let axis = plan.row_axis?;
    let has_rows = loops.axes[axis].as_constant().is_none_or(|rows| rows > FEW_ROWS);
    words_at_once(loops).filter(|_| has_rows && lies_in_words(loops, plan))
}

/// The same wherever the factor with the rows lies.
pub fn words_at_once(loops: &Loops) -> Option<u64> {
    let last = loops.axes.len().checked_sub(1).filter(|&last| last >= loops.n_parallel)?;
    let Term::Dot(DType::BF16, _) = loops.body.term(loops.stages[0].element) else { return None };
    let extent = loops.axes[last].as_constant().filter(|&extent| extent > 0)?;
    let words = (1..=SIDE as i64).rev().find(|words| extent % words == 0)? as u64;
    (words >= FEWEST_WORDS.min(extent as u64)).then_some(words)
}

/// Whether words of the factor with the rows are loaded from rows that are the same step apart.
pub fn lies_in_words(loops: &Loops, plan: &Plan) -> bool {
    let (Some(row), last) = (plan.row_axis, loops.axes.len() - 1) else { return false };
    let Term::Load(load) = loops.body.term(plan.row_factor) else { return false };
    let moves = |axis: usize| order::step(loops, load, axis).is_some_and(|step| !step.is(0));
    load.guards.is_empty() && moves(row) && moves(last)
}

impl Block<'_> {
    /// All rows of the block, tile by tile.
    pub(super) fn rows_of_matrices(
        &self,
        b: &mut Builder,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        words: u64,
    ) {
        let height = self.plan.tile.rows as i64;
        let known = self.n_rows.as_constant();
        let whole = |b: &mut Builder, row: &Dim, new: &Dim| {
            self.tile_of_matrices(b, (row, height as u64), new, (column_start, guarded), k, words);
        };
        let zero = Dim::constant(0);
        let one_by_one = |b: &mut Builder| {
            b.for_loop(Span::new("q", 0, self.n_rows.clone(), 1), &[], |b, row, _| {
                self.tile_of_matrices(b, (row, 1), &zero, (column_start, guarded), k, words);
                Vec::new()
            });
        };
        let tiles = |b: &mut Builder| {
            let n_tiles = self.n_rows.ceil_div(&Dim::constant(height));
            b.for_loop(Span::new("r", 0, n_tiles, 1), &[], |b, tile, _| {
                let wanted = tile * height;
                let row = wanted.least(&(&self.n_rows - height));
                whole(b, &row, &(&wanted - &row));
                Vec::new()
            });
        };
        match known {
            Some(few) if few < height => {
                self.tile_of_matrices(b, (&zero, few as u64), &zero, (column_start, guarded), k, words);
            }
            Some(rows) if rows % height == 0 => {
                b.for_loop(Span::new("r", 0, rows / height, 1), &[], |b, tile, _| {
                    whole(b, &(tile * height), &zero);
                    Vec::new()
                });
            }
            Some(_) => tiles(b),
            None => {
                let is_whole = Condition::Guards(vec![&self.n_rows - height]);
                b.if_else(
                    is_whole,
                    |b| {
                        tiles(b);
                        Vec::new()
                    },
                    |b| {
                        one_by_one(b);
                        Vec::new()
                    },
                );
            }
        }
    }

    /// One tile: its sums, and what follows them for the rows from the first new one on.
    fn tile_of_matrices(
        &self,
        b: &mut Builder,
        (row, n_rows): (&Dim, u64),
        new: &Dim,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        words: u64,
    ) {
        let Some(sums) = self.sums else { unreachable!("a block of matrices has memory for sums") };
        let zero = b.constant(Type::new(self.plan.dtype, [n_rows, self.width]), 0.0);
        let sum = k.each_of(b, words as i64, &[zero], &mut |b, at, carried| {
            let last = at.len() - 1;
            let mut left = at.to_vec();
            self.set_row(&mut left, &(row + &lane(0)));
            left[last] = &at[last] + &lane(1);
            let left = Tile::new(self.loops, self.operands, left, vec![n_rows, words], Vec::new())
                .full(b, self.plan.row_factor);
            let mut right = at.to_vec();
            right[self.plan.column_axis] = column_start + &lane(1);
            right[last] = &at[last] + &lane(0);
            let right = Tile::new(self.loops, self.operands, right, vec![words, self.width], Vec::new())
                .full(b, self.plan.column_factor);
            vec![b.dot(DType::BF16, carried[0], left, right)]
        });
        b.store(sums, [lane(0), lane(1)], [], sum[0]);
        self.finish_rows(b, sums, (row, n_rows), new, (column_start, guarded));
    }

    /// What follows sums that lie in memory, a few rows at a time.
    fn finish_rows(
        &self,
        b: &mut Builder,
        sums: Memory,
        (row, n_rows): (&Dim, u64),
        new: &Dim,
        (column_start, guarded): (&Dim, bool),
    ) {
        let finish = |b: &mut Builder, own: &Dim, n_rows: u64| {
            let sum = b.load(sums, [n_rows, self.width], [&(own + &lane(0)), &lane(1)], [], 0.0);
            self.finish(b, &(row + own), n_rows, column_start, guarded, sum);
        };
        let n_new = &Dim::constant(n_rows as i64) - new;
        let some = Dim::constant(FINISHED as i64);
        b.for_loop(Span::new("f", 0, n_new.floor_div(&some), 1), &[], |b, some, _| {
            finish(b, &(new + &(some * FINISHED as i64)), FINISHED);
            Vec::new()
        });
        let rest = n_new.modulo(&some);
        match rest.as_constant() {
            Some(0) => {}
            Some(rest) => finish(b, &Dim::constant(n_rows as i64 - rest), rest as u64),
            None => {
                let first = &Dim::constant(n_rows as i64) - &rest;
                b.for_loop(Span::new("g", 0, rest, 1), &[], |b, one, _| {
                    finish(b, &(&first + one), 1);
                    Vec::new()
                });
            }
        }
    }
}
