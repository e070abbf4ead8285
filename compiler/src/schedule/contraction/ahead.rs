//! Asking for panels before they are read, and for what sums meet and where they go before they are made, so that no tile
//! of rows waits for memory.
//!
//! Invariant: what is asked for is a hint; it may lie beyond a panel or a tile, and beyond the memory.

use super::block::Block;
use super::depth::Stretch;
use crate::graph::{DType, Dim};
use crate::kernel::Builder;
use crate::schedule::body::{Load, Term, TermId};
use crate::schedule::emit::Tile;
use crate::schedule::order::{self, Stride};
use crate::schedule::tiles::LINE;

/// Fewer tiles of rows do not hide a panel's way from memory; of more, the first one is a small part.
const FEWEST_TILES: i64 = 4;
const MOST_TILES: i64 = 128;
/// Steps between two rounds of asking, at least, and of what they are a multiple: they are written out together.
const STEPS: [i64; 2] = [8, 4];
/// So far ahead a single tile of rows asks. Prefetchers of hardware stay nearer, and so do instructions that wait, if many
/// are needed for a line.
const AHEAD: i64 = 3 << 10;

/// One position is asked for in as many steps as there are tiles, or more often.
fn steps_of_round(n_tiles: i64) -> i64 {
    (n_tiles - n_tiles % STEPS[1]).max(STEPS[0])
}

