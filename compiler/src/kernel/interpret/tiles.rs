//! Statements of the tile level.

use super::Memories;
use super::number::{self, Number};
use super::statements::{broadcast_offset, indices};
use super::thread::{Ran, Thread};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;
use tilewright_runtime::program::random;

impl Thread<'_> {
    pub(super) fn tile_statement(&mut self, memories: &mut Memories, op: &Op, ty: &Type) -> Ran<Vec<Number>> {
        match op {
            Op::Index(dim) => self.each_lane(&ty.shape, |thread, _| Ok(Number::int(thread.dim(dim)?))),
            Op::Contract { acc, a, b } => self.contract(*acc, *a, *b, ty.dtype),
            Op::Dot { of, acc, a, b } => self.sum_products(*acc, *a, *b, &|a, b, sum| number::dot(*of, a, b, sum)),
            Op::RandomBits(bits) => self.random_bits(bits, &ty.shape),
            Op::Load(access, otherwise) => {
                let otherwise = Number::literal(*otherwise, ty.dtype);
                self.each_lane(&ty.shape, |thread, index| match thread.lane_offset(memories, access, index)? {
                    Some(flat) => memories.read_as(access.memory, flat, ty.dtype),
                    None => Ok(otherwise),
                })
            }
            Op::Store(access, value) => self.write_tile(memories, access, *value, None),
            Op::Accumulate(access, value) => {
                let dtype = self.kernel.type_of(*value).dtype;
                self.write_tile(memories, access, *value, Some((Scalar::Add, dtype)))
            }
            _ => Err("it is not a statement of the tile level".into()),
        }
    }

    /// Calls `visit` for each element, with the lane symbols bound.
    fn each_lane(
        &mut self,
        shape: &[u64],
        mut visit: impl FnMut(&mut Self, &[i64]) -> Ran<Number>,
    ) -> Ran<Vec<Number>> {
        let n_symbols = self.symbols.len();
        self.symbols.extend((0..shape.len()).map(|axis| (lane_symbol(axis), 0)));
        let mut numbers = Vec::new();
        for index in indices(shape) {
            for (axis, &at) in index.iter().enumerate() {
                self.symbols[n_symbols + axis].1 = at;
            }
            numbers.push(visit(self, &index)?);
        }
        self.symbols.truncate(n_symbols);
        Ok(numbers)
    }

    /// The flat offset of the lane that is bound, if it takes part.
    fn lane_offset(&self, memories: &mut Memories, access: &Access, lane: &[i64]) -> Ran<Option<i64>> {
        for guard in &access.guards {
            if self.dim(guard)? < 0 {
                return Ok(None);
            }
        }
        let extents = memories.extents(access.memory);
        let mut place = Vec::with_capacity(extents.len());
        for (index, &extent) in access.index.iter().zip(&extents) {
            match index {
                Index::Dim(dim) => place.push(self.dim(dim)?),
                Index::Value(value) => {
                    let from = &self.kernel.type_of(*value).shape;
                    let at = self.get(*value)?[broadcast_offset(from, lane)].as_int();
                    if !(0..extent).contains(&at) {
                        return Ok(None);
                    }
                    place.push(at);
                }
            }
        }
        memories.flatten(access.memory, &place).map(Some)
    }

    /// Writes the lanes that take part, combined with what was there if `combine` says how.
    fn write_tile(
        &mut self,
        memories: &mut Memories,
        access: &Access,
        value: Value,
        combine: Option<(Scalar, DType)>,
    ) -> Ran<Vec<Number>> {
        let numbers = self.get(value)?.to_vec();
        let shape = self.kernel.type_of(value).shape.clone();
        self.spend(numbers.len())?;
        let mut next = numbers.iter();
        self.each_lane(&shape, |thread, index| {
            let number = next.next().copied().unwrap_or_default();
            if let Some(flat) = thread.lane_offset(memories, access, index)? {
                let new = match combine {
                    Some((scalar, dtype)) => {
                        let old = memories.read(access.memory, flat)?;
                        number::apply(scalar, dtype, dtype, &[old, number])
                    }
                    None => number,
                };
                memories.write(access.memory, flat, new)?;
            }
            Ok(number)
        })?;
        Ok(Vec::new())
    }

    fn contract(&mut self, acc: Value, a: Value, b: Value, dtype: DType) -> Ran<Vec<Number>> {
        self.sum_products(acc, a, b, &|a, b, sum| number::apply(Scalar::Fma, dtype, dtype, &[a, b, sum]))
    }

    fn sum_products(
        &mut self,
        acc: Value,
        a: Value,
        b: Value,
        add: &dyn Fn(Number, Number, Number) -> Number,
    ) -> Ran<Vec<Number>> {
        let shape = &self.kernel.type_of(a).shape;
        let (n_rows, depth) = (shape[0] as usize, shape[1] as usize);
        let mut sums = self.get(acc)?.to_vec();
        let n_columns = sums.len() / n_rows;
        self.spend(sums.len() * depth)?;
        let (a, b) = (self.get(a)?, self.get(b)?);
        for (idx, sum) in sums.iter_mut().enumerate() {
            let (row, column) = (idx / n_columns, idx % n_columns);
            for k in 0..depth {
                *sum = add(a[row * depth + k], b[k * n_columns + column], *sum);
            }
        }
        Ok(sums)
    }

    fn random_bits(&mut self, bits: &RandomBits, shape: &[u64]) -> Ran<Vec<Number>> {
        let (seed, stream) = (self.int(bits.seed)?, self.int(bits.stream)?);
        self.each_lane(shape, |thread, lane| {
            let index = match &bits.index {
                Index::Dim(dim) => thread.dim(dim)?,
                Index::Value(value) => {
                    let from = &thread.kernel.type_of(*value).shape;
                    thread.get(*value)?[broadcast_offset(from, lane)].as_int()
                }
            };
            let word = random::random_bits(seed, stream, bits.key, index as u64, bits.word.into());
            Ok(Number::int(word.into()))
        })
    }
}
