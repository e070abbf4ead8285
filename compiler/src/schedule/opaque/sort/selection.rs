//! The first few of a row in order, without an order of the others: the best so far, and each element that goes before the
//! last of them.
//!
//! Invariant: the best are in order, those with equal keys as they stand in the row; an element that comes later enters only
//! with a key below the last.

use super::{Row, keys};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Memory, Span, Type, Value, lane};

/// More than these are found sooner by sorting: each of them is moved by what enters.
pub const MOST: i64 = 64;
/// Elements that are compared with the last of the best at once, and of the best that move at once.
const LANES: u64 = 16;

/// Puts the places of the first `count` in order; `n_first` is as much, and shown to be no more than the row has.
pub fn select(row: &Row, b: &mut Builder, places: Memory, count: i64, n_first: &Dim) {
    let n_best = (count as u64).next_multiple_of(LANES);
    let best = Best {
        keys: b.local("best", keys::key_type(row.dtype), [1 + n_best]),
        places: b.local("best_places", DType::I64, [1 + n_best]),
        n_chunks: (n_best / LANES) as i64,
        count,
    };
    let block = b.local("block", keys::key_type(row.dtype), [LANES]);
    best.begin(b);
    b.for_loop(Span::new("f", 0, n_first.clone(), 1), &[], |b, t, _| {
        let key = row.ordered_keys(b, t, 1);
        best.enter(b, key, t, Some(t));
        Vec::new()
    });
    let lanes = Dim::constant(LANES as i64);
    b.for_loop(Span::new("u", n_first.clone(), &row.size - &lanes + 1, LANES as i64), &[], |b, u, _| {
        let keys = row.ordered_keys(b, u, LANES);
        let least = b.reduce(Scalar::Min, keys, 0);
        best.if_below(b, least, |b| {
            b.store(block, [lane(0)], [], keys);
            b.for_loop(Span::new("l", 0, lanes.clone(), 1), &[], |b, l, _| {
                let key = b.load(block, [1], [l.clone()], [], 0.0);
                best.if_below(b, key, |b| best.enter(b, key, &(u + l), None));
                Vec::new()
            });
        });
        Vec::new()
    });
    let n_others = (&row.size - n_first).greatest(&Dim::constant(0));
    let rest = n_first + &(n_others.floor_div(&lanes) * lanes);
    b.for_loop(Span::new("e", rest, row.size.clone(), 1), &[], |b, t, _| {
        let key = row.ordered_keys(b, t, 1);
        best.if_below(b, key, |b| best.enter(b, key, t, None));
        Vec::new()
    });
    b.for_loop(Span::new("p", 0, n_first.clone(), 1), &[], |b, t, _| {
        let place = b.load(best.places, [1], [t + 1], [], 0.0);
        b.store(places, row.at(t), [], place);
        Vec::new()
    });
}

/// The best so far, each one further than its rank: before the first stands a key that nothing goes before.
struct Best {
    keys: Memory,
    places: Memory,
    n_chunks: i64,
    count: i64,
}

impl Best {
    fn begin(&self, b: &mut Builder) {
        for memory in [self.keys, self.places] {
            let zeros = b.constant(Type::new(b.kernel().memory_dtype(memory), [LANES]), 0.0);
            for chunk in 0..self.n_chunks {
                b.store(memory, [&lane(0) + (chunk * LANES as i64 + 1)], [], zeros);
            }
            let dtype = b.kernel().memory_dtype(memory);
            let lowest = if dtype.is_signed() { i64::MIN as f64 } else { 0.0 };
            let lowest = b.constant(Type::new(dtype, [1]), lowest);
            b.store(memory, [Dim::constant(0)], [], lowest);
        }
    }

    fn if_below(&self, b: &mut Builder, key: Value, then: impl FnOnce(&mut Builder)) {
        let last = b.load(self.keys, [1], [Dim::constant(self.count)], [], 0.0);
        let is_below = b.scalar(Scalar::Lt, &[key, last]);
        let is_below = b.reshape(is_below, []);
        let enters = |b: &mut Builder| {
            then(b);
            Vec::new()
        };
        b.if_else(Condition::Value(is_below), enters, |_| Vec::new());
    }

    /// Those that the key goes before move by one; so do all from the rank `n_seen` on, where there are none yet.
    fn enter(&self, b: &mut Builder, key: Value, place: &Dim, n_seen: Option<&Dim>) {
        let key = b.broadcast(key, [LANES]);
        let place = b.index([LANES], place.clone());
        for chunk in (0..self.n_chunks).rev() {
            let rank = &lane(0) + chunk * LANES as i64;
            let ranks = [rank.clone(), rank + 1];
            let [moves, enters] = [(0, Scalar::Gt), (1, Scalar::Ge)].map(|(at, beyond)| {
                let other = b.load(self.keys, [LANES], [ranks[at].clone()], [], 0.0);
                let is_below = b.scalar(Scalar::Lt, &[key, other]);
                let Some(n_seen) = n_seen else { return is_below };
                let [rank, n_seen] = [&ranks[0], n_seen].map(|dim| b.index([LANES], dim.clone()));
                let is_free = b.scalar(beyond, &[rank, n_seen]);
                b.scalar(Scalar::Or, &[is_below, is_free])
            });
            for (memory, new) in [(self.keys, key), (self.places, place)] {
                let [before, here] = [0, 1].map(|at| b.load(memory, [LANES], [ranks[at].clone()], [], 0.0));
                let here = b.scalar(Scalar::Select, &[enters, new, here]);
                let moved = b.scalar(Scalar::Select, &[moves, before, here]);
                b.store(memory, [ranks[1].clone()], [], moved);
            }
        }
    }
}
