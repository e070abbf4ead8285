//! A session on a GPU: its memory there, and the walk over a plan's steps.

mod memory;
mod steps;
#[cfg(test)]
pub(super) mod tests;

pub use memory::Memory;
