//! A session: a program with weights, its own state and its own memory, ready to be called.
//!
//! Invariant: whatever a caller passes is checked against the entry's ports before any step
//! runs or any state is written. After the first call with given input shapes, `run_into`
//! allocates nothing. Sizes that a state mentions are fixed for the session's life.

use std::sync::Arc;

use super::executor::Executor;
use super::plan::{Place, Plan, plan};
use super::poison::POISON;
use super::pool::Pool;
use super::profile::{Counter, StepTime};
use super::sizes::{self, Sizes};
use super::state::States;
use crate::bytes::AlignedBytes;
use crate::data::{Tensor, TensorMut, TensorRef};
use crate::device::cpu::Code;
use crate::error::{ByteCount, ErrorKind, RunError, ShapeText, similar};
use crate::program::{DType, Entry, Program, Step, Symbol};
use crate::weights::WeightSet;

/// Plans kept for each entry; the least recently used goes first.
const MAX_PLANS: usize = 16;
/// An `i64` scalar input of this name need not be passed: the session knows the seed.
pub const SEED_INPUT: &str = "seed";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads, the caller's included; 0 for one per core.
    pub threads: usize,
    /// Sizes fixed for the whole session.
    pub sizes: Vec<(String, i64)>,
    pub seed: i64,
    /// Bytes that intermediate values and state may take; the machine's memory if not given.
    pub max_memory: Option<u64>,
    /// Fill values with NaNs outside their lives. For tests.
    pub poison: bool,
    /// Keep the time of each step.
    pub profile: bool,
}

pub struct Session {
    program: Arc<Program>,
    code: Arc<Code>,
    weights: Arc<WeightSet>,
    pool: Arc<Pool>,
    options: Options,
    max_memory: u64,
    fixed: Sizes,
    states: States,
    arena: AlignedBytes,
    /// By entry, most recently used first.
    plans: Vec<Vec<CachedPlan>>,
    counters: Vec<Vec<Counter>>,
    scratch: Scratch,
}

struct CachedPlan {
    /// The sizes of all inputs' axes, one after the other.
    key: Vec<usize>,
    plan: Arc<Plan>,
}

/// Tables that are filled again for each call.
#[derive(Default)]
struct Scratch {
    inputs: Vec<*const u8>,
    outputs: Vec<*mut u8>,
    key: Vec<usize>,
    scalars: Vec<(Symbol, i64)>,
    pointers: Vec<*mut u8>,
    args: Vec<*mut u8>,
}

// SAFETY: the pointers are only used during the call that filled them in.
unsafe impl Send for Scratch {}

impl Session {
    pub fn open(
        program: Arc<Program>,
        code: Arc<Code>,
        weights: Arc<WeightSet>,
        options: Options,
    ) -> Result<Session, RunError> {
        let pool = Arc::new(Pool::new(options.threads));
        Session::open_on(pool, program, code, weights, options)
    }

