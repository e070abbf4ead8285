//! Attention on a block of threads, with products whose factors pass through shared memory.
//!
//! An item of the grid has a tile of rows. Their mixture stays in registers, several sums of each thread, while tiles of keys
//! go by. Of each the scores are summed in registers too and stored in shared memory; there the threads first take columns,
//! to compute what the scores are, then rows, each its own: the largest score, the exponentials, their sum. These are the
//! weights by which the values are added to the mixture, scaled before by what the largest score of its row changed.
//!
//! Invariant: keys are visited in ascending order; those beyond the end, or that are masked, have the weight zero. Rows
//! beyond the end are computed of anything and not stored.

use super::Attention;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Kernel, Memory, Span, Type, Value, lane};
use crate::schedule::contraction::stretches::{self, FINISHED, Left, STRETCH, Stretches, divides, words_of};

/// Parts of a mixture, each as wide as a tile, for which threads have registers; of many rows they have them for one.
const PARTS: u64 = 4;
const MANY_ROWS: u64 = 64;
/// So that threads that read neighbouring rows at the same time find them in different banks.
const PAD: u64 = 1;

/// Rows of a tile, if this is how attention is computed.
pub fn rows_of_tile(of: &Attention) -> Option<u64> {
    let (width, parts) = (of.score.plan.tile.vectors * of.machine.lanes, parts(of));
    let fits = of.machine.is_block() && of.score.plan.dtype == DType::F32 && of.mix.plan.tile == of.score.plan.tile;
    let bytes = |rows: u64| {
        let values = if shares_memory(of) { 0 } else { stretches::bytes(0, width) };
        let weights = if of.mix_pairs.is_some() { 2 * rows * (width + 2 * PAD) } else { 0 };
        stretches::bytes(rows, width) + 4 * rows * (width + PAD) + weights + values + 8 * rows
    };
    let rows = &of.mix.loops.axes[of.mix.plan.row_axis?];
    let has_registers = |rows: u64| parts == 1 || rows < MANY_ROWS;
    let has_room = |rows: u64| has_registers(rows) && bytes(rows) <= of.machine.shared_bytes;
    stretches::rows_of_tile(rows, has_room).filter(|_| fits)
}

/// All parts of the mixture of a row.
fn all_parts(of: &Attention) -> u64 {
    let columns = of.mix.loops.axes[of.mix.plan.column_axis].as_constant().unwrap_or(0).max(1);
    (columns as u64).div_ceil(of.score.plan.tile.vectors * of.machine.lanes)
}

/// Those that an item has. The scores are computed anew for others.
fn parts(of: &Attention) -> u64 {
    let all = all_parts(of);
    (1..=PARTS).rev().find(|parts| all.is_multiple_of(*parts)).unwrap_or(1)
}

/// Stretches of keys and of values may lie in the same memory.
fn shares_memory(of: &Attention) -> bool {
    words_of(&of.score.loops).is_some() == words_of(&of.mixed().loops).is_some()
}

/// The kernel, with tiles of this many rows.
pub fn kernel(of: &Attention, mut b: Builder, operands: &[Memory], result: Memory, n_rows: u64) -> Kernel {
    let (score, mix) = (&of.score, of.mixed());
    let mut at = of.outer_grid(&mut b);
    let row_axis = of.mix.plan.row_axis.unwrap_or(0);
    let blocks = of.mix.loops.axes[row_axis].ceil_div(&Dim::constant(n_rows as i64));
    let groups = Dim::constant((all_parts(of) / parts(of)) as i64);
    let first_part = if groups.is(1) { Dim::constant(0) } else { &b.grid("n", groups) * parts(of) as i64 };
    let row_start = &b.grid("m", blocks) * n_rows as i64;
    at[row_axis] = row_start.clone();
    let width = score.plan.tile.vectors * of.machine.lanes;
    let left = stretches::left(&mut b, &score.loops, n_rows);
    let right = stretches::right(&mut b, "right", &score.loops, width);
    let right_values = match shares_memory(of) {
        true => right,
        false => stretches::right(&mut b, "values", &mix.loops, width),
    };
    let scores = b.local("scores", DType::F32, [n_rows, width + PAD]);
    let narrow = words_of(&mix.loops);
    let weights = narrow.map(|dtype| (b.local("weights", dtype, [n_rows, width + 2 * PAD]), dtype));
    let factors = b.local("factors", DType::F32, [n_rows]);
    let totals = b.local("totals", DType::F32, [n_rows]);
    let (score_operands, mix_operands) = of.shared_out(operands, scores);
    of.bounds.declare(&mut b, &score.loops, score_operands);
    let item = Item {
        of,
        score_operands,
        mix_operands,
        result,
        at,
        row_start,
        first_part,
        n_rows,
        width,
        left,
        right,
        right_values,
        scores,
        weights,
        factors,
        totals,
    };
    item.emit(&mut b);
    b.finish()
}

