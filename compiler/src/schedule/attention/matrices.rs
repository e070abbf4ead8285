//! Attention whose products registers of matrices hold: the scores of a group of rows, panel by panel, and their mixture
//! of values, which an item brings into pairs once for all of its rows.
//!
//! Invariant: all panels that a group visits have weights, zeros for keys that take no part, and pairs of values, zeros for
//! keys that do not exist.

use super::emit::Item;
use super::keys::KeyTile;
use super::values::has_room;
use super::{Attention, Part, ROWS_OF_ITEM};
use crate::graph::{DType, Dim};
use crate::kernel::matrix::SIDE;
use crate::kernel::{Builder, Memory, Span, Type, Value, lane};
use crate::schedule::body::Term;
use crate::schedule::contraction::depth::Depth;
use crate::schedule::contraction::matrices::{COLUMNS, ROWS, even_rows, steps_of_sum};
use crate::schedule::emit::Tile;
use crate::schedule::tiles::{Machine, RegisterTile};

/// Keys of one tile: the scores of a group and their exponentials stay in the first-level cache, or nearly so.
pub const KEYS: u64 = 256;
/// Rows of scores, and of a mixture, that are finished together.
const FINISHED: u64 = 4;

/// What is multiplied how.
pub struct Matrices {
    /// Words of a query that are multiplied at once.
    words: u64,
    /// What an item keeps of a row.
    pub row_bytes: u64,
}

impl Matrices {
    /// How both products are multiplied so, if they are: their parts get the tiles for it.
    pub fn of(score: &mut Part, mix: &mut Part, pairs: &mut Option<Part>, machine: &Machine) -> Option<Matrices> {
        let pairs = pairs.as_mut()?;
        let row_axis = score.plan.row_axis;
        let mut part = super::part(score.loops.without_guards_of_panels(), machine)?;
        part.plan.row_axis = row_axis;
        let is_wide = part.plan.is_packed && part.plan.tile.vectors * machine.lanes == COLUMNS;
        let is_single = part.loops.axes.len() == part.loops.n_parallel + 1;
        let fits = is_wide && is_single && part.plan.dtype == DType::F32;
        let steps = steps_of_sum(&part.loops).filter(|steps| fits && steps.rest == 0)?;
        let matrices = Matrices { words: steps.words, row_bytes: row_bytes(&part, mix)? };
        if !has_room(mix, COLUMNS, KEYS) || ROWS_OF_ITEM / matrices.row_bytes < ROWS as u64 {
            return None;
        }
        let tile = RegisterTile { rows: ROWS as u64, vectors: COLUMNS / machine.lanes };
        (mix.plan.tile, pairs.plan.tile) = (tile, tile);
        *score = part;
        Some(matrices)
    }
}

/// What an item keeps of a row: its query in words, and its mixture.
fn row_bytes(score: &Part, mix: &Part) -> Option<u64> {
    let depth = score.loops.axes[score.loops.n_parallel].as_constant()?;
    let columns = mix.loops.axes[mix.plan.column_axis].as_constant()?;
    Some(4 * ((depth.max(0) as u64) + (columns.max(0) as u64).next_multiple_of(COLUMNS)).max(1))
}

impl Attention<'_> {
    /// Rows of a group, of equal height where their number is known.
    pub fn group_of_matrices(&self, rows: &Dim) -> u64 {
        even_rows(rows, 1).unwrap_or(ROWS as u64)
    }

    /// Where the registers leave a mixture: rows × columns of a panel.
    pub fn mixed_rows(&self, b: &mut Builder, group: u64) -> Option<Memory> {
        self.matrices.as_ref().map(|_| b.local("mixed", DType::F32, [group, COLUMNS]))
    }
}

