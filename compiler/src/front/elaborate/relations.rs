//! What the `where` of an entry says about its sizes: their ranges, what divides them, and which of them others make up.
//!
//! Invariant: a size is bound once, before any argument is made. It is at least one, unless `where N >= 0` allows none;
//! `where H % 8 == 0` makes H stand for 8 times the symbol `H_8`, so that division comes out whole; and `where M == N + 1`
//! makes M stand for `N + 1`.

use indexmap::IndexSet;

use super::Elaborator;
use super::implied::dims_of;
use super::report::Outcome;
use super::scope::Env;
use super::spoken::Part;
use super::value::Value;
use super::wheres::names_in;
use crate::diag::Span;
use crate::front::ast::{BinaryOp, Expr, ExprKind, Function, Ident, Param};
use crate::graph::{Dim, Symbol};

/// A clause of a `where` that says something about a size by itself.
enum Fact<'a> {
    Multiple(&'a str, i64),
    Equal(&'a str, &'a Expr),
}

/// The sizes of an entry, what is said of them, and those whose meaning is being found.
struct Sizes<'a> {
    names: Vec<&'a str>,
    facts: Vec<Fact<'a>>,
    waiting: Vec<&'a str>,
}

impl<'a> Sizes<'a> {
    fn equal_to(&self, name: &str) -> Vec<&'a Expr> {
        let equal = |fact: &Fact<'a>| match fact {
            Fact::Equal(of, expr) if *of == name => Some(*expr),
            _ => None,
        };
        self.facts.iter().filter_map(equal).collect()
    }

    /// Whether a clause says which number this size is.
    fn is_number(&self, name: &str) -> bool {
        self.equal_to(name).into_iter().any(|expr| {
            let mut mentioned = Vec::new();
            names_in(expr, &mut mentioned, 0);
            !mentioned.iter().any(|other| self.names.contains(other))
        })
    }

    /// `H_8`, where clauses say that 8 divides H.
    fn part(&self, name: &str) -> Option<Part> {
        let by = self.facts.iter().fold(1i64, |factor, fact| match fact {
            Fact::Multiple(of, by) if *of == name => lcm(factor, *by),
            _ => factor,
        });
        let mut symbol = format!("{name}_{by}");
        while self.names.contains(&symbol.as_str()) {
            symbol.push('_');
        }
        (by > 1).then(|| Part { symbol: Symbol::new(symbol), of: name.to_string(), by })
    }
}

impl<'a> Elaborator<'a> {
    /// Gives every size in a parameter's type a symbol, or what is known of it; those that stand in expressions only.
    pub fn bind_symbols(
        &mut self,
        function: &'a Function,
        tensors: &[&'a Param],
        env: &mut Env<'a>,
    ) -> Outcome<Vec<&'a Ident>> {
        let mut sizes = Sizes { names: Vec::new(), facts: Vec::new(), waiting: Vec::new() };
        let mut expressions = Vec::new();
        tensors.iter().for_each(|param| dims_of(&param.ty, &mut expressions, &mut sizes.names));
        let implied = self.implied_sizes(tensors, env)?;
        sizes.names.extend(implied.iter().map(|name| name.text.as_str()));
        for expr in expressions {
            self.quotients(expr, &implied, env, &mut sizes.facts);
        }
        if let Some(condition) = &function.condition {
            self.facts(condition, env, &mut sizes.facts);
        }
        let mut own = IndexSet::new();
        for name in sizes.names.iter().copied() {
            if self.may_bind(name, env)? {
                own.insert(name);
            }
        }
        for name in sizes.names.clone() {
            self.bind_symbol(name, &mut sizes, env)?;
        }
        let size = |name: &'a str| Some((name, env.locals.find(name)?.value.borrow().as_dim()?));
        let mut known: Vec<(&'a str, Dim)> = own.into_iter().filter_map(size).collect();
        self.fix_sizes(&mut known);
        for (name, size) in known {
            let own = Symbol::new(name);
            self.entry.named.push((own.clone(), size.clone()));
            if size.as_symbol() != Some(&own) {
                self.substitution.push((own, size.clone()));
            }
            env.locals.bind(name, Value::size(size), self.frames.len());
        }
        Ok(implied)
    }

    /// `H / 8` as an axis says that 8 divides H, where nothing but the axis says what H is.
    fn quotients(&mut self, expr: &'a Expr, of: &[&'a Ident], env: &mut Env<'a>, facts: &mut Vec<Fact<'a>>) {
        let ExprKind::Binary { op, left, right, .. } = &expr.kind else { return };
        if let (BinaryOp::Divide, ExprKind::Name(name)) = (op, &left.kind)
            && of.iter().any(|own| own.text == name.text)
        {
            self.divisible(left, right, env, facts);
        }
        self.quotients(left, of, env, facts);
        self.quotients(right, of, env, facts);
    }

