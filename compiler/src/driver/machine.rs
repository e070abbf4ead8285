//! What each stage after planning has to know of the machine, all from one target and backend.

use crate::codegen::{Backend, Target};
use crate::kernel::lower::TargetDesc;
use crate::schedule::Machine;

/// For schedules: tile sizes.
pub fn machine(backend: Backend, target: &Target, threads: usize) -> Machine {
    let desc = describe(backend, target);
    Machine { lanes: u64::from(desc.vector_bytes / 4), masks: desc.masks, threads: threads.max(1) as u64 }
}

/// For lowering: vectors and what they can do.
pub fn describe(backend: Backend, target: &Target) -> TargetDesc {
    match (backend, target.vector_bytes()) {
        (Backend::Cranelift, _) => TargetDesc { fma: target.has_fma(), ..TargetDesc::WORDS },
        (Backend::Llvm, 64) => TargetDesc::AVX512,
        (Backend::Llvm, 32) => TargetDesc { fma: target.has_fma(), ..TargetDesc::AVX2 },
        (Backend::Llvm, _) if target.has_fma() => TargetDesc::NEON,
        (Backend::Llvm, _) => TargetDesc::SSE,
    }
}