impl Item<'_> {
    /// The scores of a group of rows.
    pub fn scores_of_matrices(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile, matrices: &Matrices) {
        let part = &self.of.score;
        self.each_panel(b, "p", &tile.panels, &[], &mut |b, panel, width, is_edge, _| {
            let column = &(&(panel * self.width as i64) - &tile.base) + &lane(1);
            let sum = self.products(b, row, n_rows, panel, matrices.words);
            b.store(self.scores, [&lane(0), &column], [], sum);
            if is_edge || !matches!(part.loops.body.term(self.of.stored(is_edge)), Term::Reduced(0)) {
                each_few(b, "q", n_rows, &mut |b, first, n_rows| {
                    let place = [&(first + &lane(0)), &column];
                    let sum = b.load(self.scores, [n_rows, width], place, [], 0.0);
                    let value = self.score_of(b, sum, &(&(row + first) + &lane(0)), panel, is_edge);
                    b.store(self.scores, place, [], value);
                });
            }
            Vec::new()
        });
    }

    /// The products of a group of rows and the keys of a panel.
    fn products(&self, b: &mut Builder, row: &Dim, n_rows: u64, panel: &Dim, words: u64) -> Value {
        let (loops, plan) = (&self.of.score.loops, &self.of.score.plan);
        let (at, _) = self.score_place(&(row + &lane(0)), panel, false);
        let last = at.len() - 1;
        let mut sum = b.constant(Type::new(plan.dtype, [n_rows, self.width]), 0.0);
        Depth::whole(loops).each(b, loops, &at, &mut |b, stretch| {
            sum = stretch.each_of(b, words as i64, &[sum], &mut |b, at, carried| {
                let (mut left, mut right) = (at.to_vec(), at.to_vec());
                left[last] = &at[last] + &lane(1);
                right[last] = &at[last] + &lane(0);
                let tile = |at, shape| Tile::new(loops, self.score_operands, at, shape, Vec::new());
                let left = match self.queries {
                    Some(queries) => b.load(queries, [n_rows, words], [&(row + &lane(0)), &left[last]], [], 0.0),
                    None => tile(left, vec![n_rows, words]).full(b, plan.row_factor),
                };
                let right = tile(right, vec![words, self.width]).full(b, plan.column_factor);
                vec![b.dot(DType::BF16, carried[0], left, right)]
            })[0];
        });
        sum
    }

    /// Adds to the mixture of a group of rows.
    pub fn mix_of_matrices(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile, mixed: Memory) {
        let (Some(weights), Some(values)) = (self.weights, self.values) else { return };
        let panels = &tile.panels;
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let zero = b.constant(Type::new(DType::F32, [n_rows, width]), 0.0);
            let span = Span::new("k", panels.before.0.clone(), panels.after.1.clone(), 1);
            let sum = b.for_loop(span, &[zero], |b, panel, carried| {
                let at = &(panel * self.width as i64) - &tile.base;
                let pair = &(panel * (self.width / 2) as i64) - &tile.base.floor_div(&Dim::constant(2));
                let left = b.load_words(weights, [n_rows, SIDE], [&lane(0), &(&at + &(&lane(1) * 2))], []);
                let right = b.load(values, [SIDE, width], [&(&pair + &lane(0)), &(start + &lane(1))], [], 0.0);
                vec![b.dot(DType::BF16, carried[0], left, right)]
            })[0];
            b.store(mixed, [lane(0), lane(1)], [], sum);
            each_few(b, "y", n_rows, &mut |b, first, n_rows| {
                let added = b.load(mixed, [n_rows, width], [&(first + &lane(0)), &lane(1)], [], 0.0);
                self.add(b, (row, first), n_rows, (start, width, guarded), added);
            });
        });
    }
}

/// Runs `body` for a few of so many rows at a time.
fn each_few(b: &mut Builder, name: &str, n_rows: u64, body: &mut dyn FnMut(&mut Builder, &Dim, u64)) {
    b.for_loop(Span::new(name, 0, (n_rows / FINISHED) as i64, 1), &[], |b, few, _| {
        body(b, &(few * FINISHED as i64), FINISHED);
        Vec::new()
    });
    let rest = n_rows % FINISHED;
    if rest > 0 {
        body(b, &Dim::constant((n_rows - rest) as i64), rest);
    }
}
