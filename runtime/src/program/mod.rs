//! A compiled program as plain data: what is computed, in which order, over which memory.
//!
//! Invariant: nothing here runs anything and nothing here knows the compiler. Both sides meet in
//! these types; [`Program::check`] is the only statement of what a well-formed program is.

pub mod check;
pub mod dtype;
pub mod entry;
pub mod file;
pub mod float;
pub mod plan;
pub mod random;
pub mod size;
pub mod step;

/// An `i64` scalar input of this name need not be passed: sessions know the seed. An entry that
/// initialises state may take it and nothing else.
pub const SEED_INPUT: &str = "seed";
/// An `i64` scalar input of this name says how often the entry was called before: its draws follow from it.
pub const STEP_INPUT: &str = "step";

pub use check::Malformed;
pub use dtype::{DType, to_bf16, to_f16};
pub use entry::{Check, Entry, Port, Relation, ScalarDecl, SizeDecl, SizeName, Storage, ValueDecl, ValueId};
pub use plan::{
    Access, BlobId, Constant, InitValue, Kernel, KernelArg, KernelId, ParamDecl, PreparedDecl, Program, StateDecl,
    Target,
};
pub use size::{Dim, Symbol};
pub use step::{Bound, SliceMove, Step};
