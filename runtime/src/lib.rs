//! The runtime: what a compiled program is, and how it is executed. It never sees the compiler.

pub mod bytes;
pub mod data;
pub mod device;
pub mod error;
pub mod exec;
pub mod files;
pub mod machine;
pub mod program;
pub mod threads;
pub mod weights;

pub use error::{ErrorKind, RunError};
