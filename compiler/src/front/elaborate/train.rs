//! Training: `minimize` and `metric`, assignment to whole modules, and the schedule of a `train`.
//!
//! Invariant: a param that some step updates is a state of the model, which every entry reads as such. An update takes
//! effect where it stands: what is computed after it sees the new values. Each learned tensor has an optimizer of its own,
//! whose states lie beside those of the model, under `optim.STEP`.

use std::rc::Rc;

use super::Elaborator;
use super::builtins::gradients::{Tree, is_learned};
use super::call::Arg;
use super::frame::{FrameKind, RegionArgument, close};
use super::model::is_optimizer;
use super::report::Outcome;
use super::scope::{Env, Link};
use super::value::{Blueprint, BlueprintKind, Instance, Slot, Value, Wire};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{Entry, Expr, Schedule, Update};
use crate::graph::{self, Graph, Role};

const OF_A_STEP: &str = "it belongs into a `step` of a `train`";
const ONE_MINIMIZE: &str = "it happens once in a step, not in a loop or under a condition of tensors; the `update` of an \
                            optimizer of one's own may choose: `if c { w - lr * g } else { w }`";
const ONE_METRIC: &str = "it is reported once in a step: `let v = if c { a } else { b }`, then `metric name = v`";

/// One `over … using …`: what is learned, and by what.
struct Plan<'a> {
    slots: Vec<Rc<Slot>>,
    optimizer: Rc<Blueprint<'a>>,
    target: Span,
    at: Span,
}

impl<'a> Elaborator<'a> {
    pub fn minimize(&mut self, loss: &'a Expr, updates: &'a [Update], env: &mut Env<'a>, span: Span) -> Outcome<()> {
        self.top_of_step("minimize", ONE_MINIMIZE, span)?;
        let value = self.eval(loss, env);
        let mut plans = Vec::with_capacity(updates.len());
        let mut failed = None;
        for update in updates {
            match self.plan(update, env) {
                Ok(plan) => plans.push(plan),
                Err(poisoned) => failed = Some(poisoned),
            }
        }
        let loss_wire = self.tensor(value?, loss.span)?;
        failed.map_or(Ok(()), Err)?;
        self.report_value("loss", loss_wire);
        let target = plans.first().map_or(span, |plan| plan.target);
        let mut by = Tree { template: Value::Absent, wires: Vec::new(), span: target };
        for slot in plans.iter().flat_map(|plan| &plan.slots) {
            by.wires.push(self.read_slot(slot, by.span)?);
        }
        self.no_older_values(loss_wire, loss.span, &by)?;
        let mut gradients = self.gradient_of(loss_wire, loss.span, &by, span)?.into_iter();
        for plan in &plans {
            for slot in &plan.slots {
                let Some(gradient) = gradients.next() else { continue };
                self.learn(plan, slot, gradient)?;
            }
        }
        Ok(())
    }

    fn top_of_step(&mut self, what: &str, instead: &str, span: Span) -> Outcome<()> {
        let help = match (self.training, self.frames.len()) {
            (true, 1) => return Ok(()),
            (true, _) => instead,
            (false, _) => OF_A_STEP,
        };
        let diagnostic = Diagnostic::error("E0113", format!("`{what}` stands in a `step`, by itself"));
        Err(self.report(diagnostic.at(span, "not here").help(help)))
    }

    /// A module is written under conditions too, but not in a loop, which would have to carry it.
    fn outside_loops(&mut self, target: Span) -> Outcome<()> {
        let help = match (self.training, self.frames.iter().any(|frame| frame.kind == FrameKind::Body)) {
            (true, false) => return Ok(()),
            (true, true) => "it happens once in a step, after the loop: `let w = loop … carry …`, then `m <- w`",
            (false, _) => OF_A_STEP,
        };
        let diagnostic = Diagnostic::error("E0113", "a module is written in a `step`, and not in a loop");
        Err(self.report(diagnostic.at(target, "not here").help(help)))
    }

