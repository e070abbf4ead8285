//! An attention kernel: its memory, and the loops over tiles of keys and groups of rows.
//!
//! Invariant: a group of rows has as many rows as the register tile of the mixing, but for the last one of a block.

use super::values::has_room;
use super::{Attention, FEW_KEYS, GROUPS, KEYS, ROWS_OF_ITEM};
use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Kernel, Memory, Span};
use crate::schedule::tiles::LINE;

/// Where everything lies while an item of the grid is computed.
pub struct Item<'a> {
    pub of: &'a Attention<'a>,
    pub score_operands: &'a [Memory],
    /// The first one, the weights, is the memory of the scores; it is not read through the nest.
    pub mix_operands: Vec<Memory>,
    pub result: Memory,
    /// Positions along the axes of the mixing, as far as they are known.
    pub at: Vec<Dim>,
    pub row_start: Dim,
    pub n_rows: Dim,
    /// Keys of a panel, and panels of a tile.
    pub width: u64,
    pub panels: u64,
    pub scores: Memory,
    /// The exponentials of the scores as bf16, if values are mixed in pairs; else they lie where the scores were.
    pub weights: Option<Memory>,
    /// Where registers of matrices leave a mixture.
    pub mixed: Option<Memory>,
    /// Pairs of keys × columns of values, where values are multiplied in pairs and do not lie so.
    pub values: Option<Memory>,
    /// Rows × numbers of a query, where queries do not lie in the form in which they are multiplied.
    pub queries: Option<Memory>,
    /// By what the scores of each row of the group are multiplied, and what is added to them then.
    pub scales: Memory,
    pub shifts: Memory,
    pub sums: Memory,
    /// If there are several tiles.
    pub carried: Option<Carried>,
}

#[derive(Clone, Copy)]
pub struct Carried {
    pub largest: Memory,
    /// By what the mixture of each row of the group is scaled.
    pub factors: Memory,
    pub mixture: Memory,
}

pub fn kernel(of: &Attention, mut b: Builder, operands: &[Memory], result: Memory) -> Kernel {
    let (score, mix) = (&of.score, &of.mix);
    let at = of.outer_grid(&mut b);
    let keys = &mix.loops.axes[mix.loops.n_parallel];
    let group = group_rows(of);
    let Rows { start: row_start, count: n_rows, most } = rows_of_item(of, &mut b, group);
    let width = score.plan.tile.vectors * of.machine.lanes;
    let (panels, is_one_tile) = panels_of_tile(of, keys, width);
    let dtype = score.plan.dtype;
    let in_rows = |dtype: DType| [group, apart(panels * width, dtype)];
    let scores = b.local("scores", dtype, in_rows(dtype));
    let weights = of.mix_pairs.as_ref().map(|_| b.local("weights", DType::BF16, in_rows(DType::BF16)));
    let mixed = of.mixed_rows(&mut b, group);
    let values = of.values(&mut b, panels * width);
    let queries = of.queries(&mut b, most);
    let [scales, shifts] = ["scales", "shifts"].map(|name| b.local(name, dtype, [group]));
    let sums = b.local("sums", dtype, [most]);
    let carried = (!is_one_tile).then(|| carried(of, &mut b, [group, most]));
    let (score_operands, mix_operands) = of.shared_out(operands, scores);
    let item = Item {
        of,
        score_operands,
        mix_operands,
        result,
        at,
        row_start,
        n_rows,
        width,
        panels,
        scores,
        weights,
        mixed,
        values,
        queries,
        scales,
        shifts,
        sums,
        carried,
    };
    item.emit(&mut b, keys, group);
    b.finish()
}

/// How far rows of so many elements lie apart: each begins with a line of the first-level cache, and not a power of two after
/// the one before, for such rows would share lines.
fn apart(columns: u64, dtype: DType) -> u64 {
    let line = LINE / dtype.size_of() as u64;
    (columns / line + 1) * line
}

/// The rows of an item of the grid, and how many it has at most.
struct Rows {
    start: Dim,
    count: Dim,
    most: u64,
}

fn rows_of_item(of: &Attention, b: &mut Builder, group: u64) -> Rows {
    let rows = &of.mix.loops.axes[of.mix.plan.row_axis.unwrap_or(0)];
    let block = Dim::constant(block_rows(rows, group, most_rows(of, group)));
    let most = block.as_constant().unwrap_or(1).max(1) as u64;
    let n_blocks = rows.ceil_div(&block);
    if n_blocks.is(1) {
        return Rows { start: Dim::constant(0), count: rows.clone(), most };
    }
    let start = &b.grid("m", n_blocks) * &block;
    let count = (rows - &start).least(&block);
    Rows { start, count, most }
}

