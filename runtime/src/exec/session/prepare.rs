//! What happens before the steps of a call: inputs are matched with ports, sizes bound, the plan
//! found or made, checks decided, memory brought about.
//!
//! Invariant: when this succeeds the call can run, and when it fails no state was written.

use std::sync::Arc;

use super::{CachedPlan, Engine, MAX_PLANS, Session, with_names};
use crate::bytes::AlignedBytes;
use crate::data::TensorRef;
use crate::error::{ErrorKind, RunError, ShapeText};
use crate::exec::plan::{Plan, plan};
use crate::exec::profile::Counter;
use crate::exec::sizes;
use crate::program::{Entry, Symbol};

impl Session {
    /// Matches inputs with ports, finds or makes the plan for their shapes, and decides the checks. Nothing that another
    /// call could tell is changed.
    pub(super) fn plan_for(&mut self, index: usize, inputs: &[(&str, TensorRef)]) -> Result<Arc<Plan>, RunError> {
        let program = Arc::clone(&self.program);
        let entry = &program.entries[index];
        self.match_inputs(entry, inputs)?;
        let plan = match self.plans[index].iter().position(|cached| cached.key == self.scratch.key) {
            Some(at) => {
                self.plans[index][..=at].rotate_right(1);
                Arc::clone(&self.plans[index][0].plan)
            }
            None => Arc::new(self.make_plan(entry)?),
        };
        self.check_scalars(entry, &plan)?;
        Ok(plan)
    }

    /// Sees to it that the memory is there that the plan just found speaks of.
    pub(super) fn make_ready(&mut self, index: usize, plan: &Arc<Plan>) -> Result<(), RunError> {
        if plan.arena_len > self.arena.len() && matches!(self.engine, Engine::Cpu(_)) {
            self.arena = AlignedBytes::default();
            self.arena = AlignedBytes::zeroed(plan.arena_len)?;
        }
        if !self.plans[index].first().is_some_and(|cached| Arc::ptr_eq(&cached.plan, plan)) {
            self.bring_about_states(index, plan)?;
            self.plans[index].truncate(MAX_PLANS - 1);
            self.plans[index].insert(0, CachedPlan { key: self.scratch.key.clone(), plan: Arc::clone(plan) });
        }
        if self.options.profile {
            self.counters[index].resize(plan.n_steps, Counter::default());
        }
        Ok(())
    }

    fn match_inputs(&mut self, entry: &Entry, inputs: &[(&str, TensorRef)]) -> Result<(), RunError> {
        let known = |name: &str| entry.inputs.iter().any(|port| port.name == name);
        if let Some((name, _)) = inputs.iter().find(|(name, _)| !known(name)) {
            let error = RunError::new(ErrorKind::Name, format!("`{}` has no input `{name}`", entry.name));
            return Err(with_names(error, name, entry.inputs.iter().map(|port| port.name.as_str())));
        }
        self.scratch.inputs.clear();
        self.scratch.key.clear();
        for port in &entry.inputs {
            let mut passed = inputs.iter().filter(|(name, _)| *name == port.name);
            let input = match (passed.next(), passed.next()) {
                (Some((_, input)), None) => *input,
                (None, _) if port.is_seed() => TensorRef::of(&[], std::slice::from_ref(&self.options.seed))?,
                (None, _) => {
                    let (dtype, shape) = (port.dtype, ShapeText(&port.shape));
                    let message = format!("`{}` needs the input `{}`: {dtype}{shape}", entry.name, port.name);
                    return Err(RunError::new(ErrorKind::Name, message));
                }
                _ => return Err(RunError::new(ErrorKind::Name, format!("input `{}` is passed twice", port.name))),
            };
            if input.dtype() != port.dtype || input.shape().len() != port.shape.len() {
                let (expected, found) = (ShapeText(&port.shape), ShapeText(input.shape()));
                let (dtype, other) = (port.dtype, input.dtype());
                let message = format!("input `{}` must be {dtype}{expected}, not {other}{found}", port.name);
                return Err(RunError::new(ErrorKind::Input, message));
            }
            self.scratch.inputs.push(input.bytes().as_ptr());
            self.scratch.key.extend_from_slice(input.shape());
        }
        Ok(())
    }

