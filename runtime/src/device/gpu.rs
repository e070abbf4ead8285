//! What a GPU does for a session, whoever drives it: memory, copies and launches.
//!
//! Invariant: what a queue is asked for takes effect in the order of asking, though nobody waits for it before `read` or
//! `finish`. Buffers are known by number, and die with their queue. The plan's walk in `exec/gpu` uses nothing else of a
//! device, and no device knows of plans.

use std::sync::Arc;

use crate::error::RunError;
use crate::program::KernelId;

/// The kernels of a program, loaded.
pub trait Loaded: Send + Sync {
    fn n_kernels(&self) -> usize;

    /// A queue for a session, without any memory yet.
    fn queue(self: Arc<Self>) -> Result<Box<dyn Queue>, RunError>;
}

pub trait Queue: Send {
    /// Memory for so many bytes, and a little more, so that whole words of 4 bytes can be copied.
    fn allocate(&mut self, bytes: u64) -> Result<BufferId, RunError>;

    fn free(&mut self, buffer: BufferId);

    /// Bytes to the start of a span, which lies at a multiple of 4. The last word may be filled up with anything.
    fn write(&mut self, to: Span, contents: &[u8]) -> Result<(), RunError>;

    /// Copies between spans of as many bytes, which may overlap.
    fn copy(&mut self, from: Span, to: Span) -> Result<(), RunError>;

    /// Binds what a launch needs, once for all its launches in this run.
    fn prepare(&mut self, call: &Call) -> Result<CallId, RunError>;

    fn launch(&mut self, call: CallId) -> Result<(), RunError>;

    /// The bytes of spans, at multiples of 4, after all that was asked for.
    fn read(&mut self, from: &[Span]) -> Result<Vec<Vec<u8>>, RunError>;

    /// Waits until all is done, forgets what was prepared, and says what went wrong since the last time.
    fn finish(&mut self) -> Result<(), RunError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub usize);

/// A part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub buffer: BufferId,
    pub offset: u64,
    pub bytes: u64,
}

/// A launch with numbers for all sizes.
pub struct Call<'a> {
    pub kernel: KernelId,
    pub args: &'a [Span],
    pub sizes: &'a [i64],
    /// How many items there are, at least one.
    pub items: u64,
    /// One block runs them all, in order.
    pub sequential: bool,
}

impl Call<'_> {
    /// How many blocks run the items, of at most so many, and how many items each of them takes.
    pub fn blocks(&self, most: u64) -> (u32, u64) {
        let per_block = if self.sequential { self.items } else { self.items.div_ceil(most) };
        (self.items.div_ceil(per_block) as u32, per_block)
    }
}
