//! Modules become instances: parameters are bound, members are placed under their paths, params and states are declared.
//!
//! Invariant: a path is given once, by the first place a blueprint is bound to; what is passed by name keeps its path.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Elaborator;
use super::report::Outcome;
use super::scope::Env;
use super::types::lone_size;
use super::value::{Blueprint, BlueprintKind, Constructor, Field, Instance, Slot, Value};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{DeclareKind, DimKind, Entry, Expr, Member, Type, TypeKind};
use crate::graph;

/// A declared param or state with what makes its first value.
pub struct Declared<'a> {
    pub slot: Rc<Slot>,
    pub ty: &'a Type,
    pub init: &'a Expr,
    pub env: Env<'a>,
    /// The instance it belongs to, for messages.
    pub owner: Option<Rc<Instance<'a>>>,
    pub copy_of: Option<String>,
}

/// A `param` or a `state` as it is written.
struct Declaration<'a> {
    kind: DeclareKind,
    ty: &'a Type,
    init: &'a Expr,
    is_named: bool,
}

/// Modules nest less deeply than this unless one contains itself.
const MAX_NESTING: usize = 128;
const MAX_MEMBERS: usize = 200_000;

impl<'a> Elaborator<'a> {
    /// Gives whatever has no place yet its place.
    pub fn place(&mut self, value: Value<'a>, path: &str) -> Outcome<Value<'a>> {
        match value {
            Value::Blueprint(blueprint) => self.place_blueprint(&blueprint, path),
            Value::List(items) => {
                let mut placed = Vec::with_capacity(items.len());
                for (idx, item) in items.iter().enumerate() {
                    placed.push(self.place(item.clone(), &format!("{path}.{idx}"))?);
                }
                Ok(Value::list(placed))
            }
            Value::Tuple(fields) => {
                let mut placed = Vec::with_capacity(fields.len());
                for (idx, field) in fields.iter().enumerate() {
                    let part = field.name.as_ref().map_or(idx.to_string(), |name| name.to_string());
                    let value = self.place(field.value.clone(), &format!("{path}.{part}"))?;
                    placed.push(Field { name: field.name.clone(), value });
                }
                Ok(Value::Tuple(Rc::new(placed)))
            }
            other => Ok(other),
        }
    }

    fn place_blueprint(&mut self, blueprint: &Blueprint<'a>, path: &str) -> Outcome<Value<'a>> {
        match &blueprint.kind {
            BlueprintKind::Module { constructor, params, .. } => {
                self.instantiate(*constructor, params.clone(), path, None, blueprint.span).map(Value::Module)
            }
            BlueprintKind::Declare { kind, ty, init, name, env } => {
                let owner = self.context.last().map_or("", |owner| &*owner.path);
                let named = name.as_ref().map(|name| join(owner, name));
                let declared = Declaration { kind: *kind, ty, init, is_named: named.is_some() };
                self.declare(declared, env, named.as_deref().unwrap_or(path), blueprint.span)
            }
            BlueprintKind::Clone(value) => self.clone_at(value, path, blueprint.span),
        }
    }

    pub fn instantiate(
        &mut self,
        constructor: Constructor<'a>,
        given: Vec<(Rc<str>, Value<'a>)>,
        path: &str,
        copy_of: Option<Rc<Instance<'a>>>,
        span: Span,
    ) -> Outcome<Rc<Instance<'a>>> {
        let name = &constructor.module.name.text;
        let within_itself = self.context.iter().any(|outer| std::ptr::eq(outer.constructor.module, constructor.module));
        if self.context.len() >= MAX_NESTING && (within_itself || self.context.len() >= 2 * MAX_NESTING) {
            self.fuel = 0;
            let message = match within_itself {
                true => format!("`{name}` contains itself without end"),
                false => format!("modules nest deeper than {}", 2 * MAX_NESTING),
            };
            return self.error("E0406", message, span, "once more here");
        }
        self.descend(span)?;
        let instance = Rc::new(Instance {
            path: Rc::from(path),
            constructor,
            given,
            names: RefCell::new(HashMap::new()),
            children: RefCell::new(Vec::new()),
            copy_of,
            evaluated: false,
        });
        self.context.push(instance.clone());
        let outcome = self.fill(&instance);
        self.context.pop();
        self.depth -= 1;
        outcome.map(|()| instance)
    }

    fn fill(&mut self, instance: &Rc<Instance<'a>>) -> Outcome<()> {
        let mut failed = None;
        for (name, value) in &instance.given {
            let place = join(&instance.path, name);
            let value = match self.place(value.clone(), &place) {
                Ok(value) => value,
                Err(poisoned) => {
                    failed = Some(poisoned);
                    Value::Poison
                }
            };
            self.adopt_child(instance, name, &value, &place);
            instance.names.borrow_mut().insert(name.clone(), value);
        }
        for entry in &instance.constructor.module.entries {
            if let Err(poisoned) = self.entry_of(instance, entry) {
                failed = Some(poisoned);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn entry_of(&mut self, instance: &Rc<Instance<'a>>, entry: &'a Entry) -> Outcome<()> {
        match entry {
            Entry::Let(statement) => {
                let mut env = Env::of_instance(instance);
                let value = self.let_value(statement, &mut env);
                let (value, outcome) = split(value);
                let mut bound = Vec::new();
                let taken = self.take_apart(&statement.pattern, value, statement.value.span, &mut bound);
                let mut names = instance.names.borrow_mut();
                names.extend(bound.into_iter().map(|(name, value)| (Rc::from(name), value)));
                outcome.and(taken)
            }
            Entry::Member(member) => self.member(instance, member),
            Entry::Fn(_) | Entry::Step(_) | Entry::Schedule(_) => Ok(()),
        }
    }

    fn member(&mut self, instance: &Rc<Instance<'a>>, member: &'a Member) -> Outcome<()> {
        let name: Rc<str> = Rc::from(member.name.text.as_str());
        if self.members.len() > MAX_MEMBERS {
            let message = format!("a model has more than {MAX_MEMBERS} params and states");
            return self.error("E0407", message, member.span, "the limit is reached here");
        }
        let place = join(&instance.path, &name);
        let mut env = Env::of_instance(instance);
        let value = self.eval(&member.value, &mut env).and_then(|value| self.place(value, &place));
        let value = value.and_then(|value| self.check_member(value, member));
        let (value, outcome) = split(value);
        self.adopt_child(instance, &name, &value, &place);
        instance.names.borrow_mut().insert(name, value);
        outcome
    }

    /// What was placed here is a child; what was passed by name lives elsewhere.
    fn adopt_child(&mut self, instance: &Rc<Instance<'a>>, name: &Rc<str>, value: &Value<'a>, place: &str) {
        if lives_at(value, place, &instance.path) {
            instance.children.borrow_mut().push((name.clone(), value.clone()));
        }
    }

    fn check_member(&mut self, value: Value<'a>, member: &'a Member) -> Outcome<Value<'a>> {
        if is_member(&value) {
            return Ok(value);
        }
        let what = "a member is a module, a `param` or a `state`";
        let name = &member.name.text;
        let message = format!("{what}, and this is {}", value.kind());
        let diagnostic = Diagnostic::error("E0311", message).at(member.value.span, value.show());
        Err(self.report(match value {
            Value::Constructor(_) => {
                diagnostic.help(format!("call it: `{name} = {}(…)`", self.text(member.value.span)))
            }
            _ => diagnostic.help(format!("config is bound by `let {name} = …`")),
        }))
    }

    pub fn text(&self, span: Span) -> String {
        self.program.sources.slice(span).to_string()
    }

    /// What stands behind `as`: a name as any member may have.
    pub fn member_name(&mut self, expr: &'a Expr, env: &mut Env<'a>) -> Outcome<Rc<str>> {
        match self.eval(expr, env)? {
            Value::Str(name) if is_name(&name) => Ok(name),
            Value::Str(name) => {
                let message = format!("`{name}` cannot be the name of a member");
                self.error("E0311", message, expr.span, "letters, digits and `_` make a name")
            }
            other => Err(self.wanted("a name in quotes", &other, expr.span)),
        }
    }

    fn declare(&mut self, declared: Declaration<'a>, env: &Env<'a>, path: &str, span: Span) -> Outcome<Value<'a>> {
        let Declaration { kind, ty, init, is_named } = declared;
        let TypeKind::Tensor { dtype, dims } = &ty.kind else {
            return self.error("E0311", "a param or state is a tensor", ty.span, "write its shape: `[dim]`");
        };
        let mut scope = env.clone();
        if kind == DeclareKind::State {
            for name in dims.iter().filter_map(lone_size) {
                if self.may_bind(&name.text, &scope)? {
                    let size = graph::Dim::symbol(&name.text);
                    scope.locals.bind(&name.text, Value::size(size), 0);
                }
            }
        }
        let dtype = self.dtype(dtype.as_ref())?;
        let is_leaf = matches!(dims.as_slice(), [only] if matches!(only.kind, DimKind::Rest));
        let shape = match self.leaf.clone().filter(|_| is_leaf) {
            Some(shape) => Some(shape),
            None => self.written_shape(dims, &mut scope)?,
        };
        let Some(shape) = shape else {
            return self.error("E0311", "a param or state has a known shape", ty.span, "`_` and `..` say nothing here");
        };
        let ty_of_slot = graph::Type::new(dtype, shape);
        self.check_rank(&ty_of_slot, ty.span)?;
        let index = self.members.len();
        let slot = Slot { path: Rc::from(path), kind, ty: ty_of_slot, span, is_named, index };
        Ok(self.add_member(slot, ty, init, env.clone(), None))
    }

    fn add_member(
        &mut self,
        slot: Slot,
        ty: &'a Type,
        init: &'a Expr,
        env: Env<'a>,
        copy_of: Option<String>,
    ) -> Value<'a> {
        let slot = Rc::new(slot);
        let copy_of = copy_of.or_else(|| self.original(&slot.path));
        let owner = self.context.last().cloned();
        self.members.push(Declared { slot: slot.clone(), ty, init, env, owner, copy_of });
        Value::Slot(slot)
    }

    /// The path of the member that one within a clone is a copy of.
    fn original(&self, path: &str) -> Option<String> {
        let copy = self.context.iter().rev().find(|instance| instance.copy_of.is_some())?;
        let rest = path.strip_prefix(&*copy.path)?;
        copy.copy_of.as_ref().map(|source| format!("{}{rest}", source.path))
    }

    fn clone_at(&mut self, value: &Value<'a>, path: &str, span: Span) -> Outcome<Value<'a>> {
        match value {
            Value::Module(source) => {
                let copy = self.instantiate(source.constructor, source.given.clone(), path, Some(source.clone()), span);
                copy.map(Value::Module)
            }
            Value::List(items) => {
                let copies: Outcome<Vec<_>> = items
                    .iter()
                    .enumerate()
                    .map(|(idx, item)| self.clone_at(item, &format!("{path}.{idx}"), span))
                    .collect();
                copies.map(Value::list)
            }
            Value::Tuple(fields) => {
                let mut copies = Vec::with_capacity(fields.len());
                for (idx, field) in fields.iter().enumerate() {
                    let part = field.name.as_ref().map_or(idx.to_string(), |name| name.to_string());
                    let value = self.clone_at(&field.value, &format!("{path}.{part}"), span)?;
                    copies.push(Field { name: field.name.clone(), value });
                }
                Ok(Value::Tuple(Rc::new(copies)))
            }
            Value::Slot(source) => {
                let (ty, init, env) = {
                    let declared = &self.members[source.index];
                    (declared.ty, declared.init, declared.env.clone())
                };
                let index = self.members.len();
                let (kind, ty_of_slot) = (source.kind, source.ty.clone());
                let slot = Slot { path: Rc::from(path), kind, ty: ty_of_slot, span, is_named: false, index };
                Ok(self.add_member(slot, ty, init, env, Some(source.path.to_string())))
            }
            Value::Absent => Ok(Value::Absent),
            function if function.is_function() => Ok(function.clone()),
            other => Err(self.wanted("a module or a param", &other.clone(), span)),
        }
    }
}

fn split<'a>(value: Outcome<Value<'a>>) -> (Value<'a>, Outcome<()>) {
    match value {
        Ok(value) => (value, Ok(())),
        Err(poisoned) => (Value::Poison, Err(poisoned)),
    }
}

fn is_member(value: &Value) -> bool {
    match value {
        Value::Module(_) | Value::Slot(_) | Value::Absent | Value::Poison => true,
        Value::List(items) => items.iter().all(is_among_members),
        Value::Tuple(fields) => fields.iter().all(|field| is_among_members(&field.value)),
        _ => false,
    }
}

/// Whether a module or a param is in it.
pub fn holds_members(value: &Value) -> bool {
    match value {
        Value::Module(_) | Value::Slot(_) => true,
        Value::List(items) => items.iter().any(holds_members),
        Value::Tuple(fields) => fields.iter().any(|field| holds_members(&field.value)),
        _ => false,
    }
}

/// A list is applied in turn, so functions may stand in it; they have no path.
fn is_among_members(value: &Value) -> bool {
    is_member(value) || value.is_function()
}

fn lives_at(value: &Value, place: &str, owner: &str) -> bool {
    match value {
        Value::Module(instance) => &*instance.path == place,
        Value::Slot(slot) if slot.is_named => slot.path.rsplit_once('.').map_or("", |(owner, _)| owner) == owner,
        Value::Slot(slot) => &*slot.path == place,
        Value::List(items) => {
            items.iter().enumerate().any(|(idx, item)| lives_at(item, &format!("{place}.{idx}"), owner))
        }
        Value::Tuple(fields) => fields.iter().enumerate().any(|(idx, field)| {
            let part = field.name.as_ref().map_or(idx.to_string(), |name| name.to_string());
            lives_at(&field.value, &format!("{place}.{part}"), owner)
        }),
        _ => false,
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_part)
}

pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}