/// Panels of a tile of keys, and whether one tile has all of them.
fn panels_of_tile(of: &Attention, keys: &Dim, width: u64) -> (u64, bool) {
    let columns = of.mix.plan.tile.vectors * of.machine.lanes;
    let is_few = |keys: &i64| *keys <= FEW_KEYS && (!of.keeps_values || has_room(&of.mix, columns, *keys as u64));
    match keys.as_constant().filter(is_few) {
        Some(keys) => ((keys as u64).div_ceil(width).max(1), true),
        None if of.matrices.is_some() => (super::matrices::KEYS.div_ceil(width), false),
        None => (KEYS.div_ceil(width), false),
    }
}

fn carried(of: &Attention, b: &mut Builder, [group, most]: [u64; 2]) -> Carried {
    let (dtype, mix) = (of.score.plan.dtype, &of.mix);
    let width = mix.plan.tile.vectors * of.machine.lanes;
    let columns = mix.loops.axes[mix.plan.column_axis].as_constant();
    let columns = columns.map_or(width, |n| (n.max(1) as u64).next_multiple_of(width));
    Carried {
        largest: b.local("largest", dtype, [most]),
        factors: b.local("factors", dtype, [group]),
        mixture: b.local("mixture", dtype, [most, columns]),
    }
}

/// Rows whose scores are computed together: as many as the register tile of the mixing has.
fn group_rows(of: &Attention) -> u64 {
    let plan = &of.mix.plan;
    if of.matrices.is_some() {
        return of.group_of_matrices(&of.mix.loops.axes[plan.row_axis.unwrap_or(0)]);
    }
    let rows = of.mix.loops.axes[plan.row_axis.unwrap_or(0)].as_constant();
    rows.map_or(plan.tile.rows, |rows| plan.tile.rows.min(rows.max(1) as u64))
}

/// Rows of an item of the grid whose mixtures, and queries in words, have room.
fn most_rows(of: &Attention, group: u64) -> i64 {
    let columns = of.mix.loops.axes[of.mix.plan.column_axis].as_constant().unwrap_or(0).max(1) as u64;
    let queries = of.query_length().unwrap_or(0);
    let bytes = of.matrices.as_ref().map_or(4 * columns.saturating_add(queries), |matrices| matrices.row_bytes);
    let room = (ROWS_OF_ITEM / bytes / group).max(1) as i64;
    GROUPS.min(room) * group as i64
}

/// Rows of an item of the grid, so many at most: blocks of nearly equal size.
fn block_rows(rows: &Dim, group: u64, most: i64) -> i64 {
    let Some(rows) = rows.as_constant() else { return most };
    let n_blocks = (rows + most - 1).div_euclid(most).max(1);
    let even = (rows + n_blocks - 1).div_euclid(n_blocks);
    if n_blocks == 1 { rows.max(1) } else { (even as u64).next_multiple_of(group) as i64 }
}

impl Item<'_> {
    fn emit(&self, b: &mut Builder, keys: &Dim, group: u64) {
        self.of.bounds.declare(b, &self.of.score.loops, self.score_operands);
        self.keep_queries(b);
        let Some(carried) = self.carried else {
            self.keep_values(b, &Dim::constant(0), keys);
            return self.each_group(b, "r", group, &mut |b, row, n_rows| {
                let tile = self.tile(b, row, n_rows, &Dim::constant(0), keys);
                self.scores(b, row, n_rows, &tile);
                self.softmax(b, row, n_rows, &tile);
                self.mix(b, row, n_rows, &tile);
            });
        };
        self.begin_rows(b, carried);
        let size = (self.width * self.panels) as i64;
        let last = &(&self.row_start + &self.n_rows) - 1;
        let (first_tile, n_tiles) = self.of.tiles_of(b, &self.at, (&self.row_start, &last), size as u64);
        b.for_loop(Span::new("kt", first_tile, n_tiles, 1), &[], |b, number, _| {
            self.keep_values(b, number, keys);
            self.each_group(b, "r", group, &mut |b, row, n_rows| {
                let tile = self.tile(b, row, n_rows, number, keys);
                self.scores(b, row, n_rows, &tile);
                self.softmax(b, row, n_rows, &tile);
                self.mix(b, row, n_rows, &tile);
            });
            Vec::new()
        });
        self.each_group(b, "f", group, &mut |b, row, n_rows| self.finish_rows(b, row, n_rows, carried));
    }

    /// Runs `body` for each group of rows of the block: it gets the first row and how many there are.
    fn each_group(&self, b: &mut Builder, name: &str, group: u64, body: &mut dyn FnMut(&mut Builder, &Dim, u64)) {
        let size = Dim::constant(group as i64);
        b.for_loop(Span::new(name, 0, self.n_rows.floor_div(&size), 1), &[], |b, r, _| {
            body(b, &(r * group as i64), group);
            Vec::new()
        });
        let rest = self.n_rows.modulo(&size);
        match rest.as_constant() {
            Some(0) => {}
            Some(rest) => body(b, &(&self.n_rows - rest), rest as u64),
            None => {
                let start = &self.n_rows.floor_div(&size) * group as i64;
                b.for_loop(Span::new(&format!("{name}1"), 0, rest, 1), &[], |b, q, _| {
                    body(b, &(&start + q), 1);
                    Vec::new()
                });
            }
        }
    }
}
