//! Kernels on NVIDIA's GPUs, through the driver and the compiler that the system has.
//!
//! Invariant: both libraries are found when they are asked for; without one there is an error that says what is missing,
//! and nothing else of the program is hurt. Kernels are text until they are loaded: what NVRTC makes of them for the GPU
//! that is there is kept on disk. They touch no memory but that of their arguments, which is what was proved of the
//! kernels that the text was printed from; whoever takes a text from a file unseen vouches for it.

mod code;
mod compiler;
mod driver;
mod queue;

pub use code::Code;
pub use driver::{Gpu, describe};

#[cfg(test)]
mod tests;
