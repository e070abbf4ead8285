//! The memory that a session keeps between calls.
//!
//! Invariant: a state either has no memory yet, because a size that it mentions is not known, or
//! has its initial value or whatever calls wrote since. Its memory never moves once it is there.

use crate::data::{Tensor, TensorRef};
use crate::error::{ErrorKind, RunError};
use crate::program::{Entry, InitValue, Program, Storage};
use crate::weights::WeightSet;

pub(super) struct States(Vec<Option<Tensor>>);

impl States {
    pub fn new(n_states: usize) -> States {
        States((0..n_states).map(|_| None).collect())
    }

    pub fn get(&self, index: usize) -> Option<&Tensor> {
        self.0[index].as_ref()
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Tensor> {
        self.0[index].as_mut()
    }

    /// Of a state that an entry uses, so it was started before the entry's plan was kept.
    pub fn pointer(&mut self, index: usize) -> *mut u8 {
        self.0[index].as_mut().map_or(std::ptr::null_mut(), |state| state.bytes_mut().as_mut_ptr())
    }

    pub fn bytes(&self) -> u64 {
        self.0.iter().flatten().map(|state| state.bytes().len() as u64).sum()
    }

    /// States that the entry uses and that have no memory.
    pub fn missing(&self, entry: &Entry) -> Vec<usize> {
        let used = entry.values.iter().filter_map(|value| match value.storage {
            Storage::State(index) => Some(index as usize),
            _ => None,
        });
        let mut missing: Vec<usize> = used.filter(|&index| self.0[index].is_none()).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Forgets all states; gives those that had memory.
    pub fn take_started(&mut self) -> Vec<usize> {
        let started = (0..self.0.len()).filter(|&index| self.0[index].is_some()).collect();
        self.0.iter_mut().for_each(|state| *state = None);
        started
    }

    pub fn forget(&mut self, states: &[usize]) {
        states.iter().for_each(|&index| self.0[index] = None);
    }

    /// Gives a state its memory and its value, or the entry that has yet to compute it. What the
    /// weights say of it comes before what the program says.
    pub fn start(
        &mut self,
        program: &Program,
        weights: &WeightSet,
        index: usize,
        shape: &[usize],
    ) -> Result<Option<u32>, RunError> {
        let decl = &program.states[index];
        let mut state = Tensor::zeros(decl.dtype, shape)?;
        if let Some(value) = weights.state(&decl.name) {
            fill(&decl.name, &mut state, value)?;
            self.0[index] = Some(state);
            return Ok(None);
        }
        let entry = match decl.init {
            InitValue::Zeros => None,
            InitValue::Constant(from) => {
                let constant = &program.constants[from as usize];
                let value = TensorRef::new(constant.dtype, &constant.shape, program.blob(constant.data))?;
                fill(&decl.name, &mut state, value)?;
                None
            }
            InitValue::Param(from) => {
                fill(&decl.name, &mut state, weights.get(from as usize))?;
                None
            }
            InitValue::Entry { entry, .. } => Some(entry),
        };
        self.0[index] = Some(state);
        Ok(entry)
    }

    /// Copies an entry's outputs into those of these states that start from them.
    pub fn fill_from(
        &mut self,
        program: &Program,
        weights: &WeightSet,
        from: u32,
        outputs: &[(String, Tensor)],
        states: &[usize],
    ) -> Result<(), RunError> {
        for &index in states {
            let (InitValue::Entry { entry, output }, Some(state)) = (program.states[index].init, &mut self.0[index])
            else {
                continue;
            };
            let name = &program.states[index].name;
            if entry == from && weights.state(name).is_none() {
                fill(name, state, outputs[output as usize].1.view())?;
            }
        }
        Ok(())
    }
}

fn fill(name: &str, state: &mut Tensor, value: TensorRef) -> Result<(), RunError> {
    if (state.dtype(), state.shape()) != (value.dtype(), value.shape()) {
        let message = format!("malformed program: state `{name}` starts from a value of another shape");
        return Err(RunError::new(ErrorKind::Program, message));
    }
    state.bytes_mut().copy_from_slice(value.bytes());
    Ok(())
}
