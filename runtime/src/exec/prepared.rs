//! Values made of weights alone, such as weights in another order: made once for all sessions that have the same program
//! and the same weights, and kept on disk for the next process.
//!
//! Invariant: what sessions share was made by the same machine code, in the same steps, from the same weights: the key says
//! so, and never looks at texts that only claim what code does. Nothing is written to once it is shared.

mod disk;
mod key;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

pub use disk::WeightCache;
pub(super) use key::Key;

use crate::data::Tensor;
use crate::error::RunError;

pub(super) enum Prepared {
    Made(Vec<Tensor>),
    Mapped(disk::Mapped),
}

impl Prepared {
    pub fn bytes(&self, index: usize) -> &[u8] {
        match self {
            Prepared::Made(tensors) => tensors[index].bytes(),
            Prepared::Mapped(mapped) => mapped.bytes(index),
        }
    }

    /// What it takes of memory that no file stands behind.
    fn owned_bytes(&self) -> u64 {
        match self {
            Prepared::Made(tensors) => tensors.iter().map(|tensor| tensor.bytes().len() as u64).sum(),
            Prepared::Mapped(_) => 0,
        }
    }
}

/// Where the sessions of one key find what is prepared for them; the first one makes it.
#[derive(Default)]
pub(super) struct Shared {
    making: Mutex<()>,
    made: OnceLock<Prepared>,
}

static SHARED: Mutex<Vec<(Key, Weak<Shared>)>> = Mutex::new(Vec::new());

impl Shared {
    /// That of this key, for as long as anyone holds it; one of its own for what has no key.
    pub fn of(key: Option<&Key>) -> Arc<Shared> {
        let Some(key) = key else { return Arc::default() };
        let mut all = lock(&SHARED);
        all.retain(|(_, shared)| shared.strong_count() > 0);
        if let Some(shared) = all.iter().find(|(known, _)| known == key).and_then(|(_, shared)| shared.upgrade()) {
            return shared;
        }
        let shared = Arc::default();
        all.push((*key, Arc::downgrade(&shared)));
        shared
    }

    pub fn make_once(&self, make: impl FnOnce() -> Result<Prepared, RunError>) -> Result<(), RunError> {
        let _making = lock(&self.making);
        if self.made.get().is_none() {
            // Nobody else sets it while this thread is making it.
            let _ = self.made.set(make()?);
        }
        Ok(())
    }

    /// Of a value that was made: a session whose values are not made was never opened.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.made.get().map_or(&[], |made| made.bytes(index))
    }

    pub fn owned_bytes(&self) -> u64 {
        self.made.get().map_or(0, Prepared::owned_bytes)
    }
}

/// What a panicking thread leaves behind is whole: both locks guard single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