impl Block<'_> {
    /// After how many steps along the last axis some positions of the next stretch are asked for, so that all of them are
    /// when the rows of the block are through: otherwise the first tile of rows would wait for memory.
    pub(super) fn rounds(&self, k: &Stretch, n_rows: u64) -> Option<i64> {
        let n_tiles = self.n_tiles()?;
        let (_, _, length) = k.last_axis()?;
        let is_asked_for = self.next_panel.is_some()
            && self.plan.is_packed
            && n_rows == self.plan.tile.rows
            && (FEWEST_TILES..=MOST_TILES.min(length)).contains(&n_tiles);
        is_asked_for.then(|| steps_of_round(n_tiles).min(length))
    }

    /// Tiles of rows that pass by a panel, those of other lines too.
    fn n_tiles(&self) -> Option<i64> {
        Some(self.n_rows.as_constant()? / self.plan.tile.rows as i64 * self.lines.count)
    }

    /// Asks for the columns of the next stretch at a few positions: the tile of rows, and the line that it lies in, say
    /// which part of the last axis is its own.
    pub(super) fn ask_for_next(
        &self,
        b: &mut Builder,
        (at, k): (&[Dim], &Stretch),
        column: &Dim,
        row: &Dim,
        round: &Dim,
    ) {
        let (Some((panel, start)), Some((axis, _, length)), Some(n_tiles)) =
            (self.next_stretch(k, column), k.last_axis(), self.n_tiles())
        else {
            return;
        };
        let rows = self.plan.tile.rows as i64;
        let tile = &(&self.lines.number * (n_tiles / self.lines.count)) + &row.floor_div(&Dim::constant(rows));
        let n_positions = (steps_of_round(n_tiles) + n_tiles - 1) / n_tiles;
        let first = &(&start + &(&tile * (length / n_tiles))) + &(round * n_positions);
        for position in 0..n_positions {
            let mut at = at.to_vec();
            at[axis] = &first + position;
            self.ask_for_columns(b, self.plan.column_factor, &at, &panel);
        }
    }

    /// The same where registers of matrices multiply so many words at once: each of the tiles of rows asks for its share of
    /// as many words of the next panel.
    pub(super) fn ask_for_next_words(&self, b: &mut Builder, at: &[Dim], tile: &Dim, words: u64) {
        let (Some(next), Some(rows)) = (&self.next_panel, self.n_rows.as_constant()) else { return };
        let of_line = (rows as u64).div_ceil(self.plan.tile.rows) as i64;
        let n_tiles = of_line * self.lines.count;
        // A single tile reads no faster for it, and weights that lie in a cache are asked for in vain.
        if !(2..=MOST_TILES).contains(&n_tiles) {
            return;
        }
        let share = (words as i64 + n_tiles - 1) / n_tiles;
        let last = self.loops.axes.len() - 1;
        let first = &at[last] + &(&(&(&self.lines.number * of_line) + tile) * share);
        for word in 0..share {
            let mut at = at.to_vec();
            at[last] = &first + word;
            self.ask_for_columns(b, self.plan.column_factor, &at, next);
        }
    }

    /// The first column of the stretch after one, and where it starts along the last axis: after the last, in the next
    /// panel. Stretches that differ in more are asked for a whole panel before.
    fn next_stretch(&self, k: &Stretch, column: &Dim) -> Option<(Dim, Dim)> {
        let (next, (_, start, _)) = (self.next_panel.as_ref()?, k.last_axis()?);
        let Some(chunk) = k.chunk else { return Some((next.clone(), start)) };
        let number = &k.number + 1;
        let is_beyond = number.floor_div(&k.count);
        Some((column + &(&is_beyond * &(next - column)), &number.modulo(&k.count) * chunk))
    }

    /// Asks for some lines of what the sums of a tile of rows meet row by row, and of where they go: a line is read before
    /// it is written. `round` is one of those in which columns are asked for, after so many steps.
    pub(super) fn ask_for_rest(
        &self,
        b: &mut Builder,
        k: &Stretch,
        (row, n_rows): (&Dim, u64),
        column: &Dim,
        (round, steps): (&Dim, i64),
    ) {
        let (Some(axis), Some((_, _, length))) = (self.plan.row_axis, k.last_axis()) else { return };
        if !k.is_one_axis() || self.partial.is_some() {
            return;
        }
        let lines = |dtype: DType| {
            let columns_of_line = (LINE / dtype.size_of() as u64) as i64;
            let of_row = self.width as i64 / columns_of_line.min(self.width as i64);
            let of_round = (n_rows as i64 * of_row + length / steps - 1) / (length / steps);
            (0..of_round).map(move |number| {
                let line = &(round * of_round) + number;
                let mut at = self.at.clone();
                at[axis] = &(&self.row_start + row) + &line.floor_div(&Dim::constant(of_row));
                at[self.plan.column_axis] = column + &(&line.modulo(&Dim::constant(of_row)) * columns_of_line);
                at
            })
        };
        for load in self.loops.body.loads(&[self.loops.stored]) {
            let stride = |axis| order::stride(self.loops, load, axis);
            if stride(axis) == Stride::Other && stride(self.plan.column_axis) == Stride::One {
                lines(self.loops.operands[load.operand].dtype).for_each(|at| self.ask_for(b, load, at));
            }
        }
        lines(self.loops.result.dtype).for_each(|at| b.prefetch(self.result, self.loops.place(&at)));
    }

    /// Where a single tile of rows reads panels of narrow numbers: asks for what lies some way after a position along the
    /// last axis, each of which takes so many steps.
    pub(super) fn ask_ahead(&self, b: &mut Builder, n_rows: u64, at: &[Dim], column: &Dim, n_steps: i64) {
        let is_read_once = match self.n_rows.as_constant() {
            Some(rows) => rows <= self.plan.tile.rows as i64,
            None => n_rows == 1,
        };
        let asks = is_read_once && self.panel.is_none() && !self.machine.is_block();
        let Some(panels) = self.plan.narrow_panels(self.loops).filter(|_| asks) else { return };
        let last = self.loops.axes.len() - 1;
        let bytes = self.width as i64 * n_steps * self.loops.body.dtype(panels).size_of() as i64;
        let mut at = at.to_vec();
        at[last] = &at[last] + (AHEAD / bytes).max(1);
        self.ask_for_columns(b, panels, &at, column);
    }

    /// Asks for all columns of a panel at one position, from its first on.
    fn ask_for_columns(&self, b: &mut Builder, factor: TermId, at: &[Dim], first: &Dim) {
        let body = &self.loops.body;
        for id in body.needed(&[factor]) {
            let Term::Load(load) = body.term(id) else { continue };
            let columns_of_line = LINE / body.dtype(id).size_of() as u64;
            for column in (0..self.width).step_by(columns_of_line as usize) {
                let mut at = at.to_vec();
                at[self.plan.column_axis] = first + column as i64;
                self.ask_for(b, load, at);
            }
        }
    }

    fn ask_for(&self, b: &mut Builder, load: &Load, at: Vec<Dim>) {
        let tile = Tile::new(self.loops, self.operands, at, vec![1, 1], Vec::new());
        if let Some(index) = tile.places(load) {
            b.prefetch(self.operands[load.operand], index);
        }
    }
}
