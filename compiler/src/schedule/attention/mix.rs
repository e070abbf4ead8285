//! The mixture of values: sums of the values of the keys, weighted by the exponentials of the scores.
//!
//! Invariant: between tiles the mixture of a row is relative to its largest score so far; in the end it is divided by the
//! sum of the weights.

use super::Part;
use super::emit::{Carried, Item};
use super::keys::KeyTile;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Memory, Span, Type, Value, lane};
use crate::schedule::Loops;
use crate::schedule::emit::Tile;

impl Item<'_> {
    /// Adds to the mixture of the rows, or stores it if there is no other tile.
    pub fn mix(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        if let Some(mixed) = self.mixed {
            return self.mix_of_matrices(b, row, n_rows, tile, mixed);
        }
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let zero = b.constant(Type::new(self.of.mix.plan.dtype, [n_rows, width]), 0.0);
            let added = self.multiply(b, zero, n_rows, (start, width, guarded), tile);
            self.add(b, (row, &Dim::constant(0)), n_rows, (start, width, guarded), added);
        });
    }

    /// Adds to the mixture of some rows, from `first` of the group on that begins with `row`.
    pub fn add(
        &self,
        b: &mut Builder,
        (row, first): (&Dim, &Dim),
        n_rows: u64,
        (start, width, guarded): (&Dim, u64, bool),
        added: Value,
    ) {
        let row = &(row + first);
        let Some(carried) = self.carried else {
            return self.store(b, row, n_rows, (start, width, guarded), added);
        };
        let place = [&(row + &lane(0)), &(start + &lane(1))];
        let shape = vec![n_rows, width];
        let before = b.load(carried.mixture, shape.clone(), place, [], 0.0);
        let factor = b.load(carried.factors, [n_rows, 1], [&(first + &lane(0))], [], 0.0);
        let factor = b.broadcast(factor, shape);
        let mixture = b.scalar(Scalar::Fma, &[before, factor, added]);
        b.store(carried.mixture, place, [], mixture);
    }

    pub fn each_column_tile(&self, b: &mut Builder, body: &mut dyn FnMut(&mut Builder, &Dim, u64, bool)) {
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

    fn mix_tile(&self, row: &Dim, n_rows: u64, columns: (&Dim, u64, bool)) -> Tile<'_> {
        self.tile_of(&self.of.mix.loops, row, n_rows, columns)
    }

    pub fn tile_of<'t>(
        &'t self,
        loops: &'t Loops,
        row: &Dim,
        n_rows: u64,
        (start, width, guarded): (&Dim, u64, bool),
    ) -> Tile<'t> {
        let plan = &self.of.mix.plan;
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
        if let (Some(pairs), Some(weights)) = (&self.of.mix_pairs, self.weights) {
            return self.multiply_pairs(b, (pairs, weights), mixture, n_rows, columns, tile);
        }
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

    /// The same for two neighbouring keys at a time; one before or after those of the tile has the weight zero.
    fn multiply_pairs(
        &self,
        b: &mut Builder,
        (pairs, weights): (&Part, Memory),
        mixture: Value,
        n_rows: u64,
        columns: (&Dim, u64, bool),
        tile: &KeyTile,
    ) -> Value {
        let two = Dim::constant(2);
        let span = Span::new("k", tile.keys.0.floor_div(&two), tile.keys.1.ceil_div(&two), 1);
        b.for_loop(span, &[mixture], |b, pair, carried| {
            let at = &(pair * 2) - &tile.base;
            let left = b.load_words(weights, [n_rows, 1], [&lane(0), &at], []);
            let right = match self.values {
                Some(values) => {
                    let at = pair - &tile.base.floor_div(&two);
                    b.load(values, [1, columns.1], [&(&at + &lane(0)), &(columns.0 + &lane(1))], [], 0.0)
                }
                None => {
                    let mut values = self.tile_of(&pairs.loops, &Dim::constant(0), n_rows, columns);
                    values.at[pairs.loops.n_parallel] = pair.clone();
                    values.value(b, pairs.plan.column_factor)
                }
            };
            vec![b.dot(DType::BF16, carried[0], left, right)]
        })[0]
    }

    pub fn begin_rows(&self, b: &mut Builder, carried: Carried) {
        let dtype = self.of.score.plan.dtype;
        b.for_loop(Span::new("z", 0, self.n_rows.clone(), 1), &[], |b, row, _| {
            let lowest = b.constant(Type::new(dtype, [1]), self.of.lowest());
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

    pub fn finish_rows(&self, b: &mut Builder, row: &Dim, n_rows: u64, carried: Carried) {
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let place = [&(row + &lane(0)), &(start + &lane(1))];
            let mixture = b.load(carried.mixture, [n_rows, width], place, [], 0.0);
            self.store(b, row, n_rows, (start, width, guarded), mixture);
        });
    }

    /// Divides the mixture by the sums of the weights, and stores what the result is.
    fn store(&self, b: &mut Builder, row: &Dim, n_rows: u64, columns: (&Dim, u64, bool), mixture: Value) {
        let sum = b.load(self.sums, [n_rows, 1], [&(row + &lane(0))], [], 0.0);
        let scaled = self.of.divided(b, mixture, sum);
        let stored = self.of.mix.loops.stored;
        let mut tile = self.mix_tile(row, n_rows, columns);
        tile.reduced(b, 0, scaled);
        let value = tile.full(b, stored);
        tile.store(b, self.result, value);
    }
}
