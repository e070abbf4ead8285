//! Contractions of bytes with scales in registers of matrices: the products of a group, then what they add to the sums.
//!
//! Invariant: as in `scaled`, the products of a group are summed exactly and scaled once, group after group.

use super::block::Block;
use super::depth::Stretch;
use super::matrices::{COLUMNS, FINISHED, ROWS, Steps, TileRows, moves};
use super::scaled::Scaled;
use super::{Plan, find};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::matrix::SIDE;
use crate::kernel::{Builder, Memory, Span, Type, Value, lane};
use crate::schedule::Loops;
use crate::schedule::body::Term;
use crate::schedule::emit::Tile;
use crate::schedule::tiles::{Machine, RegisterTile};

/// A product of fewer words takes as long as one of so many.
const FEWEST_WORDS: i64 = 6;
/// Fewer rows wait for what registers of matrices leave in memory.
const FEWEST_ROWS: i64 = 4;

/// The plan of a nest of scaled integers, where both factors lie as registers want them.
pub fn plan(loops: &Loops, scaled: &Scaled, machine: &Machine) -> Option<Plan> {
    if !machine.matrices || !scaled.is_signed {
        return None;
    }
    // The first group has none before it.
    loops.axes.last()?.as_constant().filter(|&n_groups| n_groups > 0)?;
    let words = (FEWEST_WORDS..=SIDE as i64).rev().find(|words| scaled.n_steps % words == 0)?;
    let plan = find(loops, &loops.stages[0], machine)?;
    let fits = plan.is_packed && plan.tile.vectors * machine.lanes <= COLUMNS;
    let tile = RegisterTile { rows: ROWS as u64, vectors: plan.tile.vectors };
    let plan =
        Plan { matrices: Some(Steps { words: words as u64, rest: 0 }), scaled: Some(scaled.clone()), tile, ..plan };
    let has_rows = plan.rows(loops).as_constant().is_none_or(|rows| rows >= FEWEST_ROWS);
    (fits && has_rows && lies_in_words(loops, &plan)).then_some(plan)
}

/// Whether words of the factor with the rows are loaded from rows that are the same step apart.
fn lies_in_words(loops: &Loops, plan: &Plan) -> bool {
    let Term::Load(load) = loops.body.term(plan.row_factor) else { return false };
    let along_words = loops.axes.len();
    load.guards.is_empty() && plan.row_axis.into_iter().chain([along_words]).all(|axis| moves(loops, load, axis))
}

