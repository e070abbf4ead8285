//! The key of prepared values: a hash of all that they follow from.
//!
//! Invariant: programs that number their kernels otherwise have one key if their steps do the same. Labels, names of
//! kernels and the texts that code was made from do not count.

use crate::program::{Entry, Program, Step, Storage, Symbol};
use crate::weights::Identity;

/// Grows when the same steps give other bytes, or lie otherwise in the file.
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exec) struct Key {
    pub hash: blake3::Hash,
    /// Another process would find the same.
    pub lasting: bool,
}

impl Key {
    /// `None` where code is not known by its bytes. `size` gives the sizes that are fixed for the session.
    pub fn of(program: &Program, weights: Identity, size: impl Fn(&Symbol) -> Option<i64>) -> Option<Key> {
        let mut hasher = Hasher(blake3::Hasher::new());
        hasher.add(env!("CARGO_PKG_VERSION").as_bytes());
        hasher.add(&VERSION.to_le_bytes());
        hasher.add(weights.hash());
        hasher.json(&program.params)?;
        let mut entries: Vec<u32> = Vec::new();
        for decl in &program.prepared {
            let known = entries.iter().position(|&entry| entry == decl.entry);
            let nth = known.unwrap_or_else(|| {
                entries.push(decl.entry);
                entries.len() - 1
            });
            hasher.json(&(decl.dtype, &decl.shape, nth, decl.output))?;
        }
        for entry in entries {
            let entry = &program.entries[entry as usize];
            hasher.entry(program, entry)?;
            hasher.json(&entry.sizes.iter().map(|decl| size(&decl.symbol)).collect::<Vec<_>>())?;
        }
        Some(Key { hash: hasher.0.finalize(), lasting: weights.is_lasting() })
    }
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn json(&mut self, value: &impl serde::Serialize) -> Option<()> {
        self.add(&serde_json::to_vec(value).ok()?);
        Some(())
    }

    fn entry(&mut self, program: &Program, entry: &Entry) -> Option<()> {
        self.json(&(&entry.sizes, &entry.checks, &entry.outputs, entry.values.len()))?;
        for value in &entry.values {
            match value.storage {
                Storage::Constant(of) => {
                    let constant = &program.constants[of as usize];
                    self.json(&(value.dtype, &value.shape))?;
                    self.add(program.blob(constant.data));
                }
                storage => self.json(&(value.dtype, &value.shape, storage))?,
            }
        }
        self.steps(program, &entry.steps)
    }

    fn steps(&mut self, program: &Program, steps: &[Step]) -> Option<()> {
        self.add(&steps.len().to_le_bytes());
        for step in steps {
            match step {
                Step::Launch { kernel, args, sizes, grid, .. } => {
                    let kernel = &program.kernels[kernel.0 as usize];
                    self.add(kernel.symbol.as_bytes());
                    self.add(program.blob(kernel.object?));
                    self.json(&(args, sizes, grid))?;
                }
                Step::Copy { .. } | Step::CopySlice { .. } => self.json(step)?,
                Step::Repeat { counter, from, to, .. } => self.json(&("repeat", counter, from, to))?,
                Step::While { at_most, cond, .. } => self.json(&("while", at_most, cond))?,
                Step::Cond { cond, .. } => self.json(&("cond", cond))?,
            }
            for block in step.blocks() {
                self.steps(program, block)?;
            }
        }
        Some(())
    }
}
