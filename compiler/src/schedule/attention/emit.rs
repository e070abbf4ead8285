//! The statements of an attention kernel.

use super::bounds::Keys;
use super::{Attention, FEW_KEYS, GROUPS, KEYS};
use crate::graph::{Dim, Scalar};
use crate::kernel::{Builder, Condition, Kernel, Memory, Span, Type, Value, lane};
use crate::schedule::contraction::depth::Depth;
use crate::schedule::emit::Tile;

/// What stands for "no score yet": finite, so that differences of it are numbers.
const LOWEST: f64 = -3.0e38;

/// Where everything lies while an item of the grid is computed.
struct Item<'a> {
    of: &'a Attention<'a>,
    score_operands: &'a [Memory],
    /// The first one, the weights, is the memory of the scores; it is not read through the nest.
    mix_operands: Vec<Memory>,
    result: Memory,
    /// Positions along the axes of the mixing, as far as they are known.
    at: Vec<Dim>,
    row_start: Dim,
    n_rows: Dim,
    /// Keys of a panel, and panels of a tile.
    width: u64,
    panels: u64,
    scores: Memory,
    sums: Memory,
    /// If there are several tiles.
    carried: Option<Carried>,
}

#[derive(Clone, Copy)]
struct Carried {
    largest: Memory,
    /// By what the mixture of each row of the group is scaled.
    factors: Memory,
    mixture: Memory,
}

/// A tile of keys: panels `first..end`, keys `start..stop`.
struct KeyTile {
    base: Dim,
    panels: Segments,
    keys: (Dim, Dim),
}

/// Panels at the edges of what a mask leaves, or of the keys; those where all keys take part; and a narrower last one.
struct Segments {
    before: (Dim, Dim),
    whole: (Dim, Dim),
    after: (Dim, Dim),
    narrow: Option<(Dim, u64)>,
}

pub fn kernel(of: &Attention, mut b: Builder, operands: &[Memory], result: Memory) -> Kernel {
    let (score, mix) = (&of.score, &of.mix);
    let mut at = vec![Dim::constant(0); mix.loops.axes.len()];
    for axis in of.outer_axes().into_iter().flatten() {
        at[axis] = b.grid(&format!("g{axis}"), mix.loops.axes[axis].clone());
    }
    let row_axis = mix.plan.row_axis.unwrap_or(0);
    let rows = &mix.loops.axes[row_axis];
    let keys = &mix.loops.axes[mix.loops.n_parallel];
    let group = group_rows(of);
    let block = Dim::constant(block_rows(rows, group));
    let n_blocks = rows.ceil_div(&block);
    let row_start = if n_blocks.is(1) { Dim::constant(0) } else { &b.grid("m", n_blocks.clone()) * &block };
    let n_rows = if n_blocks.is(1) { rows.clone() } else { (rows - &row_start).least(&block) };
    let width = score.plan.tile.vectors * of.machine.lanes;
    let is_one_tile = keys.as_constant().is_some_and(|keys| keys <= FEW_KEYS);
    let panels = match keys.as_constant() {
        Some(keys) if is_one_tile => (keys as u64).div_ceil(width).max(1),
        _ => KEYS.div_ceil(width),
    };
    let dtype = score.plan.dtype;
    // Rows that lie a power of two apart would share lines of the first-level cache.
    let scores = b.local("scores", dtype, [group, panels * width + of.machine.lanes]);
    let most = block.as_constant().unwrap_or(1).max(1) as u64;
    let sums = b.local("sums", dtype, [most]);
    let mix_width = mix.plan.tile.vectors * of.machine.lanes;
    let columns = mix.loops.axes[mix.plan.column_axis].as_constant();
    let carried = (!is_one_tile).then(|| Carried {
        largest: b.local("largest", dtype, [most]),
        factors: b.local("factors", dtype, [group]),
        mixture: b.local(
            "mixture",
            dtype,
            [most, columns.map_or(mix_width, |n| (n.max(1) as u64).next_multiple_of(mix_width))],
        ),
    });
    let n_score = score.loops.operands.len();
    let mix_operands = [scores].iter().chain(&operands[n_score..]).copied().collect();
    let score_operands = &operands[..n_score];
    let item =
        Item { of, score_operands, mix_operands, result, at, row_start, n_rows, width, panels, scores, sums, carried };
    item.emit(&mut b, keys, group);
    b.finish()
}

