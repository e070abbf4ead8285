//! The Kernel IR: how it is computed. One structured SSA form at two levels, tile and loop.
//!
//! Schedules build tile kernels, lowering makes loop kernels of them, backends print those and nothing else. What each
//! statement means, and which ones are legal at the loop level, is written at the head of `types`.

pub mod build;
pub mod interpret;
pub mod lower;
pub mod parse;
pub mod print;
pub mod types;
pub mod verify;

pub use build::{Builder, Span};
pub use interpret::{Fault, Order, interpret};
pub use lower::{TargetDesc, lower};
pub use parse::{ParseError, parse};
pub use print::print;
pub use types::*;
pub use verify::{Facts, MAX_LOCAL_BYTES, VerifyError, guarded, verify};

#[cfg(test)]
mod tests;
