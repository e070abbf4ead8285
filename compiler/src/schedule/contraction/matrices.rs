//! Products of words in registers of matrices: some rows and all columns of a panel at once, over all of the sum.
//!
//! Invariant: each element is summed in the order of k. A tile of rows that would reach over the end starts earlier, and
//! only what is new of it is finished. So do the last words of a sum that falls into no equal steps: what was multiplied
//! before meets zeros, so that infinities may become NaN.

use super::Plan;
use super::block::Block;
use super::depth::Stretch;
use super::{joined, run};
use crate::graph::{DType, Dim};
use crate::kernel::matrix::SIDE;
use crate::kernel::{Builder, Condition, Memory, Span, Type, Value, lane};
use crate::schedule::Loops;
use crate::schedule::body::{Load, Term};
use crate::schedule::emit::Tile;
use crate::schedule::order;
use crate::schedule::tiles::{Machine, RegisterTile};

/// Two by two registers of sums, and as many of each factor.
pub const ROWS: i64 = 2 * SIDE as i64;
pub const COLUMNS: u64 = 2 * SIDE;
/// Equal steps of fewer words waste much of a register; in short sums even more so.
const ENOUGH_WORDS: u64 = 10;
const FEWEST_WORDS: u64 = 6;
/// Places of a window whose last words are kept.
const MAX_TAPS: i64 = 64;
/// Rows that are finished together.
pub const FINISHED: u64 = 4;

/// How wide panels are that registers of matrices read.
pub fn panel_width(columns: &Dim) -> u64 {
    if columns.as_constant().is_some_and(|columns| columns <= SIDE as i64) { SIDE } else { COLUMNS }
}

/// The plan with registers of matrices, where both factors lie as those want them.
pub fn find(loops: &Loops, machine: &Machine) -> Option<(Loops, Plan)> {
    if !machine.matrices {
        return None;
    }
    let mut loops = loops.without_guards_of_panels();
    if let Some(joined) = joined::find(&loops).filter(|joined| fills_more(joined, &loops)) {
        loops = joined;
    }
    let mut plan = super::find(&loops, &loops.stages[0], machine)?;
    if let Some((flat, run)) = run::find(&loops, &plan) {
        plan = Plan { run: Some(run), ..super::find(&flat, &flat.stages[0], machine)? };
        loops = flat;
    }
    let fits = plan.is_packed && plan.tile.vectors * machine.lanes <= COLUMNS;
    let steps = steps(&loops, &plan).filter(|_| fits)?;
    let tile = RegisterTile { rows: ROWS as u64, vectors: plan.tile.vectors };
    Some((loops, Plan { matrices: Some(steps), tile, ..plan }))
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

/// In what steps the last summed axis is multiplied: so many words at once, and a last step with so many new ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    pub words: u64,
    pub rest: u64,
}

/// The steps of a sum, if both factors lie so that registers can hold them.
fn steps(loops: &Loops, plan: &Plan) -> Option<Steps> {
    steps_of_sum(loops).filter(|_| lies_in_words(loops, plan))
}

/// Whether a step of one nest multiplies more words than one of the other.
fn fills_more(one: &Loops, other: &Loops) -> bool {
    let words = |loops: &Loops| steps_of_sum(loops).filter(|steps| steps.rest == 0).map_or(0, |steps| steps.words);
    words(one) > words(other)
}

/// The same wherever the factor with the rows lies.
pub fn steps_of_sum(loops: &Loops) -> Option<Steps> {
    let last = loops.axes.len().checked_sub(1).filter(|&last| last >= loops.n_parallel)?;
    let Term::Dot(DType::BF16, _) = loops.body.term(loops.stages[0].element) else { return None };
    let extent = loops.axes[last].as_constant().filter(|&extent| extent > 0)? as u64;
    let words = (1..=SIDE).rev().find(|words| extent.is_multiple_of(*words))?;
    let taps = Dim::product(&loops.axes[loops.n_parallel..last]).as_constant();
    match words >= ENOUGH_WORDS.min(extent) {
        true => Some(Steps { words, rest: 0 }),
        false if extent > SIDE && taps.is_some_and(|taps| taps <= MAX_TAPS) => {
            Some(Steps { words: SIDE, rest: extent % SIDE })
        }
        false => (words >= FEWEST_WORDS).then_some(Steps { words, rest: 0 }),
    }
}

