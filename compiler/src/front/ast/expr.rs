//! Expressions.
//!
//! Invariant: parentheses that only group leave no node, and operators are already nested by their
//! precedence. Comparisons and ranges never chain.

use super::{Block, Ident, Pattern, Type};
use crate::diag::Span;

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Int(i64),
    Float(f64),
    /// The text between the quotes, its escapes resolved.
    Str(String),
    Bool(bool),
    Name(Ident),
    /// `(a, b)`, `(x: a, y: b)`, `(a,)`, `()`.
    Tuple(Vec<Argument>),
    /// `[a, ..b]`.
    List(Vec<Element>),
    /// `[element; count]`.
    Repeat {
        element: Box<Expr>,
        count: Box<Expr>,
    },
    /// `[element for p in list if condition for …]`.
    Comprehension {
        element: Box<Element>,
        clauses: Vec<Clause>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        /// Where the operator itself stands.
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `start..end`.
    Range {
        start: Box<Expr>,
        end: Box<Expr>,
    },
    /// `value |> callee`.
    Pipe {
        value: Box<Expr>,
        callee: Box<Expr>,
    },
    Call {
        callee: Box<Expr>,
        arguments: Vec<Argument>,
    },
    /// `value[…]`: also how a typed shape is spelt in an expression, as in `fill(i64[B], 0)`.
    Index {
        value: Box<Expr>,
        indices: Vec<Index>,
    },
    /// `value.name`.
    Field {
        value: Box<Expr>,
        name: Ident,
    },
    /// `if a { … } else if b { … } else { … }`.
    If {
        branches: Vec<Branch>,
        otherwise: Option<Block>,
    },
    Block(Block),
    /// `loop i in range carry pattern = start { … }`.
    Loop {
        index: Pattern,
        range: Box<Expr>,
        carry: Carry,
        body: Block,
    },
    /// `loop while condition, at most bound carry pattern = start { … }`.
    While {
        condition: Box<Expr>,
        bound: Option<Box<Expr>>,
        carry: Carry,
        body: Block,
    },
    /// `scan t in range carry pattern = start { (carry, out) }`.
    Scan {
        index: Pattern,
        range: Box<Expr>,
        carry: Carry,
        body: Block,
    },
    /// `param [dim] = zeros`, `state i64[] = 0 as "calls"`: at home in a member's value, lists of those, and `if`.
    Declare {
        kind: DeclareKind,
        ty: Type,
        init: Box<Expr>,
        name: Option<Box<Expr>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeclareKind {
    Param,
    State,
}

/// A call's argument or a tuple's field, named or not.
#[derive(Clone, Debug)]
pub struct Argument {
    pub name: Option<Ident>,
    pub value: Expr,
}

#[derive(Clone, Debug)]
pub struct Element {
    /// Whether `..` stands before it: a list poured into this one.
    pub spread: bool,
    pub value: Expr,
}

/// A part of a comprehension after its element, in the order written.
#[derive(Clone, Debug)]
pub enum Clause {
    For { pattern: Pattern, list: Expr },
    If(Expr),
}

#[derive(Clone, Debug)]
pub struct Index {
    pub kind: IndexKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum IndexKind {
    /// `i`: one place, or a list or tensor of them.
    At(Expr),
    /// `:`, `a:`, `:b`, `a:b`.
    Slice { start: Option<Expr>, end: Option<Expr> },
    /// `..`: the axes not named.
    Rest,
    /// `new`: an axis of size one.
    New,
}

/// A condition and what happens under it.
#[derive(Clone, Debug)]
pub struct Branch {
    pub condition: Expr,
    pub body: Block,
}

/// `carry pattern = start`.
#[derive(Clone, Debug)]
pub struct Carry {
    pub pattern: Pattern,
    pub start: Box<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Negate,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// Every binary operator and its spelling.
pub static BINARY_OPS: &[(BinaryOp, &str)] = &[
    (BinaryOp::Or, "or"),
    (BinaryOp::And, "and"),
    (BinaryOp::Equal, "=="),
    (BinaryOp::NotEqual, "!="),
    (BinaryOp::Less, "<"),
    (BinaryOp::LessEqual, "<="),
    (BinaryOp::Greater, ">"),
    (BinaryOp::GreaterEqual, ">="),
    (BinaryOp::Add, "+"),
    (BinaryOp::Subtract, "-"),
    (BinaryOp::Multiply, "*"),
    (BinaryOp::Divide, "/"),
    (BinaryOp::Remainder, "%"),
    (BinaryOp::Power, "^"),
];

impl BinaryOp {
    pub fn symbol(self) -> &'static str {
        let row = BINARY_OPS.iter().find(|(op, _)| *op == self);
        row.map_or("", |(_, symbol)| symbol)
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }
}

impl UnaryOp {
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negate => "-",
            UnaryOp::Not => "not",
        }
    }
}
