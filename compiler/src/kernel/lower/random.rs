//! Random bits in 32-bit integer arithmetic.
//!
//! Invariant: the same bits as `runtime::program::random`, which states what is drawn. All lanes are u32, so that every target's vectors hold them.

use tilewright_runtime::program::random::{MULTIPLIERS, ROUNDS, WEYL};

use super::Lower;
use super::block::Spot;
use super::dims::{along_lanes, at_lane};
use super::layout::{Part, Tile, parts};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

/// The low and the high word of 64 bits.
type Words = [Value; 2];

impl Lower<'_> {
    pub(super) fn random_bits(&mut self, bits: &RandomBits, ty: &Type) -> Tile {
        let (seed, stream) = (self.tile(bits.seed).parts[0], self.tile(bits.stream).parts[0]);
        let (seed, stream) = (self.words(seed), self.words(stream));
        let key = [bits.key as u32, (bits.key >> 32) as u32];
        let key = [0, 1].map(|word| {
            let own = self.int_like(seed[word], key[word].into());
            self.op(Scalar::Xor, &[seed[word], own])
        });
        let made = parts(&ty.shape, self.lanes).into_iter().enumerate().map(|(at, part)| {
            let index = self.counter(&bits.index, &part, at);
            let spread =
                |lower: &mut Self, words: Words| words.map(|word| if part.vector { lower.splat(word) } else { word });
            let (key, stream) = (spread(self, key), spread(self, stream));
            self.philox([index[0], index[1], stream[0], stream[1]], key, bits.word.into())
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    fn words(&mut self, value: Value) -> Words {
        let shift = self.int_like(value, 32);
        let high = self.op(Scalar::Shr, &[value, shift]);
        [value, high].map(|word| self.cast(word, DType::U32))
    }

    fn counter(&mut self, index: &Index, part: &Part, at: usize) -> Words {
        let dim = match index {
            Index::Value(value) => {
                let value = self.tile(*value).parts[at];
                return self.words(value);
            }
            Index::Dim(dim) => self.resolve(dim),
        };
        if !part.vector || self.is_block() {
            let value = self.dim(&Spot::of(part).at(&dim));
            return self.words(value);
        }
        match along_lanes(&dim, &part.index) {
            Some((base, slope)) if (0..1 << 24).contains(&slope) => {
                let base = self.dim(&base);
                self.consecutive(base, slope)
            }
            _ => {
                let lanes: Vec<Words> = (0..part.valid)
                    .map(|lane| {
                        let value = self.dim(&at_lane(&dim, &part.index, lane));
                        self.words(value)
                    })
                    .collect();
                [0, 1].map(|word| self.gather_lanes(&lanes.iter().map(|words| words[word]).collect::<Vec<_>>()))
            }
        }
    }

    /// `base + slope·lane` in 64 bits, with the carry into the high word.
    fn consecutive(&mut self, base: Value, slope: i64) -> Words {
        let [low, high] = self.words(base).map(|word| self.splat(word));
        let lanes = self.lane_numbers(DType::U32);
        let slope = self.int_like(lanes, slope);
        let step = self.op(Scalar::Mul, &[lanes, slope]);
        let sum = self.op(Scalar::Add, &[low, step]);
        let carries = self.op(Scalar::Lt, &[sum, low]);
        let one = self.int_like(high, 1);
        let next = self.op(Scalar::Add, &[high, one]);
        [sum, self.op(Scalar::Select, &[carries, next, high])]
    }

    fn philox(&mut self, counter: [Value; 4], key: Words, word: usize) -> Value {
        let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
        for _ in 0..ROUNDS {
            let [p_low, p_high] = self.wide_product(a, MULTIPLIERS[0]);
            let [q_low, q_high] = self.wide_product(c, MULTIPLIERS[1]);
            let (x, y) = (self.op(Scalar::Xor, &[q_high, b]), self.op(Scalar::Xor, &[p_high, d]));
            (a, b, c, d) = (self.op(Scalar::Xor, &[x, k0]), q_low, self.op(Scalar::Xor, &[y, k1]), p_low);
            let weyl = WEYL.map(|step| self.int_like(k0, step.into()));
            (k0, k1) = (self.op(Scalar::Add, &[k0, weyl[0]]), self.op(Scalar::Add, &[k1, weyl[1]]));
        }
        [a, b, c, d][word]
    }

    /// Both words of a 64-bit product; from products of 16-bit halves where vectors hold words only.
    fn wide_product(&mut self, a: Value, multiplier: u32) -> Words {
        if !self.target.only_words && !self.is_block() {
            return self.product_in_64_bits(a, multiplier);
        }
        let (sixteen, mask) = (self.int_like(a, 16), self.int_like(a, 0xffff));
        let factor = |lower: &mut Self, bits: u32| lower.int_like(a, bits.into());
        let (m_low, m_high) = (factor(self, multiplier & 0xffff), factor(self, multiplier >> 16));
        let whole = factor(self, multiplier);
        let (a_low, a_high) = (self.op(Scalar::And, &[a, mask]), self.op(Scalar::Shr, &[a, sixteen]));
        let low_low = self.op(Scalar::Mul, &[a_low, m_low]);
        let low_high = self.op(Scalar::Mul, &[a_low, m_high]);
        let high_low = self.op(Scalar::Mul, &[a_high, m_low]);
        let high_high = self.op(Scalar::Mul, &[a_high, m_high]);
        let carried = self.op(Scalar::Shr, &[low_low, sixteen]);
        let middle = self.op(Scalar::Add, &[high_low, carried]);
        let middle_low = self.op(Scalar::And, &[middle, mask]);
        let other = self.op(Scalar::Add, &[low_high, middle_low]);
        let (x, y) = (self.op(Scalar::Shr, &[middle, sixteen]), self.op(Scalar::Shr, &[other, sixteen]));
        let high = self.op(Scalar::Add, &[high_high, x]);
        [self.op(Scalar::Mul, &[a, whole]), self.op(Scalar::Add, &[high, y])]
    }

    fn product_in_64_bits(&mut self, a: Value, multiplier: u32) -> Words {
        let wide = self.cast(a, DType::I64);
        let factor = self.int_like(wide, multiplier.into());
        let product = self.op(Scalar::Mul, &[wide, factor]);
        let shift = self.int_like(wide, 32);
        let high = self.op(Scalar::Shr, &[product, shift]);
        let factor = self.int_like(a, multiplier.into());
        [self.op(Scalar::Mul, &[a, factor]), self.cast(high, DType::U32)]
    }
}