    /// A size that is fixed from outside fixes the symbol that it is made of, as `M == N + 1` does with N. One that cannot be
    /// what it shall be is that all the same: its `where` then says what is wrong.
    fn fix_sizes(&self, known: &mut [(&'a str, Dim)]) {
        for idx in 0..known.len() {
            let Some(wanted) = self.options.fixed(&self.entry.name, known[idx].0) else { continue };
            let found = solved(&known[idx].1, wanted);
            for (_, size) in known.iter_mut() {
                let replace = |own: &Symbol| {
                    let (symbol, value) = found.as_ref()?;
                    (own == symbol).then(|| Dim::constant(*value))
                };
                *size = size.substitute(&replace);
            }
            known[idx].1 = Dim::constant(wanted);
        }
    }

    fn bind_symbol(&mut self, name: &'a str, sizes: &mut Sizes<'a>, env: &mut Env<'a>) -> Outcome<()> {
        if sizes.waiting.contains(&name) || !self.may_bind(name, env)? {
            return Ok(());
        }
        sizes.waiting.push(name);
        let made = self.made_of(name, sizes, env)?;
        sizes.waiting.pop();
        let size = match (made, sizes.part(name)) {
            (Some(size), _) => size,
            (None, Some(part)) => {
                let size = Dim::from(&part.symbol) * part.by;
                self.parts.push(part);
                size
            }
            (None, None) => Dim::symbol(name),
        };
        env.locals.bind(name, Value::size(size), self.frames.len());
        Ok(())
    }

    /// What the clauses `name == …` say, once the sizes in them have their meaning; a number before anything else.
    fn made_of(&mut self, name: &'a str, sizes: &mut Sizes<'a>, env: &mut Env<'a>) -> Outcome<Option<Dim>> {
        let mut found = None;
        for expr in sizes.equal_to(name) {
            let mut mentioned = Vec::new();
            names_in(expr, &mut mentioned, 0);
            // Of two sizes that are the same, the one that comes first gives the other its name.
            let is_name = matches!(expr.kind, ExprKind::Name(_));
            for other in &mentioned {
                if sizes.names.contains(other) && (!is_name || sizes.is_number(other)) {
                    self.bind_symbol(other, sizes, env)?;
                }
            }
            let mut known = true;
            for other in mentioned {
                known &= self.find(other, env)?.is_some();
            }
            if known && let Some(made) = self.eval(expr, env).ok().and_then(|value| value.as_dim()) {
                if made.as_constant().is_some() {
                    return Ok(Some(made));
                }
                found = found.or(Some(made));
            }
        }
        Ok(found)
    }

    fn facts(&mut self, condition: &'a Expr, env: &mut Env<'a>, facts: &mut Vec<Fact<'a>>) {
        let ExprKind::Binary { op, left, right, .. } = &condition.kind else { return };
        match op {
            BinaryOp::And => {
                self.facts(left, env, facts);
                self.facts(right, env, facts);
            }
            BinaryOp::Equal => {
                for (one, other) in [(left, right), (right, left)] {
                    if let ExprKind::Name(name) = &one.kind
                        && is_size(&name.text)
                    {
                        facts.push(Fact::Equal(&name.text, other));
                    }
                }
                for side in [left, right] {
                    if let ExprKind::Binary { op: BinaryOp::Divide, left: whole, right: by, .. } = &side.kind {
                        self.divisible(whole, by, env, facts);
                    }
                }
                if let (ExprKind::Binary { op: BinaryOp::Remainder, left: whole, right: by, .. }, ExprKind::Int(0)) =
                    (&left.kind, &right.kind)
                {
                    self.divisible(whole, by, env, facts);
                }
            }
            _ => {}
        }
    }

    fn divisible(&mut self, whole: &'a Expr, by: &'a Expr, env: &mut Env<'a>, facts: &mut Vec<Fact<'a>>) {
        let mut mentioned = Vec::new();
        names_in(by, &mut mentioned, 0);
        if let ExprKind::Name(name) = &whole.kind
            && is_size(&name.text)
            && mentioned.into_iter().all(|name| matches!(self.find(name, env), Ok(Some(_))))
            && let Ok(Value::Int(by)) = self.eval(by, env)
            && (2..=1 << 20).contains(&by)
        {
            facts.push(Fact::Multiple(&name.text, by));
        }
    }

    /// `N <= 2048` becomes the range of N.
    pub fn declare_ranges(&mut self, condition: &'a Expr, env: &mut Env<'a>) -> Outcome<()> {
        let ExprKind::Binary { op, left, right, .. } = &condition.kind else { return Ok(()) };
        if *op == BinaryOp::And {
            self.declare_ranges(left, env)?;
            return self.declare_ranges(right, env);
        }
        let (a, b, op) = match (is_name(left), is_name(right)) {
            (true, _) => (left, right, *op),
            (_, true) => (right, left, mirrored(*op)),
            _ => return Ok(()),
        };
        if !matches!(op, BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual) {
            return Ok(());
        }
        let (size, bound) = (self.eval(a, env)?, self.eval(b, env)?);
        if let (Value::Size(size), Value::Int(bound)) = (size, bound) {
            self.declare_range(&size, op, bound);
        }
        Ok(())
    }

    fn declare_range(&mut self, size: &Dim, op: BinaryOp, bound: i64) {
        let Some((factor, symbol)) = times_symbol(size) else { return };
        let Some(frame) = self.frames.first_mut() else { return };
        let ranges = &mut frame.graph.sizes;
        let known = ranges.get(&symbol);
        let low = known.and_then(|range| range.low.as_constant()).unwrap_or(1);
        let high = known.and_then(|range| range.high.as_ref()?.as_constant());
        let less = |by: i64| bound.saturating_sub(by).div_euclid(factor);
        let most = |bound: i64| Some(high.map_or(bound, |high| high.min(bound)));
        // One is the least size unless a clause says otherwise; of several clauses the tightest counts.
        let least = |bound: i64| if low == 1 { bound } else { low.max(bound) };
        let (low, high) = match op {
            BinaryOp::LessEqual => (low, most(less(0))),
            BinaryOp::Less => (low, most(less(1))),
            BinaryOp::GreaterEqual => (least(-(-bound).div_euclid(factor)), high),
            _ => (least(less(0).saturating_add(1)), high),
        };
        ranges.declare(symbol, Dim::constant(low), high.map(Dim::constant));
    }

    /// Ranges that contradict each other leave nothing to call the entry with.
    pub fn no_empty_range(&mut self, condition: Span) -> Outcome<()> {
        let ranges = self.frames.first().into_iter().flat_map(|frame| frame.graph.sizes.iter());
        let empty = ranges.into_iter().find_map(|range| {
            let (low, high) = (range.low.as_constant()?, range.high.as_ref()?.as_constant()?);
            (high < low).then(|| (range.symbol.clone(), low, high))
        });
        let Some((symbol, low, high)) = empty else { return Ok(()) };
        let message = format!("no size fits this `where`: {symbol} is at least {low} and at most {high}");
        self.error("E0207", message, condition, "this is never so")
    }
}

/// The symbol of a size that has this value, and its own value.
fn solved(size: &Dim, wanted: i64) -> Option<(Symbol, i64)> {
    let mut symbol = None;
    size.for_each_symbol(&mut |own| symbol = Some(own.clone()));
    let symbol = symbol?;
    let (slope, rest) = size.affine_in(&symbol)?;
    let value = (&Dim::constant(wanted) - &rest).exact_div(&slope)?.as_constant()?;
    (value >= 0).then_some((symbol, value))
}

fn is_size(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

fn is_name(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Name(_))
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEqual => BinaryOp::GreaterEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEqual => BinaryOp::LessEqual,
        other => other,
    }
}

/// `8*H_8` as (8, H_8).
fn times_symbol(size: &Dim) -> Option<(i64, Symbol)> {
    let mut symbol = None;
    size.for_each_symbol(&mut |own| symbol = Some(own.clone()));
    let symbol = symbol?;
    let (slope, rest) = size.affine_in(&symbol)?;
    let factor = slope.as_constant().filter(|factor| *factor > 0)?;
    rest.is(0).then_some((factor, symbol))
}

fn lcm(a: i64, b: i64) -> i64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}
