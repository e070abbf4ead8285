//! Pages for code: written first, then sealed.
//!
//! Invariant: pages are writable until [`Pages::seal`] and never after; no page is ever writable
//! and executable at once.

use std::io;
use std::ptr::{self, NonNull};

pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

/// Pages that can no longer be written.
pub struct Sealed(Pages);

// SAFETY: the mapping belongs to its owner and is reached through `&mut` until it is sealed.
unsafe impl Send for Pages {}
// SAFETY: sealed pages are only read and executed.
unsafe impl Sync for Sealed {}

pub fn page_size() -> usize {
    // SAFETY: a query without side effects.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

impl Pages {
    /// Zeroed pages; `low` asks for addresses that fit 31 bits, which code that is not
    /// position-independent needs.
    pub fn new(len: usize, low: bool) -> io::Result<Pages> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if low { LOW } else { 0 };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh private mapping at an address the system chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Pages { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `len` bytes, zeroed by the system, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Makes the first `code` bytes executable and everything read-only; `code` is a whole
    /// number of pages.
    pub fn seal(self, code: usize) -> io::Result<Sealed> {
        self.protect(0, code, libc::PROT_READ | libc::PROT_EXEC)?;
        self.protect(code, self.len - code, libc::PROT_READ)?;
        flush_instructions(self.address(), code);
        Ok(Sealed(self))
    }

    fn protect(&self, at: usize, len: usize, protection: libc::c_int) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the range lies in this mapping, to which no reference is held.
        let result = unsafe { libc::mprotect(self.start.as_ptr().add(at).cast(), len, protection) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Sealed {
    pub fn address(&self) -> usize {
        self.0.address()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `new` and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const LOW: libc::c_int = libc::MAP_32BIT;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
const LOW: libc::c_int = 0;

/// Instruction caches follow stores by themselves on x86.
#[cfg(not(target_arch = "aarch64"))]
fn flush_instructions(_start: usize, _len: usize) {}

#[cfg(target_arch = "aarch64")]
fn flush_instructions(start: usize, len: usize) {
    /// The smallest line that the architecture allows.
    const LINE: usize = 16;
    use std::arch::asm;
    // SAFETY: cache maintenance by address, inside memory that is mapped and readable.
    unsafe {
        for line in (start..start + len).step_by(LINE) {
            asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        asm!("dsb ish", options(nostack, preserves_flags));
        for line in (start..start + len).step_by(LINE) {
            asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
}
