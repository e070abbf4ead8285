//! Statements that move elements or combine them across a tile: broadcast, reshape, reduce, contract.

use super::Lower;
use super::layout::{Tile, is_vector, parts, row_parts};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

impl Lower<'_> {
    pub(super) fn broadcast_tile(&mut self, value: Value, ty: &Type) -> Tile {
        let source = self.tile(value);
        let skipped = ty.shape.len() - source.shape.len();
        let repeats_last = source.shape.last().is_none_or(|&extent| extent == 1);
        let made = parts(&ty.shape, self.lanes).into_iter().map(|part| {
            let own = part.index[skipped..].iter().zip(&source.shape);
            let index: Vec<i64> = own.map(|(&at, &extent)| if extent == 1 { 0 } else { at }).collect();
            let found = source.parts[self.part_of(&source, &index)];
            if repeats_last && part.vector { self.splat(found) } else { found }
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    /// Which part holds an element.
    pub(super) fn part_of(&self, tile: &Tile, index: &[i64]) -> usize {
        let Some((&column, leading)) = index.split_last() else { return 0 };
        let row = leading.iter().zip(&tile.shape).fold(0, |row, (&at, &extent)| row * extent as i64 + at);
        (row * row_parts(&tile.shape, self.lanes) as i64 + column / i64::from(self.lanes)) as usize
    }

    pub(super) fn reshape(&mut self, value: Value, ty: &Type) -> Tile {
        let source = self.tile(value);
        let last = |shape: &[u64]| shape.last().copied().unwrap_or(1);
        if last(&source.shape) == last(&ty.shape) {
            return Tile { shape: ty.shape.clone(), parts: source.parts };
        }
        if self.is_block() {
            return self.reshape_in_block(&source, ty);
        }
        let elements: Vec<Value> = parts(&source.shape, 1).iter().map(|p| self.element(&source, &p.index)).collect();
        let mut rest = &elements[..];
        let made = parts(&ty.shape, self.lanes).into_iter().map(|part| {
            let (own, others) = rest.split_at(part.valid as usize);
            rest = others;
            if part.vector { self.gather_lanes(own) } else { own[0] }
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn reduce(&mut self, scalar: Scalar, value: Value, axis: usize, ty: &Type) -> Tile {
        let source = self.tile(value);
        let shape = &source.shape;
        let per_row = row_parts(shape, self.lanes) as usize;
        let parts = if axis + 1 == shape.len() {
            source.parts.chunks(per_row).map(|row| self.reduce_row(scalar, row, shape)).collect()
        } else {
            let inner = shape[axis + 1..shape.len() - 1].iter().product::<u64>() as usize * per_row;
            let extent = shape[axis] as usize;
            let mut results = Vec::new();
            for block in source.parts.chunks(inner * extent) {
                for start in 0..inner {
                    let line = (0..extent).map(|at| block[start + at * inner]).collect();
                    results.push(self.pairwise(scalar, line));
                }
            }
            results
        };
        Tile { shape: ty.shape.clone(), parts }
    }

    fn reduce_row(&mut self, scalar: Scalar, row: &[Value], shape: &[u64]) -> Value {
        let mut row = row.to_vec();
        if !is_vector(shape, self.lanes) {
            return self.pairwise(scalar, row);
        }
        let valid = shape.last().map_or(0, |&extent| extent % u64::from(self.lanes));
        if let Some(last) = row.last_mut().filter(|_| valid != 0) {
            *last = self.fill_lanes(scalar, *last, valid as i64);
        }
        let vector = self.pairwise(scalar, row);
        let ty = Type::scalar(self.type_of(vector).dtype);
        self.pure(Op::Reduce { scalar, value: vector, axis: 0 }, ty)
    }

    /// Puts the neutral element into the lanes from `valid` on.
    fn fill_lanes(&mut self, scalar: Scalar, vector: Value, valid: i64) -> Value {
        let ty = self.type_of(vector).clone();
        let neutral = self.literal(&ty, neutral(scalar, ty.dtype));
        let mask = self.first_lanes(valid);
        self.op(Scalar::Select, &[mask, vector, neutral])
    }

    pub(super) fn pairwise(&mut self, scalar: Scalar, mut line: Vec<Value>) -> Value {
        while line.len() > 1 {
            let half = line.len().next_power_of_two() / 2;
            for at in half..line.len() {
                line[at - half] = self.scalar(scalar, &[line[at - half], line[at]]);
            }
            line.truncate(half);
        }
        line[0]
    }

    pub(super) fn contract(&mut self, acc: Value, a: Value, b: Value, ty: &Type) -> Tile {
        self.sum_products([acc, a, b], ty, &mut |lower, [a, b, sum]| lower.scalar(Scalar::Fma, &[a, b, sum]))
    }

    pub(super) fn dot(&mut self, of: DType, values: [Value; 3], ty: &Type) -> Tile {
        let is_kept = match of {
            DType::BF16 => self.target.dots,
            DType::U8 => self.target.byte_dots,
            _ => false,
        };
        // The last factor may come from memory: rather the one that is read for a single product.
        let swaps = of == DType::BF16 && ty.shape[0] > 1 && row_parts(&ty.shape, self.lanes) == 1;
        self.sum_products(values, ty, &mut |lower, [a, b, acc]| {
            let ty = lower.type_of(acc).clone();
            match of {
                _ if is_kept && !ty.is_scalar() => {
                    let [a, b] = if swaps { [b, a] } else { [a, b] };
                    lower.pure(Op::Dot { of, acc, a, b }, ty)
                }
                DType::BF16 | DType::F16 => {
                    let [a, b] =
                        [a, b].map(|word| if of == DType::F16 { lower.f16_halves(word) } else { lower.halves(word) });
                    let sum = lower.scalar(Scalar::Fma, &[a[1], b[1], acc]);
                    lower.scalar(Scalar::Fma, &[a[0], b[0], sum])
                }
                _ => (0..4).fold(acc, |sum, byte| {
                    let product = lower.byte_product(of, [a, b], byte);
                    lower.op(Scalar::Add, &[sum, product])
                }),
            }
        })
    }

    /// A signed byte of the first word times one of the second, of this type.
    fn byte_product(&mut self, of: DType, words: [Value; 2], byte: i64) -> Value {
        let [a, b] = words.map(|word| self.bitcast(word, DType::I32));
        let a = self.signed_byte(a, byte);
        let b = if of == DType::I8 { self.signed_byte(b, byte) } else { self.byte(b, byte) };
        self.op(Scalar::Mul, &[a, b])
    }

    fn signed_byte(&mut self, word: Value, byte: i64) -> Value {
        let (left, right) = (self.int_like(word, 24 - 8 * byte), self.int_like(word, 24));
        let top = self.op(Scalar::Shl, &[word, left]);
        self.op(Scalar::Shr, &[top, right])
    }

    fn byte(&mut self, word: Value, byte: i64) -> Value {
        let (at, low) = (self.int_like(word, 8 * byte), self.int_like(word, 255));
        let shifted = self.op(Scalar::Shr, &[word, at]);
        self.op(Scalar::And, &[shifted, low])
    }

    /// The two bf16 of a word as f32: the low one shifted up, the high one where it is.
    fn halves(&mut self, word: Value) -> [Value; 2] {
        let (sixteen, upper) = (self.int_like(word, 16), self.int_like(word, 0xffff_0000));
        let low = self.op(Scalar::Shl, &[word, sixteen]);
        let high = self.op(Scalar::And, &[word, upper]);
        [low, high].map(|bits| self.bitcast(bits, DType::F32))
    }

    /// The two f16 of a word as f32. Their bits, moved up, are a float whose exponent is 112 too small, or a denormal, which
    /// multiplication sets right; infinities and NaN have all bits of the exponent.
    fn f16_halves(&mut self, word: Value) -> [Value; 2] {
        let sixteen = self.int_like(word, 16);
        let high = self.op(Scalar::Shr, &[word, sixteen]);
        [word, high].map(|bits| {
            let [magnitude, sign, exponent] = [0x7fff, 0x8000, 0x7c00].map(|mask| {
                let mask = self.int_like(word, mask);
                self.op(Scalar::And, &[bits, mask])
            });
            let thirteen = self.int_like(word, 13);
            let moved = self.op(Scalar::Shl, &[magnitude, thirteen]);
            let small = self.bitcast(moved, DType::F32);
            let factor = self.like(small, 2f64.powi(112));
            let finite = self.op(Scalar::Mul, &[small, factor]);
            let all_bits = self.int_like(word, 0x7f80_0000);
            let endless = self.op(Scalar::Or, &[moved, all_bits]);
            let endless = self.bitcast(endless, DType::F32);
            let most = self.int_like(word, 0x7c00);
            let is_endless = self.op(Scalar::Eq, &[exponent, most]);
            let value = self.op(Scalar::Select, &[is_endless, endless, finite]);
            let value = self.bitcast(value, DType::U32);
            let sign = self.op(Scalar::Shl, &[sign, sixteen]);
            let value = self.op(Scalar::Or, &[value, sign]);
            self.bitcast(value, DType::F32)
        })
    }

    fn sum_products(
        &mut self,
        [acc, a, b]: [Value; 3],
        ty: &Type,
        add: &mut dyn FnMut(&mut Self, [Value; 3]) -> Value,
    ) -> Tile {
        if let Some(share) = self.shares.of(a).copied() {
            return self.multiply_shares([acc, a, b], ty, &share, add);
        }
        let (acc, a, b) = (self.tile(acc), self.tile(a), self.tile(b));
        let per_row = row_parts(&ty.shape, self.lanes) as usize;
        let mut sums = acc.parts;
        let staged = (self.is_block() && is_vector(&a.shape, self.lanes)).then(|| self.stage(&a));
        for k in 0..a.shape[1] as usize {
            for row in 0..a.shape[0] as usize {
                let factor = match &staged {
                    Some(staged) => self.staged_element(staged, row, k as u64),
                    None => self.element(&a, &[row as i64, k as i64]),
                };
                let factor = if is_vector(&ty.shape, self.lanes) { self.splat(factor) } else { factor };
                for part in 0..per_row {
                    let sum = &mut sums[row * per_row + part];
                    *sum = add(self, [factor, b.parts[k * per_row + part], *sum]);
                }
            }
        }
        Tile { shape: ty.shape.clone(), parts: sums }
    }
}

/// What leaves every element as it is, down to the sign of zero.
pub(super) fn neutral(scalar: Scalar, dtype: crate::graph::DType) -> Literal {
    use crate::graph::DType::*;
    let (least, greatest) = match dtype {
        Real | F64 | F32 | F16 | BF16 => (Literal::float(f64::NEG_INFINITY), Literal::float(f64::INFINITY)),
        I64 => (Literal::int(i64::MIN), Literal::int(i64::MAX)),
        I32 => (Literal::int(i32::MIN.into()), Literal::int(i32::MAX.into())),
        I8 => (Literal::int(i8::MIN.into()), Literal::int(i8::MAX.into())),
        U8 => (Literal::int(0), Literal::int(u8::MAX.into())),
        U32 => (Literal::int(0), Literal::int(u32::MAX.into())),
        Bool => (Literal::int(0), Literal::int(1)),
    };
    match scalar {
        Scalar::Min => greatest,
        Scalar::Max => least,
        Scalar::Mul => Literal::of(dtype, 1.0),
        Scalar::And if dtype == Bool => greatest,
        Scalar::And if matches!(dtype, U8 | U32) => greatest,
        Scalar::And => Literal::int(-1),
        _ => Literal::of(dtype, -0.0),
    }
}
