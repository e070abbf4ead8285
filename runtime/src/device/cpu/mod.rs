//! Kernels as machine code in this process.
//!
//! Invariant: code is never writable while it is executable, can call nothing but the host
//! functions it was given, and lives as long as the [`Code`] that hands out its functions.

mod code;
mod hosts;
mod loader;
mod math;
mod pages;
mod relocate;

pub use code::{Code, KernelFn};
pub use hosts::Hosts;
pub use loader::Object;
