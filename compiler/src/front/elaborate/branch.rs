//! `if`: over config one branch is read and the other is not; over a run-time condition both become regions of one `cond`.

use std::rc::Rc;

use super::Elaborator;
use super::fields::Meeting;
use super::frame::{Frame, FrameKind, RegionArgument, close};
use super::report::{Outcome, Reports};
use super::scope::{Env, Link};
use super::structure::rebuild;
use super::value::{Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{Block, Branch};
use crate::graph::{self, Attrs, DType, Role, Shape, Type};

/// A branch that has been read: its graph, what it gives and what it has rebound.
struct Read<'a> {
    frame: Frame<'a>,
    value: Value<'a>,
    rebound: Vec<(Rc<Link<'a>>, Value<'a>)>,
    leaves: Vec<Value<'a>>,
    types: Vec<(Type, bool)>,
}

impl<'a> Elaborator<'a> {
    pub fn if_expr(
        &mut self,
        branches: &'a [Branch],
        otherwise: Option<&'a Block>,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let Some((first, rest)) = branches.split_first() else {
            return otherwise.map_or(Ok(Value::Absent), |block| self.block(block, env));
        };
        match self.eval(&first.condition, env)? {
            Value::Bool(true) => self.block(&first.body, env),
            Value::Bool(false) => self.if_expr(rest, otherwise, env, span),
            value if value.is_tensor() => {
                let at = first.condition.span;
                let test = self.condition(value, at)?;
                self.check_nesting(at)?;
                let then = self.read_branch(env, |this, env| this.block(&first.body, env));
                let other = self.read_branch(env, |this, env| this.if_expr(rest, otherwise, env, span));
                self.cond(test, then?, other?, span)
            }
            other => Err(self.wanted("a condition", &other, first.condition.span)),
        }
    }

    pub fn condition(&mut self, value: Value<'a>, span: Span) -> Outcome<Wire> {
        let wire = self.tensor(value, span)?;
        let ty = self.type_of(wire);
        if ty == Type::scalar(DType::Bool) {
            return Ok(wire);
        }
        let diagnostic = Diagnostic::error("E0403", format!("a condition is one bool, and this is {ty}"))
            .at(span, format!("{ty} here"))
            .help(match ty.dtype {
                DType::Bool => "`select(mask, a, b)` chooses elementwise; `any(mask)` and `all(mask)` make one bool",
                _ => "compare it: `x > 0`",
            });
        Err(self.report(diagnostic))
    }

    fn read_branch(
        &mut self,
        env: &Env<'a>,
        read: impl FnOnce(&mut Self, &mut Env<'a>) -> Outcome<Value<'a>>,
    ) -> Outcome<Read<'a>> {
        self.push_frame(FrameKind::Branch, "branch");
        let mut env = env.clone();
        let result = read(self, &mut env);
        let mut rebound: Vec<(Rc<Link<'a>>, Value<'a>)> = Vec::new();
        let log = self.frames.last_mut().map(|frame| std::mem::take(&mut frame.rebound)).unwrap_or_default();
        for (link, _) in &log {
            if !rebound.iter().any(|(known, _)| Rc::ptr_eq(known, link)) {
                rebound.push((link.clone(), link.value.borrow().clone()));
            }
        }
        for (link, old) in log.into_iter().rev() {
            link.value.replace(old);
        }
        let frame = self.pop_frame();
        match (result, frame) {
            (Ok(value), Some(frame)) => Ok(Read { frame, value, rebound, leaves: Vec::new(), types: Vec::new() }),
            _ => Err(Reports::silent()),
        }
    }

    fn cond(&mut self, test: Wire, mut then: Read<'a>, mut other: Read<'a>, span: Span) -> Outcome<Value<'a>> {
        let mut links: Vec<Rc<Link<'a>>> = then.rebound.iter().map(|(link, _)| link.clone()).collect();
        for (link, _) in &other.rebound {
            if !links.iter().any(|known| Rc::ptr_eq(known, link)) {
                links.push(link.clone());
            }
        }
        other.value =
            self.in_order_of(&other.value, &then.value, Meeting { code: "E0209", found: span, wanted: None })?;
        let n_value = self.read_leaves(&mut then, &links, span)?;
        self.read_leaves(&mut other, &links, span)?;
        let types = self.agree(&then, &other, span)?;
        let mut outputs = [Vec::new(), Vec::new()];
        for (read, outputs) in [&mut then, &mut other].into_iter().zip(&mut outputs) {
            *outputs = self.fit_leaves(read, &types, span)?;
        }
        let flexible: Vec<bool> = then.types.iter().zip(&other.types).map(|(a, b)| a.1 && b.1).collect();
        let template = then.value.clone();
        let links_values: Vec<Value<'a>> = links.iter().map(|link| link.value.borrow().clone()).collect();
        let results = self.close_cond(test, then.frame, other.frame, outputs, span)?;
        let mut wires =
            results.into_iter().zip(flexible).map(|(value, flexible)| Wire { flexible, ..self.wire(value) });
        let wires: Vec<Wire> = wires.by_ref().collect();
        let mut rest = wires[n_value.min(wires.len())..].iter().copied();
        let rebound: Vec<Value<'a>> = links_values.iter().map(|value| rebuild(value, &mut rest)).collect();
        for (link, value) in links.iter().zip(rebound) {
            self.set(link, value, span)?;
        }
        Ok(rebuild(&template, &mut wires.iter().copied()))
    }

    /// Collects what a branch gives, then what the rebound names hold in it; returns how many leaves are of the value.
    fn read_leaves(&mut self, read: &mut Read<'a>, links: &[Rc<Link<'a>>], span: Span) -> Outcome<usize> {
        let mut leaves = Vec::new();
        self.leaves(&read.value, span, &mut leaves)?;
        let n_value = leaves.len();
        for link in links {
            let outside = link.value.borrow().clone();
            let own = read.rebound.iter().find(|(known, _)| Rc::ptr_eq(known, link));
            let value = match own {
                Some((_, value)) => {
                    self.in_order_of(value, &outside, Meeting { code: "E0209", found: span, wanted: None })?
                }
                None => outside,
            };
            self.leaves(&value, span, &mut leaves)?;
        }
        let serial = read.frame.serial;
        for leaf in &leaves {
            let ty = match leaf {
                Value::Wire(wire) if wire.serial == serial => read.frame.graph.type_of(wire.value).clone(),
                leaf => Type::new(self.dtype_of(leaf), self.shape_of(leaf)),
            };
            let flexible = !leaf.is_tensor() || matches!(leaf, Value::Wire(wire) if wire.flexible);
            read.types.push((ty, flexible));
        }
        read.leaves = leaves;
        Ok(n_value)
    }

    fn agree(&mut self, then: &Read<'a>, other: &Read<'a>, span: Span) -> Outcome<Vec<Type>> {
        if then.types.len() != other.types.len() {
            let message = match (then.types.len(), other.types.len()) {
                (_, 0) | (0, _) => "one branch gives a value and the other none".to_string(),
                (a, b) => format!("one branch gives {} and the other {b}", super::call::count(a, "tensor")),
            };
            let diagnostic = Diagnostic::error("E0209", message).at(span, "both branches are computed into one value");
            return Err(
                self.report(diagnostic.help("an `if` over a run-time condition needs an `else` that gives the same"))
            );
        }
        let mut types = Vec::with_capacity(then.types.len());
        for ((a, a_loose), (b, b_loose)) in then.types.iter().zip(&other.types) {
            let ty = match (a.dtype == b.dtype, a_loose, b_loose) {
                (true, ..) | (_, false, true) => a.clone(),
                (_, true, false) => b.clone(),
                (_, true, true) => a.with_dtype(DType::Real),
                _ => {
                    let message = format!("one branch gives {a} and the other {b}");
                    return self.error("E0209", message, span, "both branches give the same types");
                }
            };
            if a.shape != b.shape {
                let message = format!("one branch gives {} and the other {}", Shape(&a.shape), Shape(&b.shape));
                return self.error("E0209", message, span, "both branches give the same shapes");
            }
            types.push(ty);
        }
        Ok(types)
    }

    fn fit_leaves(&mut self, read: &mut Read<'a>, types: &[Type], span: Span) -> Outcome<Vec<graph::Value>> {
        let frame = std::mem::replace(&mut read.frame, self.empty_frame());
        self.frames.push(frame);
        let mut outputs = Vec::with_capacity(types.len());
        let mut outcome = Ok(());
        for (leaf, ty) in read.leaves.iter().zip(types) {
            let fitted = self.fit(leaf.clone(), ty, span, |diagnostic| diagnostic);
            match fitted.and_then(|wire| self.enter(wire, span)) {
                Ok(value) => outputs.push(value),
                Err(poisoned) => outcome = Err(poisoned),
            }
        }
        if let Some(frame) = self.pop_frame() {
            read.frame = frame;
        }
        outcome.map(|()| outputs)
    }

    fn empty_frame(&mut self) -> Frame<'a> {
        self.push_frame(FrameKind::Branch, "branch");
        self.frames.pop().expect("it was just pushed")
    }

    /// Both regions take the same captures, and give the leaves and then every state that either writes.
    fn close_cond(
        &mut self,
        test: Wire,
        then: Frame<'a>,
        other: Frame<'a>,
        outputs: [Vec<graph::Value>; 2],
        span: Span,
    ) -> Outcome<Vec<graph::Value>> {
        let outer = self.frames.len() - 1;
        let mut captured: Vec<graph::Value> = then.captures.keys().copied().collect();
        captured.extend(other.captures.keys().filter(|value| !then.captures.contains_key(*value)));
        let mut paths: Vec<Rc<str>> = then.states.keys().cloned().collect();
        paths.extend(other.states.keys().filter(|path| !then.states.contains_key(*path)).cloned());
        let written: Vec<Rc<str>> = paths
            .iter()
            .filter(|path| {
                [&then, &other].iter().any(|frame| frame.states.get(*path).is_some_and(|state| state.written))
            })
            .cloned()
            .collect();
        let mut operands = vec![self.enter(test, span)?];
        operands.extend(captured.iter().copied());
        let current = |this: &Self, path: &Rc<str>| this.frames[outer].states.get(path).map(|state| state.current);
        operands.extend(paths.iter().filter_map(|path| current(self, path)));
        let n_leaves = outputs[0].len();
        let mut regions = Vec::with_capacity(2);
        for (frame, mut outputs) in [then, other].into_iter().zip(outputs) {
            let mut arguments = Vec::new();
            for value in &captured {
                let ty = self.frames[outer].graph.type_of(*value).clone();
                arguments.push(capture(arguments.len(), ty, frame.captures.get(value).copied()));
            }
            let mut graph = frame.graph;
            for path in &paths {
                let Some(value) = current(self, path) else { continue };
                let ty = self.frames[outer].graph.type_of(value).clone();
                let slot = frame.states.get(path).copied();
                let argument =
                    slot.map_or_else(|| graph.add_argument(&**path, Role::Data, ty.clone()), |slot| slot.argument);
                arguments.push(capture(arguments.len(), ty, Some(argument)));
                if written.contains(path) {
                    outputs.push(slot.map_or(argument, |slot| slot.current));
                }
            }
            let outputs: Vec<_> =
                outputs.into_iter().enumerate().map(|(idx, v)| (format!("r{idx}"), Role::Data, v)).collect();
            regions.push(close(graph, arguments, &outputs));
        }
        let results = self.emit_regions("cond", &operands, Attrs::none(), regions, span)?;
        for (path, value) in written.iter().zip(&results[n_leaves.min(results.len())..]) {
            if let Some(state) = self.frames[outer].states.get_mut(path) {
                (state.current, state.written) = (*value, true);
            }
        }
        Ok(results[..n_leaves.min(results.len())].to_vec())
    }
}

pub fn capture(idx: usize, ty: Type, value: Option<graph::Value>) -> RegionArgument {
    RegionArgument { name: format!("a{idx}"), role: Role::Data, ty, value }
}