    fn plan(&mut self, update: &'a Update, env: &mut Env<'a>) -> Outcome<Plan<'a>> {
        let (target, optimizer) = (self.eval_place(&update.target, env), self.eval(&update.optimizer, env));
        let (target, optimizer) = (target?, optimizer?);
        let (target_at, at) = (update.target.span, update.optimizer.span);
        let slots = self.learned(&target, target_at)?;
        let optimizer = match optimizer {
            Value::Blueprint(blueprint) if updates(&blueprint) => blueprint,
            other => {
                let diagnostic = Diagnostic::error("E0402", "this is no optimizer").at(at, other.kind());
                let help = "an optimizer is a module with `fn update(w: [..], g: [..]) -> [..]`, as `Adam(lr: 1e-3)` of `use optim { Adam }`";
                return Err(self.report(diagnostic.help(help)));
            }
        };
        Ok(Plan { slots, optimizer, target: target_at, at })
    }

    /// The params that a value stands for.
    fn learned(&mut self, value: &Value<'a>, span: Span) -> Outcome<Vec<Rc<Slot>>> {
        let template = self.leaves_of_modules(value);
        let mut leaves = Vec::new();
        self.leaves(&template, span, &mut leaves)?;
        let mut slots = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let slot = match &leaf {
                Value::Slot(slot) => Some(slot.clone()),
                Value::Wire(wire) => self.slot_of(*wire),
                _ => None,
            };
            match slot.filter(|slot| is_learned(slot)) {
                Some(slot) => slots.push(slot),
                None => {
                    let diagnostic = Diagnostic::error("E0310", "only a param is learned, or a module of params");
                    return Err(self.report(diagnostic.at(span, leaf.kind())));
                }
            }
        }
        if slots.is_empty() {
            return self.error("E0310", "there is nothing to learn here", span, "it has no params");
        }
        Ok(slots)
    }

    /// The param whose value this is.
    fn slot_of(&self, wire: Wire) -> Option<Rc<Slot>> {
        let frame = self.frames.first().filter(|frame| frame.serial == wire.serial)?;
        let path = frame.known.keys().find(|path| self.current(path) == Some(wire.value))?;
        let declared = self.members.iter().find(|declared| declared.slot.path == *path)?;
        Some(declared.slot.clone())
    }

    /// The new value of a param that has one by now.
    pub fn updated(&self, path: &str) -> Option<Wire> {
        self.entry.updated.get(path).and_then(|link| link.value.borrow().as_wire())
    }

    /// The value of a param, as a value of the step's own graph.
    fn current(&self, path: &str) -> Option<graph::Value> {
        match self.updated(path) {
            Some(wire) => (wire.depth == 0).then_some(wire.value),
            None => self.frames[0].known.get(path).copied(),
        }
    }

    /// `w <- optimizer.update(w, g)`, with an optimizer for this tensor alone.
    fn learn(&mut self, plan: &Plan<'a>, slot: &Rc<Slot>, gradient: Wire) -> Outcome<()> {
        let BlueprintKind::Module { constructor, params, .. } = &plan.optimizer.kind else { return Ok(()) };
        let mut path = format!("optim.{}.{}", self.entry.name, slot.path);
        while self.entry.optimizers.contains(&path) {
            path.push('_');
        }
        self.entry.optimizers.insert(path.clone());
        let outer = self.leaf.replace(slot.ty.shape.clone());
        let optimizer = self.instantiate(*constructor, params.clone(), &path, None, plan.at);
        self.leaf = outer;
        let optimizer = optimizer?;
        let Some(update) = self.function_of(&optimizer, "update") else { return Ok(()) };
        let old = self.read_slot(slot, plan.target)?;
        let arg = |value: Wire| Arg { name: None, value: Value::Wire(value), span: plan.at };
        let new = self.call(update, vec![arg(old), arg(gradient)], plan.at, plan.at)?;
        self.write_param(slot, new, plan.at)
    }

    /// A new value for a param, from here on and for later calls.
    fn write_param(&mut self, slot: &Rc<Slot>, value: Value<'a>, at: Span) -> Outcome<()> {
        let ty = self.entry_type(&slot.ty);
        let declared = slot.span;
        let wire = self.fit(value, &ty, at, |diagnostic| diagnostic.also(declared, format!("this is {ty}")))?;
        let value = self.enter(wire, at)?;
        let new = self.wire(value);
        let old = self.read_slot(slot, at)?;
        if old.depth == 0 {
            self.entry.outdated.push(old.value);
        }
        let link = || Rc::new(Link::new(slot.path.clone(), Value::Wire(old), 1));
        let link = self.entry.updated.entry(slot.path.clone()).or_insert_with(link).clone();
        self.trained.insert(slot.path.to_string());
        self.set(&link, Value::Wire(new), at)
    }

    /// A loss that was computed with a param before its update has no whole gradient by it any more.
    fn no_older_values(&mut self, loss: Wire, at: Span, by: &Tree<'a>) -> Outcome<()> {
        let graph = &self.frames[0].graph;
        let paths = self.frames[0].known.keys();
        let current: Vec<graph::Value> = paths.filter_map(|path| self.current(path)).collect();
        let mut wanted = vec![false; graph.n_nodes()];
        wanted[loss.value.node.index()] = true;
        let mut meets_old = self.entry.outdated.contains(&loss.value);
        for id in graph.made_after(0).rev() {
            if !wanted[id.index()] {
                continue;
            }
            for operand in graph.operands(id) {
                meets_old |= self.entry.outdated.contains(&operand);
                wanted[operand.node.index()] |= !current.contains(&operand);
            }
        }
        let updated =
            by.wires.iter().any(|wire| self.entry.updated.keys().any(|path| self.current(path) == Some(wire.value)));
        if !(meets_old && updated) {
            return Ok(());
        }
        let diagnostic =
            Diagnostic::error("E0211", "this was computed before what it is differentiated by was updated")
                .at(at, "with older values")
                .also(by.span, "updated since")
                .help("let both follow one loss, `minimize … over … using … over … using …`, or compute it again");
        Err(self.report(diagnostic))
    }

    pub fn metric(&mut self, name: &str, value: &'a Expr, env: &mut Env<'a>, span: Span) -> Outcome<()> {
        let found = self.eval(value, env)?;
        self.top_of_step("metric", ONE_METRIC, span)?;
        let wire = self.tensor(found, value.span)?;
        self.report_value(name, wire);
        Ok(())
    }

    fn report_value(&mut self, name: &str, wire: Wire) {
        let taken = |name: &str| self.entry.metrics.iter().any(|(own, _)| own == name);
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let name = std::iter::once(name.to_string()).chain(numbered).find(|name| !taken(name));
        self.entry.metrics.extend(name.map(|name| (name, wire)));
    }

    /// `m <- tree`: every learned tensor of a module.
    pub fn write_module(&mut self, module: &Value<'a>, value: Value<'a>, at: Span, target: Span) -> Outcome<()> {
        self.outside_loops(target)?;
        let slots = self.learned(module, target)?;
        let written = Tree { template: self.leaves_of_modules(module), wires: Vec::new(), span: target };
        let tree = self.tensors_like(&value, &written, at)?;
        if tree.wires.len() != slots.len() {
            let message = format!("{} tensors for a module of {}", tree.wires.len(), slots.len());
            let diagnostic = Diagnostic::error("E0209", message).at(at, "given here");
            return Err(self.report(diagnostic.also(target, "written here")));
        }
        for (slot, wire) in slots.iter().zip(tree.wires) {
            self.write_param(slot, Value::Wire(wire), at)?;
        }
        Ok(())
    }

    /// `loop { critic * 5, generator }`: the steps of a round, in order.
    pub fn schedule(&mut self, root: &Rc<Instance<'a>>) -> Outcome<Vec<(String, i64)>> {
        let module = root.constructor.module;
        let schedules = module.entries.iter().filter_map(|entry| match entry {
            Entry::Schedule(schedule) => Some(schedule),
            _ => None,
        });
        let mut turns = Vec::new();
        for schedule in schedules {
            self.turns(schedule, root, &mut turns)?;
        }
        Ok(turns)
    }

    fn turns(
        &mut self,
        schedule: &'a Schedule,
        root: &Rc<Instance<'a>>,
        turns: &mut Vec<(String, i64)>,
    ) -> Outcome<()> {
        let steps: Vec<&str> = root.constructor.module.entries.iter().filter_map(step_name).collect();
        for turn in &schedule.turns {
            let name = turn.step.text.as_str();
            if !steps.contains(&name) {
                let diagnostic = Diagnostic::error("E0301", format!("there is no step `{name}`"))
                    .at(turn.step.span, "unknown step")
                    .did_you_mean(suggest(name, steps.iter().copied()));
                return Err(self.report(diagnostic));
            }
            let times = match &turn.times {
                Some(times) => self.config_int(times, &mut Env::of_instance(root), "how often a step is taken")?,
                None => 1,
            };
            turns.push((name.to_string(), times.max(0)));
        }
        Ok(())
    }

    /// Updated params as the states that they are.
    pub fn with_trained_states(&self, graph: Graph) -> Graph {
        let role = |name: &str, role: Role| match role == Role::Param && self.trained.contains(name) {
            true => Role::State,
            false => role,
        };
        let changes = |(name, own): (&str, Role)| role(name, own) != own;
        let arguments = graph.arguments().iter().map(|argument| (argument.name.as_str(), argument.role));
        let outputs = graph.outputs().iter().map(|output| (output.name.as_str(), output.role));
        if !arguments.chain(outputs).any(changes) {
            return graph;
        }
        let argument = |argument: &graph::Argument| RegionArgument {
            name: argument.name.clone(),
            role: role(&argument.name, argument.role),
            ty: graph.type_of(argument.value).clone(),
            value: Some(argument.value),
        };
        let mut arguments: Vec<RegionArgument> = graph.arguments().iter().map(argument).collect();
        arguments.sort_by_key(|argument| argument.role as usize);
        let output = |output: &graph::Output| (output.name.clone(), role(&output.name, output.role), output.value);
        let outputs: Vec<_> = graph.outputs().iter().map(output).collect();
        close(graph, arguments, &outputs)
    }
}

fn updates(blueprint: &Blueprint) -> bool {
    matches!(&blueprint.kind, BlueprintKind::Module { constructor, .. } if is_optimizer(constructor.module))
}

fn step_name(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::Step(step) => Some(&step.name.text),
        _ => None,
    }
}