/// Rows whose scores are computed together: as many as the register tile of the mixing has.
fn group_rows(of: &Attention) -> u64 {
    let plan = &of.mix.plan;
    let rows = of.mix.loops.axes[plan.row_axis.unwrap_or(0)].as_constant();
    rows.map_or(plan.tile.rows, |rows| plan.tile.rows.min(rows.max(1) as u64))
}

/// Rows of an item of the grid: blocks of nearly equal size.
fn block_rows(rows: &Dim, group: u64) -> i64 {
    let most = GROUPS * group as i64;
    let Some(rows) = rows.as_constant() else { return most };
    let n_blocks = (rows + most - 1).div_euclid(most).max(1);
    let even = (rows + n_blocks - 1).div_euclid(n_blocks);
    if n_blocks == 1 { rows.max(1) } else { (even as u64).next_multiple_of(group) as i64 }
}

impl Item<'_> {
    fn emit(&self, b: &mut Builder, keys: &Dim, group: u64) {
        self.of.bounds.declare(b, &self.of.score.loops, self.score_operands);
        let Some(carried) = self.carried else {
            return self.each_group(b, "r", group, &mut |b, row, n_rows| {
                let tile = self.tile(b, row, n_rows, &Dim::constant(0), keys);
                self.scores(b, row, n_rows, &tile);
                self.softmax(b, row, n_rows, &tile);
                self.mix(b, row, n_rows, &tile);
            });
        };
        self.begin_rows(b, carried);
        let size = (self.width * self.panels) as i64;
        let mut n_tiles = keys.ceil_div(&Dim::constant(size));
        let mut first_tile = Dim::constant(0);
        if !self.of.bounds.is_empty() {
            let [loose, _] = self.keys_of_rows(&Dim::constant(0), &self.n_rows);
            let high = loose.high.iter().fold(keys.clone(), |high, dim| high.least(dim));
            let low = loose.low.iter().fold(Dim::constant(0), |low, dim| low.greatest(dim));
            n_tiles = self.symbol(b, "tiles", &high.ceil_div(&Dim::constant(size)), &n_tiles);
            first_tile = self.symbol(b, "tile0", &low.floor_div(&Dim::constant(size)), &n_tiles);
        }
        b.for_loop(Span::new("kt", first_tile, n_tiles, 1), &[], |b, number, _| {
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

    /// A symbol for a number that is clamped to `0..=high`.
    fn symbol(&self, b: &mut Builder, name: &str, value: &Dim, high: &Dim) -> Dim {
        let value = b.index([], value.clone());
        b.symbol(name, value, 0, high.clone())
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

    fn keys_of_rows(&self, row: &Dim, n_rows: &Dim) -> [Keys; 2] {
        let loops = &self.of.score.loops;
        let first = &self.row_start + row;
        let last = &(&first + n_rows) - 1;
        let row_axis = self.of.score.plan.row_axis.unwrap_or(0);
        self.of.bounds.keys(loops, &self.score_at(), row_axis, (&first, &last))
    }

    /// Positions along the axes of the scores.
    fn score_at(&self) -> Vec<Dim> {
        let mut at = vec![Dim::constant(0); self.of.score.loops.axes.len()];
        for (axis, of_mix) in self.of.axes.iter().enumerate() {
            if let Some(of_mix) = of_mix {
                at[axis] = self.at[*of_mix].clone();
            }
        }
        at
    }

    /// The part of a tile of keys that these rows need.
    fn tile(&self, b: &mut Builder, row: &Dim, n_rows: u64, number: &Dim, keys: &Dim) -> KeyTile {
        let (width, panels) = (self.width as i64, self.panels as i64);
        let of_width = Dim::constant(width);
        let base = &(number * panels) * width;
        let first = number * panels;
        let n_panels = keys.ceil_div(&of_width);
        let end = if self.carried.is_some() { (&first + panels).least(&n_panels) } else { n_panels };
        let whole_end = keys.floor_div(&of_width).least(&end).greatest(&first);
        let stop = if self.carried.is_some() { (&base + panels * width).least(keys) } else { keys.clone() };
        if !self.of.bounds.is_empty() {
            return self.masked_tile(b, (row, n_rows), base, (first, end, whole_end), stop);
        }
        let narrow = match keys.as_constant() {
            Some(keys) if self.carried.is_none() && keys % width != 0 => {
                Some((keys.div_euclid(width), ((keys % width) as u64).next_multiple_of(self.of.machine.lanes)))
            }
            _ => None,
        };
        let after = if narrow.is_some() { (end.clone(), end.clone()) } else { (whole_end.clone(), end) };
        let narrow = narrow.map(|(panel, width)| (Dim::constant(panel), width));
        let panels = Segments { before: (first.clone(), first.clone()), whole: (first, whole_end), after, narrow };
        KeyTile { keys: (base.clone(), stop), base, panels }
    }

    fn masked_tile(
        &self,
        b: &mut Builder,
        (row, n_rows): (&Dim, u64),
        base: Dim,
        (first, end, whole_end): (Dim, Dim, Dim),
        stop: Dim,
    ) -> KeyTile {
        let width = Dim::constant(self.width as i64);
        let [loose, tight] = self.keys_of_rows(row, &Dim::constant(n_rows as i64));
        let most = |dims: &[Dim], from: &Dim| dims.iter().fold(from.clone(), |most, dim| most.greatest(dim));
        let least = |dims: &[Dim], from: &Dim| dims.iter().fold(from.clone(), |least, dim| least.least(dim));
        let between = |b: &mut Builder, name: &str, value: Dim, low: &Dim, high: &Dim| {
            let value = b.index([], value);
            b.symbol(name, value, low.clone(), high.clone())
        };
        let low = between(b, "low", most(&loose.low, &base), &base, &stop);
        let high = between(b, "high", least(&loose.high, &stop), &low, &stop);
        let start = between(b, "start", low.floor_div(&width), &first, &whole_end);
        let needed = high.ceil_div(&width);
        let mut panels = Segments {
            before: (start.clone(), start.clone()),
            whole: (start.clone(), start.clone()),
            after: (start.clone(), start),
            narrow: None,
        };
        if self.of.bounds.is_complete {
            if !tight.low.is_empty() {
                let clear = most(&tight.low, &base).ceil_div(&width).least(&needed);
                panels.before.1 = between(b, "clear", clear, &panels.before.0, &whole_end);
            }
            let edge = least(&tight.high, &stop).floor_div(&width);
            let edge = between(b, "edge", edge, &panels.before.1, &whole_end);
            panels.whole = (panels.before.1.clone(), edge.clone());
            panels.after.0 = edge;
        }
        panels.after.1 = between(b, "end", needed, &panels.after.0, &end);
        KeyTile { base, panels, keys: (low, high) }
    }

    /// Runs `body` for each panel of the tile, carrying values: it gets the panel, its width, and whether it is an edge.
    fn each_panel(
        &self,
        b: &mut Builder,
        name: &str,
        segments: &Segments,
        inits: &[Value],
        body: &mut dyn FnMut(&mut Builder, &Dim, u64, bool, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let mut carried = inits.to_vec();
        let parts = [(&segments.before, true), (&segments.whole, false), (&segments.after, true)];
        for (idx, ((start, end), is_edge)) in parts.into_iter().enumerate() {
            if start == end {
                continue;
            }
            let span = Span::new(&format!("{name}{idx}"), start.clone(), end.clone(), 1);
            carried = b.for_loop(span, &carried, |b, panel, carried| body(b, panel, self.width, is_edge, carried));
        }
        if let Some((panel, width)) = &segments.narrow {
            carried = body(b, panel, *width, true, &carried);
        }
        carried
    }

    /// The same where edges are like all others.
    fn each_strip(
        &self,
        b: &mut Builder,
        name: &str,
        segments: &Segments,
        init: Value,
        body: &mut dyn FnMut(&mut Builder, &Dim, u64, Value) -> Value,
    ) -> Value {
        let Segments { before, after, narrow, .. } = segments;
        let (start, end) = (before.0.clone(), after.1.clone());
        let end = if narrow.is_some() { segments.whole.1.clone() } else { end };
        let span = Span::new(name, start, end, 1);
        let result = b.for_loop(span, &[init], |b, panel, carried| vec![body(b, panel, self.width, carried[0])])[0];
        match narrow {
            Some((panel, width)) => body(b, panel, *width, result),
            None => result,
        }
    }

    fn scores(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        let plan = &self.of.score.plan;
        // A tile of fewer rows and more columns takes as much as one that fills the registers.
        let most = plan.tile.rows.min(n_rows);
        let rows = (1..=most).rev().find(|rows| n_rows.is_multiple_of(*rows)).unwrap_or(1);
        self.each_panel(b, "p", &tile.panels, &[], &mut |b, panel, width, is_edge, _| {
            let span = Span { unroll: true, ..Span::new("q", 0, (n_rows / rows) as i64, 1) };
            b.for_loop(span, &[], |b, q, _| {
                let first = q * rows as i64;
                let value = self.score(b, &(&(row + &first) + &lane(0)), rows, (panel, width), is_edge);
                let column = &(&(panel * self.width as i64) - &tile.base) + &lane(1);
                b.store(self.scores, [&(&first + &lane(0)), &column], [], value);
                Vec::new()
            });
            Vec::new()
        });
    }

    /// A register tile of scores.
    fn score(&self, b: &mut Builder, row: &Dim, n_rows: u64, (panel, width): (&Dim, u64), is_edge: bool) -> Value {
        let part = &self.of.score;
        let (loops, plan) = (&part.loops, &part.plan);
        let mut at = self.score_at();
        at[plan.row_axis.unwrap_or(0)] = &self.row_start + row;
        let column = &(panel * self.width as i64) + &lane(1);
        at[plan.column_axis] = column.clone();
        let keys = &loops.axes[plan.column_axis];
        let guards = if is_edge { vec![Builder::below(&column, keys)] } else { Vec::new() };
        let ty = Type::new(plan.dtype, [n_rows, width]);
        let mut sum = b.constant(ty.clone(), loops.stages[0].initial.value());
        Depth::new(loops, i64::MAX).each(b, loops, &at, &mut |b, stretch| {
            let sums = stretch.each(b, "d", 0, &[sum], &mut |b, at, _, carried| {
                let mut tile = Tile::new(loops, self.score_operands, at.to_vec(), vec![n_rows, width], guards.clone());
                let left = tile.value(b, plan.row_factor);
                let left = b.broadcast(left, [n_rows, 1]);
                let left = b.cast(left, plan.dtype);
                let right = tile.value(b, plan.column_factor);
                let right = b.broadcast(right, [1, width]);
                let right = b.cast(right, plan.dtype);
                vec![b.contract(carried[0], left, right)]
            });
            sum = sums[0];
        });
        let mut tile = Tile::new(loops, self.score_operands, at, vec![n_rows, width], guards);
        tile.reduced(b, 0, sum);
        let is_inner = !is_edge && self.of.bounds.is_complete;
        let value = tile.full(b, if is_inner { self.of.bounds.inner } else { loops.stored });
        if !is_edge {
            return value;
        }
        let at = b.index([1, width], column);
        let end = b.index([1, width], keys.clone());
        let inside = b.scalar(Scalar::Lt, &[at, end]);
        let inside = b.broadcast(inside, [n_rows, width]);
        let masked = b.constant(ty, f64::NEG_INFINITY);
        b.scalar(Scalar::Select, &[inside, value, masked])
    }

    /// Turns the scores of each row into exponentials, and sums them.
    fn softmax(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        let dtype = self.of.score.plan.dtype;
        let ty = |width: u64| Type::new(dtype, [1, width]);
        b.for_loop(Span::new("t", 0, n_rows as i64, 1), &[], |b, t, _| {
            let column = |panel: &Dim| &(&(panel * self.width as i64) - &tile.base) + &lane(1);
            let lowest = b.constant(ty(self.width), LOWEST);
            let most = self.each_strip(b, "u", &tile.panels, lowest, &mut |b, panel, width, most| {
                let score = b.load(self.scores, [1, width], [t, &column(panel)], [], 0.0);
                self.with_narrow(b, Scalar::Max, most, score)
            });
            let mut largest = b.reduce(Scalar::Max, most, 1);
            let here = [&(row + t)];
            let before = self.carried.map(|carried| b.load(carried.largest, [1, 1], here, [], 0.0));
            if let Some(before) = before {
                largest = b.scalar(Scalar::Max, &[before, largest]);
            }
            let zero = b.constant(ty(self.width), 0.0);
            let sum = self.each_strip(b, "e", &tile.panels, zero, &mut |b, panel, width, sum| {
                let at = column(panel);
                let score = b.load(self.scores, [1, width], [t, &at], [], 0.0);
                let shift = b.broadcast(largest, [1, width]);
                let shifted = b.scalar(Scalar::Sub, &[score, shift]);
                let e = b.scalar(Scalar::Exp, &[shifted]);
                b.store(self.scores, [t, &at], [], e);
                self.with_narrow(b, Scalar::Add, sum, e)
            });
            let mut sum = b.reduce(Scalar::Add, sum, 1);
            if let (Some(carried), Some(before)) = (self.carried, before) {
                let change = b.scalar(Scalar::Sub, &[before, largest]);
                let factor = b.scalar(Scalar::Exp, &[change]);
                let sum_before = b.load(self.sums, [1, 1], here, [], 0.0);
                let scaled = b.scalar(Scalar::Mul, &[sum_before, factor]);
                sum = b.scalar(Scalar::Add, &[scaled, sum]);
                b.store(carried.largest, here, [], largest);
                b.store(carried.factors, [t], [], factor);
            }
            b.store(self.sums, here, [], sum);
            Vec::new()
        });
    }

    /// Combines a strip with a narrower one: what is carried is as wide as the strips before.
    fn with_narrow(&self, b: &mut Builder, combine: Scalar, carried: Value, strip: Value) -> Value {
        if b.type_of(carried) == b.type_of(strip) {
            return b.scalar(combine, &[carried, strip]);
        }
        let (carried, strip) = (b.reduce(combine, carried, 1), b.reduce(combine, strip, 1));
        b.scalar(combine, &[carried, strip])
    }

    /// Adds to the mixture of the rows, or stores it if there is no other tile.
    fn mix(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let ty = Type::new(self.of.mix.plan.dtype, [n_rows, width]);
            let place = [&(row + &lane(0)), &(start + &lane(1))];
            let zero = b.constant(ty.clone(), 0.0);
            let added = self.multiply(b, zero, n_rows, (start, width, guarded), tile);
            let Some(carried) = self.carried else {
                return self.store(b, row, n_rows, (start, width, guarded), added);
            };
            let before = b.load(carried.mixture, ty.shape.clone(), place, [], 0.0);
            let factor = b.load(carried.factors, [n_rows, 1], [&lane(0)], [], 0.0);
            let factor = b.broadcast(factor, ty.shape);
            let mixture = b.scalar(Scalar::Fma, &[before, factor, added]);
            b.store(carried.mixture, place, [], mixture);
        });
    }

    fn each_column_tile(&self, b: &mut Builder, body: &mut dyn FnMut(&mut Builder, &Dim, u64, bool)) {
        let plan = &self.of.mix.plan;
        let columns = &self.of.mix.loops.axes[plan.column_axis];
        let width = plan.tile.vectors * self.of.machine.lanes;
        let size = Dim::constant(width as i64);
        let whole = columns.floor_div(&size);
        let at = |number: &Dim| number * width as i64;
        match whole.as_constant() {
            Some(1) => body(b, &Dim::constant(0), width, false),
            Some(0) => {}
            _ => {
                b.for_loop(Span::new("n", 0, whole.clone(), 1), &[], |b, n, _| {
                    body(b, &at(n), width, false);
                    Vec::new()
                });
            }
        }
        match columns.modulo(&size).as_constant() {
            Some(0) => {}
            Some(_) => body(b, &at(&whole), width, true),
            None => {
                let some = vec![&columns.modulo(&size) - 1];
                b.if_else(
                    Condition::Guards(some),
                    |b| {
                        body(b, &at(&whole), width, true);
                        Vec::new()
                    },
                    |_| Vec::new(),
                );
            }
        }
    }

    fn mix_tile(&self, row: &Dim, n_rows: u64, (start, width, guarded): (&Dim, u64, bool)) -> Tile<'_> {
        let (loops, plan) = (&self.of.mix.loops, &self.of.mix.plan);
        let mut at = self.at.clone();
        at[plan.row_axis.unwrap_or(0)] = &(&self.row_start + row) + &lane(0);
        at[plan.column_axis] = start + &lane(1);
        let columns = &loops.axes[plan.column_axis];
        let guards = if guarded { vec![Builder::below(&at[plan.column_axis], columns)] } else { Vec::new() };
        Tile::new(loops, &self.mix_operands, at, vec![n_rows, width], guards)
    }

    fn multiply(
        &self,
        b: &mut Builder,
        mixture: Value,
        n_rows: u64,
        columns: (&Dim, u64, bool),
        tile: &KeyTile,
    ) -> Value {
        let (loops, plan) = (&self.of.mix.loops, &self.of.mix.plan);
        let span = Span::new("k", tile.keys.0.clone(), tile.keys.1.clone(), 1);
        b.for_loop(span, &[mixture], |b, key, carried| {
            let left = b.load(self.scores, [n_rows, 1], [&lane(0), &(key - &tile.base)], [], 0.0);
            let mut values = self.mix_tile(&Dim::constant(0), n_rows, columns);
            values.at[loops.n_parallel] = key.clone();
            let right = values.value(b, plan.column_factor);
            let right = b.broadcast(right, [1, columns.1]);
            let right = b.cast(right, plan.dtype);
            vec![b.contract(carried[0], left, right)]
        })[0]
    }

    fn begin_rows(&self, b: &mut Builder, carried: Carried) {
        let dtype = self.of.score.plan.dtype;
        b.for_loop(Span::new("z", 0, self.n_rows.clone(), 1), &[], |b, row, _| {
            let lowest = b.constant(Type::new(dtype, [1]), LOWEST);
            let zero = b.constant(Type::new(dtype, [1]), 0.0);
            b.store(carried.largest, [row], [], lowest);
            b.store(self.sums, [row], [], zero);
            self.each_column_tile(b, &mut |b, start, width, _| {
                let zero = b.constant(Type::new(dtype, [width]), 0.0);
                b.store(carried.mixture, [row, &(start + &lane(0))], [], zero);
            });
            Vec::new()
        });
    }

    fn finish_rows(&self, b: &mut Builder, row: &Dim, n_rows: u64, carried: Carried) {
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let place = [&(row + &lane(0)), &(start + &lane(1))];
            let mixture = b.load(carried.mixture, [n_rows, width], place, [], 0.0);
            self.store(b, row, n_rows, (start, width, guarded), mixture);
        });
    }

    /// Divides the mixture by the sums of the weights, and stores what the result is.
    fn store(&self, b: &mut Builder, row: &Dim, n_rows: u64, columns: (&Dim, u64, bool), mixture: Value) {
        let ty = b.type_of(mixture).clone();
        let sum = b.load(self.sums, [n_rows, 1], [&(row + &lane(0))], [], 0.0);
        let one = b.constant(Type::new(ty.dtype, [n_rows, 1]), 1.0);
        let zero = b.constant(Type::new(ty.dtype, [n_rows, 1]), 0.0);
        let mut divisor = sum;
        if self.of.is_guarded {
            let is_masked = b.scalar(Scalar::Eq, &[sum, zero]);
            divisor = b.scalar(Scalar::Select, &[is_masked, one, sum]);
        }
        let inverse = b.scalar(Scalar::Div, &[one, divisor]);
        let inverse = b.broadcast(inverse, ty.shape);
        let scaled = b.scalar(Scalar::Mul, &[mixture, inverse]);
        let stored = self.of.mix.loops.stored;
        let mut tile = self.mix_tile(row, n_rows, columns);
        tile.reduced(b, 0, scaled);
        let value = tile.full(b, stored);
        tile.store(b, self.result, value);
    }
}
