//! Statements and what they are made of. Elementwise functions all go through `Op::Scalar`.

use super::Value;
use super::matrix::Matrix;
use crate::graph::{DType, Dim, Scalar, Symbol};

/// Statements in order, and the values that the enclosing statement gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub yields: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stmt {
    pub results: Vec<Value>,
    pub op: Op,
}

/// Result types are those of the statement's results; an op states only what they do not say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    // Both levels.
    Const(Literal),
    Scalar(Scalar, Vec<Value>),
    Cast(Value),
    Bitcast(Value),
    /// Extents of 1 are repeated; shapes are aligned at their last axes.
    Broadcast(Value),
    Reduce {
        scalar: Scalar,
        value: Value,
        axis: usize,
    },
    /// Sums of products of the narrow numbers that lie in words.
    Dot {
        of: DType,
        acc: Value,
        a: Value,
        b: Value,
    },
    If(Box<If>),
    Barrier,

    // Tile level.
    /// The value of an index expression, as i64.
    Index(Dim),
    /// Axes of extent 1 inserted or removed.
    Reshape(Value),
    Contract {
        acc: Value,
        a: Value,
        b: Value,
    },
    RandomBits(Box<RandomBits>),
    Load(Box<Access>, Literal),
    Store(Box<Access>, Value),
    /// Adds to memory.
    Accumulate(Box<Access>, Value),
    /// A hint: the element at this one position will be read soon. It has no other effect.
    Prefetch(Box<Access>),
    For(Box<For>),
    /// Declares an index symbol with the value of an i64 scalar, clamped to `low..=high`.
    Symbol(Box<SymbolDef>),

    // Loop level.
    Argument(Argument),
    Lanes,
    Extract {
        value: Value,
        lane: u32,
    },
    Insert {
        value: Value,
        lane: u32,
        scalar: Value,
    },
    /// A vector of lanes of a and of b, which are numbered after those of a.
    Shuffle {
        a: Value,
        b: Value,
        lanes: Vec<u32>,
    },
    Quotient(Value, Value),
    Call(Scalar, Vec<Value>),
    LoadAt(Place),
    StoreAt(Place, Value),
    /// A hint: the memory around this element will be read soon.
    PrefetchAt(Place),
    Loop(Box<Loop>),
    /// What is done with registers of matrices.
    Matrix(Matrix),
    /// A product of matrices by the threads of a warp: the operands are sums, words of a, words of b; see `mma`.
    Mma(DType, Vec<Value>),
}

pub use super::shape::Literal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    Buffer(u32),
    Local(u32),
}

/// Where a tile lies: one index per axis of the memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    pub memory: Memory,
    pub index: Vec<Index>,
    /// Each must be at least 0 for a lane to take part.
    pub guards: Vec<Dim>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    Dim(Dim),
    /// An i64 value whose shape broadcasts to the tile. Lanes outside the axis do not take part.
    Value(Value),
}

impl From<Dim> for Index {
    fn from(dim: Dim) -> Index {
        Index::Dim(dim)
    }
}

impl From<&Dim> for Index {
    fn from(dim: &Dim) -> Index {
        Index::Dim(dim.clone())
    }
}

impl From<Value> for Index {
    fn from(value: Value) -> Index {
        Index::Value(value)
    }
}

/// Philox4x32-10: see `runtime::program::random`. Seed and stream are i64 scalars; the result is u32.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomBits {
    pub seed: Value,
    pub stream: Value,
    /// The counter: a `Dim` over lanes, or an i64 value of the result's shape.
    pub index: Index,
    pub key: u64,
    pub word: u8,
}

/// `for symbol in start..end step step`: the body's parameters start as `inits`, then are what it yielded last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct For {
    pub symbol: Symbol,
    pub start: Dim,
    pub end: Dim,
    pub step: i64,
    pub unroll: bool,
    pub inits: Vec<Value>,
    pub params: Vec<Value>,
    pub body: Block,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct If {
    pub condition: Condition,
    pub then: Block,
    pub otherwise: Block,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// All at least 0. Tile level only.
    Guards(Vec<Dim>),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SymbolDef {
    pub symbol: Symbol,
    pub value: Value,
    pub low: Dim,
    pub high: Dim,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    Begin,
    End,
    /// An index into `Kernel::sizes`.
    Size(u32),
    /// The number of the thread in its block.
    Thread,
}

/// Where a scalar or a vector lies: `offset + plus` elements into the memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub memory: Memory,
    pub offset: Value,
    pub plus: i64,
    pub mask: Option<Mask>,
    /// A store of all lanes at a multiple of their number, past the caches: not where the memory begins between two lines.
    pub streams: bool,
}

/// Lanes whose bit is clear touch no memory; a load gives `otherwise` there (a store has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    pub mask: Value,
    pub otherwise: Option<Value>,
}

/// The `For` of the loop level: `index` is defined in the body, bounds are values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loop {
    pub index: Value,
    pub start: Value,
    pub end: Value,
    pub step: i64,
    pub unroll: bool,
    pub inits: Vec<Value>,
    pub params: Vec<Value>,
    pub body: Block,
}
