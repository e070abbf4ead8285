//! A session on a GPU: its memory there, and the walk over a plan's steps.

mod memory;
mod steps;

pub use memory::Memory;
