//! The CUDA backend: kernels of blocks of threads as the text of CUDA C++, which NVIDIA's compilers take.
//!
//! Invariant: a printer. What a kernel needs beyond the language is named and defined once, in the prelude. Integers wrap;
//! floats are rounded after each operation, for which the text is to be compiled without contraction (`--fmad=false`).
//! Floats of 16 bits are their bits until they are cast.
//!
//! # What is launched
//!
//! `kernel(b0, b1, …, items, per_block, s0, s1, …)`: the buffers, how many items the grid has and how many of them each
//! block takes, and the sizes. Block n runs the items from n times as many as each has.

mod memory;
mod print;
mod scalar;

use super::{CodegenError, Unit};

pub use print::print_kernel;

/// What the text of every kernel starts with.
const PRELUDE: &str = include_str!("prelude.cuh");

/// One text that defines every unit.
pub fn print(units: &[Unit]) -> Result<String, CodegenError> {
    let mut text = PRELUDE.to_string();
    for unit in units {
        text += "\n";
        text += &print_kernel(unit).map_err(|error| error.in_kernel(&unit.kernel.name))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
