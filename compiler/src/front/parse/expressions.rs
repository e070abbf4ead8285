//! Expressions: operands, what follows them, brackets and regions.
//!
//! Invariant: `expr` is the only way back into expressions and it checks the depth first; each operator
//! and each call, index or field on an operand counts as one level, for that is how the tree nests.

use pest::iterators::Pair;

use super::build::{Builder, Built, MAX_DEPTH, Parts, Stop};
use super::grammar::Rule;
use super::{literals, operators};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::*;

impl Builder<'_> {
    pub fn expr(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let is_operator = |pair: &Pair<Rule>| matches!(pair.as_rule(), Rule::prefix | Rule::infix);
        let depth = depth + pair.clone().into_inner().filter(is_operator).count() + 1;
        self.check_depth(self.span(&pair), depth)?;
        let mut parts = Parts::of(pair).peekable();
        let mut flat = Vec::new();
        while let Some(part) = parts.next() {
            let span = self.span(&part);
            flat.push(match part.as_rule() {
                Rule::prefix => operators::Flat::Prefix(operators::unary(part.as_str()), span),
                Rule::infix => operators::Flat::Infix(part.as_str(), span),
                _ => {
                    let mut after = Vec::new();
                    while let Some(next) = parts.next_if(|next| is_postfix(next.as_rule())) {
                        after.push(next);
                    }
                    self.check_depth(span, depth + after.len())?;
                    let mut operand = self.primary(part, depth + after.len())?;
                    for next in after {
                        operand = self.postfix(operand, next, depth)?;
                    }
                    operators::Flat::Operand(operand)
                }
            });
        }
        operators::nest(flat, self.diagnostics).ok_or(Stop)
    }

    pub fn check_depth(&mut self, span: Span, depth: usize) -> Built<()> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        let diagnostic = Diagnostic::error("E0111", "this is nested too deeply")
            .at(span, format!("more than {MAX_DEPTH} steps deep"))
            .help("name parts of it with `let`");
        self.report(diagnostic);
        Err(Stop)
    }

    fn postfix(&mut self, value: Expr, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = value.span.to(self.span(&pair));
        let value = Box::new(value);
        let kind = match pair.as_rule() {
            Rule::call => ExprKind::Call { callee: value, arguments: self.arguments(pair, depth)? },
            Rule::index => {
                let places = Parts::of(pair).map(|place| self.place(place, depth));
                ExprKind::Index { value, indices: places.collect::<Built<_>>()? }
            }
            _ => ExprKind::Field { value, name: self.ident(Parts::of(pair).need(Rule::name)?) },
        };
        Ok(Expr { kind, span })
    }

    fn primary(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => literals::number(pair.as_str(), span, self.diagnostics),
            Rule::string => ExprKind::Str(literals::string(pair.as_str(), span, self.diagnostics)),
            Rule::truth => ExprKind::Bool(pair.as_str() == "true"),
            Rule::name => ExprKind::Name(self.ident(pair)),
            Rule::tuple => return self.tuple(pair, depth),
            Rule::list => self.list(pair, depth)?,
            Rule::if_ => self.branches(pair, depth)?,
            Rule::block => ExprKind::Block(self.block(pair, depth)?),
            Rule::loop_ | Rule::scan_ => self.counted(pair, depth)?,
            Rule::while_ => self.while_loop(pair, depth)?,
            Rule::declaration => self.declaration(pair, depth)?,
            _ => return Err(Stop),
        };
        Ok(Expr { kind, span })
    }

    fn arguments(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Vec<Argument>> {
        let arguments = Parts::of(pair).filter(|part| part.as_rule() == Rule::argument);
        arguments.map(|part| self.argument(part, depth)).collect()
    }

    fn argument(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Argument> {
        let mut parts = Parts::of(pair);
        Ok(Argument {
            name: parts.maybe(Rule::name).map(|name| self.ident(name)),
            value: self.next_expr(&mut parts, depth)?,
        })
    }

    /// Parentheses around one unnamed value only group; a comma or a name makes a tuple.
    fn tuple(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        let mut inner = pair.clone().into_inner();
        let trailing = inner.any(|part| part.as_rule() == Rule::trailing);
        let mut fields = self.arguments(pair, depth)?;
        let groups = fields.len() == 1 && !trailing && fields[0].name.is_none();
        match fields.pop() {
            Some(only) if groups => Ok(Expr { span, ..only.value }),
            last => {
                fields.extend(last);
                self.each_once(fields.iter().filter_map(|field| field.name.as_ref()));
                let kind = ExprKind::Tuple(fields);
                Ok(Expr { kind, span })
            }
        }
    }

    fn list(&mut self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut elements = Vec::new();
        let mut clauses = Vec::new();
        for part in Parts::of(pair) {
            match part.as_rule() {
                Rule::element => elements.push(self.element(part, depth)?),
                Rule::repeat => {
                    let count = self.next_expr(&mut Parts::of(part), depth)?;
                    return self.repeat(elements.pop().ok_or(Stop)?, count);
                }
                _ => clauses.push(self.clause(part, depth)?),
            }
        }
        if clauses.is_empty() {
            return Ok(ExprKind::List(elements));
        }
        let element = Box::new(elements.pop().ok_or(Stop)?);
        Ok(ExprKind::Comprehension { element, clauses })
    }

    fn repeat(&mut self, element: Element, count: Expr) -> Built<ExprKind> {
        if element.spread {
            let diagnostic = Diagnostic::error("E0101", "`..` cannot be repeated")
                .at(element.value.span, "poured into the list, so it has no count")
                .help("write `[..x for _ in 0..n]`");
            self.report(diagnostic);
        }
        Ok(ExprKind::Repeat { element: Box::new(element.value), count: Box::new(count) })
    }

    fn element(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Element> {
        let mut parts = Parts::of(pair);
        Ok(Element { spread: parts.maybe(Rule::rest).is_some(), value: self.next_expr(&mut parts, depth)? })
    }

    fn clause(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Clause> {
        let rule = pair.as_rule();
        let mut parts = Parts::of(pair);
        match rule {
            Rule::each => Ok(Clause::For {
                pattern: self.pattern(parts.need(Rule::pattern)?)?,
                list: self.next_expr(&mut parts, depth)?,
            }),
            _ => Ok(Clause::If(self.next_expr(&mut parts, depth)?)),
        }
    }

    fn place(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Index> {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let mut kind = match () {
            _ if parts.maybe(Rule::k_new).is_some() => return Ok(place(IndexKind::New, span)),
            _ if parts.maybe(Rule::rest).is_some() => return Ok(place(IndexKind::Rest, span)),
            _ => match parts.maybe(Rule::expr) {
                Some(expr) => IndexKind::At(self.expr(expr, depth)?),
                None => IndexKind::Slice { start: None, end: None },
            },
        };
        if parts.maybe(Rule::colon).is_some() {
            kind = IndexKind::Slice {
                start: match kind {
                    IndexKind::At(start) => Some(start),
                    _ => None,
                },
                end: match parts.maybe(Rule::expr) {
                    Some(end) => Some(self.expr(end, depth)?),
                    None => None,
                },
            };
        }
        Ok(place(kind, span))
    }

    fn branches(&mut self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut branches = Vec::new();
        let mut otherwise = None;
        for part in Parts::of(pair) {
            let rest = match part.as_rule() {
                Rule::block => {
                    otherwise = Some(self.block(part, depth)?);
                    continue;
                }
                Rule::branch => Parts::of(part).need(Rule::branch_rest)?,
                _ => part,
            };
            let mut parts = Parts::of(rest);
            branches.push(Branch {
                condition: self.next_expr(&mut parts, depth)?,
                body: self.block(parts.need(Rule::block)?, depth)?,
            });
        }
        Ok(ExprKind::If { branches, otherwise })
    }

    /// `loop` over a range, and `scan`.
    fn counted(&mut self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let is_scan = pair.as_rule() == Rule::scan_;
        let mut parts = Parts::of(pair);
        let index = self.pattern(parts.need(Rule::pattern)?)?;
        let range = Box::new(self.next_expr(&mut parts, depth)?);
        let carry = self.carry(parts.need(Rule::carry)?, depth)?;
        let body = self.block(parts.need(Rule::block)?, depth)?;
        Ok(match is_scan {
            true => ExprKind::Scan { index, range, carry, body },
            false => ExprKind::Loop { index, range, carry, body },
        })
    }

    fn while_loop(&mut self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut parts = Parts::of(pair);
        let condition = Box::new(self.next_expr(&mut parts, depth)?);
        let bound = match parts.maybe(Rule::bound) {
            Some(bound) => Some(Box::new(self.next_expr(&mut Parts::of(bound), depth)?)),
            None => None,
        };
        Ok(ExprKind::While {
            condition,
            bound,
            carry: self.carry(parts.need(Rule::carry)?, depth)?,
            body: self.block(parts.need(Rule::block)?, depth)?,
        })
    }

    fn declaration(&mut self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut parts = Parts::of(pair);
        let kind = match parts.need(Rule::declare)?.as_str() {
            "param" => DeclareKind::Param,
            _ => DeclareKind::State,
        };
        Ok(ExprKind::Declare {
            kind,
            ty: self.ty(parts.need(Rule::ty)?, depth)?,
            init: Box::new(self.next_expr(&mut parts, depth)?),
            name: match parts.maybe(Rule::expr) {
                Some(name) => Some(Box::new(self.expr(name, depth)?)),
                None => None,
            },
        })
    }
}

fn is_postfix(rule: Rule) -> bool {
    matches!(rule, Rule::call | Rule::index | Rule::field)
}

fn place(kind: IndexKind, span: Span) -> Index {
    Index { kind, span }
}
