//! The compiler: specs become graphs, graphs become kernels, kernels become machine code.
//!
//! The modules are stages of one road and depend only on earlier ones; `tests/structure.rs` checks that.

pub mod codegen;
pub mod diag;
pub mod driver;
pub mod front;
pub mod graph;
pub mod kernel;
pub mod ops;
pub mod passes;
pub mod plan;
pub mod schedule;
pub mod seeded;
