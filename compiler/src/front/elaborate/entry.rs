//! A function of the model as a graph that can be called: its tensors are arguments, its other parameters config.
//!
//! Invariant: arguments stand in the order data, `seed`, `step`, params, states; outputs are the results and then every state
//! that was written. What its `where` says about sizes is known before its arguments are made.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexMap;
use tilewright_runtime::program::SEED_INPUT;

use super::Elaborator;
use super::call::holds_tensors;
use super::frame::{FrameKind, RegionArgument, close, declare_sizes};
use super::report::{Outcome, Reports};
use super::scope::{Env, Link};
use super::spoken::Unnamed;
use super::value::{Field, Instance, Value, Wire};
use super::wheres::Claim;
use crate::diag::Span;
use crate::front::ast::{self, DimKind, Expr, Function, Param, TypeKind};
use crate::graph::{self, Dim, Graph, NamedSize, Role, Symbol, Type};

/// What belongs to the entry being built.
#[derive(Default)]
pub struct EntryState<'a> {
    pub name: String,
    /// How many draws each instance has made.
    pub draws: HashMap<String, usize>,
    pub seed: Option<graph::Value>,
    pub step: Option<graph::Value>,
    /// The member whose initial value is being computed.
    pub member: Option<String>,
    /// What the step reports, by name.
    pub metrics: Vec<(String, Wire)>,
    /// Params with new values, which a branch may rebind as it does locals, and their older ones.
    pub updated: IndexMap<Rc<str>, Rc<Link<'a>>>,
    pub outdated: Vec<graph::Value>,
    /// The axes that are `_` in the types of its parameters.
    pub unnamed: Vec<Unnamed>,
    /// The sizes that its parameters name, and what each is.
    pub named: Vec<(Symbol, Dim)>,
    /// The paths of optimizers.
    pub optimizers: std::collections::BTreeSet<String>,
}

impl<'a> Elaborator<'a> {
    /// The graph of an entry, or `None` where the function is no entry.
    pub fn entry_graph(&mut self, root: &Rc<Instance<'a>>, function: &'a Function) -> Outcome<Option<Graph>> {
        if let Some(reason) = self.why_no_entry(function) {
            self.skipped.push((function.name.text.clone(), reason));
            return Ok(None);
        }
        self.entry = EntryState { name: function.name.text.clone(), ..EntryState::default() };
        self.substitution.clear();
        self.parts.clear();
        self.push_frame(FrameKind::Entry, &function.name.text);
        self.context.push(root.clone());
        let built = self.build_entry(root, function);
        self.context.pop();
        let frame = self.pop_frame();
        let (data, outputs) = built?;
        let Some(frame) = frame else { return Err(Reports::silent()) };
        self.keep_sizes(&frame.graph);
        let mut order: Vec<graph::Value> = data;
        order.extend(self.entry.seed);
        order.extend(self.entry.step.filter(|_| self.entry.seed.is_some()));
        for role in [Role::Param, Role::State] {
            order.extend(frame.graph.arguments().iter().filter(|argument| argument.role == role).map(|a| a.value));
        }
        let arguments = frame.graph.arguments().to_vec();
        let argument = |value: &graph::Value| {
            let argument = arguments.iter().find(|argument| argument.value == *value)?;
            let ty = frame.graph.type_of(*value).clone();
            Some(RegionArgument { name: argument.name.clone(), role: argument.role, ty, value: Some(*value) })
        };
        let arguments: Vec<RegionArgument> = order.iter().filter_map(argument).collect();
        let mut outputs = outputs;
        for (path, link) in &self.entry.updated {
            outputs.extend(link.value.borrow().as_wire().map(|wire| (path.to_string(), Role::Param, wire.value)));
        }
        for (path, state) in frame.states.iter().filter(|(_, state)| state.written) {
            outputs.push((path.to_string(), Role::State, state.current));
        }
        Ok(Some(close(frame.graph, arguments, &outputs)))
    }

    /// What the spec calls the sizes of the entry: those that its parameters name, and what stands in states alone.
    fn keep_sizes(&mut self, graph: &Graph) {
        let mut named = std::mem::take(&mut self.entry.named);
        for range in graph.sizes.iter() {
            if !named.iter().any(|(_, size)| size.mentions(&range.symbol)) {
                named.push((range.symbol.clone(), Dim::from(&range.symbol)));
            }
        }
        let entry = &self.entry.name;
        let size = |(name, size): (Symbol, Dim)| NamedSize { entry: entry.clone(), name: name.to_string(), size };
        self.sizes.extend(named.into_iter().map(size));
    }

