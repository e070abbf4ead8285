//! A session's state: started when its sizes are known, read, overwritten and reset.
//!
//! Invariant: sizes that a started state mentions never change again, and what states and
//! intermediate values take together is compared with the limit before it is allocated.

use std::sync::Arc;

use super::{Engine, Session};
use crate::data::{Tensor, TensorRef, byte_len};
use crate::error::{ByteCount, ErrorKind, RunError, ShapeText};
use crate::exec::prepared::{Key, Prepared, Shared};
use crate::exec::sizes::Sizes;
use crate::program::Program;

/// Bytes that a session takes for calls of an entry, the caller's tensors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Intermediate values.
    pub arena: u64,
    pub states: u64,
    /// As they were given, in memory or in mapped files.
    pub weights: u64,
    /// What was made of weights when the session was opened.
    pub prepared: u64,
}

impl Footprint {
    pub fn total(&self) -> u64 {
        self.arena + self.states + self.weights + self.prepared
    }
}

impl Session {
    /// What calls with these inputs take.
    pub fn footprint(&mut self, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<Footprint, RunError> {
        let arena = self.arena_bytes(entry, inputs)? as u64;
        let weights = (0..self.weights.len()).map(|index| self.weights.get(index).bytes().len() as u64).sum();
        let prepared = &self.program.prepared;
        let prepared = (0..prepared.len()).map(|index| self.prepared.bytes(index).len() as u64).sum();
        Ok(Footprint { arena, states: self.states.bytes(), weights, prepared })
    }

    /// The value of a state, fetched from the device where it lies.
    pub fn state(&mut self, name: &str) -> Result<TensorRef<'_>, RunError> {
        let index = self.state_index(name)?;
        self.fetch_state(index)?;
        self.states.get(index).map(Tensor::view).ok_or_else(|| no_state(name))
    }

    /// All states that have their memory already, under their names.
    pub fn states(&mut self) -> Result<Vec<(&str, TensorRef<'_>)>, RunError> {
        (0..self.program.states.len()).try_for_each(|index| self.fetch_state(index))?;
        let session = &*self;
        let named = session.program.states.iter().enumerate();
        Ok(named.filter_map(|(index, decl)| Some((&*decl.name, session.states.get(index)?.view()))).collect())
    }

    fn state_index(&self, name: &str) -> Result<usize, RunError> {
        self.program.states.iter().position(|state| state.name == name).ok_or_else(|| no_state(name))
    }

    fn fetch_state(&mut self, index: usize) -> Result<(), RunError> {
        match (&mut self.engine, self.states.get_mut(index)) {
            (Engine::Gpu(memory), Some(state)) => memory.fetch_state(index, state.bytes_mut()),
            _ => Ok(()),
        }
    }

    /// What the host has is what counts.
    fn forget_on_device(&mut self, states: &[usize]) {
        if let Engine::Gpu(memory) = &mut self.engine {
            states.iter().for_each(|&index| memory.forget_state(index));
        }
    }

    /// Overwrites a state that has its memory already, say from a checkpoint.
    pub fn set_state(&mut self, name: &str, value: TensorRef) -> Result<(), RunError> {
        let index = self.state_index(name)?;
        let state = self.states.get_mut(index).ok_or_else(|| no_state(name))?;
        if (state.dtype(), state.shape()) != (value.dtype(), value.shape()) {
            let (expected, found) = (ShapeText(state.shape()), ShapeText(value.shape()));
            let (dtype, other) = (state.dtype(), value.dtype());
            let message = format!("state `{name}` is {dtype}{expected}, not {other}{found}");
            return Err(RunError::new(ErrorKind::Input, message));
        }
        state.bytes_mut().copy_from_slice(value.bytes());
        self.forget_on_device(&[index]);
        Ok(())
    }

    /// Gives every state again what it had when the session was opened. Its sizes stay fixed.
    pub fn reset(&mut self) -> Result<(), RunError> {
        // Plans point into states, so they are found again once those are there.
        self.plans.iter_mut().for_each(Vec::clear);
        let started = self.states.take_started();
        self.start_states(&started)
    }

