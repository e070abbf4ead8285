//! `where` and `assert`: config is decided now, sizes are decided or become checks, and so do run-time scalars.
//!
//! Invariant: an equality of sizes that cannot be decided is an error; an inequality that cannot be, and any comparison of
//! scalar arguments, is checked when the entry is called. A condition over computed tensors is only kept as text.

use super::Elaborator;
use super::report::Outcome;
use super::scope::Env;
use super::value::Value;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{BinaryOp, Expr, ExprKind, Param};
use crate::graph::{Check, Dim};

/// How a condition is spoken of where it fails.
#[derive(Clone, Copy)]
pub struct Claim<'m> {
    /// `where` or `assertion`.
    pub kind: &'static str,
    /// What the spec says itself.
    pub message: Option<&'m str>,
}

impl Claim<'_> {
    pub const WHERE: Claim<'static> = Claim { kind: "`where`", message: None };
}

impl<'a> Elaborator<'a> {
    /// Makes sure that a condition holds, clause by clause.
    pub fn hold(&mut self, condition: &'a Expr, env: &mut Env<'a>, what: Claim) -> Outcome<()> {
        if let ExprKind::Binary { op: BinaryOp::And, left, right, .. } = &condition.kind {
            let first = self.hold(left, env, what);
            return self.hold(right, env, what).and(first);
        }
        if let ExprKind::Binary { op, left, right, .. } = &condition.kind
            && op.is_comparison()
        {
            let (a, b) = (self.eval(left, env)?, self.eval(right, env)?);
            if let (Some(a), Some(b)) = (self.over_arguments(&a), self.over_arguments(&b)) {
                return self.hold_sizes(*op, [&a, &b], condition, env, what);
            }
        }
        match self.eval(condition, env)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(self.broken(condition, env, what)),
            value if value.is_tensor() => {
                let text = self.text(condition.span);
                self.assertions.push((self.entry.name.clone(), text));
                Ok(())
            }
            other => Err(self.wanted("a condition", &other, condition.span)),
        }
    }

    fn broken(&mut self, condition: &'a Expr, env: &mut Env<'a>, what: Claim) -> super::Poisoned {
        let text = self.text(condition.span);
        let message = match what.message {
            Some(message) => message.to_string(),
            None => format!("this {} does not hold: `{text}`", what.kind),
        };
        let mut diagnostic = Diagnostic::error("E0207", message).at(condition.span, "false here");
        if let Some(call) = self.calls.last().filter(|_| what.kind == Claim::WHERE.kind) {
            diagnostic = diagnostic.also(*call, "called here");
        }
        if let Some(note) = self.what_is_false(condition, env) {
            diagnostic = diagnostic.with_note(note);
        }
        self.report(diagnostic)
    }

    fn hold_sizes(
        &mut self,
        op: BinaryOp,
        [a, b]: [&Dim; 2],
        condition: &'a Expr,
        env: &mut Env<'a>,
        what: Claim,
    ) -> Outcome<()> {
        let span = condition.span;
        // Arguments may be negative, which the ranges of sizes know nothing of: nothing is decided about them now.
        let late = self.mentions_argument(&(a - b));
        match if late { None } else { self.decide(op, a, b) } {
            Some(true) => return Ok(()),
            Some(false) => return Err(self.broken(condition, env, what)),
            None => {}
        }
        let not_negative = match op {
            BinaryOp::LessEqual => vec![b - a],
            BinaryOp::Less => vec![&(b - a) - 1],
            BinaryOp::GreaterEqual => vec![a - b],
            BinaryOp::Greater => vec![&(a - b) - 1],
            BinaryOp::Equal if late => vec![a - b, b - a],
            BinaryOp::NotEqual => vec![&(a - b).greatest(&(b - a)) - 1],
            _ => {
                let diagnostic = Diagnostic::error("E0208", format!("nothing shows that {a} {} {b}", op.symbol()))
                    .at(span, "this must be known")
                    .help(match what.kind == Claim::WHERE.kind && self.calls.is_empty() {
                        true => self.ask_alone(a, b),
                        false => "say so in a `where` of the entry, or fix a size with `--dim`".to_string(),
                    });
                return Err(self.report(diagnostic));
            }
        };
        let message = what.message.map_or_else(|| self.text(span), str::to_string);
        for not_negative in not_negative {
            self.check_at_entry(Check { not_negative, message: message.clone() });
        }
        Ok(())
    }

    /// Adds a check to the entry, unless it is there already.
    /// Asks at the entry whether what stands here fits, which takes that this size is not negative.
    pub fn must_fit(&mut self, not_negative: Dim, span: Span) {
        let (at, text) = (self.origin(span), self.text(span));
        let text = one_line(&text);
        let message = format!("{at}: `{text}` does not fit");
        self.check_at_entry(Check { not_negative, message });
    }

    pub fn check_at_entry(&mut self, check: Check) {
        if let Some(frame) = self.frames.first_mut()
            && !frame.graph.checks.contains(&check)
        {
            frame.graph.checks.push(check);
        }
    }

    /// The `where` of a module, over its config.
    pub fn hold_config(&mut self, condition: &'a Expr, env: &mut Env<'a>, module: &str, call: Span) -> Outcome<()> {
        match self.eval(condition, env)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => {
                let text = self.text(condition.span);
                let mut diagnostic = Diagnostic::error("E0207", format!("`{module}` asks for `{text}`"))
                    .at(call, "not so here")
                    .also(condition.span, "asked for here");
                if let Some(note) = self.what_is_false(condition, env) {
                    diagnostic = diagnostic.with_note(note);
                }
                Err(self.report(diagnostic))
            }
            other => Err(self.wanted("a bool of config", &other, condition.span)),
        }
    }

    /// Whether every parameter that a condition speaks of has its value.
    pub fn is_bound(&self, condition: &Expr, params: &[Param], env: &Env<'a>) -> bool {
        let text = self.text(condition.span);
        let mentioned = params.iter().map(|param| &param.name.text).filter(|name| text.contains(name.as_str()));
        mentioned.into_iter().all(|name| env.locals.find(name).is_some())
    }

    /// `here dim = 65, heads = 8: 1 == 0 is false`, for the names in a condition and both sides of what does not hold.
    fn what_is_false(&mut self, condition: &'a Expr, env: &mut Env<'a>) -> Option<String> {
        let values = self.values_in(condition, env);
        let sides = self.sides(condition, env).filter(|sides| *sides != self.text(condition.span));
        match (values.is_empty(), sides) {
            (true, None) => None,
            (true, Some(sides)) => Some(format!("{sides} is false")),
            (false, None) => Some(format!("here {}", values.join(", "))),
            (false, Some(sides)) => Some(format!("here {}: {sides} is false", values.join(", "))),
        }
    }

    /// `1 == 0`, the values of the first comparison in a condition that does not hold.
    fn sides(&mut self, condition: &'a Expr, env: &mut Env<'a>) -> Option<String> {
        let mut all = Vec::new();
        clauses(condition, &mut all);
        all.into_iter().find_map(|clause| match &clause.kind {
            ExprKind::Binary { op, left, right, .. } if op.is_comparison() => {
                let (a, b) = (self.eval(left, env).ok()?, self.eval(right, env).ok()?);
                let holds = match (self.over_arguments(&a), self.over_arguments(&b)) {
                    (Some(a), Some(b)) => self.decide(*op, &a, &b),
                    _ => self.eval(clause, env).ok().map(|value| matches!(value, Value::Bool(true))),
                };
                (holds == Some(false)).then(|| format!("{} {} {}", a.show(), op.symbol(), b.show()))
            }
            _ => None,
        })
    }

    /// `dim = 65`, for each name in a condition.
    fn values_in(&mut self, condition: &'a Expr, env: &mut Env<'a>) -> Vec<String> {
        let mut names = Vec::new();
        names_in(condition, &mut names, 0);
        let mut values = Vec::new();
        for name in names {
            let local = env.locals.find(name).map(|link| link.value.borrow().clone());
            let known = local.or_else(|| env.instance.as_ref().and_then(|instance| self.name_of(instance, name)));
            let text = known.map(|value| format!("{name} = {}", value.show()));
            values.extend(text.filter(|text| !values.contains(text)));
        }
        values
    }
}

/// Characters of what does not fit that are repeated.
const REPEATED: usize = 60;

/// The beginning of what a spec says, on one line.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(REPEATED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The conditions that must each hold.
pub fn clauses<'e>(condition: &'e Expr, found: &mut Vec<&'e Expr>) {
    match &condition.kind {
        ExprKind::Binary { op: BinaryOp::And, left, right, .. } => {
            clauses(left, found);
            clauses(right, found);
        }
        _ => found.push(condition),
    }
}

/// The names that a condition or a size speaks of.
pub fn names_in<'e>(expr: &'e Expr, names: &mut Vec<&'e str>, depth: usize) {
    if depth > 16 {
        return;
    }
    match &expr.kind {
        ExprKind::Name(name) => names.push(&name.text),
        ExprKind::Unary { operand, .. } => names_in(operand, names, depth + 1),
        ExprKind::Binary { left, right, .. } => {
            names_in(left, names, depth + 1);
            names_in(right, names, depth + 1);
        }
        ExprKind::Call { arguments, .. } => {
            arguments.iter().for_each(|argument| names_in(&argument.value, names, depth + 1));
        }
        ExprKind::Field { value, .. } => names_in(value, names, depth + 1),
        _ => {}
    }
}