    fn why_no_entry(&self, function: &Function) -> Option<String> {
        for param in &function.params {
            let chosen = self.options.config.iter().any(|choice| choice.key == param.name.text);
            let given = param.default.is_some() || chosen;
            if holds_tensors(&param.ty) {
                if has_rest(&param.ty) {
                    return Some(format!("`{}` has any number of axes", param.name.text));
                }
            } else if !given {
                return Some(format!("`{}` is config without a default", param.name.text));
            }
        }
        None
    }

    #[allow(clippy::type_complexity)]
    fn build_entry(
        &mut self,
        root: &Rc<Instance<'a>>,
        function: &'a Function,
    ) -> Outcome<(Vec<graph::Value>, Vec<(String, Role, graph::Value)>)> {
        let mut env = Env::of_instance(root);
        self.bind_config(function, &mut env)?;
        let (tensors, _): (Vec<&'a Param>, Vec<&'a Param>) =
            function.params.iter().partition(|param| holds_tensors(&param.ty));
        let implied = self.bind_symbols(function, &tensors, &mut env)?;
        let mut data = Vec::new();
        for param in tensors {
            let value = self.argument_of(&param.name.text, &param.ty, &mut env, &mut data)?;
            env.locals.bind(&param.name.text, value, self.frames.len());
        }
        let graph = &self.frame(function.name.span)?.graph;
        let axes: Vec<Dim> = data.iter().flat_map(|value| graph.type_of(*value).shape.clone()).collect();
        self.all_follow(&implied, &axes, &env)?;
        if let Some(condition) = &function.condition {
            self.declare_ranges(condition, &mut env)?;
            self.no_empty_range(condition.span)?;
            self.hold(condition, &mut env, Claim::WHERE)?;
        }
        let value = self.body(function, &mut env)?;
        let at = function.body.value.as_ref().map_or(function.body.span, |value| value.span);
        let mut leaves = Vec::new();
        self.named_leaves(&value, "result", &mut leaves);
        let mut outputs = Vec::with_capacity(leaves.len());
        for (name, leaf) in leaves {
            let wire = self.tensor(leaf, at)?;
            outputs.push((name, Role::Data, self.enter(wire, at)?));
        }
        for (name, wire) in std::mem::take(&mut self.entry.metrics) {
            outputs.push((name, Role::Data, self.enter(wire, at)?));
        }
        Ok((data, outputs))
    }

    fn bind_config(&mut self, function: &'a Function, env: &mut Env<'a>) -> Outcome<()> {
        for param in function.params.iter().filter(|param| !holds_tensors(&param.ty)) {
            let chosen = self.options.config.iter().rev().find(|choice| choice.key == param.name.text);
            let (value, at) = match (chosen, &param.default) {
                (Some(choice), _) => (super::model::value_of(&choice.value), choice.span.unwrap_or(param.span)),
                (None, Some(default)) => (self.eval(default, env)?, default.span),
                (None, None) => continue,
            };
            let value = self.coerce(value, &param.ty, env, at)?;
            env.locals.bind(&param.name.text, value, self.frames.len());
        }
        Ok(())
    }