    /// Gives initial values to those of these states whose sizes are known, or to none.
    pub(super) fn start_states(&mut self, states: &[usize]) -> Result<(), RunError> {
        self.forget_on_device(states);
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
            let bytes = byte_len(program.states[index].dtype, &shape).unwrap_or(usize::MAX);
            self.afford(bytes as u64, || format!("state `{name}`"))?;
            let init = self.states.start(&program, &self.weights, index, &shape)?;
            from_entries.extend(init.filter(|entry| !from_entries.contains(entry)));
        }
        for entry in from_entries {
            let outputs = self.run_entry(entry as usize, &[])?;
            self.states.fill_from(&program, &self.weights, entry, &outputs, states)?;
        }
        Ok(())
    }

    /// Sees to it that what is made of weights alone is there: from another session, from disk, or made now.
    pub(super) fn prepare_weights(&mut self) -> Result<(), RunError> {
        if self.program.prepared.is_empty() {
            return Ok(());
        }
        let key = Key::of(&self.program, self.weights.identity(), |symbol| self.fixed.get(symbol));
        let shared = Shared::of(key.as_ref());
        shared.make_once(|| {
            let program = Arc::clone(&self.program);
            let cache = self.options.cache.clone();
            let lasting = key.filter(|key| key.lasting).map(|key| key.hash);
            let kept = || lasting.and_then(|key| cache.get(&key, &program.prepared)).map(Prepared::Mapped);
            if let Some(kept) = kept() {
                return Ok(kept);
            }
            let made = self.make_prepared(&program)?;
            if let Some(key) = lasting {
                cache.put(&key, &program.prepared, &made);
            }
            // The file's pages can be given back and are shared with other processes; those that were made cannot.
            Ok(kept().unwrap_or(Prepared::Made(made)))
        })?;
        self.prepared = shared;
        Ok(())
    }

    fn make_prepared(&mut self, program: &Program) -> Result<Vec<Tensor>, RunError> {
        let bytes = program.prepared.iter().map(|decl| byte_len(decl.dtype, &decl.shape).unwrap_or(usize::MAX) as u64);
        self.afford(bytes.fold(0, u64::saturating_add), || "what is made of the weights".to_string())?;
        let mut made: Vec<Option<Tensor>> = Vec::new();
        made.resize_with(program.prepared.len(), || None);
        let mut entries: Vec<u32> = program.prepared.iter().map(|prepared| prepared.entry).collect();
        entries.sort_unstable();
        entries.dedup();
        for entry in entries {
            let mut outputs: Vec<Option<Tensor>> =
                self.run_entry(entry as usize, &[])?.into_iter().map(|(_, tensor)| Some(tensor)).collect();
            for (slot, decl) in made.iter_mut().zip(&program.prepared).filter(|(_, decl)| decl.entry == entry) {
                *slot = outputs[decl.output as usize].take();
            }
        }
        if let Engine::Gpu(memory) = &mut self.engine {
            memory.forget_weights();
        }
        let missing = || RunError::new(ErrorKind::Program, "malformed program: two prepared values are one output");
        made.into_iter().map(|slot| slot.ok_or_else(missing)).collect()
    }

    pub(super) fn fix_sizes_of(&mut self, states: &[usize], sizes: &Sizes) {
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
    pub(super) fn afford(&self, bytes: u64, what: impl FnOnce() -> String) -> Result<(), RunError> {
        let taken = self.states.bytes() + self.prepared.owned_bytes();
        if bytes.saturating_add(taken) <= self.max_memory {
            return Ok(());
        }
        let (needed, limit) = (ByteCount(bytes), ByteCount(self.max_memory));
        let message = format!("{} would take {needed} of memory; the limit is {limit}", what());
        let error = RunError::new(ErrorKind::Memory, message).help("use smaller sizes, such as a smaller batch");
        Err(if taken == 0 { error } else { error.note(format!("state and packed weights take {}", ByteCount(taken))) })
    }
}

fn no_state(name: &str) -> RunError {
    RunError::new(ErrorKind::Name, format!("there is no state `{name}`, or its sizes are not fixed yet"))
}

pub(super) fn physical_memory() -> u64 {
    // SAFETY: queries without side effects.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (u64::try_from(pages), u64::try_from(page)) {
        (Ok(pages), Ok(page)) => pages.saturating_mul(page),
        _ => u64::MAX,
    }
}
