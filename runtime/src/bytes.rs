//! Memory aligned for vector loads: an owned buffer, and a cheap shared one.
//!
//! Invariant: `AlignedBytes` is `len` initialised bytes starting at a multiple of [`ALIGN`].
//! Sizes come from files and users, so allocation failure is a value, never an abort.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::MmapMut;

/// Gives memory that was freed back to the system, which allocators keep otherwise: after compiling, it is most of a heap.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches free memory only, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// From so many bytes on memory is mapped, in large pages where the system has them: otherwise finding the pages takes a
/// part of the time of whatever reads them.
const LARGE: usize = 2 << 20;

pub struct AlignedBytes {
    start: NonNull<u8>,
    len: usize,
    /// What `start` points to, if it was not allocated.
    mapping: Option<MmapMut>,
}

// SAFETY: the buffer is owned and plain bytes; access follows Rust's borrow rules.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above.
unsafe impl Sync for AlignedBytes {}

/// The machine has no room for this many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory(pub usize);

impl AlignedBytes {
    pub fn zeroed(len: usize) -> Result<AlignedBytes, OutOfMemory> {
        if len == 0 {
            return Ok(AlignedBytes::default());
        }
        if len >= LARGE {
            return AlignedBytes::mapped(len).ok_or(OutOfMemory(len));
        }
        let layout = Layout::from_size_align(len, ALIGN).map_err(|_| OutOfMemory(len))?;
        // SAFETY: the layout has a size above zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(OutOfMemory(len))?;
        Ok(AlignedBytes { start, len, mapping: None })
    }

    /// Pages that no one has touched are zeros and take no room.
    fn mapped(len: usize) -> Option<AlignedBytes> {
        let mut mapping = MmapMut::map_anon(len).ok()?;
        #[cfg(target_os = "linux")]
        // A system without large pages refuses, and the memory is as good as any.
        let _ = mapping.advise(memmap2::Advice::HugePage);
        let start = NonNull::new(mapping.as_mut_ptr())?;
        Some(AlignedBytes { start, len, mapping: Some(mapping) })
    }

    pub fn copy_of(bytes: &[u8]) -> Result<AlignedBytes, OutOfMemory> {
        let mut copy = AlignedBytes::zeroed(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }

    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Default for AlignedBytes {
    /// No bytes, at an aligned address.
    fn default() -> AlignedBytes {
        let start = NonNull::<Line>::dangling().cast();
        AlignedBytes { start, len: 0, mapping: None }
    }
}

/// Only its alignment matters: it gives empty buffers an aligned address.
#[repr(align(64))]
struct Line;

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        if self.len > 0 && self.mapping.is_none() {
            // SAFETY: this is the layout that `zeroed` allocated with.
            unsafe {
                let layout = Layout::from_size_align_unchecked(self.len, ALIGN);
                dealloc(self.start.as_ptr(), layout);
            }
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes are owned from `start` on.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &AlignedBytes) -> bool {
        self[..] == other[..]
    }
}

/// Immutable aligned bytes that are shared rather than copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob(Arc<AlignedBytes>);

impl Blob {
    /// Copies bytes that are already in memory, so there is room for them once more or the
    /// process is lost anyway.
    pub fn copy_of(bytes: &[u8]) -> Blob {
        match AlignedBytes::copy_of(bytes) {
            Ok(copy) => Blob(Arc::new(copy)),
            Err(OutOfMemory(len)) => panic!("no memory for a copy of {len} bytes"),
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<AlignedBytes> for Blob {
    fn from(bytes: AlignedBytes) -> Blob {
        Blob(Arc::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_aligned_and_zero() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let bytes = AlignedBytes::zeroed(len).unwrap();
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr() as usize % ALIGN, 0);
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        assert_eq!(AlignedBytes::zeroed(usize::MAX), Err(OutOfMemory(usize::MAX)));
        let huge = 1usize << 60;
        assert_eq!(AlignedBytes::zeroed(huge), Err(OutOfMemory(huge)));
    }
}
