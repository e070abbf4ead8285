//! Types as written.
//!
//! Invariant: a tensor type lists its dims in order and at most one of them is meant to be `..`; the
//! elaborator checks that, and what each size is.

use super::{Expr, Ident};
use crate::diag::Span;

#[derive(Clone, Debug)]
pub struct Type {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum TypeKind {
    Int,
    Float,
    Bool,
    Str,
    /// Any function, module or constructor.
    Fn,
    Module,
    /// A compile-time list of tensors.
    List,
    /// A tuple or a module's parameters, computed leaf by leaf.
    Tree,
    /// `[int]`, `[[int]]`, `[fn]`: a config list.
    ListOf(Box<Type>),
    /// `[B, N]` in the model's float type, or `i64[B]` pinned to one of [`DTYPES`].
    Tensor {
        dtype: Option<Ident>,
        dims: Vec<Dim>,
    },
    /// `(z: [B], x: [B])`, `([B, ..], list)`.
    Tuple(Vec<TypeField>),
}

#[derive(Clone, Debug)]
pub struct TypeField {
    pub name: Option<Ident>,
    pub ty: Type,
}

#[derive(Clone, Debug)]
pub struct Dim {
    pub kind: DimKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum DimKind {
    Size(Expr),
    /// `_`: whatever it turns out to be.
    Inferred,
    /// `..`: any leading or remaining axes.
    Rest,
}

/// The element types a tensor type may be pinned to.
pub static DTYPES: &[&str] =
    &["f64", "f32", "f16", "bf16", "i64", "i32", "i8", "u8", "u32", "bool", "c64", "f8e4m3", "f8e5m2"];

/// The types that are one word.
pub static TYPE_WORDS: &[(&str, TypeKind)] = &[
    ("int", TypeKind::Int),
    ("float", TypeKind::Float),
    ("bool", TypeKind::Bool),
    ("str", TypeKind::Str),
    ("fn", TypeKind::Fn),
    ("module", TypeKind::Module),
    ("list", TypeKind::List),
    ("tree", TypeKind::Tree),
];
