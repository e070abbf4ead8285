//! `grad`, `vjp`, `jvp`, and what stops or leads gradients.
//!
//! Invariant: a gradient is asked for in the graph in which `y` was computed, and only of what `y` is computed from there:
//! whatever would make it incomplete or impossible is an error of the spec, not of a pass.

use std::rc::Rc;

use super::Bound;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::DeclareKind;
use crate::front::elaborate::Elaborator;
use crate::front::elaborate::fields::Meeting;
use crate::front::elaborate::report::{Outcome, Poisoned};
use crate::front::elaborate::structure::rebuild;
use crate::front::elaborate::value::{Field, Instance, Slot, Value, Wire};
use crate::graph::{Attrs, Type};
use crate::ops::reverse::{Activity, depends, obstacle};

/// What a gradient is taken of, or by: tensors, with the shape of the value they came in.
pub struct Tree<'a> {
    pub template: Value<'a>,
    pub wires: Vec<Wire>,
    pub span: Span,
}

impl<'a> Elaborator<'a> {
    pub(super) fn grad(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((y, y_at), (x, x_at)) = (b.value(0), b.value(1));
        let y = self.tensor(y, y_at)?;
        let by = self.tensors_of(&x, x_at)?;
        let found = self.gradient_of(y, y_at, &by, b.span)?;
        Ok(rebuild(&by.template, &mut found.into_iter()))
    }

    /// The gradients of a number by each tensor of a tree.
    pub fn gradient_of(&mut self, y: Wire, y_at: Span, by: &Tree<'a>, span: Span) -> Outcome<Vec<Wire>> {
        let ty = self.type_of(y);
        if ty.rank() != 0 {
            let diagnostic = Diagnostic::error("E0211", "a gradient is of one number")
                .at(y_at, format!("this is {ty}"))
                .help("take its `sum` or its `mean`, or say with `vjp(y, x, cotangent)` how its elements count");
            return Err(self.report(diagnostic));
        }
        let one = self.number_at(1.0, y, span)?;
        self.pull(y, y_at, one, by, span)
    }

    pub(super) fn vjp(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((y, y_at), (x, x_at), (cotangent, at)) = (b.value(0), b.value(1), b.value(2));
        let y = self.tensor(y, y_at)?;
        let by = self.tensors_of(&x, x_at)?;
        let ty = self.type_of(y);
        let cotangent = self.fit(cotangent, &ty, at, |diagnostic| diagnostic.also(y_at, format!("this is {ty}")))?;
        let found = self.pull(y, y_at, cotangent, &by, b.span)?;
        Ok(rebuild(&by.template, &mut found.into_iter()))
    }

    /// The gradient, by its cotangent, of a gradient: that is linear, so any cotangent will do, and zero does.
    pub(super) fn jvp(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((y, y_at), (x, x_at), (direction, at)) = (b.value(0), b.value(1), b.value(2));
        let y = self.tensor(y, y_at)?;
        let by = self.tensors_of(&x, x_at)?;
        let along = self.tensors_like(&direction, &by, at)?;
        if along.wires.len() != by.wires.len() {
            let message = format!("{} tensors move in {} directions", by.wires.len(), along.wires.len());
            let diagnostic = Diagnostic::error("E0211", message).at(at, "the directions");
            return Err(self.report(diagnostic.also(x_at, "what moves")));
        }
        let zero = self.number_at(0.0, y, b.span)?;
        let found = self.pull(y, y_at, zero, &by, b.span)?;
        let through = Tree { template: Value::Wire(zero), wires: vec![zero], span: b.span };
        let mut sum: Option<Wire> = None;
        for (gradient, direction) in found.into_iter().zip(along.wires) {
            let ty = self.type_of(gradient);
            let direction =
                self.fit(Value::Wire(direction), &ty, at, |diagnostic| diagnostic.also(x_at, format!("this is {ty}")))?;
            let slope = self.pull(gradient, y_at, direction, &through, b.span)?.remove(0);
            sum = Some(match sum {
                Some(sum) => self.emit("add", &[sum, slope], Attrs::none(), b.span)?,
                None => slope,
            });
        }
        sum.map_or_else(|| self.error("E0211", "nothing moves here", x_at, "no tensor"), |sum| Ok(Value::Wire(sum)))
    }