    fn make_plan(&self, entry: &Entry) -> Result<Plan, RunError> {
        let mut rest = &self.scratch.key[..];
        let mut shapes = Vec::with_capacity(entry.inputs.len());
        for port in &entry.inputs {
            let (shape, others) = rest.split_at(port.shape.len());
            shapes.push(shape.to_vec());
            rest = others;
        }
        let sizes = sizes::bind(entry, &self.fixed, &shapes)?;
        let plan = plan(&self.program, entry, sizes, self.options.poison)?;
        let needed = plan.arena_len.max(self.arena.len()) as u64;
        self.afford(needed, || format!("the intermediate values of `{}`", entry.name))?;
        Ok(plan)
    }

    /// Starts the states that the entry uses and that waited for sizes which are known now. Where that fails, their sizes
    /// are as open as before.
    fn bring_about_states(&mut self, index: usize, plan: &Plan) -> Result<(), RunError> {
        let missing = self.states.missing(&self.program.entries[index]);
        if missing.is_empty() {
            return Ok(());
        }
        let before = self.fixed.clone();
        self.fix_sizes_of(&missing, &plan.sizes);
        // An entry that computes initial values fills in the same tables.
        let scratch = std::mem::take(&mut self.scratch);
        let started = self.sizes_are_known(&missing).and_then(|()| self.start_states(&missing));
        self.scratch = scratch;
        if started.is_err() {
            self.fixed = before;
            // Among them are plans of entries that compute initial values, for the sizes that did not last.
            self.plans.iter_mut().for_each(Vec::clear);
        }
        let fixed = &self.fixed;
        self.plans.iter_mut().for_each(|plans| plans.retain(|cached| cached.plan.sizes.agree_with(fixed)));
        started
    }

    fn sizes_are_known(&self, states: &[usize]) -> Result<(), RunError> {
        let mut states = states.iter().map(|&index| &self.program.states[index]);
        match states.find(|state| self.fixed.shape(&state.shape).is_none()) {
            None => Ok(()),
            Some(state) => {
                let message = format!("the sizes of state `{}` are not known", state.name);
                Err(RunError::new(ErrorKind::Input, message))
            }
        }
    }

    /// Checks that speak of run-time scalars; the others held when the plan was made.
    fn check_scalars(&mut self, entry: &Entry, plan: &Plan) -> Result<(), RunError> {
        if entry.scalars.is_empty() {
            return Ok(());
        }
        self.scratch.scalars.clear();
        for scalar in &entry.scalars {
            let pointer = self.scratch.inputs[scalar.input as usize];
            // SAFETY: the input is an `i64` scalar, checked by `match_inputs`.
            let value = unsafe { pointer.cast::<i64>().read_unaligned() };
            self.scratch.scalars.push((scalar.symbol.clone(), value));
        }
        let scalars = &self.scratch.scalars;
        let lookup = |symbol: &Symbol| {
            let scalar = scalars.iter().find(|(name, _)| name == symbol);
            scalar.map(|&(_, value)| value).or_else(|| plan.sizes.get(symbol))
        };
        for check in &entry.checks {
            let sides = check.left.eval(&lookup).zip(check.right.eval(&lookup));
            if !sides.is_some_and(|(left, right)| check.relation.holds(left, right)) {
                let mut sizes = plan.sizes.clone();
                for (scalar, (symbol, value)) in entry.scalars.iter().zip(scalars) {
                    let name = &entry.inputs[scalar.input as usize].name;
                    sizes.insert(symbol, *value, format!("the input `{name}`"));
                }
                return sizes::decide(entry, check, &sizes);
            }
        }
        Ok(())
    }
}
