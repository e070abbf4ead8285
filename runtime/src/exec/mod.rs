//! Running programs: threads, memory, and the walk over an entry's steps.

pub mod pool;
