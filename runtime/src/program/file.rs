//! A program as one file: a fixed preamble, a JSON header, then blobs aligned to 64 bytes.
//!
//! ```text
//! 0   magic (8)   version u32   zero u32   header length u64   file length u64
//! 32  BLAKE3 of the 32 bytes above and of everything from 64 on
//! 64  header: {"program": …, "blobs": [[offset, length], …]}
//! ```
//!
//! Invariant: reading never panics and allocates no more than a small multiple of the file's
//! length, whatever the bytes. The hash finds damage; it proves nothing about who wrote the
//! file, so machine code is dropped unless the caller trusts it.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BlobId, Program};
use crate::bytes::{ALIGN, AlignedBytes, Blob};
use crate::error::{ErrorKind, RunError};
use crate::files;

const MAGIC: &[u8; 8] = b"TWPROG\r\n";
const VERSION: u32 = 2;
const HASHED: usize = 32;
const PREAMBLE: usize = 64;

/// Whether machine code found in a file may be run as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Objects are dropped; the compiler builds them again from the kernels' text.
    Rebuild,
    UseObjects,
}

#[derive(Serialize, Deserialize)]
struct Header<P> {
    program: P,
    blobs: Vec<(u64, u64)>,
}

impl Program {
    /// Replaces the file at `path`; nobody sees half a program.
    pub fn write_file(&self, path: &Path) -> Result<(), RunError> {
        let bytes = self.to_bytes()?;
        let write = |file: &mut fs::File| file.write_all(&bytes).and_then(|()| file.sync_all());
        files::write_whole(path, write).map_err(|error| RunError::io("write", path, &error))
    }

    pub fn read_file(path: &Path, trust: Trust) -> Result<Program, RunError> {
        let bytes = fs::read(path).map_err(|error| RunError::io("read", path, &error))?;
        Program::from_bytes(&bytes, trust).map_err(|mut error| {
            error.message = format!("`{}`: {}", path.display(), error.message);
            error
        })
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, RunError> {
        let header = self.header_text()?;
        let mut file = Vec::with_capacity(PREAMBLE + header.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&0u32.to_le_bytes());
        file.extend_from_slice(&(header.len() as u64).to_le_bytes());
        file.resize(PREAMBLE, 0);
        file.extend_from_slice(&header);
        for blob in &self.blobs {
            file.resize(file.len().next_multiple_of(ALIGN), 0);
            file.extend_from_slice(blob.as_slice());
        }
        let len = file.len() as u64;
        file[24..HASHED].copy_from_slice(&len.to_le_bytes());
        let hash = content_hash(&file);
        file[HASHED..PREAMBLE].copy_from_slice(hash.as_bytes());
        Ok(file)
    }

    /// Reads and checks a program; what this returns is well formed.
    pub fn from_bytes(file: &[u8], trust: Trust) -> Result<Program, RunError> {
        let text = header_of(file)?;
        let header: Header<Program> =
            serde_json::from_slice(text).map_err(|error| broken(format!("bad header: {error}")))?;
        let mut program = header.program;
        let dropped = match trust {
            Trust::Rebuild => program.forget_objects(),
            Trust::UseObjects => Vec::new(),
        };
        let ranges = blob_ranges(&header.blobs, PREAMBLE + text.len(), file.len())?;
        for (index, range) in ranges.into_iter().enumerate() {
            let keep = !dropped.contains(&BlobId(index as u32));
            let bytes = if keep { &file[range] } else { &[] };
            program.blobs.push(Blob::from(AlignedBytes::copy_of(bytes)?));
        }
        program.check()?;
        Ok(program)
    }

    /// Forgets all machine code, and says which blobs nothing else needs.
    fn forget_objects(&mut self) -> Vec<BlobId> {
        let mut objects: Vec<BlobId> = self.kernels.iter_mut().filter_map(|kernel| kernel.object.take()).collect();
        let constants = &self.constants;
        objects.retain(|&object| constants.iter().all(|constant| constant.data != object));
        objects.sort();
        objects.dedup();
        objects
    }

    /// Offsets in the header depend on its length, whose digits depend on the offsets: they
    /// are found by repeating until nothing changes, which a longer header soon does not.
    fn header_text(&self) -> Result<Vec<u8>, RunError> {
        let mut len = 0;
        loop {
            let mut end = PREAMBLE + len;
            let place = |blob: &Blob| {
                let start = end.next_multiple_of(ALIGN);
                end = start + blob.as_slice().len();
                (start as u64, blob.as_slice().len() as u64)
            };
            let header = Header { blobs: self.blobs.iter().map(place).collect(), program: self };
            let mut text =
                serde_json::to_vec(&header).map_err(|error| RunError::new(ErrorKind::Program, error.to_string()))?;
            if text.len() <= len {
                text.resize(len, b' ');
                return Ok(text);
            }
            len = text.len().next_multiple_of(ALIGN);
        }
    }
}

fn header_of(file: &[u8]) -> Result<&[u8], RunError> {
    if file.len() < PREAMBLE || &file[..8] != MAGIC {
        return Err(broken("not a compiled program"));
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| file[at + i]));
    let version = word(8);
    if version != u64::from(VERSION) {
        let found = version as u32;
        let message = format!("made by another version (format {found}, this is {VERSION})");
        return Err(broken(message).help("compile the spec again"));
    }
    if word(24) != file.len() as u64 {
        let message = format!("cut off: {} bytes of {}", file.len(), word(24));
        return Err(broken(message));
    }
    if content_hash(file).as_bytes() != &file[HASHED..PREAMBLE] {
        return Err(broken("damaged: the contents do not match their hash"));
    }
    usize::try_from(word(16))
        .ok()
        .and_then(|len| file[PREAMBLE..].get(..len))
        .ok_or_else(|| broken("the header is longer than the file"))
}

/// Blobs must follow one another inside the file: overlapping ones could ask for far more
/// memory than the file has bytes.
fn blob_ranges(blobs: &[(u64, u64)], start: usize, end: usize) -> Result<Vec<Range<usize>>, RunError> {
    let mut free = start as u64;
    let mut ranges = Vec::with_capacity(blobs.len());
    for &(at, len) in blobs {
        let last = at.checked_add(len).filter(|&last| last <= end as u64);
        match last {
            Some(last) if at >= free && at % ALIGN as u64 == 0 => {
                ranges.push(at as usize..last as usize);
                free = last;
            }
            _ => return Err(broken(format!("a blob lies at {at} + {len}, out of place"))),
        }
    }
    Ok(ranges)
}

fn content_hash(file: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file[..HASHED]).update(&file[PREAMBLE..]);
    hasher.finalize()
}

fn broken(message: impl Into<String>) -> RunError {
    RunError::new(ErrorKind::File, message)
}

#[cfg(test)]
mod tests;
