//! Pairs of the grammar to items of the tree.
//!
//! Invariant: recursion is bounded by `depth`, which counts the nodes above: text nests at most
//! `MAX_NESTING` brackets, and chains of operators count each as one. Nothing here panics: where a pair
//! is not what the grammar promises, building stops with `Stop` and the item is left out.

use std::collections::HashMap;
use std::iter::{Filter, Peekable};

use pest::iterators::{Pair, Pairs};

use super::grammar::Rule;
use crate::diag::{Diagnostic, FileId, Span};
use crate::front::ast::*;

/// The most nodes on a path from an item to a leaf of its tree.
pub const MAX_DEPTH: usize = 256;

/// Building the item cannot go on.
#[derive(Debug)]
pub struct Stop;

pub type Built<T> = Result<T, Stop>;

pub struct Builder<'d> {
    pub file: FileId,
    /// Where the parsed text starts in its file.
    pub base: usize,
    pub diagnostics: &'d mut Vec<Diagnostic>,
}

/// The parts of a pair in order, without the keywords between them.
pub struct Parts<'i> {
    pairs: Peekable<Filter<Pairs<'i, Rule>, Keep<'i>>>,
}

type Keep<'i> = fn(&Pair<'i, Rule>) -> bool;

impl<'i> Parts<'i> {
    pub fn of(pair: Pair<'i, Rule>) -> Parts<'i> {
        let keep: Keep<'i> = |pair| !is_keyword(pair.as_rule());
        Parts { pairs: pair.into_inner().filter(keep).peekable() }
    }

    pub fn maybe(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        self.pairs.next_if(|pair| pair.as_rule() == rule)
    }

    pub fn need(&mut self, rule: Rule) -> Built<Pair<'i, Rule>> {
        self.maybe(rule).ok_or(Stop)
    }

    pub fn any(&mut self) -> Built<Pair<'i, Rule>> {
        self.pairs.next().ok_or(Stop)
    }
}

impl<'i> Iterator for Parts<'i> {
    type Item = Pair<'i, Rule>;

    fn next(&mut self) -> Option<Pair<'i, Rule>> {
        self.pairs.next()
    }
}

/// Words and signs that say nothing once the rule they led to is known.
#[rustfmt::skip]
fn is_keyword(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        k_use | k_const | k_fn | k_let | k_if | k_else | k_for | k_in | k_loop | k_while | k_scan | k_carry
            | k_where | k_as | k_at | k_over | k_using | k_minimize | k_assert | k_metric | k_step | else_if
            | open_paren | close_paren | open_square | close_square | open_brace | close_brace | comma
            | colon_sign | semicolon | equals | arrow | times | EOI
    )
}

