//! Kernels as shaders on a GPU, through wgpu.
//!
//! Invariant: the driver is found when it is asked for; without one there is an error that says why, and nothing else of
//! the program is hurt. Shaders are checked before they run, and what they touch is checked while they run, so a text
//! from a file can do no harm outside of its buffers. Whatever wgpu objects to is a `RunError`.

mod code;
mod gpu;
mod queue;

pub use code::Code;
pub use gpu::{Gpu, describe};
