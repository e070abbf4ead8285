//! The typed syntax tree of a spec: what was written, not yet what it means.
//!
//! Invariant: every node carries the span of its text. The tree resolves nothing: `bool[B]` in an
//! expression is an index into the name `bool`, and the elaborator decides what that is. Depth is
//! bounded by [`crate::front::parse::MAX_DEPTH`], so recursion over a tree is safe.

pub mod dump;
mod expr;
mod ty;

pub use expr::*;
pub use ty::*;

use crate::diag::{FileId, Span};

/// A name as written. `_` is a name too: patterns take it for "whatever", sizes for "inferred".
#[derive(Clone, Debug)]
pub struct Ident {
    pub text: String,
    pub span: Span,
}

impl Ident {
    pub fn is_wildcard(&self) -> bool {
        self.text == "_"
    }
}

#[derive(Clone, Debug)]
pub struct File {
    pub id: FileId,
    /// The `//!` lines at the top, without their marks.
    pub docs: Vec<String>,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug)]
pub enum Item {
    Use(Use),
    Const(Const),
    Fn(Function),
    Module(Module),
}

impl Item {
    pub fn span(&self) -> Span {
        match self {
            Item::Use(item) => item.span,
            Item::Const(item) => item.span,
            Item::Fn(item) => item.span,
            Item::Module(item) => item.span,
        }
    }
}

/// `use nn { Linear, Conv2d as Conv }`, `use ./unet { UNet }`.
#[derive(Clone, Debug)]
pub struct Use {
    /// The path as written, its parts joined by `/`: `nn`, `./unet`, `../vision/vit`.
    pub path: Ident,
    pub names: Vec<Imported>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Imported {
    pub name: Ident,
    /// The name it has in this file, where `as` gives it another.
    pub alias: Option<Ident>,
}

impl Imported {
    /// The name by which this file knows it.
    pub fn local(&self) -> &Ident {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// `const depth = 12`, `const (a, b) = pair`.
#[derive(Clone, Debug)]
pub struct Const {
    pub pattern: Pattern,
    pub ty: Option<Type>,
    pub value: Expr,
    pub span: Span,
}

/// A `fn`, at the top, in a module, in a block; or a `step` of a `train`.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: Ident,
    pub params: Vec<Param>,
    pub result: Option<Type>,
    pub condition: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

impl Function {
    /// The span from the keyword to the last part before the body.
    pub fn header(&self) -> Span {
        let mut header = self.span;
        header.end = self.body.span.start;
        header
    }
}

#[derive(Clone, Debug)]
pub struct Param {
    pub name: Ident,
    pub ty: Type,
    pub default: Option<Expr>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModuleKind {
    /// A building block.
    Module,
    /// A module that can be compiled by name.
    Model,
    /// Holds steps and a schedule besides what a module holds.
    Train,
}

/// A `module`, `model` or `train`.
#[derive(Clone, Debug)]
pub struct Module {
    pub kind: ModuleKind,
    pub name: Ident,
    pub params: Vec<Param>,
    pub condition: Option<Expr>,
    /// In the order written: config, members and functions may be mixed.
    pub entries: Vec<Entry>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Entry {
    /// Config, readable from outside as `m.name`.
    Let(Let),
    Member(Member),
    Fn(Function),
    /// `step name(…) { … }`, only in a `train`.
    Step(Function),
    /// `loop { critic * 5, generator }`, only in a `train`.
    Schedule(Schedule),
}

/// `name = value`: a sub-module, a list of them, or a declared `param` or `state`.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: Ident,
    pub value: Expr,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    pub turns: Vec<Turn>,
    pub span: Span,
}

/// One entry of a schedule: the step to take, and how many times in a row.
#[derive(Clone, Debug)]
pub struct Turn {
    pub step: Ident,
    pub times: Option<Expr>,
}

/// `{ … }`: statements, and the expression it ends with, where it ends with one.
#[derive(Clone, Debug)]
pub struct Block {
    pub statements: Vec<Statement>,
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StatementKind {
    Let(Let),
    /// A function local to its block.
    Fn(Function),
    /// `x = value`, `(h, kept) = value`.
    Rebind {
        pattern: Pattern,
        value: Expr,
    },
    /// `target <- value`: the target is a name or a path such as `m.codes`.
    Write {
        target: Expr,
        value: Expr,
    },
    /// `for pattern in list { … }`.
    For {
        pattern: Pattern,
        list: Expr,
        body: Block,
    },
    /// `minimize loss over M using O over N using P`.
    Minimize {
        loss: Expr,
        updates: Vec<Update>,
    },
    /// `metric name = value`.
    Metric {
        name: Ident,
        value: Expr,
    },
    /// `assert condition, "message"`.
    Assert {
        condition: Expr,
        message: Option<Expr>,
    },
    /// Any other expression; the last one of a block is its `value` instead.
    Expr(Expr),
}

/// `let pattern: type = value`.
#[derive(Clone, Debug)]
pub struct Let {
    pub pattern: Pattern,
    pub ty: Option<Type>,
    pub value: Expr,
    pub span: Span,
}

/// `over target using optimizer`.
#[derive(Clone, Debug)]
pub struct Update {
    pub target: Expr,
    pub optimizer: Expr,
}

/// `x`, `_`, `(a, (b, _))`.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub kind: PatternKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum PatternKind {
    Name(Ident),
    Wildcard,
    Tuple(Vec<Pattern>),
}
