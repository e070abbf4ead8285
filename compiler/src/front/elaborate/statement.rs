//! Blocks and statements.
//!
//! Invariant: a statement that fails poisons the names it would have bound, and the block goes on: its other mistakes are
//! found too. A block forgets its `let`s when it ends; what it rebinds outside stays rebound.

use std::rc::Rc;

use super::Elaborator;
use super::frame::FrameKind;
use super::members::holds_members;
use super::report::{Outcome, Reports};
use super::scope::{Env, Link, Locals};
use super::value::{Closure, Slot, Value};
use super::wheres::Claim;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{Block, DeclareKind, Expr, Let, Pattern, PatternKind, StatementKind};

impl<'a> Elaborator<'a> {
    pub fn block(&mut self, block: &'a Block, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        let saved = env.locals.clone();
        let mut failed = None;
        for statement in &block.statements {
            if let Err(poisoned) = self.statement(&statement.kind, env, statement.span) {
                failed = Some(poisoned);
                self.forget_rebound(&statement.kind, env);
            }
        }
        let value = match &block.value {
            Some(value) => self.eval(value, env),
            None => Ok(Value::Absent),
        };
        env.locals = saved;
        match (value, failed) {
            // What follows a failed statement without a value has nothing to go on with.
            (Ok(Value::Absent), Some(poisoned)) => Err(poisoned),
            (value, _) => value,
        }
    }

    /// What a failed `for` would have rebound is not known.
    fn forget_rebound(&self, statement: &'a StatementKind, env: &Env<'a>) {
        let StatementKind::For { body, .. } = statement else { return };
        for statement in &body.statements {
            if let StatementKind::Rebind { pattern, .. } = &statement.kind
                && let PatternKind::Name(name) = &pattern.kind
                && let Some(link) = env.locals.find(&name.text)
            {
                link.value.replace(Value::Poison);
            }
        }
    }

    fn statement(&mut self, statement: &'a StatementKind, env: &mut Env<'a>, span: Span) -> Outcome<()> {
        match statement {
            StatementKind::Let(statement) => self.let_statement(statement, env),
            StatementKind::Fn(function) => {
                let closure = Closure { function, env: env.clone() };
                env.locals.bind(&function.name.text, Value::Function(Rc::new(closure)), self.frames.len());
                Ok(())
            }
            StatementKind::Rebind { pattern, value } => {
                let outcome = self.eval(value, env);
                let failed = outcome.is_err();
                self.rebind(pattern, outcome.unwrap_or(Value::Poison), value.span, env)?;
                if failed { Err(Reports::silent()) } else { Ok(()) }
            }
            StatementKind::Write { target, value } => self.write(target, value, env),
            StatementKind::For { pattern, list, body } => self.for_statement(pattern, list, body, env),
            StatementKind::Minimize { loss, updates } => self.minimize(loss, updates, env, span),
            StatementKind::Metric { name, value } => self.metric(&name.text, value, env, span),
            StatementKind::Assert { condition, message } => self.assert_statement(condition, message.as_ref(), env),
            StatementKind::Expr(value) => self.eval(value, env).map(|_| ()),
        }
    }

    pub fn let_statement(&mut self, statement: &'a Let, env: &mut Env<'a>) -> Outcome<()> {
        let value = self.let_value(statement, env);
        match value {
            Ok(value) => self.bind_pattern(&statement.pattern, value, statement.value.span, &mut env.locals),
            Err(poisoned) => {
                self.bind_pattern(&statement.pattern, Value::Poison, statement.value.span, &mut env.locals)?;
                Err(poisoned)
            }
        }
    }

    pub fn let_value(&mut self, statement: &'a Let, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        let value = self.eval(&statement.value, env)?;
        match &statement.ty {
            Some(ty) => {
                self.bind_sizes(&value, ty, env)?;
                self.coerce(value, ty, env, statement.value.span)
            }
            None => Ok(value),
        }
    }

    /// Takes a value apart by a pattern: a tuple, a list, or a tensor along its first axis.
    pub fn bind_pattern(
        &mut self,
        pattern: &'a Pattern,
        value: Value<'a>,
        span: Span,
        locals: &mut Locals<'a>,
    ) -> Outcome<()> {
        let mut bound = Vec::new();
        let outcome = self.take_apart(pattern, value, span, &mut bound);
        for (name, value) in bound {
            locals.bind(name, value, self.frames.len());
        }
        outcome
    }

    pub fn take_apart(
        &mut self,
        pattern: &'a Pattern,
        value: Value<'a>,
        span: Span,
        bound: &mut Vec<(&'a str, Value<'a>)>,
    ) -> Outcome<()> {
        match &pattern.kind {
            PatternKind::Wildcard => Ok(()),
            PatternKind::Name(name) => {
                bound.push((&name.text, value));
                Ok(())
            }
            PatternKind::Tuple(parts) => {
                let values = self.parts(value, parts.len(), pattern.span, span);
                let (values, outcome) = match values {
                    Ok(values) => (values, Ok(())),
                    Err(poisoned) => (vec![Value::Poison; parts.len()], Err(poisoned)),
                };
                for (part, value) in parts.iter().zip(values) {
                    let _ = self.take_apart(part, value, span, bound);
                }
                outcome
            }
        }
    }

