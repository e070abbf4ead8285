//! The Kernel IR: how it is computed. One structured SSA form at two levels, tile and loop.
//!
//! Schedules build tile kernels, lowering makes loop kernels of them, backends print those and nothing else. What each
//! statement means, and which ones are legal at the loop level, is written at the head of `types`.

pub mod build;
pub mod types;

pub use build::{Builder, Span};
pub use types::*;
