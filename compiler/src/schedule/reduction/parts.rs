//! Long sums in parts: a part is summed for itself and added to the total then, so that each number meets few roundings.
//!
//! Invariant: the numbers of a part follow each other in memory order, and parts are added in order; what no rounding
//! touches, such as a maximum, is gathered in one go.

use super::Rows;
use crate::graph::{Dim, Scalar};
use crate::kernel::{Builder, Span, Value};

/// Steps of a part, and parts of a larger part.
const PART: i64 = 128;
/// So many steps and fewer are gathered in one go.
const FEW: i64 = 2 * PART;
/// Where what is inside a loop takes fewer steps, its sum is not one of its own.
const WORTH_A_PART: i64 = 32;

/// What happens at one position: it gets what has been gathered, and gives it with its own.
pub type Step<'s, R> = dyn FnMut(&mut R, &mut Builder, &Dim, &[Value]) -> Vec<Value> + 's;

impl Rows<'_> {
    /// Gathers over these axes, the last of which turns fastest, and over what `body` does for each of their positions.
    pub(super) fn gather(
        &mut self,
        b: &mut Builder,
        idx: usize,
        axes: &[usize],
        sums: &[Value],
        body: &mut dyn FnMut(&mut Self, &mut Builder, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let Some((&axis, rest)) = axes.split_first() else { return body(self, b, sums) };
        let span = self.span(axis);
        let is_long = self.adds(idx) && self.n_steps(rest).is_none_or(|steps| steps >= WORTH_A_PART);
        let inner = &mut |this: &mut Self, b: &mut Builder, position: &Dim, carried: &[Value]| {
            this.at[axis] = position.clone();
            match is_long {
                true => this.part(b, carried, &mut |this, b, sums| this.gather(b, idx, rest, sums, body)),
                false => this.gather(b, idx, rest, carried, body),
            }
        };
        self.in_parts(b, idx, span, sums, inner)
    }

    /// A loop whose steps are gathered, in parts if they are many.
    pub(super) fn in_parts(
        &mut self,
        b: &mut Builder,
        idx: usize,
        span: Span,
        sums: &[Value],
        step: &mut Step<Self>,
    ) -> Vec<Value> {
        let count = span.end.clone();
        if !self.adds(idx) || count.as_constant().is_some_and(|count| count <= FEW) {
            return b.for_loop(span, sums, |b, position, carried| step(self, b, position, carried));
        }
        let sizes: &[i64] = match count.as_constant() {
            Some(count) if count <= PART * FEW => &[PART],
            _ => &[PART * PART, PART],
        };
        self.nested(b, idx, span, sizes, sums, step)
    }

    /// A loop over parts of the first of these sizes, each of which falls into parts of the next one.
    fn nested(
        &mut self,
        b: &mut Builder,
        idx: usize,
        span: Span,
        sizes: &[i64],
        sums: &[Value],
        step: &mut Step<Self>,
    ) -> Vec<Value> {
        let Some((&size, finer)) = sizes.split_first() else {
            return b.for_loop(span, sums, |b, position, carried| step(self, b, position, carried));
        };
        let symbol = format!("{}_{}", span.symbol.name(), sizes.len());
        b.for_loop(Span::new(&symbol, span.start, span.end.clone(), size), sums, |b, first, carried| {
            let last = (first + size).least(&span.end);
            self.part(b, carried, &mut |this, b, sums| {
                let span = Span::new(span.symbol.name(), first.clone(), last.clone(), 1);
                this.nested(b, idx, span, finer, sums, step)
            })
        })
    }

    /// What `gather` makes of nothing, added to the sums.
    fn part(
        &mut self,
        b: &mut Builder,
        sums: &[Value],
        gather: &mut dyn FnMut(&mut Self, &mut Builder, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let nothing: Vec<Value> = sums.iter().map(|&sum| b.constant(b.type_of(sum).clone(), 0.0)).collect();
        let parts = gather(self, b, &nothing);
        sums.iter().zip(parts).map(|(&sum, part)| b.scalar(Scalar::Add, &[sum, part])).collect()
    }

    /// Whether a stage rounds what it gathers.
    fn adds(&self, idx: usize) -> bool {
        let stage = &self.loops.stages[idx];
        stage.combine == Scalar::Add && self.loops.body.dtype(stage.element).is_float()
    }

    /// Steps of the loops over these axes and along the lanes, if they are known.
    fn n_steps(&self, axes: &[usize]) -> Option<i64> {
        let n = axes.iter().try_fold(1i64, |n, &axis| n.checked_mul(self.loops.axes[axis].as_constant()?))?;
        match self.lanes {
            Some(lanes) => n.checked_mul(self.loops.axes[lanes].as_constant()? / self.machine.lanes as i64 + 1),
            None => Some(n),
        }
    }
}
