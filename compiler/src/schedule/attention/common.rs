//! What all kernels of attention have in common: the grid, the keys that a mask leaves, the end of a mixture.

use super::Attention;
use super::bounds::Keys;
use crate::graph::{Dim, Scalar};
use crate::kernel::{Builder, Memory, Value};
use crate::schedule::body::TermId;

impl Attention<'_> {
    /// The operands of the scores, and those of the mixing: the weights come first, which are not read through the nest.
    pub fn shared_out<'o>(&self, operands: &'o [Memory], scores: Memory) -> (&'o [Memory], Vec<Memory>) {
        let (of_scores, others) = operands.split_at(self.score.loops.operands.len());
        (of_scores, [scores].iter().chain(others).copied().collect())
    }

    /// Positions along the axes of the scores, given those along the axes of the mixing.
    pub fn score_at(&self, at: &[Dim]) -> Vec<Dim> {
        let mut of_score = vec![Dim::constant(0); self.score.loops.axes.len()];
        for (axis, of_mix) in self.axes.iter().enumerate() {
            if let Some(of_mix) = of_mix {
                of_score[axis] = at[*of_mix].clone();
            }
        }
        of_score
    }

    /// What the scores of a panel are, be it at the edge of what a mask leaves or not.
    pub fn stored(&self, is_edge: bool) -> TermId {
        match !is_edge && self.bounds.is_complete {
            true => self.bounds.inner,
            false => self.score.loops.stored,
        }
    }

    /// The grid of everything but rows; the position along all axes.
    pub fn outer_grid(&self, b: &mut Builder) -> Vec<Dim> {
        let mut at = vec![Dim::constant(0); self.mix.loops.axes.len()];
        for axis in self.outer_axes().into_iter().flatten() {
            at[axis] = b.grid(&format!("g{axis}"), self.mix.loops.axes[axis].clone());
        }
        at
    }

    /// The keys that rows `first..=last` keep, and those that all of them keep.
    pub fn keys_of(&self, at: &[Dim], first: &Dim, last: &Dim) -> [Keys; 2] {
        let row_axis = self.score.plan.row_axis.unwrap_or(0);
        self.bounds.keys(&self.score.loops, &self.score_at(at), row_axis, (first, last))
    }

    /// Tiles of so many keys that rows `first..=last` need.
    pub fn tiles_of(&self, b: &mut Builder, at: &[Dim], (first, last): (&Dim, &Dim), size: u64) -> (Dim, Dim) {
        let (keys, size) = (&self.mix.loops.axes[self.mix.loops.n_parallel], Dim::constant(size as i64));
        let all = keys.ceil_div(&size);
        if self.bounds.is_empty() {
            return (Dim::constant(0), all);
        }
        let [loose, _] = self.keys_of(at, first, last);
        let high = loose.high.iter().fold(keys.clone(), |high, dim| high.least(dim));
        let low = loose.low.iter().fold(Dim::constant(0), |low, dim| low.greatest(dim));
        let mut symbol = |name: &str, value: Dim, high: &Dim| {
            let value = b.index([], value);
            b.symbol(name, value, 0, high.clone())
        };
        let end = symbol("tiles", high.ceil_div(&size), &all);
        (symbol("tile0", low.floor_div(&size), &end), end)
    }

    /// A mixture of values, divided by the sums of their weights.
    pub fn divided(&self, b: &mut Builder, mixture: Value, sum: Value) -> Value {
        let (ty, narrow) = (b.type_of(mixture).clone(), b.type_of(sum).clone());
        let [one, zero] = [1.0, 0.0].map(|number| b.constant(narrow.clone(), number));
        let mut divisor = sum;
        if self.is_guarded {
            let is_masked = b.scalar(Scalar::Eq, &[sum, zero]);
            divisor = b.scalar(Scalar::Select, &[is_masked, one, sum]);
        }
        let inverse = b.scalar(Scalar::Div, &[one, divisor]);
        let inverse = b.broadcast(inverse, ty.shape);
        b.scalar(Scalar::Mul, &[mixture, inverse])
    }
}