impl Builder<'_> {
    /// The place of a pair. The grammar may count spaces after it in; they are not part of it.
    pub fn span(&self, pair: &Pair<Rule>) -> Span {
        let start = self.base + pair.as_span().start();
        Span::new(self.file, start..start + pair.as_str().trim_end().len())
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports the names of a tuple that stand in it twice.
    pub fn each_once<'n>(&mut self, names: impl Iterator<Item = &'n Ident>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for name in names {
            if let Some(first) = seen.insert(&name.text, name.span) {
                let diagnostic = Diagnostic::error("E0304", format!("two fields are called `{}`", name.text))
                    .at(name.span, "again here")
                    .also(first, "first here");
                self.report(diagnostic);
            }
        }
    }

    pub fn ident(&self, pair: Pair<Rule>) -> Ident {
        Ident { text: pair.as_str().to_owned(), span: self.span(&pair) }
    }

    pub fn item(&mut self, pair: Pair<Rule>) -> Built<Item> {
        match pair.as_rule() {
            Rule::use_item => self.imports(pair).map(Item::Use),
            Rule::const_item => {
                let (pattern, ty, value, span) = self.binding(pair, 0)?;
                Ok(Item::Const(Const { pattern, ty, value, span }))
            }
            Rule::function => self.function(pair, 0).map(Item::Fn),
            Rule::module => self.module(pair).map(Item::Module),
            _ => Err(Stop),
        }
    }

    fn imports(&mut self, pair: Pair<Rule>) -> Built<Use> {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let path = self.ident(parts.need(Rule::use_path)?);
        let mut names = Vec::new();
        for import in parts {
            let mut parts = Parts::of(import);
            names.push(Imported {
                name: self.ident(parts.need(Rule::name)?),
                alias: parts.maybe(Rule::name).map(|name| self.ident(name)),
            });
        }
        if names.is_empty() {
            let diagnostic = Diagnostic::error("E0115", "this `use` imports nothing")
                .at(span, "no name between the braces")
                .help("name what the file needs, as in `use nn { Linear, LayerNorm }`");
            self.report(diagnostic);
        }
        Ok(Use { path, names, span })
    }

    /// `pattern: type = value`, which `let` and `const` share.
    fn binding(&mut self, pair: Pair<Rule>, depth: usize) -> Built<(Pattern, Option<Type>, Expr, Span)> {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let pattern = self.pattern(parts.need(Rule::pattern)?)?;
        let ty = match parts.maybe(Rule::ty) {
            Some(ty) => Some(self.ty(ty, depth + 1)?),
            None => None,
        };
        let value = self.expr(parts.need(Rule::expr)?, depth + 1)?;
        Ok((pattern, ty, value, span))
    }

    pub fn let_binding(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Let> {
        let (pattern, ty, value, span) = self.binding(pair, depth)?;
        Ok(Let { pattern, ty, value, span })
    }

    /// A `fn` or a `step`, which has no result.
    pub fn function(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Function> {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let name = self.ident(parts.need(Rule::name)?);
        let params = self.params(parts.need(Rule::params)?, depth)?;
        let result = match parts.maybe(Rule::result) {
            Some(result) => Some(self.ty(Parts::of(result).need(Rule::ty)?, depth + 1)?),
            None => None,
        };
        let condition = self.condition(&mut parts, depth)?;
        let body = self.block(parts.need(Rule::block)?, depth + 1)?;
        Ok(Function { name, params, result, condition, body, span })
    }

    fn params(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Vec<Param>> {
        let mut params = Vec::new();
        for param in Parts::of(pair) {
            let span = self.span(&param);
            let mut parts = Parts::of(param);
            params.push(Param {
                name: self.ident(parts.need(Rule::name)?),
                ty: self.ty(parts.need(Rule::ty)?, depth + 1)?,
                default: match parts.maybe(Rule::expr) {
                    Some(default) => Some(self.expr(default, depth + 1)?),
                    None => None,
                },
                span,
            });
        }
        Ok(params)
    }

    fn condition(&mut self, parts: &mut Parts, depth: usize) -> Built<Option<Expr>> {
        match parts.maybe(Rule::condition) {
            Some(condition) => {
                let expr = Parts::of(condition).need(Rule::expr)?;
                Ok(Some(self.expr(expr, depth + 1)?))
            }
            None => Ok(None),
        }
    }

    fn module(&mut self, pair: Pair<Rule>) -> Built<Module> {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let kind = match parts.need(Rule::k_module)?.as_str() {
            "model" => ModuleKind::Model,
            "train" => ModuleKind::Train,
            _ => ModuleKind::Module,
        };
        let name = self.ident(parts.need(Rule::name)?);
        let params = self.params(parts.need(Rule::params)?, 1)?;
        let condition = self.condition(&mut parts, 1)?;
        let mut entries = Vec::new();
        for entry in parts {
            let entry = self.entry(entry)?;
            self.check_home(kind, &name, &entry);
            entries.push(entry);
        }
        Ok(Module { kind, name, params, condition, entries, span })
    }

    pub fn entry(&mut self, pair: Pair<Rule>) -> Built<Entry> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::let_ => self.let_binding(pair, 1).map(Entry::Let),
            Rule::function => self.function(pair, 1).map(Entry::Fn),
            Rule::step => self.function(pair, 1).map(Entry::Step),
            Rule::schedule => self.schedule(pair).map(Entry::Schedule),
            Rule::member => {
                let mut parts = Parts::of(pair);
                let name = self.ident(parts.need(Rule::name)?);
                let value = self.expr(parts.need(Rule::expr)?, 2)?;
                Ok(Entry::Member(Member { name, value, span }))
            }
            _ => Err(Stop),
        }
    }

    fn schedule(&mut self, pair: Pair<Rule>) -> Built<Schedule> {
        let span = self.span(&pair);
        let mut turns = Vec::new();
        for turn in Parts::of(pair) {
            let mut parts = Parts::of(turn);
            turns.push(Turn {
                step: self.ident(parts.need(Rule::name)?),
                times: match parts.maybe(Rule::expr) {
                    Some(times) => Some(self.expr(times, 2)?),
                    None => None,
                },
            });
        }
        Ok(Schedule { turns, span })
    }

    /// Steps and schedules are what a `train` adds to a `module`.
    fn check_home(&mut self, kind: ModuleKind, name: &Ident, entry: &Entry) {
        let (what, span) = match entry {
            Entry::Step(step) => ("`step`", step.name.span),
            Entry::Schedule(schedule) => ("`loop` schedule", schedule.span),
            _ => return,
        };
        if kind != ModuleKind::Train {
            let diagnostic = Diagnostic::error("E0113", format!("a {what} belongs in a `train`"))
                .at(span, "here")
                .also(name.span, format!("`{}` is not a `train`", name.text))
                .help("move it to a `train`, or make it a `fn`");
            self.report(diagnostic);
        }
    }
}
