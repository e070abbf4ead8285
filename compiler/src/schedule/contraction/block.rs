//! One panel of columns against one block of rows: packing, the register tiles, and what follows the sums.
//!
//! Invariant: each element is summed in the order of k; a tile that reaches over the last column is guarded.

use super::depth::{Between, Depth, Stretch};
use super::{FEW_ROWS, FEW_TILES, Plan};
use crate::graph::Dim;
use crate::kernel::{Builder, Condition, Memory, Span, Type, Value, lane};
use crate::schedule::body::{Load, Term};
use crate::schedule::emit::Tile;
use crate::schedule::order::{self, Stride};
use crate::schedule::reduction::Rows;
use crate::schedule::tiles::{Machine, RegisterTile};
use crate::schedule::{Loops, Reduce};
use crate::seeded::{Fault, is};

/// Rows that lie an open number of elements apart take a register each for their address.
const OPEN_ROWS: u64 = 8;
/// Of the rows that an open number leaves over from tiles of at least twice as many, so many are taken at once.
const SOME_ROWS: i64 = 4;

/// What follows sums takes much code beyond so many instructions, for all vectors of a tile.
const LONG: u64 = 1024;

/// Of how many equal blocks of rows, which pass by a panel one after the other, this is one, and which.
#[derive(Clone)]
pub struct Lines {
    pub count: i64,
    pub number: Dim,
}

impl Lines {
    pub fn one() -> Lines {
        Lines { count: 1, number: Dim::constant(0) }
    }
}

/// Sums so far, of each tap.
#[derive(Clone)]
pub struct Partial {
    pub memory: Memory,
    pub block_rows: i64,
    /// The first row of the tap whose turn it is.
    pub start: Dim,
}

impl Partial {
    fn index(&self, row: &Dim) -> [Dim; 2] {
        [&(&self.start + row) + &lane(0), lane(1)]
    }
}

/// One panel against one block of rows.
#[derive(Clone)]
pub struct Block<'a> {
    pub loops: &'a Loops,
    pub reduce: &'a Reduce,
    pub plan: &'a Plan,
    pub machine: &'a Machine,
    pub operands: &'a [Memory],
    pub result: Memory,
    /// Positions along the outer axes.
    pub at: Vec<Dim>,
    pub width: u64,
    pub row_start: Dim,
    pub n_rows: Dim,
    pub depth: Depth,
    /// Where the column factor is packed, if it does not come in panels, or widened, if those are narrow.
    pub panel: Option<Memory>,
    /// The first column of the panel after this one, or of the last one.
    pub next_panel: Option<Dim>,
    /// The blocks of rows of other lines pass by the panel as well.
    pub lines: Lines,
    /// Sums of the k-blocks so far, when K does not fit one panel.
    pub partial: Option<Partial>,
    /// Where registers of matrices leave the sums of a tile.
    pub sums: Option<Memory>,
    /// Where they leave the products of a group of scaled bytes.
    pub products: Option<Memory>,
    /// The last words of the panel, where sums fall into no equal steps.
    pub last_words: Option<Memory>,
}