    /// Arguments for a type: one per tensor in it.
    fn argument_of(
        &mut self,
        name: &str,
        ty: &'a ast::Type,
        env: &mut Env<'a>,
        data: &mut Vec<graph::Value>,
    ) -> Outcome<Value<'a>> {
        match &ty.kind {
            TypeKind::Tensor { dtype, dims } => {
                let dtype = self.dtype(dtype.as_ref())?;
                let mut shape = Vec::with_capacity(dims.len());
                for (axis, dim) in dims.iter().enumerate() {
                    shape.push(match &dim.kind {
                        DimKind::Size(size) => self.size(size, env)?,
                        _ => self.unnamed_size(name, axis),
                    });
                }
                let (span, ty) = (ty.span, Type::new(dtype, shape));
                self.check_rank(&ty, span)?;
                let frame = self.frame(span)?;
                declare_sizes(&mut frame.graph, &ty);
                let value = frame.graph.add_argument(name, Role::Data, ty);
                data.push(value);
                Ok(Value::Wire(self.wire(value)))
            }
            TypeKind::Tuple(fields) => {
                let mut values = Vec::with_capacity(fields.len());
                for (idx, field) in fields.iter().enumerate() {
                    let part = field.name.as_ref().map_or(idx.to_string(), |name| name.text.clone());
                    let value = self.argument_of(&format!("{name}.{part}"), &field.ty, env, data)?;
                    values.push(Field { name: field.name.as_ref().map(|name| Rc::from(name.text.as_str())), value });
                }
                Ok(Value::Tuple(Rc::new(values)))
            }
            _ => self.error("E0402", "an entry's tuples hold tensors", ty.span, "no tensor"),
        }
    }

    fn unnamed_size(&mut self, name: &str, axis: usize) -> Dim {
        let symbol = format!("{}_{axis}", name.replace('.', "_"));
        if let Some(size) = self.options.fixed(&self.entry.name, &symbol) {
            return Dim::constant(size);
        }
        let dim = Dim::symbol(&symbol);
        self.entry.named.push((Symbol::new(&symbol), dim.clone()));
        self.entry.unnamed.push(Unnamed { symbol: Symbol::new(symbol), param: name.to_string(), axis });
        dim
    }

    /// A declared type within this entry, where sizes may stand for something else.
    pub fn entry_type(&self, ty: &Type) -> Type {
        if self.substitution.is_empty() && self.options.dims.is_empty() {
            return ty.clone();
        }
        let replace = |symbol: &Symbol| {
            let substituted = self.substitution.iter().find(|(own, _)| own == symbol).map(|(_, size)| size.clone());
            substituted.or_else(|| self.options.fixed(&self.entry.name, symbol.name()).map(Dim::constant))
        };
        ty.with_shape(ty.shape.iter().map(|size| size.substitute(&replace)).collect())
    }

    /// The graph that gives every param and state its first value.
    pub fn init_graph(&mut self) -> Outcome<Graph> {
        self.entry = EntryState { name: "init".to_string(), ..EntryState::default() };
        self.substitution.clear();
        self.parts.clear();
        self.push_frame(FrameKind::Init, "init");
        let seed = self.frames[0].graph.add_argument(SEED_INPUT, Role::Data, Type::scalar(graph::DType::I64));
        self.entry.seed = Some(seed);
        let mut failed = None;
        for index in 0..self.members.len() {
            if let Err(poisoned) = self.initial_value(index) {
                failed = Some(poisoned);
            }
        }
        self.entry.member = None;
        let frame = self.pop_frame();
        match (failed, frame) {
            (None, Some(frame)) => Ok(frame.graph),
            (failed, _) => Err(failed.unwrap_or_else(Reports::silent)),
        }
    }

    fn initial_value(&mut self, index: usize) -> Outcome<()> {
        let declared = &self.members[index];
        let (slot, init, mut env) = (declared.slot.clone(), declared.init, declared.env.clone());
        let (owner, copy_of) = (declared.owner.clone(), declared.copy_of.clone());
        self.entry.member = Some(slot.path.to_string());
        let pushed = owner.is_some();
        self.context.extend(owner);
        let known = copy_of.and_then(|path| self.frames[0].known.get(path.as_str()).copied());
        let value = match known {
            Some(value) => Ok(value),
            None => self.first_value(&slot.ty, init, &mut env, slot.span),
        };
        if pushed {
            self.context.pop();
        }
        let value = value?;
        let role = if slot.kind == ast::DeclareKind::Param { Role::Param } else { Role::State };
        let frame = self.frame(slot.span)?;
        frame.known.insert(slot.path.clone(), value);
        declare_sizes(&mut frame.graph, &slot.ty);
        frame.graph.add_output(&*slot.path, role, value);
        Ok(())
    }

    fn first_value(&mut self, ty: &Type, init: &'a Expr, env: &mut Env<'a>, declared: Span) -> Outcome<graph::Value> {
        let span = init.span;
        let mut value = self.eval(init, env)?;
        if matches!(value, Value::Function(_) | Value::Op(_) | Value::Builtin(_)) {
            let shape = Value::list(ty.shape.iter().cloned().map(Value::size).collect());
            let args = vec![super::call::Arg { name: None, value: shape, span }];
            value = self.call(value, args, span, span)?;
        }
        if value.is_tensor() {
            let wire = self.tensor(value, span)?;
            let stretched = self.stretch(wire, ty, span)?;
            value = Value::Wire(stretched);
        }
        let wire = self.fit(value, ty, span, |diagnostic| diagnostic.also(declared, "declared here"))?;
        self.enter(wire, span)
    }

    /// An initial value is broadcast to the shape of what it initialises, where it fits.
    fn stretch(&mut self, wire: super::value::Wire, ty: &Type, span: Span) -> Outcome<super::value::Wire> {
        let own = self.type_of(wire).shape;
        let offset = ty.shape.len().checked_sub(own.len());
        let fits = offset.is_some_and(|offset| own.iter().zip(&ty.shape[offset..]).all(|(a, b)| a == b || a.is(1)));
        if own == ty.shape || !fits { Ok(wire) } else { self.broadcast_to(wire, &ty.shape, span) }
    }
}

fn has_rest(ty: &ast::Type) -> bool {
    match &ty.kind {
        TypeKind::Tensor { dims, .. } => dims.iter().any(|dim| matches!(dim.kind, DimKind::Rest)),
        TypeKind::Tuple(fields) => fields.iter().any(|field| has_rest(&field.ty)),
        _ => false,
    }
}