/// Whether words of the factor with the rows are loaded from rows that are the same step apart.
pub fn lies_in_words(loops: &Loops, plan: &Plan) -> bool {
    let Term::Load(load) = loops.body.term(plan.row_factor) else { return false };
    let along_words = loops.axes.len() - 1;
    load.guards.is_empty() && plan.row_axis.into_iter().chain([along_words]).all(|axis| moves(loops, load, axis))
}

/// Whether each position along an axis reads the same step further on.
pub fn moves(loops: &Loops, load: &Load, axis: usize) -> bool {
    order::step(loops, load, axis).is_some_and(|step| !step.is(0))
}

/// A tile of rows: the how manieth it is, where it starts, how many it has, and the first of them that no tile before had.
pub struct TileRows<'a> {
    number: &'a Dim,
    pub first: &'a Dim,
    pub count: u64,
    new: &'a Dim,
}

impl Block<'_> {
    /// All rows of the block, tile by tile.
    pub(super) fn rows_of_matrices(
        &self,
        b: &mut Builder,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        steps: Steps,
    ) {
        let height = self.plan.tile.rows as i64;
        let known = self.n_rows.as_constant();
        self.fill_last_words(b, (column_start, guarded), k, steps);
        let zero = Dim::constant(0);
        let tile = |b: &mut Builder, number: &Dim, first: &Dim, n_rows: i64, new: &Dim| {
            let rows = TileRows { number, first, count: n_rows as u64, new };
            match &self.plan.scaled {
                Some(scaled) => self.tile_of_bytes(b, &rows, (column_start, guarded), k, (steps, scaled)),
                None => self.tile_of_matrices(b, &rows, (column_start, guarded), k, steps),
            }
        };
        let one_by_one = |b: &mut Builder| {
            b.for_loop(Span::new("q", 0, self.n_rows.clone(), 1), &[], |b, row, _| {
                match &self.plan.scaled {
                    Some(scaled) => self.row_of_bytes(b, row, (column_start, guarded), k, scaled),
                    None => tile(b, row, row, 1, &zero),
                }
                Vec::new()
            });
        };
        let tiles = |b: &mut Builder| {
            let n_tiles = self.n_rows.ceil_div(&Dim::constant(height));
            b.for_loop(Span::new("r", 0, n_tiles, 1), &[], |b, number, _| {
                let wanted = number * height;
                let first = wanted.least(&(&self.n_rows - height));
                tile(b, number, &first, height, &(&wanted - &first));
                Vec::new()
            });
        };
        match known {
            Some(few) if few < height => tile(b, &zero, &zero, few, &zero),
            Some(rows) if rows % height == 0 => {
                b.for_loop(Span::new("r", 0, rows / height, 1), &[], |b, number, _| {
                    tile(b, number, &(number * height), height, &zero);
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

    /// What the last step of each place meets: zeros, and the words that no step before has.
    fn fill_last_words(&self, b: &mut Builder, (column_start, guarded): (&Dim, bool), k: &Stretch, steps: Steps) {
        let Some(kept) = self.last_words else { return };
        let old = (SIDE - steps.rest) as i64;
        k.each_end(b, SIDE as i64, &[], &mut |b, at, tap, _| {
            let row = &(tap * SIDE as i64) + &lane(0);
            b.for_loop(Span::new("w", 0, old, 1), &[], |b, word, _| {
                let zero = b.constant(Type::new(DType::U32, [1, self.width]), 0.0);
                b.store(kept, [&(&row + word), &lane(1)], [], zero);
                Vec::new()
            });
            b.for_loop(Span::new("v", old, SIDE as i64, 1), &[], |b, word, _| {
                let mut at = at.to_vec();
                let last = at.len() - 1;
                at[self.plan.column_axis] = column_start + &lane(1);
                at[last] = &at[last] + word;
                let guards = self.column_guard(guarded, &at);
                let mut tile = Tile::new(self.loops, self.operands, at, vec![1, self.width], guards);
                let words = tile.full(b, self.plan.column_factor);
                b.store(kept, [&(&row + word), &lane(1)], [], words);
                Vec::new()
            });
            Vec::new()
        });
    }

    /// One tile: its sums, and what follows them for the rows from the first new one on.
    fn tile_of_matrices(
        &self,
        b: &mut Builder,
        rows: &TileRows,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        steps: Steps,
    ) {
        let (row, n_rows) = (rows.first, rows.count);
        let Some(sums) = self.sums else { unreachable!("a block of matrices has memory for sums") };
        let zero = b.constant(Type::new(self.plan.dtype, [n_rows, self.width]), 0.0);
        let multiply = |b: &mut Builder, at: &[Dim], words: u64, right: Option<&Dim>, sum: Value| {
            let last = at.len() - 1;
            let mut left = at.to_vec();
            self.set_row(&mut left, &(row + &lane(0)));
            left[last] = &at[last] + &lane(1);
            let left = Tile::new(self.loops, self.operands, left, vec![n_rows, words], Vec::new())
                .full(b, self.plan.row_factor);
            let right = match (right, self.last_words) {
                (Some(first), Some(kept)) => {
                    b.load(kept, [words, self.width], [&(first + &lane(0)), &lane(1)], [], 0.0)
                }
                _ => {
                    let mut right = at.to_vec();
                    right[self.plan.column_axis] = column_start + &lane(1);
                    right[last] = &at[last] + &lane(0);
                    Tile::new(self.loops, self.operands, right, vec![words, self.width], Vec::new())
                        .full(b, self.plan.column_factor)
                }
            };
            vec![b.dot(DType::BF16, sum, left, right)]
        };
        let sum = k.each_of(b, steps.words as i64, &[zero], &mut |b, at, carried| {
            self.ask_for_next_words(b, at, rows.number, steps.words);
            multiply(b, at, steps.words, None, carried[0])
        });
        let sum = match self.last_words {
            None => sum,
            Some(_) => k.each_end(b, SIDE as i64, &sum, &mut |b, at, tap, carried| {
                multiply(b, at, SIDE, Some(&(tap * SIDE as i64)), carried[0])
            }),
        };
        b.store(sums, [lane(0), lane(1)], [], sum[0]);
        self.finish_rows(b, sums, rows, (column_start, guarded));
    }

    /// What follows sums that lie in memory, a few rows at a time.
    pub(super) fn finish_rows(
        &self,
        b: &mut Builder,
        sums: Memory,
        &TileRows { first: row, count: n_rows, new, .. }: &TileRows,
        (column_start, guarded): (&Dim, bool),
    ) {
        let finish = |b: &mut Builder, own: &Dim, n_rows: u64| {
            let sum = b.load(sums, [n_rows, self.width], [&(own + &lane(0)), &lane(1)], [], 0.0);
            self.finish(b, &(row + own), n_rows, column_start, guarded, sum);
        };
        if let Some(run) = self.plan.run {
            b.for_loop(Span::new("f", new.clone(), n_rows as i64, 1), &[], |b, own, _| {
                let [_, place] = run.place(&(&self.row_start + &(row + own)));
                let is_place = Condition::Guards(vec![&Dim::constant(run.n_places - 1) - &place]);
                b.if_else(
                    is_place,
                    |b| {
                        finish(b, own, 1);
                        Vec::new()
                    },
                    |_| Vec::new(),
                );
                Vec::new()
            });
            return;
        }
        let n_new = &Dim::constant(n_rows as i64) - new;
        let some = Dim::constant(FINISHED as i64);
        let n_whole = n_new.floor_div(&some);
        if !n_whole.is(0) {
            b.for_loop(Span::new("f", 0, n_whole, 1), &[], |b, some, _| {
                finish(b, &(new + &(some * FINISHED as i64)), FINISHED);
                Vec::new()
            });
        }
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
