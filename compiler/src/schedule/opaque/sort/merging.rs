//! Sorting by merging: runs of places in order, twice as long after each merge.
//!
//! Invariant: of two equal elements the one of the first run goes first. Nothing but comparisons, so that it runs anywhere.

use super::{Row, int};
use crate::graph::{DType, Scalar};
use crate::kernel::{Builder, Condition, Memory, Span, Value};

/// Each round makes sorted runs four times as long: enough for any row.
const MAX_ROUNDS: i64 = 31;

impl Row {
    /// Two merges a round, so that the places come back to where they were.
    pub fn sort_by_merging(&self, b: &mut Builder, places: Memory, spare: Memory) {
        b.for_loop(Span::new("t", 0, self.size.clone(), 1), &[], |b, t, _| {
            let place = b.index([1], t.clone());
            b.store(places, self.at(t), [], place);
            Vec::new()
        });
        let one = int(b, 1);
        b.for_loop(Span::new("r", 0, MAX_ROUNDS, 1), &[one], |b, _, carried| {
            let run = carried[0];
            let size = b.index([1], self.size.clone());
            let unfinished = b.scalar(Scalar::Lt, &[run, size]);
            let unfinished = b.reshape(unfinished, []);
            let (double, quadruple) = (b.scalar(Scalar::Add, &[run, run]), int(b, 4));
            b.if_else(
                Condition::Value(unfinished),
                |b| {
                    self.merge(b, "i", (places, spare), run);
                    self.merge(b, "j", (spare, places), double);
                    Vec::new()
                },
                |_| Vec::new(),
            );
            // What is longer than a row does not grow: some devices have integers of 32 bits.
            let longer = b.scalar(Scalar::Mul, &[run, quadruple]);
            let unfinished = b.reshape(unfinished, [1]);
            vec![b.scalar(Scalar::Select, &[unfinished, longer, run])]
        });
    }

    /// Merges neighbouring runs of this length, both in order.
    fn merge(&self, b: &mut Builder, symbol: &str, (from, to): (Memory, Memory), run: Value) {
        let (zero, one, size) = (int(b, 0), int(b, 1), b.index([1], self.size.clone()));
        let both = b.scalar(Scalar::Add, &[run, run]);
        // The start of the pair of runs, and the heads of the first and of the second.
        let inits = [zero, zero, run];
        b.for_loop(Span::new(symbol, 0, self.size.clone(), 1), &inits, |b, t, carried| {
            let here = b.index([1], t.clone());
            let stop = b.scalar(Scalar::Add, &[carried[0], both]);
            let next_pair = b.scalar(Scalar::Ge, &[here, stop]);
            let middle = b.scalar(Scalar::Add, &[here, run]);
            let start = b.scalar(Scalar::Select, &[next_pair, here, carried[0]]);
            let first = b.scalar(Scalar::Select, &[next_pair, here, carried[1]]);
            let second = b.scalar(Scalar::Select, &[next_pair, middle, carried[2]]);
            let first_ends = b.scalar(Scalar::Add, &[start, run]);
            let second_ends = b.scalar(Scalar::Add, &[start, both]);
            let second_ends = b.scalar(Scalar::Min, &[second_ends, size]);
            let first_is_empty = b.scalar(Scalar::Ge, &[first, first_ends]);
            let second_has_some = b.scalar(Scalar::Lt, &[second, second_ends]);
            let heads = [first, second].map(|head| b.load(from, [1], self.at(head), [], 0.0));
            let goes_before = self.goes_before(b, heads[1], heads[0]);
            let wins = b.scalar(Scalar::Or, &[first_is_empty, goes_before]);
            let takes_second = b.scalar(Scalar::And, &[second_has_some, wins]);
            let taken = b.scalar(Scalar::Select, &[takes_second, heads[1], heads[0]]);
            b.store(to, self.at(t), [], taken);
            let steps = [(first, one, zero), (second, zero, one)];
            let [first, second] = steps.map(|(head, if_first, if_second)| {
                let step = b.scalar(Scalar::Select, &[takes_second, if_second, if_first]);
                b.scalar(Scalar::Add, &[head, step])
            });
            vec![start, first, second]
        });
    }

    /// Whether the element at place `a` must stand before the one at `b`, though that came first.
    fn goes_before(&self, builder: &mut Builder, a: Value, b: Value) -> Value {
        let wide = match self.dtype {
            DType::F16 | DType::BF16 => DType::F32,
            DType::Bool => DType::I32,
            other => other,
        };
        let keys = [a, b].map(|place| {
            let key = builder.load(self.x, [1], self.at(place), [], 0.0);
            builder.cast(key, wide)
        });
        let [less, more] = if self.descending { [keys[1], keys[0]] } else { keys };
        let below = builder.scalar(Scalar::Lt, &[less, more]);
        if !wide.is_float() {
            return below;
        }
        let number = builder.scalar(Scalar::Eq, &[less, less]);
        let nan = builder.scalar(Scalar::Ne, &[more, more]);
        let below_nan = builder.scalar(Scalar::And, &[number, nan]);
        builder.scalar(Scalar::Or, &[below, below_nan])
    }
}