struct Item<'a> {
    of: &'a Attention<'a>,
    score_operands: &'a [Memory],
    mix_operands: Vec<Memory>,
    result: Memory,
    /// Positions along the axes of the mixing; of rows and columns the first.
    at: Vec<Dim>,
    row_start: Dim,
    first_part: Dim,
    n_rows: u64,
    /// Keys of a tile, and columns of a part of the mixture.
    width: u64,
    left: Memory,
    right: Memory,
    right_values: Memory,
    /// Rows × keys; later a part of the mixture.
    scores: Memory,
    /// The exponentials of the scores as narrow numbers, if values are mixed in words; else they lie where scores were.
    weights: Option<(Memory, DType)>,
    /// By what the mixture of each row is scaled, and the sum of its weights.
    factors: Memory,
    totals: Memory,
}

impl Item<'_> {
    fn emit(&self, b: &mut Builder) {
        let rows = &self.of.mix.loops.axes[self.of.mix.plan.row_axis.unwrap_or(0)];
        let last = &(&self.row_start + self.n_rows as i64).least(rows) - 1;
        let (first, end) = self.of.tiles_of(b, &self.at, (&self.row_start, &last), self.width);
        let of_rows = |number: f64| (Type::new(DType::F32, [self.n_rows]), number);
        let nothing = (Type::new(DType::F32, [self.n_rows, self.width]), 0.0);
        let parts = (0..parts(self.of)).map(|_| nothing.clone());
        let inits: Vec<Value> = [of_rows(self.of.lowest()), of_rows(0.0)]
            .into_iter()
            .chain(parts)
            .map(|(ty, number)| b.constant(ty, number))
            .collect();
        let carried = b.for_loop(Span::new("kt", first, end, 1), &inits, |b, number, carried| {
            let base = number * self.width as i64;
            self.scores(b, &base);
            let [largest, sum] = self.softmax(b, carried[0], carried[1]);
            let mixtures = carried[2..].iter().enumerate();
            let mixtures: Vec<Value> = mixtures.map(|(part, &before)| self.mix(b, part, &base, before)).collect();
            [largest, sum].into_iter().chain(mixtures).collect()
        });
        b.store(self.totals, [lane(0)], [], carried[1]);
        carried[2..].iter().enumerate().for_each(|(part, &mixture)| self.store(b, part, mixture));
    }

    /// Runs `body` for a few rows at a time: it gets the first.
    fn each_row(&self, b: &mut Builder, body: impl FnOnce(&mut Builder, &Dim)) {
        b.for_loop(Span::new("r", 0, (self.n_rows / FINISHED) as i64, 1), &[], |b, r, _| {
            body(b, &(r * FINISHED as i64));
            Vec::new()
        });
    }

    /// The scores of the keys from `base` on, in shared memory.
    fn scores(&self, b: &mut Builder, base: &Dim) {
        let part = &self.of.score;
        let product = Stretches {
            loops: &part.loops,
            plan: &part.plan,
            machine: self.of.machine,
            operands: self.score_operands,
            at: self.of.score_at(&self.at),
            n_rows: self.n_rows,
            width: self.width,
            row_start: self.row_start.clone(),
            column_start: base.clone(),
            left: Left::Passes(self.left),
            right: self.right,
            step: STRETCH,
        };
        let zero = b.constant(Type::new(DType::F32, [self.n_rows, self.width]), part.loops.stages[0].initial.value());
        let sum = product.sum(b, zero);
        b.store(self.scores, [lane(0), lane(1)], [], sum);
        self.each_row(b, |b, row| {
            let place = [&(row + &lane(0)), &lane(1)];
            let sum = b.load(self.scores, [FINISHED, self.width], place, [], 0.0);
            let mut tile = product.tile(row, FINISHED);
            tile.reduced(b, 0, sum);
            let value = tile.full(b, part.loops.stored);
            let value = self.without_padding(b, &tile.at[part.plan.column_axis], value);
            b.store(self.scores, place, [], value);
        });
    }

    /// Keys beyond the end take no part.
    fn without_padding(&self, b: &mut Builder, key: &Dim, value: Value) -> Value {
        let keys = &self.of.score.loops.axes[self.of.score.plan.column_axis];
        if divides(self.width, keys) {
            return value;
        }
        let ty = b.type_of(value).clone();
        let (at, end) = (b.index([1, self.width], key.clone()), b.index([1, self.width], keys.clone()));
        let inside = b.scalar(Scalar::Lt, &[at, end]);
        let inside = b.broadcast(inside, ty.shape.clone());
        let masked = b.constant(ty, f64::NEG_INFINITY);
        b.scalar(Scalar::Select, &[inside, value, masked])
    }

    /// Turns scores into weights, each thread those of its own row: the largest score and the sum of the weights so far.
    fn softmax(&self, b: &mut Builder, before: Value, sum: Value) -> [Value; 2] {
        let score = |b: &mut Builder, key: &Dim| b.load(self.scores, [self.n_rows], [&lane(0), key], [], 0.0);
        let keys = |name| Span::new(name, 0, self.width as i64, 1);
        let largest = b.for_loop(keys("u"), &[before], |b, key, carried| {
            let score = score(b, key);
            vec![b.scalar(Scalar::Max, &[carried[0], score])]
        })[0];
        let change = b.scalar(Scalar::Sub, &[before, largest]);
        let factor = b.scalar(Scalar::Exp, &[change]);
        b.store(self.factors, [lane(0)], [], factor);
        let scaled = b.scalar(Scalar::Mul, &[sum, factor]);
        let sum = b.for_loop(keys("e"), &[scaled], |b, key, carried| {
            let score = score(b, key);
            let shifted = b.scalar(Scalar::Sub, &[score, largest]);
            let e = b.scalar(Scalar::Exp, &[shifted]);
            let (memory, weight) = match self.weights {
                Some((memory, dtype)) => (memory, b.cast(e, dtype)),
                None => (self.scores, e),
            };
            b.store(memory, [&lane(0), key], [], weight);
            vec![b.scalar(Scalar::Add, &[carried[0], e])]
        })[0];
        [largest, sum]
    }

    /// A part of the mixture with the values of the keys from `base` on.
    fn mix(&self, b: &mut Builder, part: usize, base: &Dim, before: Value) -> Value {
        let shape = [self.n_rows, self.width];
        let factor = b.load(self.factors, shape, [lane(0)], [], 0.0);
        let scaled = b.scalar(Scalar::Mul, &[before, factor]);
        let product = self.product(part);
        let per_position = if words_of(product.loops).is_some() { 2 } else { 1 };
        let start = base.exact_div(&Dim::constant(per_position)).unwrap_or_else(|| base.clone());
        let n_stretches = Dim::constant((product.step / STRETCH) as i64);
        product.stretches(b, &product.at, &start, n_stretches, scaled)
    }

    /// The product of weights and a part of the values.
    fn product(&self, part: usize) -> Stretches<'_> {
        let mix = self.of.mixed();
        let per_position = if words_of(&mix.loops).is_some() { 2 } else { 1 };
        Stretches {
            loops: &mix.loops,
            plan: &mix.plan,
            machine: self.of.machine,
            operands: &self.mix_operands,
            at: self.at.clone(),
            n_rows: self.n_rows,
            width: self.width,
            row_start: self.row_start.clone(),
            column_start: &(&self.first_part + part as i64) * self.width as i64,
            left: Left::Lies(self.weights.map_or(self.scores, |(memory, _)| memory)),
            right: self.right_values,
            step: self.width / per_position,
        }
    }

    /// Divides a part of the mixture by the sums of the weights, and stores what the result is.
    fn store(&self, b: &mut Builder, part: usize, mixture: Value) {
        b.store(self.scores, [lane(0), lane(1)], [], mixture);
        let product = self.product(part);
        self.each_row(b, |b, row| {
            let place = [&(row + &lane(0)), &lane(1)];
            let mixture = b.load(self.scores, [FINISHED, self.width], place, [], 0.0);
            let total = b.load(self.totals, [FINISHED, 1], [place[0]], [], 0.0);
            let mixture = self.of.divided(b, mixture, total);
            let mut tile = product.tile(row, FINISHED);
            tile.reduced(b, 0, mixture);
            let value = tile.full(b, product.loops.stored);
            tile.store(b, self.result, value);
        });
    }
}