impl Block<'_> {
    /// The columns of the panel: all of them, or those that there are.
    pub fn columns(&self, b: &mut Builder, start: &Dim) {
        let (columns, width) = (&self.loops.axes[self.plan.column_axis], self.width as i64);
        match columns.as_constant() {
            Some(columns) if columns % width == 0 => self.emit(b, start, false),
            Some(columns) if columns < width => self.emit(b, start, true),
            _ => {
                let whole = Builder::at_most(&(start + width), columns);
                b.if_else(
                    Condition::Guards(vec![whole]),
                    |b| {
                        self.emit(b, start, false);
                        Vec::new()
                    },
                    |b| {
                        self.last_columns(b, start, self.narrower());
                        Vec::new()
                    },
                );
            }
        }
    }

    /// Narrower tiles for the last columns of an open number, narrowest first: all of them may fit one vector.
    fn narrower(&self) -> Vec<Plan> {
        let is_open = self.loops.axes[self.plan.column_axis].as_constant().is_none();
        if !is_open || self.plan.is_packed || self.plan.matrices.is_some() || self.machine.is_block() {
            return Vec::new();
        }
        let tiles = self.machine.narrower_tiles(self.plan.tile, self.plan.dtype);
        let low = |tile: RegisterTile| RegisterTile { rows: tile.rows.min(OPEN_ROWS), ..tile };
        let with = |tile| Plan { tile: low(tile), ..self.plan.clone() }.with_even_rows(self.loops, 1);
        tiles.into_iter().map(with).collect()
    }

    fn last_columns(&self, b: &mut Builder, start: &Dim, mut narrower: Vec<Plan>) {
        if narrower.is_empty() {
            return self.emit(b, start, true);
        }
        let plan = narrower.remove(0);
        let width = plan.tile.vectors * self.machine.lanes;
        let rest = &self.loops.axes[self.plan.column_axis] - start;
        b.if_else(
            Condition::Guards(vec![Builder::at_most(&rest, &Dim::constant(width as i64))]),
            |b| {
                // Rows of a panel lie side by side, whatever its width.
                let rows = self.depth.n_rows as u64;
                let panel = |_| b.common_local(&format!("panel{width}"), plan.dtype, [rows, width]);
                let panel = self.panel.map(panel);
                Block { plan: &plan, width, panel, ..self.clone() }.emit(b, start, true);
                Vec::new()
            },
            |b| {
                self.last_columns(b, start, narrower);
                Vec::new()
            },
        );
    }

    fn emit(&self, b: &mut Builder, column_start: &Dim, guarded: bool) {
        let rows = &self.plan.rows(self.loops);
        let few = if self.plan.is_packed { FEW_TILES * self.plan.tile.rows as i64 } else { FEW_ROWS };
        if self.panel.is_none() || self.loops.ranges.proves_lt(&Dim::constant(few), rows) {
            return self.packed(b, column_start, guarded);
        }
        b.if_else(
            Condition::Guards(vec![Builder::at_most(rows, &Dim::constant(few))]),
            |b| {
                match self.plan.is_packed {
                    true => Block { panel: None, ..self.clone() }.packed(b, column_start, guarded),
                    false => self.unpacked(b, column_start, guarded),
                }
                Vec::new()
            },
            |b| {
                self.packed(b, column_start, guarded);
                Vec::new()
            },
        );
    }

    /// Few rows: each is a general reduction over the columns of the panel, in the direction in which the factor lies.
    fn unpacked(&self, b: &mut Builder, column_start: &Dim, guarded: bool) {
        let column = self.plan.column_axis;
        let columns = &self.loops.axes[column];
        let candidates = (self.loops.n_parallel..self.loops.axes.len()).chain([column]);
        let inner = order::best_axis(self.loops, self.machine, candidates).unwrap_or(column);
        b.for_loop(Span::new("few", 0, self.n_rows.clone(), 1), &[], |b, idx, _| {
            let mut nest = Rows::new(self.loops, self.machine, self.operands, self.result, self.at.clone());
            self.set_row(&mut nest.at, idx);
            if inner == column {
                nest.at[column] = column_start + &lane(0);
                let guards = self.column_guard(guarded, &nest.at);
                nest.tile(b, self.width, guards);
                return Vec::new();
            }
            let width = Dim::constant(self.width as i64);
            let n_columns = if guarded { columns - column_start } else { width };
            b.for_loop(Span::new("one", 0, n_columns, 1), &[], |b, idx, _| {
                nest.at[column] = column_start + idx;
                nest.along(b, inner);
                Vec::new()
            });
            Vec::new()
        });
    }

    fn packed(&self, b: &mut Builder, column_start: &Dim, guarded: bool) {
        self.depth.each(b, self.loops, &self.at, &mut |b, k| self.stretch(b, column_start, guarded, k));
        // An empty sum has no stretch that could finish it.
        let depth = Dim::product(&self.loops.axes[self.loops.n_parallel..]);
        if depth.as_constant().is_none() || self.partial.is_some() && depth.is(0) {
            b.if_else(
                Condition::Guards(vec![-&depth]),
                |b| {
                    self.each_rows(b, &mut |b, row, n_rows| {
                        let zero = b.constant(Type::new(self.plan.dtype, [n_rows, self.width]), 0.0);
                        self.finish(b, row, n_rows, column_start, guarded, zero);
                    });
                    Vec::new()
                },
                |_| Vec::new(),
            );
        }
    }

    fn stretch(&self, b: &mut Builder, column_start: &Dim, guarded: bool, k: &Stretch) {
        if let Some(panel) = self.panel {
            self.pack(b, panel, column_start, guarded, k);
        }
        self.each_tap(b, &self.plan.taps, k, &mut |block, b, k| block.rows_of(b, column_start, guarded, k));
    }

    /// Runs `body` for each position along the axes whose positions take turns.
    fn each_tap(
        &self,
        b: &mut Builder,
        axes: &[usize],
        k: &Stretch,
        body: &mut dyn FnMut(&Self, &mut Builder, &Stretch),
    ) {
        let Some((&axis, rest)) = axes.split_first() else { return body(self, b, k) };
        let extent = &self.loops.axes[axis];
        b.for_loop(Span::new(&format!("s{axis}"), 0, extent.clone(), 1), &[], |b, position, _| {
            let mut block = self.clone();
            block.at[axis] = position.clone();
            if let Some(partial) = &mut block.partial {
                partial.start = &(&partial.start * extent) + &(position * partial.block_rows);
            }
            block.each_tap(b, rest, &k.at(axis, position), body);
            Vec::new()
        });
    }

    fn rows_of(&self, b: &mut Builder, column_start: &Dim, guarded: bool, k: &Stretch) {
        if let Some(steps) = self.plan.matrices {
            return self.rows_of_matrices(b, (column_start, guarded), k, steps);
        }
        self.each_rows(b, &mut |b, row, n_rows| {
            let sum = self.sum_before(b, row, n_rows, k);
            let sum = self.multiply(b, (row, n_rows), (column_start, guarded), k, sum);
            match &self.partial {
                None => self.finish(b, row, n_rows, column_start, guarded, sum),
                Some(partial) => {
                    let last = &(&k.number + 1) - &k.count;
                    b.if_else(
                        Condition::Guards(vec![last]),
                        |b| {
                            self.finish(b, row, n_rows, column_start, guarded, sum);
                            Vec::new()
                        },
                        |b| {
                            b.store(partial.memory, partial.index(row), [], sum);
                            Vec::new()
                        },
                    );
                }
            }
        });
    }

    pub fn set_row(&self, at: &mut [Dim], row: &Dim) {
        if let Some(axis) = self.plan.row_axis {
            at[axis] = &self.row_start + row;
        }
    }

    /// Vector by vector where each lane comes from a row of its own, so that the rows stay in the first-level cache until
    /// they are read to the end; otherwise row by row.
    fn pack(&self, b: &mut Builder, panel: Memory, column_start: &Dim, guarded: bool, k: &Stretch) {
        let loads = self.loops.body.loads(&[self.plan.column_factor]);
        let across = |load| order::stride(self.loops, load, self.plan.column_axis) == Stride::Other;
        let lanes = self.machine.lanes;
        let columns = |b: &mut Builder, first: &Dim, width: u64| {
            k.each(b, "p", &[], &mut |b, at, p, _| {
                let mut at = at.to_vec();
                let column = first + &lane(0);
                at[self.plan.column_axis] = column_start + &column;
                let guards = self.column_guard(guarded, &at);
                let mut tile = Tile::new(self.loops, self.operands, at, vec![width], guards);
                let value = tile.full(b, self.plan.column_factor);
                let value = b.cast(value, self.plan.dtype);
                b.store(panel, [p, &column], [], value);
                Vec::new()
            });
        };
        if lanes == 1 || !loads.into_iter().any(across) {
            return columns(b, &Dim::constant(0), self.width);
        }
        b.for_loop(Span::new("v", 0, (self.width / lanes) as i64, 1), &[], |b, v, _| {
            columns(b, &(v * lanes as i64), lanes);
            Vec::new()
        });
    }

    pub fn column_guard(&self, guarded: bool, at: &[Dim]) -> Vec<Dim> {
        let column = self.plan.column_axis;
        if guarded { vec![Builder::below(&at[column], &self.loops.axes[column])] } else { Vec::new() }
    }

    /// Runs `body` for each register tile of rows: it gets the first row, counted within the block, and how many.
    fn each_rows(&self, b: &mut Builder, body: &mut dyn FnMut(&mut Builder, &Dim, u64)) {
        let rows = self.plan.tile.rows as i64;
        let tile = Dim::constant(rows);
        if let Some(few) = self.n_rows.as_constant().filter(|&n_rows| n_rows < rows) {
            return body(b, &Dim::constant(0), few as u64);
        }
        b.for_loop(Span::new("r", 0, self.n_rows.floor_div(&tile), 1), &[], |b, r, _| {
            body(b, &(r * rows), rows as u64);
            Vec::new()
        });
        let rest = self.n_rows.modulo(&tile);
        match rest.as_constant() {
            Some(0) => {}
            _ if is(Fault::ContractionDropsRows) => {}
            Some(rest) => body(b, &(&self.n_rows - rest), rest as u64),
            _ => {
                let mut start = &self.n_rows.floor_div(&tile) * rows;
                let mut rest = rest;
                if rows >= 2 * SOME_ROWS && rows % SOME_ROWS == 0 {
                    let some = Dim::constant(SOME_ROWS);
                    b.for_loop(Span::new("s", 0, rest.floor_div(&some), 1), &[], |b, s, _| {
                        body(b, &(&start + &(s * SOME_ROWS)), SOME_ROWS as u64);
                        Vec::new()
                    });
                    start = &self.n_rows.floor_div(&some) * SOME_ROWS;
                    rest = self.n_rows.modulo(&some);
                }
                b.for_loop(Span::new("q", 0, rest, 1), &[], |b, q, _| {
                    body(b, &(&start + q), 1);
                    Vec::new()
                });
            }
        }
    }

    fn sum_before(&self, b: &mut Builder, row: &Dim, n_rows: u64, k: &Stretch) -> Value {
        let ty = Type::new(self.plan.dtype, [n_rows, self.width]);
        match &self.partial {
            None => b.constant(ty, self.reduce.initial.value()),
            Some(partial) => {
                let later = Condition::Guards(vec![&k.number - 1]);
                let (index, shape) = (partial.index(row), ty.shape.clone());
                let load = |b: &mut Builder| vec![b.load(partial.memory, shape, index, [], 0.0)];
                b.if_else(later, load, |b| vec![b.constant(ty, self.reduce.initial.value())])[0]
            }
        }
    }

    fn multiply(
        &self,
        b: &mut Builder,
        (row, n_rows): (&Dim, u64),
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        sum: Value,
    ) -> Value {
        if let Some(scaled) = &self.plan.scaled {
            return self.multiply_scaled(b, scaled, (row, n_rows), (column_start, guarded), k, sum);
        }
        let dropped = i64::from(is(Fault::ContractionDropsAProduct));
        let steps = self.rounds(k, n_rows);
        let ask = &mut |b: &mut Builder, at: &[Dim], round: &Dim| {
            self.ask_for_next(b, (at, k), column_start, row, round);
            self.ask_for_rest(b, k, (row, n_rows), column_start, (round, steps.unwrap_or(1)));
        };
        let between = steps.map(|steps| Between { steps, body: ask });
        let sums = k.each_with(b, between, dropped, &[sum], &mut |b, at, p, carried| {
            self.ask_ahead(b, n_rows, at, column_start, 1);
            let mut at = at.to_vec();
            self.set_row(&mut at, &(row + &lane(0)));
            at[self.plan.column_axis] = column_start + &lane(1);
            let guards = self.column_guard(guarded, &at);
            let mut tile = Tile::new(self.loops, self.operands, at, vec![n_rows, self.width], guards);
            let left = tile.value(b, self.plan.row_factor);
            let left = b.broadcast(left, [n_rows, 1]);
            if let Term::Dot(of, _) = *self.loops.body.term(self.reduce.element) {
                let right = tile.value(b, self.plan.column_factor);
                return vec![b.dot(of, carried[0], left, right)];
            }
            let left = b.cast(left, self.plan.dtype);
            let right = match self.panel {
                Some(panel) => b.load(panel, [1, self.width], [p, &lane(1)], [], 0.0),
                None => {
                    let right = tile.value(b, self.plan.column_factor);
                    b.cast(right, self.plan.dtype)
                }
            };
            vec![b.contract(carried[0], left, right)]
        });
        sums[0]
    }

    /// What follows the sums of a tile: row by row where it would take much code for all of them.
    pub fn finish(&self, b: &mut Builder, row: &Dim, n_rows: u64, column_start: &Dim, guarded: bool, sum: Value) {
        if n_rows == 1 || self.plan.run.is_some() || !self.is_long(n_rows) {
            return self.finish_at_once(b, row, n_rows, column_start, guarded, sum);
        }
        let (dtype, shape) = (b.type_of(sum).dtype, [self.plan.tile.rows, self.width]);
        let sums = b.common_local(&format!("sums{}", self.width), dtype, shape);
        b.store(sums, [lane(0), lane(1)], [], sum);
        b.for_loop(Span::new("f", 0, n_rows as i64, 1), &[], |b, own, _| {
            let sum = b.load(sums, [1, self.width], [&(own + &lane(0)), &lane(1)], [], 0.0);
            self.finish_at_once(b, &(row + own), 1, column_start, guarded, sum);
            Vec::new()
        });
    }

    /// Whether what follows the sums of so many rows would be longer than the sums themselves.
    fn is_long(&self, n_rows: u64) -> bool {
        let (roots, lanes) = ([self.loops.stored], self.machine.lanes);
        let read = |load: &Load| order::instructions(self.loops, load, self.plan.column_axis, self.machine);
        let reading: u64 = self.loops.body.loads(&roots).into_iter().map(read).sum();
        let n_vectors = n_rows * self.width.div_ceil(lanes);
        !self.machine.is_block() && n_vectors * (self.loops.body.work(&roots) + reading) > LONG
    }

    fn finish_at_once(&self, b: &mut Builder, row: &Dim, n_rows: u64, column_start: &Dim, guarded: bool, sum: Value) {
        let mut at = self.at.clone();
        match (self.plan.run, self.plan.row_axis) {
            (Some(run), Some(places)) => [at[run.lines], at[places]] = run.place(&(&self.row_start + row)),
            _ => self.set_row(&mut at, &(row + &lane(0))),
        }
        at[self.plan.column_axis] = column_start + &lane(1);
        let guards = self.column_guard(guarded, &at);
        let mut tile = Tile::new(self.loops, self.operands, at, vec![n_rows, self.width], guards);
        tile.reduced(b, 0, sum);
        let value = tile.full(b, self.loops.stored);
        tile.store(b, self.result, value);
    }
}
