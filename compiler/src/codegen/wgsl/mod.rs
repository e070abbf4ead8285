//! The WGSL backend: kernels of blocks of threads as the text of shaders.
//!
//! Invariant: a printer. Numbers of 64 bits are narrowed to 32: integers that are loaded, made wide or computed from such, and
//! do not fit, set a flag, which whoever launches the kernel looks at; sizes are checked before. Floats of 16 bits are f32 that were
//! rounded. Booleans are `bool`, and words in memories of the block. No constant is infinite.
//!
//! # What is launched
//!
//! Bindings of group 0: buffer n is binding n, an array of words; then, if the flag may be set, `flag`; then the uniform
//! `call`: items of the grid, items of each block, the word at which each buffer starts, and the sizes. Block n runs the
//! items from n times as many as each has.

mod memory;
mod print;
mod scalar;
mod wide;

use super::{CodegenError, Unit};
use crate::kernel::{Kernel, Op, Rights};

pub use print::print_kernel;

/// The text of a shader for each unit, one after the other.
pub fn print(units: &[Unit]) -> Result<String, CodegenError> {
    let texts: Result<Vec<String>, CodegenError> =
        units.iter().map(|unit| print_kernel(unit).map_err(|error| error.in_kernel(&unit.kernel.name))).collect();
    Ok(texts?.join("\n"))
}

/// Whether elements of less than a word are stored to the buffer, by threads that share its words.
fn has_narrow_stores(kernel: &Kernel, at: usize) -> bool {
    let buffer = &kernel.buffers[at];
    buffer.rights != Rights::Read && buffer.dtype.size_of() < 4
}

/// Every statement, inner ones too.
fn each_op<'k>(block: &'k crate::kernel::Block, visit: &mut dyn FnMut(&'k Op)) {
    for stmt in &block.stmts {
        visit(&stmt.op);
        stmt.op.blocks().into_iter().for_each(|inner| each_op(inner, visit));
    }
}

#[cfg(test)]
mod tests;
