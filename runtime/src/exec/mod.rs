//! Running programs: threads, memory, and the walk over an entry's steps.
//!
//! `Session` is what callers see. A call binds sizes, finds the plan for them (made once), fills
//! in pointers and walks the plan; the executor carries its steps out, or a GPU does.

pub mod arena;
mod executor;
mod gpu;
mod plan;
mod poison;
pub mod pool;
mod prepared;
mod profile;
mod session;
mod sizes;
mod state;
mod walk;

pub use pool::Pool;
pub use prepared::WeightCache;
pub use profile::{Counter, StepTime};
pub use session::{Footprint, Options, Session};
