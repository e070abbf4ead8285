//! What schedules have to know of the machine: what lowering knows of it, in their terms.

use crate::codegen::{Backend, Target};
use crate::schedule::Machine;

pub fn machine(backend: Backend, target: &Target, threads: usize) -> Machine {
    let desc = target.desc(backend);
    // The threads of a block take the place of a vector's lanes, and any of them can be left out.
    let is_block = desc.threads > 1;
    let lanes = if is_block { desc.threads } else { desc.vector_bytes / 4 };
    Machine {
        shared_bytes: desc.shared_bytes.into(),
        mma: desc.mma,
        matrices: desc.matrices,
        divides: target.is_zen(),
        streams_alone: target.is_zen(),
        ..Machine::of_vectors(lanes.into(), desc.masks || is_block, threads.max(1) as u64)
    }
}
