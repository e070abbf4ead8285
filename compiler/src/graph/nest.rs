//! Nests: the meaning of a structured primitive as loops around a scalar body.
//!
//! Invariant: the axes are `i0, i1, …`; the first `n_parallel` are the axes of the result, in order, and the rest are
//! reduced. The body is in order: a node refers only to earlier ones, and its last node is the element of the result, or
//! what is reduced: accumulated in the type of that node, floats in f32 at least, and then cast to the type of the result.
//! A load whose guard fails, or whose data-dependent index is out of range, reads nothing and gives `otherwise`; every
//! other index is in range.

use super::{DType, Dim, Scalar};

#[derive(Clone, Debug, PartialEq)]
pub struct Nest {
    pub axes: Vec<Dim>,
    pub n_parallel: usize,
    pub body: Vec<ScalarNode>,
    pub reduce: Option<Reduction>,
}

/// How the elements along the reduced axes are combined; an empty reduction gives `initial`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduction {
    pub combine: Scalar,
    pub initial: f64,
}

/// A node of the body, referring to earlier nodes by position.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalarNode {
    Const {
        dtype: DType,
        value: f64,
    },
    /// The value of an index expression over the axes and sizes, as i64.
    Index(Dim),
    Load {
        operand: usize,
        index: Vec<NestIndex>,
        guards: Vec<Guard>,
        otherwise: f64,
    },
    Apply {
        scalar: Scalar,
        args: Vec<usize>,
    },
    Cast {
        dtype: DType,
        arg: usize,
    },
    /// One word of Philox4x32-10; see `runtime::program::random`.
    RandomBits {
        seed: usize,
        stream: usize,
        counter: usize,
        key: u64,
        word: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum NestIndex {
    Affine(Dim),
    /// The value of an earlier node, checked against the operand's shape.
    Value(usize),
}

/// `Dim >= 0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard(pub Dim);

/// The position along axis `idx` of a nest.
pub fn axis(idx: usize) -> Dim {
    Dim::symbol(format!("i{idx}"))
}

/// Positions along all of the first `n` axes.
pub fn axes(n: usize) -> Vec<Dim> {
    (0..n).map(axis).collect()
}

impl Guard {
    /// `0 <= index < extent`, as two guards.
    pub fn within(index: &Dim, extent: &Dim) -> [Guard; 2] {
        [Guard(index.clone()), Guard(&(extent - index) - 1)]
    }
}

impl Nest {
    /// A nest over `shape` in which every element is independent.
    pub fn pointwise(shape: &[Dim]) -> Nest {
        Nest { axes: shape.to_vec(), n_parallel: shape.len(), body: Vec::new(), reduce: None }
    }

    /// A nest over `shape` followed by reduced axes.
    pub fn reduction(shape: &[Dim], reduced: &[Dim], combine: Scalar, initial: f64) -> Nest {
        Nest {
            axes: shape.iter().chain(reduced).cloned().collect(),
            n_parallel: shape.len(),
            body: Vec::new(),
            reduce: Some(Reduction { combine, initial }),
        }
    }

    pub fn push(&mut self, node: ScalarNode) -> usize {
        self.body.push(node);
        self.body.len() - 1
    }

    pub fn load(&mut self, operand: usize, index: Vec<Dim>) -> usize {
        self.load_where(operand, index, Vec::new(), 0.0)
    }

    pub fn load_where(&mut self, operand: usize, index: Vec<Dim>, guards: Vec<Guard>, otherwise: f64) -> usize {
        let index = index.into_iter().map(NestIndex::Affine).collect();
        self.push(ScalarNode::Load { operand, index, guards, otherwise })
    }

    pub fn apply(&mut self, scalar: Scalar, args: &[usize]) -> usize {
        self.push(ScalarNode::Apply { scalar, args: args.to_vec() })
    }

    pub fn constant(&mut self, dtype: DType, value: f64) -> usize {
        self.push(ScalarNode::Const { dtype, value })
    }
}
