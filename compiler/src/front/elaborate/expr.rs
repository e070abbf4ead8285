//! Expressions. Each kind has its own short function here or in the file that is about it.

use std::rc::Rc;

use super::report::{Outcome, Reports};
use super::scope::Env;
use super::value::{Blueprint, BlueprintKind, Field, Value};
use super::{Elaborator, MAX_LIST, Poisoned};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{self, Argument, BinaryOp, Clause, DeclareKind, Element, Expr, ExprKind, UnaryOp};

impl<'a> Elaborator<'a> {
    pub fn eval(&mut self, expr: &'a Expr, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        self.descend(expr.span)?;
        let value = self.eval_kind(expr, env);
        self.depth -= 1;
        match value {
            Ok(Value::Poison) => Err(Reports::silent()),
            // A state is read where it is named: what is written later does not change what was read.
            Ok(Value::Slot(slot)) if slot.kind == DeclareKind::State && !self.frames.is_empty() => {
                self.read_slot(&slot, expr.span).map(Value::Wire)
            }
            value => value,
        }
    }

    /// The state that a name or a path means, not its value.
    pub fn eval_place(&mut self, expr: &'a Expr, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        match self.eval_kind(expr, env)? {
            Value::Poison => Err(Reports::silent()),
            value => Ok(value),
        }
    }

    fn eval_kind(&mut self, expr: &'a Expr, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Int(value) => Ok(Value::Int(*value)),
            ExprKind::Float(value) => Ok(Value::Float(*value)),
            ExprKind::Str(_) if self.was_repaired(span) => Err(Reports::silent()),
            ExprKind::Str(text) => Ok(Value::str(text)),
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Name(name) => self.resolve(name, env),
            ExprKind::Tuple(_) | ExprKind::List(_) | ExprKind::Repeat { .. } | ExprKind::Comprehension { .. } => {
                let made = self.structure(&expr.kind, env, span)?;
                self.bounded(made, span)
            }
            ExprKind::Unary { op, operand } => self.unary(*op, operand, env, span),
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, env, span),
            ExprKind::Range { start, end } => self.range(start, end, env, span),
            ExprKind::Pipe { value, callee } => self.pipe(value, callee, env, span),
            ExprKind::Call { callee, arguments } => self.call_expr(callee, arguments, None, env, span),
            ExprKind::Index { value, indices } => self.index(value, indices, env, span),
            ExprKind::Field { value, name } => self.field(value, name, env),
            ExprKind::If { branches, otherwise } => self.if_expr(branches, otherwise.as_ref(), env, span),
            ExprKind::Block(block) => self.block(block, env),
            ExprKind::Loop { index, range, carry, body } => self.loop_expr(index, range, carry, body, env, span),
            ExprKind::While { condition, bound, carry, body } => {
                self.while_expr(condition, bound.as_deref(), carry, body, env, span)
            }
            ExprKind::Scan { index, range, carry, body } => self.scan_expr(index, range, carry, body, env, span),
            ExprKind::Declare { kind, ty, init, name } => {
                let name = name.as_ref().map(|name| self.member_name(name, env)).transpose()?;
                let kind = BlueprintKind::Declare { kind: *kind, ty, init, name, env: env.clone() };
                Ok(Value::Blueprint(Rc::new(Blueprint { kind, span })))
            }
        }
    }

    fn structure(&mut self, kind: &'a ExprKind, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        match kind {
            ExprKind::Tuple(fields) => self.tuple(fields, env),
            ExprKind::List(elements) => self.list(elements, env, span),
            ExprKind::Repeat { element, count } => self.repeat(element, count, env, span),
            ExprKind::Comprehension { element, clauses } => {
                let mut items = Vec::new();
                self.comprehend(element, clauses, env, &mut items)?;
                Ok(Value::list(items))
            }
            _ => unreachable!("only what makes tuples and lists comes here"),
        }
    }

    /// Whether what stands here was reported as it was read, and only stands for what may have been meant.
    fn was_repaired(&self, span: Span) -> bool {
        let starts_here = |known: Span| known.file == span.file && known.start == span.start;
        self.program.diagnostics.iter().any(|known| known.span().is_some_and(starts_here))
    }

    fn tuple(&mut self, fields: &'a [Argument], env: &mut Env<'a>) -> Outcome<Value<'a>> {
        let mut values = Vec::with_capacity(fields.len());
        let mut failed = None;
        for field in fields {
            match self.eval(&field.value, env) {
                Ok(value) => {
                    let name = field.name.as_ref().map(|name| Rc::from(name.text.as_str()));
                    values.push(Field { name, value });
                }
                Err(poisoned) => failed = Some(poisoned),
            }
        }
        failed.map_or(Ok(Value::Tuple(Rc::new(values))), Err)
    }

    fn list(&mut self, elements: &'a [Element], env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        let mut items = Vec::with_capacity(elements.len());
        let mut failed = None;
        for element in elements {
            if let Err(poisoned) = self.element(element, env, &mut items) {
                failed = Some(poisoned);
            }
        }
        self.check_length(items.len(), span)?;
        failed.map_or(Ok(Value::list(items)), Err)
    }

    fn element(&mut self, element: &'a Element, env: &mut Env<'a>, items: &mut Vec<Value<'a>>) -> Outcome<()> {
        let value = self.eval(&element.value, env)?;
        match (element.spread, value) {
            (false, value) => items.push(value),
            (true, Value::List(list)) => {
                self.charge(list.len(), element.value.span)?;
                items.extend(list.iter().cloned());
            }
            (true, Value::Tuple(fields)) => items.extend(fields.iter().map(|field| field.value.clone())),
            (true, other) => {
                let message = format!("`..` pours out a list, and this is {}", other.kind());
                return self.error("E0402", message, element.value.span, "not a list");
            }
        }
        self.check_length(items.len(), element.value.span)
    }

    pub fn check_length(&mut self, length: usize, span: Span) -> Outcome<()> {
        match length > MAX_LIST {
            true => self.error("E0407", format!("a list has more than {MAX_LIST} elements"), span, "too long"),
            false => Ok(()),
        }
    }

    fn repeat(&mut self, element: &'a Expr, count: &'a Expr, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        let times = self.config_int(count, env, "how often it is repeated")?;
        let Ok(times) = usize::try_from(times) else {
            let message = format!("a list has no negative length, and this is {times}");
            let diagnostic = Diagnostic::error("E0404", message).at(count.span, "how often it is repeated");
            return Err(self.report(diagnostic.help("`max(0, n)` makes an empty list of it, where that is meant")));
        };
        self.check_length(times, span)?;
        let mut items = Vec::with_capacity(times);
        for _ in 0..times {
            items.push(self.eval(element, env)?);
        }
        Ok(Value::list(items))
    }

    fn comprehend(
        &mut self,
        element: &'a Element,
        clauses: &'a [Clause],
        env: &mut Env<'a>,
        items: &mut Vec<Value<'a>>,
    ) -> Outcome<()> {
        let Some((first, rest)) = clauses.split_first() else { return self.element(element, env, items) };
        match first {
            Clause::If(condition) => match self.eval(condition, env)? {
                Value::Bool(true) => self.comprehend(element, rest, env, items),
                Value::Bool(false) => Ok(()),
                other => Err(self.wanted("a bool of config", &other, condition.span)),
            },
            Clause::For { pattern, list } => {
                let values = self.config_list(list, env)?;
                let saved = env.locals.clone();
                let mut outcome = Ok(());
                for value in values.iter() {
                    env.locals = saved.clone();
                    outcome = self.bind_pattern(pattern, value.clone(), list.span, &mut env.locals);
                    outcome = outcome.and_then(|()| self.comprehend(element, rest, env, items));
                    if outcome.is_err() {
                        break;
                    }
                }
                env.locals = saved;
                outcome
            }
        }
    }

    /// A list to go through while the model is put together.
    pub fn config_list(&mut self, list: &'a Expr, env: &mut Env<'a>) -> Outcome<Rc<Vec<Value<'a>>>> {
        match self.eval(list, env)? {
            Value::List(items) => Ok(items),
            Value::Tuple(fields) => Ok(Rc::new(fields.iter().map(|field| field.value.clone()).collect())),
            Value::Size(_) | Value::Ratio(..) => {
                let diagnostic = Diagnostic::error("E0403", "a size is known too late for a list")
                    .at(list.span, "this is only known when the program runs")
                    .help("`loop` and `scan` go through sizes; `for` goes through config");
                Err(self.report(diagnostic))
            }
            other if other.is_tensor() => {
                let diagnostic =
                    Diagnostic::error("E0403", "`for` goes through a list of config, and this is a tensor")
                        .at(list.span, "a tensor")
                        .help("`loop i in 0..n carry …` repeats at run time; `let (a, b) = x` takes a tensor apart");
                Err(self.report(diagnostic))
            }
            other => Err(self.wanted("a list", &other, list.span)),
        }
    }

    pub fn config_int(&mut self, expr: &'a Expr, env: &mut Env<'a>, what: &str) -> Outcome<i64> {
        let value = self.eval(expr, env)?;
        self.as_config_int(value, expr.span, what)
    }

    pub fn as_config_int(&mut self, value: Value<'a>, span: Span, what: &str) -> Outcome<i64> {
        match value {
            Value::Int(value) => Ok(value),
            Value::Float(value) if super::value::whole(value).is_some() => Ok(value as i64),
            other => {
                let message = format!("{what} is an int of config, and this is {}", other.kind());
                self.error("E0402", message, span, &other.show())
            }
        }
    }

    pub fn wanted(&mut self, wanted: &str, found: &Value<'a>, span: Span) -> Poisoned {
        if let Value::Word(name, at) = found {
            let diagnostic = Diagnostic::error("E0301", format!("nothing here is called `{name}`"));
            return self.report(diagnostic.at(*at, "unknown name"));
        }
        if let Value::Blueprint(blueprint) = found {
            let what = match &blueprint.kind {
                BlueprintKind::Declare { kind: DeclareKind::Param, .. } => "param",
                BlueprintKind::Declare { .. } => "state",
                _ => "module",
            };
            let diagnostic = Diagnostic::error("E0307", format!("this {what} has no place in the tree"))
                .at(span, "used here")
                .also(blueprint.span, "made here, but no member")
                .help("make it a member: a line `name = …` of the module");
            return self.report(diagnostic);
        }
        let message = format!("{wanted} is wanted here, and this is {}", found.kind());
        let code = if found.is_tensor() || wanted.contains("tensor") { "E0403" } else { "E0402" };
        let mut diagnostic = Diagnostic::error(code, message).at(span, found.show());
        if matches!(found, Value::List(_)) && wanted.contains("tensor") {
            diagnostic =
                diagnostic.help(format!("`tensor({})` makes a constant of a list of numbers", self.text(span)));
        }
        if matches!(found, Value::Tuple(_)) && wanted.contains("a list") {
            diagnostic = diagnostic.help("a list is written in brackets: `[1, 2]`");
        }
        self.report(diagnostic)
    }

    fn range(&mut self, start: &'a Expr, end: &'a Expr, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        let (low, high) = (self.eval(start, env)?, self.eval(end, env)?);
        match (low.as_dim().and_then(|dim| dim.as_constant()), high.as_dim().and_then(|dim| dim.as_constant())) {
            (Some(low), Some(high)) => {
                let length = high.saturating_sub(low).max(0);
                self.check_length(usize::try_from(length).unwrap_or(usize::MAX), span)?;
                self.charge(length as usize, span)?;
                Ok(Value::list((low..high.max(low)).map(Value::Int).collect()))
            }
            _ => {
                let late = if low.as_dim().is_none_or(|dim| dim.as_constant().is_none()) { start } else { end };
                let diagnostic = Diagnostic::error("E0403", "the ends of this range are ints of config")
                    .at(late.span, "this is not known while the model is put together")
                    .help("`loop i in 0..n` and `scan i in 0..n` go through ranges known at run time");
                Err(self.report(diagnostic))
            }
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: &'a Expr, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        let value = self.eval(operand, env)?;
        match op {
            UnaryOp::Negate => self.negate(value, operand.span, span),
            UnaryOp::Not => self.not(value, operand.span, span),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        op_span: Span,
        left: &'a Expr,
        right: &'a Expr,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let first = self.eval(left, env);
        // Config conditions stop at the first answer, as `i > 0 and list[i - 1] == x` expects.
        match (op, &first) {
            (BinaryOp::And, Ok(Value::Bool(false))) => return Ok(Value::Bool(false)),
            (BinaryOp::Or, Ok(Value::Bool(true))) => return Ok(Value::Bool(true)),
            _ => {}
        }
        let second = self.eval(right, env);
        let operands = [(first?, left.span), (second?, right.span)];
        self.operate(op, op_span, operands, span)
    }

    fn pipe(&mut self, value: &'a Expr, callee: &'a Expr, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        let piped = self.eval(value, env).map(|piped| (piped, value.span));
        match &callee.kind {
            ExprKind::Call { callee, arguments } => self.call_expr(callee, arguments, Some(piped), env, span),
            _ => {
                let function = self.eval(callee, env)?;
                let (value, at) = piped?;
                self.call(function, vec![super::call::Arg { name: None, value, span: at }], callee.span, span)
            }
        }
    }

    fn field(&mut self, value: &'a Expr, name: &'a ast::Ident, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        if let ExprKind::Name(owner) = &value.kind
            && self.find(&owner.text, env)?.is_none()
            && let Some(found) = self.of_library(owner, name, env)
        {
            return found;
        }
        match self.eval(value, env)? {
            Value::Module(instance) => match self.name_of(&instance, &name.text) {
                Some(Value::Poison) => Err(Reports::silent()),
                Some(found) => Ok(found),
                None => {
                    let mut names: Vec<Rc<str>> = instance.names.borrow().keys().cloned().collect();
                    names.sort_unstable();
                    Err(self.no_field(&instance.constructor.module.name.text, name, &names))
                }
            },
            Value::Tuple(fields) => match fields.iter().find(|field| field.name.as_deref() == Some(&name.text)) {
                Some(field) => Ok(field.value.clone()),
                None => {
                    let names: Vec<Rc<str>> = fields.iter().filter_map(|field| field.name.clone()).collect();
                    Err(self.no_field("this tuple", name, &names))
                }
            },
            Value::Blueprint(_) => {
                let diagnostic = Diagnostic::error("E0307", "this module has no place in the tree yet")
                    .at(value.span, "built here, but no member")
                    .help("make it a member: a line `name = …` of the module");
                Err(self.report(diagnostic))
            }
            other => Err(self.no_part(&other, value.span, name)),
        }
    }

    /// `ops.NAME`, or what is wrong with `nn.Linear`.
    fn of_library(
        &mut self,
        owner: &ast::Ident,
        name: &'a ast::Ident,
        env: &mut Env<'a>,
    ) -> Option<Outcome<Value<'a>>> {
        if owner.text == "ops" {
            let op = super::ops::visible(&name.text);
            return Some(op.map(Value::Op).ok_or_else(|| self.unknown(&name.text, name.span, env)));
        }
        let help = self.qualified(&owner.text, &name.text)?;
        let diagnostic = Diagnostic::error("E0301", format!("nothing here is called `{}`", owner.text));
        Some(Err(self.report(diagnostic.at(owner.span, "unknown name").help(help))))
    }

    /// Of a tensor or a number, which other libraries give methods.
    fn no_part(&mut self, value: &Value<'a>, span: Span, name: &ast::Ident) -> Poisoned {
        let message = format!("{} has no parts, so no `{}`", value.kind(), name.text);
        let is_function = matches!(self.word(&name.text), Some(Value::Op(_) | Value::Builtin(_)));
        let owner = self.text(span);
        let help = match (is_function, name.text.as_str()) {
            (true, name @ ("shape" | "size")) => {
                Some(format!("write `{name}({owner})`; or name an axis in the type, as in `[B, N]`, and use `N`"))
            }
            (true, name) => Some(format!("write `{name}({owner})` or `{owner} |> {name}`")),
            (false, "T" | "mT") => Some("write `rearrange(x, \"m n -> n m\")`".to_string()),
            (false, name) => super::elsewhere::written(name).map(|written| format!("write {written}")),
        };
        let diagnostic = Diagnostic::error("E0305", message).at(name.span, "asked for here");
        self.report(help.into_iter().fold(diagnostic, Diagnostic::help))
    }

    /// What to write for `nn.Linear` and `torch.relu`.
    fn qualified(&self, owner: &str, name: &str) -> Option<String> {
        if let Some(part) = crate::front::load::prelude_part_with(name) {
            return Some(format!("write `use {part} {{ {name} }}` at the top of the file, and `{name}(…)` here"));
        }
        let is_function = matches!(self.word(name), Some(Value::Op(_) | Value::Builtin(_)));
        is_function.then(|| format!("functions need no `{owner}.`: write `{name}(…)`"))
    }

    fn no_field(&mut self, owner: &str, name: &ast::Ident, names: &[Rc<str>]) -> Poisoned {
        let suggestion = suggest(&name.text, names.iter().map(|name| &**name));
        let mut diagnostic = Diagnostic::error("E0305", format!("`{owner}` has no `{}`", name.text))
            .at(name.span, "not found there")
            .did_you_mean(suggestion);
        if name.text == "forward" {
            diagnostic = diagnostic.help("a module is called as a function is, `m(x)`, which is its `fn call`");
        } else if suggestion.is_none() && !names.is_empty() && names.len() <= 16 {
            diagnostic = diagnostic.with_note(format!("it has {}", names.join(", ")));
        }
        self.report(diagnostic)
    }
}
