//! The runtime: what a compiled program is, and how it is executed. It never sees the compiler.

pub mod program;