    fn parts(&mut self, value: Value<'a>, count: usize, pattern: Span, span: Span) -> Outcome<Vec<Value<'a>>> {
        let values = match value {
            Value::Poison => return Ok(vec![Value::Poison; count]),
            Value::Tuple(fields) => fields.iter().map(|field| field.value.clone()).collect(),
            Value::List(items) => items.to_vec(),
            value if value.is_tensor() => return self.rows(value, count, pattern, span),
            other => {
                let message = format!("this pattern takes a tuple apart, and the value is {}", other.kind());
                return self.error("E0402", message, span, &other.show());
            }
        };
        if values.len() != count {
            let diagnostic = Diagnostic::error("E0402", format!("{count} names for {} values", values.len()))
                .at(pattern, format!("{count} here"))
                .also(span, format!("{} here", values.len()));
            return Err(self.report(diagnostic));
        }
        Ok(values)
    }

    fn rebind(&mut self, pattern: &'a Pattern, value: Value<'a>, span: Span, env: &mut Env<'a>) -> Outcome<()> {
        let mut bound = Vec::new();
        let outcome = self.take_apart(pattern, value, span, &mut bound);
        for (name, value) in bound {
            match env.locals.find(name) {
                Some(link) => self.set(&link, value, pattern.span)?,
                None => {
                    let diagnostic = Diagnostic::error("E0309", format!("`{name}` is not there to be rebound"))
                        .at(pattern.span, "no `let` or parameter of this function has this name")
                        .help(format!("`let {name} = …` makes a new name; `{name} <- …` writes a state"));
                    let poisoned = self.report(diagnostic);
                    env.locals.bind(name, Value::Poison, self.frames.len());
                    return Err(poisoned);
                }
            }
        }
        outcome
    }

    /// Writes a link, and remembers it in a branch, whose other side must know.
    pub fn set(&mut self, link: &Rc<Link<'a>>, value: Value<'a>, span: Span) -> Outcome<()> {
        let inner = self.frames.get(link.frame..).unwrap_or_default();
        if inner.iter().any(|frame| frame.kind == FrameKind::Body) {
            let diagnostic = Diagnostic::error("E0308", format!("`{}` lives outside this loop", link.name))
                .at(span, "rebound inside")
                .help(format!("carry it: `loop … carry {0} = {0} {{ … }}`", link.name));
            return Err(self.report(diagnostic));
        }
        let old = link.value.replace(value);
        if !inner.is_empty()
            && let Some(frame) = self.frames.last_mut()
        {
            frame.rebound.push((link.clone(), old));
        }
        Ok(())
    }

    fn write(&mut self, target: &'a Expr, value: &'a Expr, env: &mut Env<'a>) -> Outcome<()> {
        let (slot, value) = (self.eval_place(target, env), self.eval(value, env).map(|found| (found, value.span)));
        let (slot, (value, at)) = (slot?, value?);
        match slot {
            Value::Slot(slot) if slot.kind == DeclareKind::State => {
                if self.evaluating {
                    return Ok(());
                }
                self.write_state(&slot, value, at, target.span)
            }
            Value::Slot(slot) => {
                let diagnostic = Diagnostic::error("E0310", format!("`{}` is a param: it is learned", slot.path))
                    .at(target.span, "only a state is written")
                    .also(slot.span, "declared here")
                    .help("declare it as `state`, or let `minimize` change it");
                Err(self.report(diagnostic))
            }
            tree if holds_members(&tree) => self.write_module(&tree, value, at, target.span),
            other => {
                let message = format!("`<-` writes a state, and this is {}", other.kind());
                let diagnostic = Diagnostic::error("E0310", message)
                    .at(target.span, "no state")
                    .help("`let x = …` binds a name anew; what is to last is a member: `x = state [4] = zeros`");
                Err(self.report(diagnostic))
            }
        }
    }

    fn write_state(&mut self, slot: &Slot, value: Value<'a>, at: Span, target: Span) -> Outcome<()> {
        let ty = self.entry_type(&slot.ty);
        let wire = self.fit(value, &ty, at, |diagnostic| diagnostic.also(target, format!("the state is {ty}")))?;
        let value = self.enter(wire, at)?;
        self.write_slot(slot, value);
        Ok(())
    }

    fn for_statement(
        &mut self,
        pattern: &'a Pattern,
        list: &'a Expr,
        body: &'a Block,
        env: &mut Env<'a>,
    ) -> Outcome<()> {
        let values = self.config_list(list, env)?;
        let saved = env.locals.clone();
        let mut outcome = Ok(());
        for value in values.iter() {
            env.locals = saved.clone();
            outcome = self.bind_pattern(pattern, value.clone(), list.span, &mut env.locals);
            outcome = outcome.and_then(|()| self.block(body, env).map(|_| ()));
            if outcome.is_err() {
                break;
            }
        }
        env.locals = saved;
        outcome
    }

    fn assert_statement(&mut self, condition: &'a Expr, message: Option<&'a Expr>, env: &mut Env<'a>) -> Outcome<()> {
        let message = match message {
            None => None,
            Some(expr) => match self.eval(expr, env)? {
                Value::Str(text) => Some(text),
                other => return Err(self.wanted("a string that says what is wrong", &other, expr.span)),
            },
        };
        self.hold(condition, env, Claim { kind: "assertion", message: message.as_deref() })
    }
}
