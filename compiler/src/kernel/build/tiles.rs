//! Statements of the tile level, and those of both levels that make one value.

use super::Builder;
use crate::graph::{DType, Dim, Scalar, Symbol};
use crate::kernel::types::*;

impl Builder {
    /// `number` in every element.
    pub fn constant(&mut self, ty: Type, number: f64) -> Value {
        let literal = Literal::of(ty.dtype, number);
        self.literal(ty, literal)
    }

    pub fn literal(&mut self, ty: Type, literal: Literal) -> Value {
        self.push(Op::Const(literal), ty)
    }

    /// The value of an index expression, as i64.
    pub fn index(&mut self, shape: impl Into<Vec<u64>>, dim: impl Into<Dim>) -> Value {
        self.push(Op::Index(dim.into()), Type::new(DType::I64, shape))
    }

    pub fn scalar(&mut self, scalar: Scalar, operands: &[Value]) -> Value {
        let dtypes: Vec<DType> = operands.iter().map(|&value| self.type_of(value).dtype).collect();
        let first = operands.first().map_or(Type::scalar(DType::F32), |&value| self.type_of(value).clone());
        let dtype = scalar.result(&dtypes).unwrap_or(first.dtype);
        self.push(Op::Scalar(scalar, operands.to_vec()), first.with_dtype(dtype))
    }

    pub fn cast(&mut self, value: Value, dtype: DType) -> Value {
        let ty = self.type_of(value).with_dtype(dtype);
        if ty.dtype == self.type_of(value).dtype { value } else { self.push(Op::Cast(value), ty) }
    }

    pub fn bitcast(&mut self, value: Value, dtype: DType) -> Value {
        let ty = self.type_of(value).with_dtype(dtype);
        self.push(Op::Bitcast(value), ty)
    }

    pub fn broadcast(&mut self, value: Value, shape: impl Into<Vec<u64>>) -> Value {
        let ty = Type::new(self.type_of(value).dtype, shape);
        if ty == *self.type_of(value) { value } else { self.push(Op::Broadcast(value), ty) }
    }

    /// Inserts or removes axes of extent 1.
    pub fn reshape(&mut self, value: Value, shape: impl Into<Vec<u64>>) -> Value {
        let ty = Type::new(self.type_of(value).dtype, shape);
        if ty == *self.type_of(value) { value } else { self.push(Op::Reshape(value), ty) }
    }

    /// Combines along one axis, which stays with extent 1 (at the loop level it goes).
    pub fn reduce(&mut self, scalar: Scalar, value: Value, axis: usize) -> Value {
        let mut ty = self.type_of(value).clone();
        match self.kernel().level {
            Level::Tile => ty.shape.iter_mut().skip(axis).take(1).for_each(|extent| *extent = 1),
            Level::Loop => ty.shape.clear(),
        }
        self.push(Op::Reduce { scalar, value, axis }, ty)
    }

    /// `acc + a·b`, with a of R×K, b of K×C.
    pub fn contract(&mut self, acc: Value, a: Value, b: Value) -> Value {
        let ty = self.type_of(acc).clone();
        self.push(Op::Contract { acc, a, b }, ty)
    }

    /// The same, where each element of a and b is a word of narrow numbers.
    pub fn dot(&mut self, of: DType, acc: Value, a: Value, b: Value) -> Value {
        let ty = self.type_of(acc).clone();
        self.push(Op::Dot { of, acc, a, b }, ty)
    }

    pub fn random_bits(&mut self, shape: impl Into<Vec<u64>>, bits: RandomBits) -> Value {
        self.push(Op::RandomBits(Box::new(bits)), Type::new(DType::U32, shape))
    }

    /// Reads a tile; lanes that a guard refuses give `otherwise`.
    pub fn load<I: Into<Index>>(
        &mut self,
        memory: Memory,
        shape: impl Into<Vec<u64>>,
        index: impl IntoIterator<Item = I>,
        guards: impl Into<Vec<Dim>>,
        otherwise: f64,
    ) -> Value {
        let dtype = self.kernel().memory_dtype(memory);
        let access = access(memory, index, guards);
        self.push(Op::Load(access, Literal::of(dtype, otherwise)), Type::new(dtype, shape))
    }

    /// Reads words of narrow numbers, each from the position of its first; lanes that a guard refuses give zeros.
    pub fn load_words<I: Into<Index>>(
        &mut self,
        memory: Memory,
        shape: impl Into<Vec<u64>>,
        index: impl IntoIterator<Item = I>,
        guards: impl Into<Vec<Dim>>,
    ) -> Value {
        let access = access(memory, index, guards);
        self.push(Op::Load(access, Literal::int(0)), Type::new(DType::U32, shape))
    }

    pub fn store<I: Into<Index>>(
        &mut self,
        memory: Memory,
        index: impl IntoIterator<Item = I>,
        guards: impl Into<Vec<Dim>>,
        value: Value,
    ) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::Store(access(memory, index, guards), value) });
    }

    /// Says that an element will be read soon.
    pub fn prefetch<I: Into<Index>>(&mut self, memory: Memory, index: impl IntoIterator<Item = I>) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::Prefetch(access(memory, index, [])) });
    }

    pub fn accumulate<I: Into<Index>>(
        &mut self,
        memory: Memory,
        index: impl IntoIterator<Item = I>,
        guards: impl Into<Vec<Dim>>,
        value: Value,
    ) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::Accumulate(access(memory, index, guards), value) });
    }

    /// Declares an index symbol with the value of an i64 scalar, clamped to `low..=high`.
    pub fn symbol(&mut self, name: &str, value: Value, low: impl Into<Dim>, high: impl Into<Dim>) -> Dim {
        let symbol = Symbol::new(name);
        let dim = Dim::from(&symbol);
        let def = SymbolDef { symbol, value, low: low.into(), high: high.into() };
        self.push_stmt(Stmt { results: Vec::new(), op: Op::Symbol(Box::new(def)) });
        dim
    }

    pub fn barrier(&mut self) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::Barrier });
    }

    /// The guard `left < right`.
    pub fn below(left: &Dim, right: &Dim) -> Dim {
        &(right - left) - &Dim::constant(1)
    }

    /// The guard `left <= right`.
    pub fn at_most(left: &Dim, right: &Dim) -> Dim {
        right - left
    }
}

fn access<I: Into<Index>>(
    memory: Memory,
    index: impl IntoIterator<Item = I>,
    guards: impl Into<Vec<Dim>>,
) -> Box<Access> {
    Box::new(Access { memory, index: index.into_iter().map(Into::into).collect(), guards: guards.into() })
}
