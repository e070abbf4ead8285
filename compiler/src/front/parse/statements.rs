//! Blocks, statements and patterns.
//!
//! Invariant: the last statement of a block, where it is an expression, is the block's value; what
//! stands left of `=` or `<-` can be assigned to, or was reported.

use pest::iterators::Pair;

use super::build::{Builder, Built, Parts, Stop};
use super::grammar::Rule;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::*;

impl Builder<'_> {
    pub fn block(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Block> {
        let span = self.span(&pair);
        self.check_depth(span, depth)?;
        let mut statements = Vec::new();
        for statement in Parts::of(pair) {
            statements.push(self.statement(statement, depth + 1)?);
        }
        let value = match statements.pop() {
            Some(Statement { kind: StatementKind::Expr(value), .. }) => Some(Box::new(value)),
            other => {
                statements.extend(other);
                None
            }
        };
        Ok(Block { statements, value, span })
    }

    pub fn statement(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Statement> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::let_ => StatementKind::Let(self.let_binding(pair, depth)?),
            Rule::function => StatementKind::Fn(self.function(pair, depth)?),
            Rule::for_ => self.for_statement(pair, depth)?,
            Rule::minimize => self.minimize(pair, depth)?,
            Rule::metric => {
                let mut parts = Parts::of(pair);
                StatementKind::Metric {
                    name: self.ident(parts.need(Rule::name)?),
                    value: self.next_expr(&mut parts, depth)?,
                }
            }
            Rule::assert_ => {
                let mut parts = Parts::of(pair);
                StatementKind::Assert {
                    condition: self.next_expr(&mut parts, depth)?,
                    message: match parts.maybe(Rule::expr) {
                        Some(message) => Some(self.expr(message, depth)?),
                        None => None,
                    },
                }
            }
            Rule::assign => self.assign(pair, depth)?,
            _ => return Err(Stop),
        };
        Ok(Statement { kind, span })
    }

    fn for_statement(&mut self, pair: Pair<Rule>, depth: usize) -> Built<StatementKind> {
        let mut parts = Parts::of(pair);
        Ok(StatementKind::For {
            pattern: self.pattern(parts.need(Rule::pattern)?)?,
            list: self.next_expr(&mut parts, depth)?,
            body: self.block(parts.need(Rule::block)?, depth)?,
        })
    }

    fn minimize(&mut self, pair: Pair<Rule>, depth: usize) -> Built<StatementKind> {
        let mut parts = Parts::of(pair);
        let loss = self.next_expr(&mut parts, depth)?;
        let mut updates = Vec::new();
        for update in parts {
            let mut parts = Parts::of(update);
            updates.push(Update {
                target: self.next_expr(&mut parts, depth)?,
                optimizer: self.next_expr(&mut parts, depth)?,
            });
        }
        Ok(StatementKind::Minimize { loss, updates })
    }

    pub fn next_expr(&mut self, parts: &mut Parts, depth: usize) -> Built<Expr> {
        self.expr(parts.need(Rule::expr)?, depth)
    }

    fn assign(&mut self, pair: Pair<Rule>, depth: usize) -> Built<StatementKind> {
        let mut parts = Parts::of(pair);
        let left = self.next_expr(&mut parts, depth)?;
        let Some(sign) = parts.next() else {
            return Ok(StatementKind::Expr(left));
        };
        let value = self.next_expr(&mut parts, depth)?;
        let span = left.span;
        match sign.as_rule() {
            Rule::rebind => {
                if let Some(pattern) = as_pattern(&left) {
                    return Ok(StatementKind::Rebind { pattern, value });
                }
                let written = matches!(left.kind, ExprKind::Field { .. } | ExprKind::Index { .. });
                self.refuse(span, "=", "a name or a tuple of names", written);
            }
            _ if is_path(&left) => {
                return Ok(StatementKind::Write { target: left, value });
            }
            _ => self.refuse(span, "<-", "a `state`, by name or path", false),
        }
        Ok(StatementKind::Expr(value))
    }

    fn refuse(&mut self, span: Span, sign: &str, wanted: &str, part: bool) {
        let mut diagnostic = Diagnostic::error("E0112", format!("`{sign}` cannot assign to this"))
            .at(span, format!("left of `{sign}` stands {wanted}"));
        if part {
            diagnostic = diagnostic.help(
                "values do not change in part: `update(x, part, axis: 0, at: i)` makes a new one, \
                 and `<-` writes a `state`",
            );
        }
        self.report(diagnostic);
    }

    pub fn pattern(&mut self, pair: Pair<Rule>) -> Built<Pattern> {
        let span = self.span(&pair);
        let part = Parts::of(pair).any()?;
        let kind = match part.as_rule() {
            Rule::name => name_pattern(self.ident(part)),
            _ => {
                let parts: Built<_> = Parts::of(part).map(|part| self.pattern(part)).collect();
                PatternKind::Tuple(parts?)
            }
        };
        Ok(Pattern { kind, span })
    }

    pub fn carry(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Carry> {
        let mut parts = Parts::of(pair);
        Ok(Carry {
            pattern: self.pattern(parts.need(Rule::pattern)?)?,
            start: Box::new(self.next_expr(&mut parts, depth)?),
        })
    }
}

fn name_pattern(name: Ident) -> PatternKind {
    match name.is_wildcard() {
        true => PatternKind::Wildcard,
        false => PatternKind::Name(name),
    }
}

/// The pattern that an expression left of `=` spells.
fn as_pattern(expr: &Expr) -> Option<Pattern> {
    let kind = match &expr.kind {
        ExprKind::Name(name) => name_pattern(name.clone()),
        ExprKind::Tuple(fields) => {
            let unnamed = |field: &Argument| match field.name {
                None => as_pattern(&field.value),
                Some(_) => None,
            };
            PatternKind::Tuple(fields.iter().map(unnamed).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    let span = expr.span;
    Some(Pattern { kind, span })
}

/// `h`, `m.codes`, `blocks[0].cache`.
fn is_path(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(name) => !name.is_wildcard(),
        ExprKind::Field { value, .. } | ExprKind::Index { value, .. } => is_path(value),
        _ => false,
    }
}