    pub(super) fn stop_gradient(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, at) = b.value(0);
        let tree = self.tensors_of(&value, at)?;
        let mut stopped = Vec::with_capacity(tree.wires.len());
        for wire in tree.wires {
            let made = self.emit("stop_gradient", &[wire], Attrs::none(), b.span)?;
            stopped.push(Wire { flexible: wire.flexible, new_axes: wire.new_axes, ..made });
        }
        Ok(rebuild(&tree.template, &mut stopped.into_iter()))
    }

    pub(super) fn straight_through(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((hard, hard_at), (soft, soft_at)) = (b.value(0), b.value(1));
        let soft = self.tensor(soft, soft_at)?;
        let ty = self.type_of(soft);
        let hard = self.fit(hard, &ty, hard_at, |diagnostic| diagnostic.also(soft_at, format!("this is {ty}")))?;
        self.emit("straight_through", &[hard, soft], Attrs::none(), b.span).map(Value::Wire)
    }

    /// The tensors of a value: its own, or the params of a module.
    pub fn tensors_of(&mut self, value: &Value<'a>, span: Span) -> Outcome<Tree<'a>> {
        let template = self.leaves_of_modules(value);
        let mut leaves = Vec::new();
        self.leaves(&template, span, &mut leaves)?;
        let mut wires = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            wires.push(self.tensor(leaf, span)?);
        }
        Ok(Tree { template, wires, span })
    }

    /// As [`Elaborator::tensors_of`], in the order in which another tree has them.
    pub fn tensors_like(&mut self, value: &Value<'a>, tree: &Tree<'a>, span: Span) -> Outcome<Tree<'a>> {
        let meeting = Meeting { code: "E0209", found: span, wanted: Some(tree.span) };
        let ordered = self.in_order_of(&self.leaves_of_modules(value), &tree.template, meeting)?;
        self.tensors_of(&ordered, span)
    }

    /// The value with each module as the tuple of its params, at their names. A function between modules has none.
    pub fn leaves_of_modules(&self, value: &Value<'a>) -> Value<'a> {
        let within = |value: &Value<'a>| match value.is_function() {
            true => Value::Absent,
            false => self.leaves_of_modules(value),
        };
        match value {
            Value::Module(instance) => {
                let children = instance.children.borrow();
                let learned = |(name, value): &(Rc<str>, Value<'a>)| {
                    let value = match value {
                        Value::Slot(slot) if !is_learned(slot) => return None,
                        other => self.leaves_of_modules(&without_states(other)),
                    };
                    Some(Field { name: Some(name.clone()), value })
                };
                Value::Tuple(Rc::new(children.iter().filter_map(learned).collect()))
            }
            Value::List(items) => Value::list(items.iter().map(within).collect()),
            Value::Tuple(fields) => {
                let field = |field: &Field<'a>| Field { name: field.name.clone(), value: within(&field.value) };
                Value::Tuple(Rc::new(fields.iter().map(field).collect()))
            }
            other => other.clone(),
        }
    }

    /// A module as it is outside training.
    pub(super) fn evaluated(&mut self, value: &Value<'a>, span: Span) -> Outcome<Value<'a>> {
        match value {
            Value::Module(instance) => Ok(Value::Module(Rc::new(Instance {
                path: instance.path.clone(),
                constructor: instance.constructor,
                given: instance.given.clone(),
                names: instance.names.clone(),
                children: instance.children.clone(),
                copy_of: instance.copy_of.clone(),
                evaluated: true,
            }))),
            Value::List(items) => {
                let items: Outcome<Vec<_>> = items.iter().map(|item| self.evaluated(item, span)).collect();
                items.map(Value::list)
            }
            Value::Absent => Ok(Value::Absent),
            function if function.is_function() => Ok(function.clone()),
            other => Err(self.wanted("a module", &other.clone(), span)),
        }
    }

    /// A number like `y`, in the graph that `y` is of.
    fn number_at(&mut self, value: f64, y: Wire, span: Span) -> Outcome<Wire> {
        let Type { dtype, shape } = self.type_of(y);
        let attrs = Attrs::none().with("value", value).with("shape", shape).with("dtype", dtype);
        self.enter(y, span)?;
        let value = self.apply_at(y.depth, "fill", &[], attrs, span)?;
        Ok(Wire { value, flexible: false, new_axes: 0, ..y })
    }

    /// Sends a cotangent back from `y`.
    fn pull(&mut self, y: Wire, y_at: Span, cotangent: Wire, by: &Tree<'a>, span: Span) -> Outcome<Vec<Wire>> {
        self.enter(y, span)?;
        if cotangent.depth > y.depth {
            // The cotangent is known in an inner block only, so the way back would begin there.
            let diagnostic = Diagnostic::error("E0211", "this was computed outside the block that differentiates it")
                .at(y_at, "computed outside")
                .also(span, "differentiated here")
                .help("compute it in the same block");
            return Err(self.report(diagnostic));
        }
        self.check_floats(y, y_at, by)?;
        let mut operands = vec![y.value, self.enter_at(cotangent, y.depth)];
        for x in &by.wires {
            if x.depth > y.depth {
                return Err(self.not_computed_from(y_at, by.span));
            }
            self.no_other_way(*x, y, by.span, span)?;
            operands.push(self.enter_at(*x, y.depth));
        }
        let graph = &self.frames[y.depth].graph;
        if !operands[2..].iter().any(|x| depends(graph, y.value, *x)) {
            return Err(self.not_computed_from(y_at, by.span));
        }
        if let Some((id, reason)) = obstacle(graph, y.value, &operands[2..]) {
            let line = graph.node(id).origin.line;
            let diagnostic = Diagnostic::error("E0211", reason)
                .at(y_at, format!("computed through line {line}"))
                .also(by.span, "differentiated by this");
            return Err(self.report(
                diagnostic.help("bound the loop, `loop while …, at most n`, or `stop_gradient` what it gives"),
            ));
        }
        let origin = self.origin(span);
        let graph = &mut self.frames[y.depth].graph;
        match graph.apply(&crate::ops::vjp::OP, &operands, &Attrs::none(), Vec::new(), &origin) {
            Ok(node) => {
                let wire = |value| Wire { value, flexible: false, new_axes: 0, ..y };
                Ok(graph.results(node).map(wire).collect())
            }
            Err(error) => self.error("E0211", error.message, span, "this is not differentiated"),
        }
    }

    fn check_floats(&mut self, y: Wire, y_at: Span, by: &Tree<'a>) -> Outcome<()> {
        let ys = [(y, y_at)];
        let wires = ys.into_iter().chain(by.wires.iter().map(|x| (*x, by.span)));
        for (wire, at) in wires {
            let ty = self.type_of(wire);
            if !ty.dtype.is_float() {
                let diagnostic = Diagnostic::error("E0211", "gradients are of floats and by floats")
                    .at(at, format!("this is {ty}"))
                    .help("cast it before it is used, and differentiate by that: `let x = float(n)`");
                return Err(self.report(diagnostic));
            }
        }
        match by.wires.is_empty() {
            true => self.error("E0211", "there is nothing to differentiate by", by.span, "it has no params"),
            false => Ok(()),
        }
    }

    fn not_computed_from(&mut self, y_at: Span, x_at: Span) -> Poisoned {
        let diagnostic = Diagnostic::error("E0211", "this is not computed from what it is differentiated by")
            .at(x_at, "differentiated by this")
            .also(y_at, "which does not stand in this")
            .help("a value that was made before a name was bound anew, or a param updated, is of the old one");
        self.report(diagnostic)
    }

    /// What comes into a block from outside may depend on `x` too; that way back does not exist.
    fn no_other_way(&mut self, x: Wire, y: Wire, x_at: Span, span: Span) -> Outcome<()> {
        let mut value = x.value;
        for depth in x.depth..y.depth {
            let activity = Activity::of(&self.frames[depth].graph, 0, &[value]);
            let (outer, inner) = (&self.frames[depth], &self.frames[depth + 1]);
            let states =
                inner.states.iter().filter_map(|(path, inner)| Some((outer.states.get(path)?.current, inner.argument)));
            let entered = inner.captures.iter().map(|(outer, inner)| (*outer, *inner)).chain(states);
            let mut others = entered.filter(|(from, _)| *from != value && activity.reaches(&outer.graph, *from));
            if others.next().is_some() {
                let diagnostic =
                    Diagnostic::error("E0211", "this block uses other values that depend on what it differentiates by")
                        .at(span, "differentiated in this block")
                        .also(x_at, "by this, from outside, on which other values from outside depend")
                        .help("compute them in the block, or `stop_gradient` them");
                return Err(self.report(diagnostic));
            }
            value = self.enter_at(Wire { value, depth, serial: self.frames[depth].serial, ..x }, depth + 1);
        }
        Ok(())
    }
}

/// Whether a gradient by a module is by this member.
pub fn is_learned(slot: &Slot) -> bool {
    slot.kind == DeclareKind::Param
}

/// What of a list or a tuple of members is learned.
fn without_states<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Slot(slot) if !is_learned(slot) => Value::Absent,
        Value::List(items) => Value::list(items.iter().map(without_states).collect()),
        Value::Tuple(fields) => {
            let field = |field: &Field<'a>| Field { name: field.name.clone(), value: without_states(&field.value) };
            Value::Tuple(Rc::new(fields.iter().map(field).collect()))
        }
        other => other.clone(),
    }
}
