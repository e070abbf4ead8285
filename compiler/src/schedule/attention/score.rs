//! The scores of a group of rows, and their exponentials.
//!
//! Invariant: a key that does not take part has the score -inf, so its exponential is zero.

use super::emit::Item;
use super::keys::KeyTile;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Span, Type, Value, lane};
use crate::schedule::body::Term;
use crate::schedule::contraction::depth::Depth;
use crate::schedule::emit::Tile;
use crate::seeded::{Fault, is};

/// Rows whose exponentials are computed together.
const ROWS_AT_ONCE: u64 = 2;
/// Tiles of scores of more work, in additions, are not written out one after the other: that only takes longer to compile.
const UNROLLED: u64 = 32;
/// The largest rounding of a shift that a power bears.
const ROUGH: f64 = 64.0;
/// The power of two by which exponents are less that would else be beyond all numbers, as in a row that a mask of the lowest
/// number covers: neighbours among numbers so large still differ by so much that only equal ones count.
const BEYOND: f64 = -24.0;
/// Vectors that hold the largest scores so far.
const MAXIMA: u64 = 24;

impl Item<'_> {
    pub fn scores(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        if self.of.is_direct() {
            return self.direct_scores(b, row, n_rows, tile);
        }
        if let Some(matrices) = &self.of.matrices {
            return self.scores_of_matrices(b, row, n_rows, tile, matrices);
        }
        let plan = &self.of.score.plan;
        // A tile of fewer rows and more columns takes as much as one that fills the registers.
        let most = plan.tile.rows.min(n_rows);
        let rows = (1..=most).rev().find(|rows| n_rows.is_multiple_of(*rows)).unwrap_or(1);
        self.each_panel(b, "p", &tile.panels, &[], &mut |b, panel, width, is_edge, _| {
            let unroll = self.of.score.loops.body.work(&[self.of.score.loops.stored]) <= UNROLLED;
            let span = Span { unroll, ..Span::new("q", 0, (n_rows / rows) as i64, 1) };
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
        let (at, guards) = self.score_place(row, panel, is_edge);
        let ty = Type::new(plan.dtype, [n_rows, width]);
        let mut sum = b.constant(ty, loops.stages[0].initial.value());
        Depth::whole(loops).each(b, loops, &at, &mut |b, stretch| {
            let sums = stretch.each(b, "d", &[sum], &mut |b, at, _, carried| {
                let mut tile = Tile::new(loops, self.score_operands, at.to_vec(), vec![n_rows, width], guards.clone());
                let left = match self.queries {
                    Some(queries) => b.load(queries, [n_rows, 1], [row, &at[loops.n_parallel]], [], 0.0),
                    None => tile.value(b, plan.row_factor),
                };
                let left = b.broadcast(left, [n_rows, 1]);
                if let Term::Dot(of, _) = *loops.body.term(loops.stages[0].element) {
                    let right = tile.value(b, plan.column_factor);
                    return vec![b.dot(of, carried[0], left, right)];
                }
                let left = b.cast(left, plan.dtype);
                let right = tile.value(b, plan.column_factor);
                let right = b.broadcast(right, [1, width]);
                let right = b.cast(right, plan.dtype);
                vec![b.contract(carried[0], left, right)]
            });
            sum = sums[0];
        });
        self.score_of(b, sum, row, panel, is_edge)
    }

    /// Positions along the axes of the scores, and what holds for keys that there are.
    pub fn score_place(&self, row: &Dim, panel: &Dim, is_edge: bool) -> (Vec<Dim>, Vec<Dim>) {
        let (loops, plan) = (&self.of.score.loops, &self.of.score.plan);
        let mut at = self.of.score_at(&self.at);
        at[plan.row_axis.unwrap_or(0)] = &self.row_start + row;
        let column = &(panel * self.width as i64) + &lane(1);
        at[plan.column_axis] = column.clone();
        let keys = &loops.axes[plan.column_axis];
        (at, if is_edge { vec![Builder::below(&column, keys)] } else { Vec::new() })
    }

    /// The scores of a panel, given the sums of their products.
    pub fn score_of(&self, b: &mut Builder, sum: Value, row: &Dim, panel: &Dim, is_edge: bool) -> Value {
        let (loops, plan) = (&self.of.score.loops, &self.of.score.plan);
        let (at, guards) = self.score_place(row, panel, is_edge);
        let (column, keys) = (at[plan.column_axis].clone(), &loops.axes[plan.column_axis]);
        let ty = b.type_of(sum).clone();
        let (n_rows, width) = (ty.shape[0], ty.shape[1]);
        let mut tile = Tile::new(loops, self.score_operands, at, vec![n_rows, width], guards);
        tile.reduced(b, 0, sum);
        let value = tile.full(b, self.of.stored(is_edge));
        if !is_edge || is(Fault::AttentionTakesPadding) {
            return value;
        }
        let at = b.index([1, width], column);
        let end = b.index([1, width], keys.clone());
        let inside = b.scalar(Scalar::Lt, &[at, end]);
        let inside = b.broadcast(inside, [n_rows, width]);
        let masked = b.constant(ty, f64::NEG_INFINITY);
        b.scalar(Scalar::Select, &[inside, value, masked])
    }

    /// Turns the scores of each row into exponentials, and sums them: some rows at a time, so that one need not wait for
    /// the reductions of another.
    pub fn softmax(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        let some_of = |b: &mut Builder, name: &str, most: u64, body: &dyn Fn(&mut Builder, &Dim, u64)| {
            let at_once = (1..=most.max(1)).rev().find(|rows| n_rows.is_multiple_of(*rows)).unwrap_or(1);
            b.for_loop(Span::new(name, 0, (n_rows / at_once) as i64, 1), &[], |b, t, _| {
                body(b, &(t * at_once as i64), at_once);
                Vec::new()
            });
        };
        let most = MAXIMA * self.of.machine.lanes / self.width;
        some_of(b, "g", most, &|b, first, n_rows| self.peaks(b, first, n_rows, tile));
        self.shift(b, row, n_rows);
        some_of(b, "t", ROWS_AT_ONCE, &|b, first, n_rows| self.exponentials(b, row, first, n_rows, tile));
    }

    /// The largest score of each of some rows, from `first` of the group on, where what is added to them will be.
    fn peaks(&self, b: &mut Builder, first: &Dim, n_rows: u64, tile: &KeyTile) {
        let ty = |width: u64| Type::new(self.of.score.plan.dtype, [n_rows, width]);
        let t = &(first + &lane(0));
        let lowest = b.constant(ty(self.width), self.of.lowest());
        let most = self.each_strip(b, "u", &tile.panels, lowest, &mut |b, panel, width, most| {
            let score = b.load(self.scores, [n_rows, width], [t, &self.column(panel, tile)], [], 0.0);
            self.larger(b, most, score)
        });
        let largest = b.reduce(Scalar::Max, most, 1);
        b.store(self.shifts, [t], [], largest);
    }

    /// What is added to the scores of each row: less than the largest of them. Rows lie along the lanes here.
    fn shift(&self, b: &mut Builder, row: &Dim, n_rows: u64) {
        let (all, here) = ([&lane(0)], [&(row + &lane(0))]);
        let mut largest = b.load(self.shifts, [n_rows], all, [], 0.0);
        let before = self.carried.map(|carried| (carried, b.load(carried.largest, [n_rows], here, [], 0.0)));
        if let Some((_, before)) = before {
            largest = b.scalar(Scalar::Max, &[before, largest]);
        }
        let (scale, shift) = self.scale_and_shift(b, largest);
        b.store(self.scales, all, [], scale);
        b.store(self.shifts, all, [], shift);
        if let Some((carried, before)) = before {
            let shift_before = b.scalar(Scalar::Mul, &[before, scale]);
            let change = b.scalar(Scalar::Add, &[shift_before, shift]);
            let factor = self.of.power().raise(b, change);
            b.store(carried.largest, here, [], largest);
            b.store(carried.factors, all, [], factor);
        }
    }

    /// What makes exponents of the scores of a row with this largest one. One rounding of the largest for the whole row: the
    /// mixture and its sum have it in common. Where that is too much, the scale is a power of two alone, so that products
    /// are exact and equal scores differ by nothing; others are then so far apart that they count for nothing anyway.
    fn scale_and_shift(&self, b: &mut Builder, largest: Value) -> (Value, Value) {
        let ty = b.type_of(largest).clone();
        let factor = self.of.power().factor;
        let exact = factor.log2().floor();
        let epsilon = if ty.dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
        let mut with = |scale: f64| {
            let negative = b.constant(ty.clone(), -scale);
            (b.constant(ty.clone(), scale), b.scalar(Scalar::Mul, &[largest, negative]))
        };
        let mut chosen = with((exact + BEYOND).exp2());
        let [rough, whole] = [with(factor), with(exact.exp2())];
        for ((scale, shift), limit) in [(whole, f64::INFINITY), (rough, 2.0 * ROUGH / epsilon)] {
            let size = b.scalar(Scalar::Abs, &[shift]);
            let limit = b.constant(ty.clone(), limit);
            let is_inside = b.scalar(Scalar::Lt, &[size, limit]);
            let pick = |b: &mut Builder, new: Value, old: Value| b.scalar(Scalar::Select, &[is_inside, new, old]);
            chosen = (pick(b, scale, chosen.0), pick(b, shift, chosen.1));
        }
        chosen
    }

    fn column(&self, panel: &Dim, tile: &KeyTile) -> Dim {
        &(&(panel * self.width as i64) - &tile.base) + &lane(1)
    }

    /// Exponentials of some rows, and their sums.
    fn exponentials(&self, b: &mut Builder, row: &Dim, first: &Dim, n_rows: u64, tile: &KeyTile) {
        let ty = |width: u64| Type::new(self.of.score.plan.dtype, [n_rows, width]);
        let power = self.of.power();
        let t = &(first + &lane(0));
        let [scale, shift] = [self.scales, self.shifts].map(|memory| b.load(memory, [n_rows, 1], [t], [], 0.0));
        let zero = b.constant(ty(self.width), 0.0);
        let sum = self.each_strip(b, "e", &tile.panels, zero, &mut |b, panel, width, sum| {
            let at = self.column(panel, tile);
            let score = b.load(self.scores, [n_rows, width], [t, &at], [], 0.0);
            let [scale, shift] = [scale, shift].map(|of_row| b.broadcast(of_row, [n_rows, width]));
            let exponent = b.scalar(Scalar::Fma, &[score, scale, shift]);
            let e = match self.weights {
                // Registers of matrices take denormal numbers for zeros.
                Some(weights) => {
                    let e = power.raise(b, exponent);
                    let rounded = b.cast(e, DType::BF16);
                    b.store(weights, [t, &at], [], rounded);
                    e
                }
                None => {
                    let e = power.weight(b, exponent);
                    b.store(self.scores, [t, &at], [], e);
                    e
                }
            };
            self.with_narrow(b, Scalar::Add, sum, e)
        });
        let mut sum = b.reduce(Scalar::Add, sum, 1);
        let here = [&(row + t)];
        if let Some(carried) = self.carried {
            let factor = b.load(carried.factors, [n_rows, 1], [t], [], 0.0);
            let before = b.load(self.sums, [n_rows, 1], here, [], 0.0);
            sum = b.scalar(Scalar::Fma, &[before, factor, sum]);
        }
        b.store(self.sums, here, [], sum);
    }

    /// The largest so far; NaN is left out, which the sum of the exponentials brings in. One instruction on x86.
    fn larger(&self, b: &mut Builder, most: Value, strip: Value) -> Value {
        if b.type_of(most) != b.type_of(strip) {
            return self.with_narrow(b, Scalar::Max, most, strip);
        }
        let is_larger = b.scalar(Scalar::Gt, &[strip, most]);
        b.scalar(Scalar::Select, &[is_larger, strip, most])
    }

    /// Combines a strip with a narrower one: what is carried is as wide as the strips before.
    fn with_narrow(&self, b: &mut Builder, combine: Scalar, carried: Value, strip: Value) -> Value {
        if b.type_of(carried) == b.type_of(strip) {
            return b.scalar(combine, &[carried, strip]);
        }
        let (carried, strip) = (b.reduce(combine, carried, 1), b.reduce(combine, strip, 1));
        b.scalar(combine, &[carried, strip])
    }
}
