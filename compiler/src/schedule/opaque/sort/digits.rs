//! Sorting by digits, the lowest first: each pass counts how often a digit occurs, and puts places where that says.
//!
//! Invariant: a pass keeps the order of keys with one digit. A pass that would move nothing may be left out, with the one
//! after or before it.

use super::keys::key_type;
use super::{Row, int};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Memory, Span, Type, Value, lane};

const BITS: u64 = 8;
const VALUES: i64 = 1 << BITS;
/// Counts that are cleared at once; their number is a multiple.
const CLEARED: u64 = 16;

/// Keys and places, as they go back and forth.
#[derive(Clone, Copy)]
pub struct Half {
    pub keys: Memory,
    pub places: Memory,
}

fn n_digits(dtype: DType) -> i64 {
    (key_type(dtype).size_of() as u64 * 8 / BITS) as i64
}

/// Sorts a row; the result is in the first half.
pub fn sort(row: &Row, b: &mut Builder, halves: [Half; 2]) {
    let n_digits = n_digits(row.dtype);
    let counts = b.local("counts", DType::I64, [(n_digits * VALUES) as u64]);
    let digits = Digits { row, counts };
    digits.count(b, halves[0], n_digits);
    for digit in (0..n_digits).step_by(2) {
        let moves = [digit, digit + 1].map(|digit| digits.varies(b, halves[0].keys, digit));
        let moves = b.scalar(Scalar::Or, &moves);
        let moves = b.reshape(moves, []);
        b.if_else(
            Condition::Value(moves),
            |b| {
                digits.distribute(b, digit, halves);
                digits.distribute(b, digit + 1, [halves[1], halves[0]]);
                Vec::new()
            },
            |_| Vec::new(),
        );
    }
}

struct Digits<'a> {
    row: &'a Row,
    /// For each digit and each of its values, how many keys have it; then, where the next of them goes.
    counts: Memory,
}

impl Digits<'_> {
    /// Makes the keys, and counts all their digits.
    fn count(&self, b: &mut Builder, half: Half, n_digits: i64) {
        let zeros = b.constant(Type::new(DType::I64, [CLEARED]), 0.0);
        b.for_loop(Span::new("z", 0, n_digits * VALUES / CLEARED as i64, 1), &[], |b, z, _| {
            b.store(self.counts, [&(z * CLEARED as i64) + &lane(0)], [], zeros);
            Vec::new()
        });
        b.for_loop(Span::new("t", 0, self.row.size.clone(), 1), &[], |b, t, _| {
            let key = self.row.keys(b, t, 1);
            let place = b.index([1], t.clone());
            b.store(half.keys, self.row.at(t), [], key);
            b.store(half.places, self.row.at(t), [], place);
            for digit in 0..n_digits {
                let count = self.place(b, key, digit);
                self.next(b, count);
            }
            Vec::new()
        });
    }

    /// Where the count for a digit of a key is.
    fn place(&self, b: &mut Builder, key: Value, digit: i64) -> Value {
        let dtype = b.type_of(key).dtype;
        let [by, low] = [(digit * BITS as i64) as f64, (VALUES - 1) as f64];
        let [by, low] = [by, low].map(|number| b.constant(Type::new(dtype, [1]), number));
        let shifted = b.scalar(Scalar::Shr, &[key, by]);
        let value = b.scalar(Scalar::And, &[shifted, low]);
        let value = b.cast(value, DType::I64);
        let first = int(b, digit * VALUES);
        b.scalar(Scalar::Add, &[value, first])
    }

    /// A count, which goes up by one.
    fn next(&self, b: &mut Builder, place: Value) -> Value {
        let count = b.load(self.counts, [1], [place], [], 0.0);
        let one = int(b, 1);
        let more = b.scalar(Scalar::Add, &[count, one]);
        b.store(self.counts, [place], [], more);
        count
    }

    /// Whether not all keys have the digit of the first one.
    fn varies(&self, b: &mut Builder, keys: Memory, digit: i64) -> Value {
        let first = b.load(keys, [1], self.row.at(Dim::constant(0)), [&self.row.size - 1], 0.0);
        let place = self.place(b, first, digit);
        let count = b.load(self.counts, [1], [place], [], 0.0);
        let size = b.index([1], self.row.size.clone());
        b.scalar(Scalar::Ne, &[count, size])
    }

    /// One pass: counts become the first places of each value, then each key goes to the next place of its own.
    fn distribute(&self, b: &mut Builder, digit: i64, [from, to]: [Half; 2]) {
        let zero = int(b, 0);
        b.for_loop(Span::new("v", 0, VALUES, 1), &[zero], |b, value, carried| {
            let at = [value + digit * VALUES];
            let count = b.load(self.counts, [1], at.clone(), [], 0.0);
            b.store(self.counts, at, [], carried[0]);
            vec![b.scalar(Scalar::Add, &[carried[0], count])]
        });
        b.for_loop(Span::new("d", 0, self.row.size.clone(), 1), &[], |b, t, _| {
            let [key, place] = [from.keys, from.places].map(|half| b.load(half, [1], self.row.at(t), [], 0.0));
            let count = self.place(b, key, digit);
            let next = self.next(b, count);
            b.store(to.keys, self.row.at(next), [], key);
            b.store(to.places, self.row.at(next), [], place);
            Vec::new()
        });
    }
}
