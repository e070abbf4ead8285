//! Tilewright: a declarative model compiler. The facade over the compiler and the runtime.

pub use tilewright_compiler as compiler;
pub use tilewright_runtime as runtime;
