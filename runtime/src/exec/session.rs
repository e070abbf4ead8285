//! A session: a program with weights, its own state and its own memory, ready to be called.
//!
//! `prepare` holds what comes before a call's steps, `memory` the state.
//!
//! Invariant: whatever a caller passes is checked against the entry's ports before any step
//! runs or any state is written. After the first call with given input shapes, `run_into`
//! allocates nothing. Sizes that a state mentions are fixed for the session's life.

mod memory;
mod prepare;

use std::sync::Arc;

pub use memory::Footprint;

use super::executor::Executor;
use super::gpu;
use super::plan::{Place, Plan};
use super::poison::POISON;
use super::pool::Pool;
use super::prepared::{Shared, WeightCache};
use super::profile::{Counter, StepTime};
use super::sizes::{self, Sizes};
use super::state::States;
use crate::bytes::AlignedBytes;
use crate::data::{Tensor, TensorMut, TensorRef};
use crate::device::{Code, cpu};
use crate::error::{ErrorKind, RunError, ShapeText, similar};
use crate::program::{Program, Step, Symbol};
use crate::weights::WeightSet;

/// Plans kept for each entry; the least recently used goes first.
const MAX_PLANS: usize = 16;

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
    /// Where what is made of weights alone is kept for other processes.
    pub cache: WeightCache,
}

pub struct Session {
    program: Arc<Program>,
    engine: Engine,
    weights: Arc<WeightSet>,
    pool: Arc<Pool>,
    options: Options,
    max_memory: u64,
    fixed: Sizes,
    /// Made when the session is opened, or by another session of the same weights.
    prepared: Arc<Shared>,
    states: States,
    arena: AlignedBytes,
    /// By entry, most recently used first.
    plans: Vec<Vec<CachedPlan>>,
    counters: Vec<Vec<Counter>>,
    scratch: Scratch,
}

/// Who runs the steps of a call.
enum Engine {
    Cpu(Arc<cpu::Code>),
    /// With what it keeps of this session.
    Gpu(gpu::Memory),
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
        code: impl Into<Code>,
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
        code: impl Into<Code>,
        weights: Arc<WeightSet>,
        options: Options,
    ) -> Result<Session, RunError> {
        let code = code.into();
        program.check()?;
        weights.check(&program)?;
        if code.n_kernels() != program.kernels.len() {
            let message = format!("{} kernels loaded, {} needed", code.n_kernels(), program.kernels.len());
            return Err(RunError::new(ErrorKind::Code, message));
        }
        let mut fixed = Sizes::default();
        for (name, value) in &options.sizes {
            let (symbol, value) = sizes::named(&program, name, *value)?.ok_or_else(|| unknown_size(&program, name))?;
            fixed.insert(&symbol, value, "fixed when the session was opened");
        }
        let n_entries = program.entries.len();
        let mut session = Session {
            states: States::new(program.states.len()),
            prepared: Arc::default(),
            max_memory: options.max_memory.unwrap_or_else(memory::physical_memory),
            plans: (0..n_entries).map(|_| Vec::new()).collect(),
            counters: vec![Vec::new(); n_entries],
            arena: AlignedBytes::default(),
            scratch: Scratch::default(),
            program,
            engine: match code {
                Code::Cpu(code) => Engine::Cpu(code),
                Code::Gpu(code) => Engine::Gpu(gpu::Memory::new(code.queue()?)),
            },
            weights,
            pool,
            options,
            fixed,
        };
        session.prepare_weights()?;
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
        let plan = self.plan_for(index, inputs)?;
        let program = Arc::clone(&self.program);
        let ports = &program.entries[index].outputs;
        self.scratch.outputs.clear();
        for (port, shape) in ports.iter().zip(&plan.output_shapes) {
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
        if outputs.len() != ports.len() {
            let message = format!("`{entry}` has {} outputs, not {}", ports.len(), outputs.len());
            return Err(RunError::new(ErrorKind::Name, message));
        }
        self.make_ready(index, &plan)?;
        // SAFETY: inputs and outputs are borrowed until this function returns, with the types
        // and shapes that were just checked.
        unsafe { self.execute(index, &plan) }
    }

    /// Bytes of intermediate values that a call with these inputs needs.
    pub fn arena_bytes(&mut self, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<usize, RunError> {
        let index = self.entry_index(entry)?;
        let plan = self.plan_for(index, inputs)?;
        self.make_ready(index, &plan)?;
        Ok(plan.arena_len)
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
        let plan = self.plan_for(index, inputs)?;
        self.make_ready(index, &plan)?;
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

    /// # Safety
    /// `scratch.inputs` and `scratch.outputs` must point to tensors of the entry's ports with
    /// the plan's shapes, borrowed for as long as this runs.
    unsafe fn execute(&mut self, index: usize, plan: &Plan) -> Result<(), RunError> {
        let arena = self.arena.as_mut_ptr();
        let Scratch { inputs, outputs, pointers, args, .. } = &mut self.scratch;
        pointers.clear();
        for place in &plan.places {
            pointers.push(match *place {
                // Inside the arena, which is at least as long as the plan says; a GPU has its own, and follows none of these.
                Place::Arena(offset) => arena.wrapping_add(offset),
                Place::Input(of) => inputs[of as usize].cast_mut(),
                Place::Output(of) => outputs[of as usize],
                Place::Param(of) => self.weights.get(of as usize).bytes().as_ptr().cast_mut(),
                Place::Prepared(of) => self.prepared.bytes(of as usize).as_ptr().cast_mut(),
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
        // SAFETY (both): every pointer was just taken from memory of the right size; what the program
        // only reads is never written, because its checker refuses that.
        let (done, failed_at) = match &mut self.engine {
            Engine::Cpu(code) => {
                let mut executor = Executor { plan, code, pool: &self.pool, arena, pointers, args, counters };
                unsafe { executor.run() }
            }
            Engine::Gpu(memory) => unsafe { memory.run(&self.program, (index, plan), pointers) },
        };
        done.map_err(|error| {
            let entry = &self.program.entries[index];
            match failed_at.map(|step| entry.label(step)) {
                Some(label) if !label.is_empty() => error.note(format!("in `{}`, at {label}", entry.name)),
                _ => error.note(format!("in `{}`", entry.name)),
            }
        })
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
    let called = program.entries.iter().flat_map(|entry| &entry.names);
    let mut names: Vec<&str> = called.map(|size| size.name.as_str()).collect();
    names.extend(sizes.map(|size| size.symbol.name()));
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

#[cfg(test)]
mod tests;
