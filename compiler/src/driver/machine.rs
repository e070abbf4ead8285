//! What schedules have to know of the machine: what lowering knows of it, in their terms.

use crate::codegen::{Backend, Target};
use crate::schedule::Machine;

pub fn machine(backend: Backend, target: &Target, threads: usize) -> Machine {
    let desc = target.desc(backend);
    Machine { lanes: u64::from(desc.vector_bytes / 4), masks: desc.masks, threads: threads.max(1) as u64 }
}