    /// Opens a session on threads that others share.
    pub fn open_on(
        pool: Arc<Pool>,
        program: Arc<Program>,
        code: Arc<Code>,
        weights: Arc<WeightSet>,
        options: Options,
    ) -> Result<Session, RunError> {
        program.check()?;
        weights.check(&program.params)?;
        if code.n_kernels() != program.kernels.len() {
            let message = format!("{} kernels loaded, {} needed", code.n_kernels(), program.kernels.len());
            return Err(RunError::new(ErrorKind::Code, message));
        }
        let mut fixed = Sizes::default();
        for (name, value) in &options.sizes {
            let symbol = Symbol::new(name);
            if !program.entries.iter().any(|entry| entry.sizes.iter().any(|size| size.symbol == symbol)) {
                return Err(unknown_size(&program, name));
            }
            fixed.insert(&symbol, *value, "fixed when the session was opened");
        }
        let n_entries = program.entries.len();
        let mut session = Session {
            states: States::new(program.states.len()),
            max_memory: options.max_memory.unwrap_or_else(physical_memory),
            plans: (0..n_entries).map(|_| Vec::new()).collect(),
            counters: vec![Vec::new(); n_entries],
            arena: AlignedBytes::default(),
            scratch: Scratch::default(),
            program,
            code,
            weights,
            pool,
            options,
            fixed,
        };
        let all: Vec<usize> = (0..session.program.states.len()).collect();
        session.start_states(&all)?;
        Ok(session)
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs an entry and gives its outputs by name, in order.
    pub fn run(&mut self, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<Vec<(String, Tensor)>, RunError> {
        let index = self.entry_index(entry)?;
        self.run_entry(index, inputs)
    }

    /// Runs an entry into outputs that the caller brings, all of them, by name.
    pub fn run_into(
        &mut self,
        entry: &str,
        inputs: &[(&str, TensorRef)],
        outputs: &mut [(&str, TensorMut)],
    ) -> Result<(), RunError> {
        let index = self.entry_index(entry)?;
        let plan = self.prepare(index, inputs)?;
        let program = Arc::clone(&self.program);
        self.scratch.outputs.clear();
        for (port, shape) in program.entries[index].outputs.iter().zip(&plan.output_shapes) {
            let Some((_, output)) = outputs.iter_mut().find(|(name, _)| *name == port.name) else {
                let message = format!("output `{}` of `{entry}` has nowhere to go", port.name);
                return Err(RunError::new(ErrorKind::Name, message));
            };
            if output.dtype() != port.dtype || output.shape() != shape {
                let (expected, found) = (ShapeText(shape), ShapeText(output.shape()));
                let (dtype, other) = (port.dtype, output.dtype());
                let message = format!("output `{}` is {dtype}{expected}, not {other}{found}", port.name);
                return Err(RunError::new(ErrorKind::Input, message));
            }
            self.scratch.outputs.push(output.bytes_mut().as_mut_ptr());
        }
        if outputs.len() != program.entries[index].outputs.len() {
            let message = format!("`{entry}` has {} outputs, not {}", self.scratch.outputs.len(), outputs.len());
            return Err(RunError::new(ErrorKind::Name, message));
        }
        // SAFETY: inputs and outputs are borrowed until this function returns, with the types
        // and shapes that were just checked.
        unsafe { self.execute(index, &plan) }
    }

    /// Bytes of intermediate values that a call with these inputs needs.
    pub fn arena_bytes(&mut self, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<usize, RunError> {
        let index = self.entry_index(entry)?;
        Ok(self.prepare(index, inputs)?.arena_len)
    }

    pub fn state(&self, name: &str) -> Option<TensorRef<'_>> {
        let index = self.program.states.iter().position(|state| state.name == name)?;
        self.states.get(index).map(Tensor::view)
    }

    /// Overwrites a state that has its memory already, say from a checkpoint.
    pub fn set_state(&mut self, name: &str, value: TensorRef) -> Result<(), RunError> {
        let index = self.program.states.iter().position(|state| state.name == name);
        let Some(state) = index.and_then(|index| self.states.get_mut(index)) else {
            let message = format!("there is no state `{name}`, or its sizes are not fixed yet");
            return Err(RunError::new(ErrorKind::Name, message));
        };
        if (state.dtype(), state.shape()) != (value.dtype(), value.shape()) {
            let (expected, found) = (ShapeText(state.shape()), ShapeText(value.shape()));
            let (dtype, other) = (state.dtype(), value.dtype());
            let message = format!("state `{name}` is {dtype}{expected}, not {other}{found}");
            return Err(RunError::new(ErrorKind::Input, message));
        }
        state.bytes_mut().copy_from_slice(value.bytes());
        Ok(())
    }

    /// Gives every state its initial value again. Its sizes stay fixed.
    pub fn reset(&mut self) -> Result<(), RunError> {
        // Plans point into states, so they are found again once those are there.
        self.plans.iter_mut().for_each(Vec::clear);
        let started = self.states.take_started();
        self.start_states(&started)
    }

    /// The time of each step so far, for sessions that keep a profile.
    pub fn profile(&self) -> Vec<StepTime> {
        let mut lines = Vec::new();
        for (entry, counters) in self.program.entries.iter().zip(&self.counters) {
            let mut names = Vec::new();
            name_steps(&self.program, &entry.steps, &mut names);
            for (step, (counter, what)) in counters.iter().zip(names).enumerate() {
                let label = entry.label(step).to_string();
                lines.push(StepTime { entry: entry.name.clone(), step, what, label, counter: *counter });
            }
        }
        lines
    }

    fn entry_index(&self, name: &str) -> Result<usize, RunError> {
        let entries = &self.program.entries;
        entries.iter().position(|entry| entry.name == name).ok_or_else(|| {
            let error = RunError::new(ErrorKind::Name, format!("there is no entry `{name}`"));
            with_names(error, name, entries.iter().map(|entry| entry.name.as_str()))
        })
    }

    fn run_entry(&mut self, index: usize, inputs: &[(&str, TensorRef)]) -> Result<Vec<(String, Tensor)>, RunError> {
        let plan = self.prepare(index, inputs)?;
        let program = Arc::clone(&self.program);
        let mut outputs = Vec::with_capacity(plan.output_shapes.len());
        self.scratch.outputs.clear();
        for (port, shape) in program.entries[index].outputs.iter().zip(&plan.output_shapes) {
            let mut tensor = Tensor::zeros(port.dtype, shape)?;
            self.scratch.outputs.push(tensor.bytes_mut().as_mut_ptr());
            outputs.push((port.name.clone(), tensor));
        }
        if self.options.poison {
            outputs.iter_mut().for_each(|(_, tensor)| tensor.bytes_mut().fill(POISON));
        }
        // SAFETY: inputs are borrowed and outputs owned here until the call is over, with the
        // types and shapes of the plan.
        unsafe { self.execute(index, &plan)? };
        Ok(outputs)
    }

    /// Matches inputs with ports, finds or makes the plan for their shapes, decides the checks
    /// and sees to it that the memory is there.
    fn prepare(&mut self, index: usize, inputs: &[(&str, TensorRef)]) -> Result<Arc<Plan>, RunError> {
        let program = Arc::clone(&self.program);
        let entry = &program.entries[index];
        self.match_inputs(entry, inputs)?;
        let plan = match self.plans[index].iter().position(|cached| cached.key == self.scratch.key) {
            Some(at) => {
                self.plans[index][..=at].rotate_right(1);
                Arc::clone(&self.plans[index][0].plan)
            }
            None => self.make_plan(index, entry)?,
        };
        self.check_scalars(entry, &plan)?;
        Ok(plan)
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
                (None, _) if port.name == SEED_INPUT && port.dtype == DType::I64 && port.shape.is_empty() => {
                    TensorRef::of(&[], std::slice::from_ref(&self.options.seed))?
                }
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

    fn make_plan(&mut self, index: usize, entry: &Entry) -> Result<Arc<Plan>, RunError> {
        let key = self.scratch.key.clone();
        let mut rest = &key[..];
        let mut shapes = Vec::with_capacity(entry.inputs.len());
        for port in &entry.inputs {
            let (shape, others) = rest.split_at(port.shape.len());
            shapes.push(shape.to_vec());
            rest = others;
        }
        let sizes = sizes::bind(entry, &self.fixed, &shapes)?;
        let plan = Arc::new(plan(&self.program, entry, &self.code, sizes, self.options.poison)?);
        let missing = self.states.missing(entry);
        let needed = plan.arena_len.max(self.arena.len()) as u64;
        self.afford(needed, || format!("the intermediate values of `{}`", entry.name))?;
        if !missing.is_empty() {
            self.fix_sizes_of(&missing, &plan.sizes);
            let inputs = std::mem::take(&mut self.scratch.inputs);
            self.start_states(&missing)?;
            self.scratch.inputs = inputs;
            if let Some(&state) = self.states.missing(entry).first() {
                let name = &self.program.states[state].name;
                let message = format!("the sizes of state `{name}` are not known");
                return Err(RunError::new(ErrorKind::Input, message));
            }
        }
        if plan.arena_len > self.arena.len() {
            self.arena = AlignedBytes::default();
            self.arena = AlignedBytes::zeroed(plan.arena_len)?;
        }
        let plans = &mut self.plans[index];
        plans.truncate(MAX_PLANS - 1);
        plans.insert(0, CachedPlan { key, plan: Arc::clone(&plan) });
        if self.options.profile {
            self.counters[index].resize(plan.n_steps, Counter::default());
        }
        Ok(plan)
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

    /// # Safety
    /// `scratch.inputs` and `scratch.outputs` must point to tensors of the entry's ports with
    /// the plan's shapes, borrowed for as long as this runs.
    unsafe fn execute(&mut self, index: usize, plan: &Plan) -> Result<(), RunError> {
        let arena = self.arena.as_mut_ptr();
        let Scratch { inputs, outputs, pointers, args, .. } = &mut self.scratch;
        pointers.clear();
        for place in &plan.places {
            pointers.push(match *place {
                // SAFETY: the plan's offsets lie inside its arena, which is at least this long.
                Place::Arena(offset) => unsafe { arena.add(offset) },
                Place::Input(of) => inputs[of as usize].cast_mut(),
                Place::Output(of) => outputs[of as usize],
                Place::Param(of) => self.weights.get(of as usize).bytes().as_ptr().cast_mut(),
                Place::State(of) => self.states.pointer(of as usize),
                Place::Constant(of) => {
                    let constant = &self.program.constants[of as usize];
                    self.program.blob(constant.data).as_ptr().cast_mut()
                }
            });
        }
        args.clear();
        args.extend(plan.args.iter().map(|id| pointers[id.0 as usize]));
        if plan.poison.is_some() {
            self.arena.fill(POISON);
        }
        let counters = &mut self.counters[index];
        let arena = self.arena.as_mut_ptr();
        let mut executor = Executor { plan, pool: &self.pool, arena, pointers, args, counters };
        // SAFETY: every pointer was just taken from memory of the right size; what the program
        // only reads is never written, because its checker refuses that.
        unsafe { executor.run() }
    }

    /// Gives initial values to those of these states whose sizes are known, or to none.
    fn start_states(&mut self, states: &[usize]) -> Result<(), RunError> {
        self.try_start_states(states).inspect_err(|_| self.states.forget(states))
    }

    fn try_start_states(&mut self, states: &[usize]) -> Result<(), RunError> {
        let program = Arc::clone(&self.program);
        let mut from_entries: Vec<u32> = Vec::new();
        for &index in states {
            let Some(shape) = self.fixed.shape(&program.states[index].shape) else {
                continue;
            };
            let name = &program.states[index].name;
            let bytes = crate::data::byte_len(program.states[index].dtype, &shape).unwrap_or(usize::MAX);
            self.afford(bytes as u64, || format!("state `{name}`"))?;
            let init = self.states.start(&program, &self.weights, index, &shape)?;
            from_entries.extend(init.filter(|entry| !from_entries.contains(entry)));
        }
        for entry in from_entries {
            let outputs = self.run_entry(entry as usize, &[])?;
            self.states.fill_from(&program, entry, &outputs, states)?;
        }
        Ok(())
    }

    fn fix_sizes_of(&mut self, states: &[usize], sizes: &Sizes) {
        for &index in states {
            for dim in &self.program.states[index].shape {
                dim.for_each_symbol(&mut |symbol| {
                    if let Some(value) = sizes.get(symbol) {
                        self.fixed.insert(symbol, value, "fixed by the first call of this session that used its state");
                    }
                });
            }
        }
    }

    /// Refuses what would not fit beside the states that there are already.
    fn afford(&self, bytes: u64, what: impl FnOnce() -> String) -> Result<(), RunError> {
        let taken = self.states.bytes();
        if bytes.saturating_add(taken) <= self.max_memory {
            return Ok(());
        }
        let (needed, limit) = (ByteCount(bytes), ByteCount(self.max_memory));
        let message = format!("{} would take {needed} of memory; the limit is {limit}", what());
        let error = RunError::new(ErrorKind::Memory, message).help("use smaller sizes, such as a smaller batch");
        Err(if taken == 0 { error } else { error.note(format!("state takes {}", ByteCount(taken))) })
    }
}

fn with_names<'a>(error: RunError, wrong: &str, names: impl Iterator<Item = &'a str> + Clone) -> RunError {
    let all: Vec<String> = names.clone().take(20).map(|name| format!("`{name}`")).collect();
    let error = if all.is_empty() { error } else { error.note(format!("there is {}", all.join(", "))) };
    match similar(wrong, names).first() {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error,
    }
}

fn unknown_size(program: &Program, name: &str) -> RunError {
    let sizes = program.entries.iter().flat_map(|entry| &entry.sizes);
    let mut names: Vec<&str> = sizes.map(|size| size.symbol.name()).collect();
    names.sort_unstable();
    names.dedup();
    let error = RunError::new(ErrorKind::Name, format!("the program has no size `{name}`"));
    with_names(error, name, names.into_iter())
}

fn name_steps(program: &Program, steps: &[Step], names: &mut Vec<String>) {
    for step in steps {
        names.push(match step {
            Step::Launch { kernel, .. } => program.kernels[kernel.0 as usize].name.clone(),
            Step::Copy { .. } => "copy".to_string(),
            Step::CopySlice { .. } => "copy_slice".to_string(),
            Step::Repeat { .. } => "repeat".to_string(),
            Step::While { .. } => "while".to_string(),
            Step::Cond { .. } => "cond".to_string(),
        });
        step.blocks().into_iter().for_each(|block| name_steps(program, block, names));
    }
}

fn physical_memory() -> u64 {
    // SAFETY: queries without side effects.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (u64::try_from(pages), u64::try_from(page)) {
        (Ok(pages), Ok(page)) => pages.saturating_mul(page),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests;
