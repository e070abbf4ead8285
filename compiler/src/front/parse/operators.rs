//! Flat runs of operands and operators to nested expressions.
//!
//! Invariant: precedence is this file's table and nothing else. Recursion goes as deep as there are
//! prefixes and `^`s in the run, which the caller has bounded.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::diag::{Diagnostic, Span};
use crate::front::ast::*;

pub enum Flat<'i> {
    Operand(Expr),
    Prefix(UnaryOp, Span),
    Infix(&'i str, Span),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    /// Two of one level in a row are an error.
    Neither,
}

/// From loosest to tightest.
const LEVELS: &[(&[&str], Side)] = &[
    (&[".."], Side::Neither),
    (&["|>"], Side::Left),
    (&["or"], Side::Left),
    (&["and"], Side::Left),
    (&["not"], Side::Right),
    (&["==", "!=", "<", "<=", ">", ">="], Side::Neither),
    (&["+", "-"], Side::Left),
    (&["*", "/", "%"], Side::Left),
    (&["unary -"], Side::Right),
    (&["^"], Side::Right),
];

fn level(symbol: &str) -> Option<(usize, Side)> {
    let level = LEVELS.iter().position(|(symbols, _)| symbols.contains(&symbol))?;
    Some((level, LEVELS[level].1))
}

pub fn unary(text: &str) -> UnaryOp {
    match text.trim_end() {
        "not" => UnaryOp::Not,
        _ => UnaryOp::Negate,
    }
}

/// The expression that the run spells; `None` where operands and operators do not alternate, which the
/// grammar rules out.
pub fn nest(flat: Vec<Flat>, diagnostics: &mut Vec<Diagnostic>) -> Option<Expr> {
    let mut nester = Nester { flat: flat.into_iter().peekable(), diagnostics };
    nester.climb(0)
}

struct Nester<'i, 'd> {
    flat: Peekable<IntoIter<Flat<'i>>>,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl Nester<'_, '_> {
    /// The longest expression from here whose operators all bind at least as tightly as `least`.
    fn climb(&mut self, least: usize) -> Option<Expr> {
        let mut left = match self.flat.next()? {
            Flat::Operand(operand) => operand,
            Flat::Prefix(op, span) => self.prefixed(op, span)?,
            Flat::Infix(..) => return None,
        };
        let mut before: Option<(usize, Span)> = None;
        while let Some(Flat::Infix(symbol, span)) = self.flat.peek() {
            let (symbol, span) = (symbol.trim_end(), *span);
            let (level, side) = level(symbol)?;
            if level < least {
                break;
            }
            self.flat.next();
            if let Some((same, first)) = before
                && side == Side::Neither
                && same == level
            {
                self.chained(symbol, first, span);
            }
            before = Some((level, span));
            let right = self.climb(level + usize::from(side != Side::Right))?;
            left = join(left, symbol, span, right);
        }
        Some(left)
    }

    fn prefixed(&mut self, op: UnaryOp, span: Span) -> Option<Expr> {
        let symbol = match op {
            UnaryOp::Negate => "unary -",
            UnaryOp::Not => "not",
        };
        let operand = Box::new(self.climb(level(symbol)?.0)?);
        Some(Expr { span: span.to(operand.span), kind: ExprKind::Unary { op, operand } })
    }

    fn chained(&mut self, symbol: &str, first: Span, second: Span) {
        let diagnostic = match symbol {
            ".." => Diagnostic::error("E0109", "ranges do not chain")
                .help("a range counts by one; multiply the index for larger steps"),
            _ => {
                Diagnostic::error("E0109", "comparisons do not chain").help("compare two at a time: `a < b and b < c`")
            }
        };
        let diagnostic = diagnostic.at(second, "the second").also(first, "the first");
        self.diagnostics.push(diagnostic);
    }
}

fn join(left: Expr, symbol: &str, op_span: Span, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    let (left, right) = (Box::new(left), Box::new(right));
    let binary = BINARY_OPS.iter().find(|(_, spelling)| *spelling == symbol);
    let kind = match (symbol, binary) {
        (_, Some((op, _))) => ExprKind::Binary { op: *op, op_span, left, right },
        ("..", _) => ExprKind::Range { start: left, end: right },
        _ => ExprKind::Pipe { value: left, callee: right },
    };
    Expr { kind, span }
}
