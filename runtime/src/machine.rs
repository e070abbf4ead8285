//! What the machine lets this process use: registers that hold matrices (Intel's AMX).
//!
//! Invariant: the answer does not change while the process lives. Linux gives such registers to processes that ask, because
//! the state of a thread that uses them is 8 KiB larger.

use std::sync::OnceLock;

use crate::error::{ErrorKind, RunError};

/// The feature of a target whose code uses them.
const FEATURE: &str = "amx-tile";

/// What such registers can multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matrices {
    pub bf16: bool,
    pub int8: bool,
}

/// What this process may multiply with them: it is asked for the first time.
pub fn matrices() -> Option<Matrices> {
    static FOUND: OnceLock<Option<Matrices>> = OnceLock::new();
    *FOUND.get_or_init(amx::ask)
}

/// Makes sure that code for these features, divided by spaces, can run.
pub fn allow(features: &str) -> Result<(), RunError> {
    if !features.split(' ').any(|feature| feature == FEATURE) || matrices().is_some() {
        return Ok(());
    }
    let message = "the code uses registers of matrices (AMX), which this machine or its system does not offer";
    Err(RunError::new(ErrorKind::Code, message).help("compile the program for this machine"))
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::x86_64::{__cpuid_count, _xgetbv};

    use super::Matrices;

    /// "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2, CPUID: bits of EDX in leaf 7.
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    /// Of ECX in leaf 1: the system says which states it keeps.
    const OSXSAVE: u32 = 1 << 27;
    /// The shapes and the contents of the registers, among the states that the system keeps.
    const STATES: u64 = 0b11 << 17;
    /// `arch_prctl`, and the state that it is asked for: Linux, "Using XSTATE features in user space applications".
    const REQUEST_PERMISSION: i64 = 0x1023;
    const CONTENTS: i64 = 18;

    pub fn ask() -> Option<Matrices> {
        let (highest, first) = (__cpuid_count(0, 0).eax, __cpuid_count(1, 0));
        if highest < 7 || first.ecx & OSXSAVE == 0 {
            return None;
        }
        let features = __cpuid_count(7, 0).edx;
        // SAFETY: the machine has the instruction, as OSXSAVE says.
        if features & TILE == 0 || unsafe { states() } & STATES != STATES {
            return None;
        }
        // SAFETY: the call takes two numbers and changes nothing but what this process may do.
        let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, CONTENTS) };
        (refused == 0).then_some(Matrices { bf16: features & BF16 != 0, int8: features & INT8 != 0 })
    }

    #[target_feature(enable = "xsave")]
    unsafe fn states() -> u64 {
        // SAFETY: register 0 exists wherever the instruction does.
        unsafe { _xgetbv(0) }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod amx {
    pub fn ask() -> Option<super::Matrices> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_matrices_runs_anywhere() {
        assert!(allow("avx2 fma").is_ok() && allow("").is_ok());
        assert_eq!(allow("avx512f amx-tile amx-bf16").is_ok(), matrices().is_some());
    }
}
