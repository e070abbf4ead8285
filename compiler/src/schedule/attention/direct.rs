//! Scores of few rows, such as a step of decoding, with keys that lie as they are: lanes go along what is summed.
//!
//! To pack keys would cost as much as some rows of scores. Here each key is read once for a few rows, from end to end, and
//! the lanes of each product are summed; what follows the sums is done a panel at a time, as elsewhere.

use super::Attention;
use super::emit::Item;
use super::keys::KeyTile;
use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Span, Type, Value, lane};
use crate::schedule::Loops;
use crate::schedule::emit::Tile;
use crate::schedule::order::{self, Stride};
use crate::schedule::tiles::{each_tile, segments};

impl Attention<'_> {
    /// Whether the keys are not packed, and each lies along the one axis that is summed.
    pub fn is_direct(&self) -> bool {
        let (loops, plan) = (&self.score.loops, &self.score.plan);
        let summed = loops.axes.len() - 1;
        let lies_along = |loops: &Loops| {
            let loads = loops.body.loads(&[plan.column_factor]);
            !loads.is_empty() && loads.iter().all(|load| order::stride(loops, load, summed) == Stride::One)
        };
        let is_single = plan.dtype == DType::F32 && summed == loops.n_parallel;
        !self.machine.is_block() && !plan.is_packed && is_single && lies_along(loops)
    }
}

impl Item<'_> {
    pub fn direct_scores(&self, b: &mut Builder, row: &Dim, n_rows: u64, tile: &KeyTile) {
        let width = Dim::constant(self.width as i64);
        let (panels, part) = (&tile.panels, &self.of.score);
        let keys = &part.loops.axes[part.plan.column_axis];
        let first = &panels.before.0 * &width;
        let end_of_panels = match &panels.narrow {
            Some((panel, narrow)) => &(panel * &width) + *narrow as i64,
            None => &panels.after.1 * &width,
        };
        let end = end_of_panels.least(keys);
        let store = |b: &mut Builder, key: &Dim, sum: Value| {
            b.store(self.scores, [&lane(0), &(key - &tile.base)], [], sum);
            Vec::new()
        };
        b.for_loop(Span::new("j", first, end.clone(), 1), &[], |b, key, _| {
            let sum = self.sums_of_key(b, row, n_rows, key);
            store(b, key, sum)
        });
        // The last panel may reach over the end.
        b.for_loop(Span::new("z", end, end_of_panels, 1), &[], |b, key, _| {
            let nothing = b.constant(Type::new(part.plan.dtype, [n_rows, 1]), 0.0);
            store(b, key, nothing)
        });
        self.each_panel(b, "p", panels, &[], &mut |b, panel, width, is_edge, _| {
            let column = &(&(panel * self.width as i64) - &tile.base) + &lane(1);
            let sum = b.load(self.scores, [n_rows, width], [&lane(0), &column], [], 0.0);
            let score = self.score_of(b, sum, &(row + &lane(0)), panel, is_edge);
            b.store(self.scores, [&lane(0), &column], [], score);
            Vec::new()
        });
    }

    /// The products of a key with some rows, summed: rows × 1.
    fn sums_of_key(&self, b: &mut Builder, row: &Dim, n_rows: u64, key: &Dim) -> Value {
        let (loops, plan) = (&self.of.score.loops, &self.of.score.plan);
        let (stage, summed) = (&loops.stages[0], loops.axes.len() - 1);
        let mut at = self.of.score_at(&self.at);
        at[plan.row_axis.unwrap_or(0)] = &(&self.row_start + row) + &lane(0);
        at[plan.column_axis] = key.clone();
        let mut parts = Vec::new();
        for (nth, segment) in segments(&loops.axes[summed], self.of.machine).iter().enumerate() {
            let zero = b.constant(Type::new(plan.dtype, [n_rows, segment.width]), stage.initial.value());
            let name = format!("d{nth}_");
            let sums = each_tile(b, &name, std::slice::from_ref(segment), &[zero], &mut |b, base, segment, carried| {
                at[summed] = base + &lane(1);
                let inside = Builder::below(&at[summed], &loops.axes[summed]);
                let guards = if segment.guarded { vec![inside] } else { Vec::new() };
                let shape = vec![n_rows, segment.width];
                let tile = Tile::new(loops, self.score_operands, at.clone(), shape, guards);
                vec![tile.combine(b, stage, carried[0])]
            });
            parts.push(b.reduce(stage.combine, sums[0], 1));
        }
        let nothing = b.constant(Type::new(plan.dtype, [n_rows, 1]), stage.initial.value());
        parts.into_iter().reduce(|sum, part| b.scalar(stage.combine, &[sum, part])).unwrap_or(nothing)
    }
}