impl Block<'_> {
    /// A row without registers of matrices.
    pub(super) fn row_of_bytes(
        &self,
        b: &mut Builder,
        row: &Dim,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        scaled: &Scaled,
    ) {
        let zero = b.constant(Type::new(self.plan.dtype, [1, self.width]), 0.0);
        let sum = self.multiply_scaled(b, scaled, (row, 1), (column_start, guarded), k, zero);
        self.finish(b, row, 1, column_start, guarded, sum);
    }

    /// One tile of rows: its sums, and what follows them for the rows from the first new one on.
    pub(super) fn tile_of_bytes(
        &self,
        b: &mut Builder,
        rows: &TileRows,
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        (steps, scaled): (Steps, &Scaled),
    ) {
        let (Some(sums), Some(products)) = (self.sums, self.products) else {
            unreachable!("a block of bytes has memory for sums and products")
        };
        let zero = b.constant(Type::new(self.plan.dtype, [rows.count, self.width]), 0.0);
        b.store(sums, [lane(0), lane(1)], [], zero);
        // While the products of a group are on their way, those of the one before are added.
        k.each_line(b, &mut |b, at, (axis, first, n_groups)| {
            let at_group = |group: &Dim| {
                let mut at = at.to_vec();
                at[axis] = first + group;
                at
            };
            let multiply = |b: &mut Builder, group: &Dim| {
                self.products_of_group(b, &at_group(group), (rows, column_start), steps, scaled)
            };
            let add = |b: &mut Builder, group: &Dim| {
                self.add_group(b, &at_group(group), (rows, column_start, guarded), scaled, [sums, products]);
            };
            let exact = multiply(b, &Dim::constant(0));
            b.store(products, [lane(0), lane(1)], [], exact);
            b.for_loop(Span::new("k", 1, n_groups.clone(), 1), &[], |b, group, _| {
                let exact = multiply(b, group);
                add(b, &(group - 1));
                b.store(products, [lane(0), lane(1)], [], exact);
                Vec::new()
            });
            add(b, &(n_groups - 1));
        });
        self.finish_rows(b, sums, rows, (column_start, guarded));
    }

    fn products_of_group(
        &self,
        b: &mut Builder,
        at: &[Dim],
        (rows, column_start): (&TileRows, &Dim),
        steps: Steps,
        scaled: &Scaled,
    ) -> Value {
        let words = steps.words;
        let zero = b.constant(Type::new(DType::I32, [rows.count, self.width]), 0.0);
        let span = Span::new("w", 0, scaled.n_steps / words as i64, 1);
        b.for_loop(span, &[zero], |b, step, carried| {
            let first = step * words as i64;
            let factor = |b: &mut Builder, factor, across: &dyn Fn(&mut Vec<Dim>), word: Dim, shape: [u64; 2]| {
                let mut at = at.to_vec();
                across(&mut at);
                at.push(&first + &word);
                Tile::new(self.loops, self.operands, at, shape.to_vec(), Vec::new()).full(b, factor)
            };
            let row = &|at: &mut Vec<Dim>| self.set_row(at, &(rows.first + &lane(0)));
            let column = &|at: &mut Vec<Dim>| at[self.plan.column_axis] = column_start + &lane(1);
            let left = factor(b, self.plan.row_factor, row, lane(1), [rows.count, words]);
            let right = factor(b, self.plan.column_factor, column, lane(0), [words, self.width]);
            vec![b.dot(DType::I8, carried[0], left, right)]
        })[0]
    }

    /// Adds the scaled products of a group to the sums, a few rows at a time.
    fn add_group(
        &self,
        b: &mut Builder,
        at: &[Dim],
        (rows, column_start, guarded): (&TileRows, &Dim, bool),
        scaled: &Scaled,
        [sums, products]: [Memory; 2],
    ) {
        let mut at = at.to_vec();
        at[self.plan.column_axis] = column_start + &lane(1);
        let guards = self.column_guard(guarded, &at);
        let [row_scale, column_scale] = scaled.scales;
        let mut of_columns = Tile::new(self.loops, self.operands, at.clone(), vec![1, self.width], guards);
        let by_column = of_columns.value(b, column_scale);
        let mut add = |b: &mut Builder, first: &Dim, n_rows: u64| {
            let (index, shape) = ([first + &lane(0), lane(1)], [n_rows, self.width]);
            self.set_row(&mut at, &(&(rows.first + first) + &lane(0)));
            let mut of_rows = Tile::new(self.loops, self.operands, at.clone(), vec![n_rows, 1], Vec::new());
            let by_row = of_rows.value(b, row_scale);
            let [by_row, by_column] = [by_row, by_column].map(|scale| b.broadcast(scale, shape));
            let exact = b.load(products, shape, index.clone(), [], 0.0);
            let exact = b.cast(exact, DType::F32);
            let before = b.load(sums, shape, index.clone(), [], 0.0);
            let of_column = b.scalar(Scalar::Mul, &[exact, by_column]);
            let sum = b.scalar(Scalar::Fma, &[of_column, by_row, before]);
            b.store(sums, index, [], sum);
        };
        let (whole, rest) = (rows.count / FINISHED, rows.count % FINISHED);
        b.for_loop(Span::new("f", 0, whole as i64, 1), &[], |b, some, _| {
            add(b, &(some * FINISHED as i64), FINISHED);
            Vec::new()
        });
        if rest > 0 {
            add(b, &Dim::constant((rows.count - rest) as i64), rest);
        }
    }
}
