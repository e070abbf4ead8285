//! The Graph IR: what is computed. Nodes are ops applied to values; sizes are symbolic; state is explicit.

mod attr;
mod build;
mod equal;
pub mod interpret;
pub mod model;
mod nest;
mod op;
pub mod parse;
pub mod pieces;
pub mod print;
pub mod reads;
pub mod rows;
pub mod scalar;
mod signature;
pub mod softmax;
mod structure;
mod tensor;
mod types;
pub mod verify;
mod views;

pub use attr::{Attr, AttrDef, AttrKind, Attrs, Default, attr};
pub use build::Builder;
pub use interpret::{Context, interpret};
pub use model::{Member, Model, Module, NamedSize};
pub use nest::{Guard, Nest, NestIndex, Reduction, ScalarNode, axes, axis};
pub use op::{
    Call, Cotangents, Domain, Eval, EvalError, Expand, Gradient, Meaning, OpDef, OpError, Operands, Pull, Pullback,
    Sample, Sampler,
};
pub use scalar::Scalar;
pub use structure::{ARGUMENT, Argument, Check, Graph, Node, NodeId, Origin, Output, Role, Value};
pub use tensor::{Data, Tensor, exact_float, holds, round, round_int, saturate, wrap};
pub use tilewright_runtime::program::dtype::DType;
pub use tilewright_runtime::program::size::{
    Atom, Bounds, Dim, Found, Range, Ranges, Symbol, greatest_divisor, modulo,
};
pub use types::{Shape, Type};
pub use views::reshape_index;

/// How the reference interpreter computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Every float in f64, whatever its type says.
    Wide,
    /// As wide, but casts to f16 and bf16 round, as who writes one asks for.
    Asked,
    /// Each result rounded to its declared type.
    Declared,
}
