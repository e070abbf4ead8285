//! Results that go past the caches to memory: a line of them need not be read before it is written.
//!
//! Invariant: only those stream that are larger than what is left in any cache when they are read again.

use super::Loops;
use super::tiles::Machine;
use crate::kernel::{Builder, Memory};

/// Bytes of such a result. Third-level caches of today's machines have 16 to 64 MiB, which threads and programs share.
const BYTES: i64 = 32 << 20;

pub fn is_worthwhile(loops: &Loops, machine: &Machine) -> bool {
    !machine.is_block() && loops.result.n_bytes().is_some_and(|bytes| bytes >= BYTES)
}

/// Lets the result stream if that is worthwhile.
pub fn stream(b: &mut Builder, result: Memory, loops: &Loops, machine: &Machine) {
    if is_worthwhile(loops, machine) {
        b.stream(result);
    }
}
