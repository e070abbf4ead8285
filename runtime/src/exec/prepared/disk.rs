//! Prepared values as files, mapped into memory: one file for each key.
//!
//! ```text
//! 0   magic (8)   version u32   zero u32   length of the values u64   key (32)
//! 56  zero (8)    BLAKE3 of the 64 bytes above (32)   zero (32)
//! 128 the values, each at a multiple of 64
//! ```
//!
//! Invariant: nothing in a file is believed: its beginning and its length follow from the key and the program, and a file in
//! which they are otherwise is as good as none. The values themselves are not read to check them: they are numbers, which
//! cannot do harm but to results, and files appear whole, by renaming what the disk has. A cache that cannot be read or
//! written only costs time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

use crate::bytes::ALIGN;
use crate::data::{Tensor, byte_len};
use crate::files;
use crate::program::PreparedDecl;

const MAGIC: &[u8; 8] = b"TWPREP\r\n";
const VERSION: u32 = 1;
const HASHED: usize = 64;
const PREAMBLE: usize = 128;
/// Bytes that all files together may have.
const LIMIT: u64 = 8 << 30;

/// Where prepared values are kept between processes.
#[derive(Clone, Debug, Default)]
pub struct WeightCache {
    dir: Option<PathBuf>,
    limit: Option<u64>,
}

/// A file of values.
#[derive(Debug)]
pub(in crate::exec) struct Mapped {
    map: Mmap,
    places: Vec<Range<usize>>,
}

impl Mapped {
    pub fn bytes(&self, index: usize) -> &[u8] {
        &self.map[self.places[index].clone()]
    }
}

impl WeightCache {
    pub fn at(dir: impl Into<PathBuf>) -> WeightCache {
        WeightCache { dir: Some(dir.into()), limit: None }
    }

    /// Remembers nothing.
    pub fn off() -> WeightCache {
        WeightCache::default()
    }

    pub fn with_limit(self, bytes: u64) -> WeightCache {
        WeightCache { limit: Some(bytes), ..self }
    }

    pub fn is_off(&self) -> bool {
        self.dir.is_none()
    }

    pub(in crate::exec) fn get(&self, key: &blake3::Hash, decls: &[PreparedDecl]) -> Option<Mapped> {
        let (places, len) = places(decls)?;
        let dir = self.dir.as_ref().filter(|dir| files::is_private(dir))?;
        let file = File::open(files::entry(dir, key.to_hex().as_str())?).ok()?;
        if file.metadata().ok()?.len() != len as u64 {
            return None;
        }
        // SAFETY: the map is read only. Files of the cache are replaced and removed, never cut short: see above.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        if map.len() != len || map[..PREAMBLE] != preamble(key, len) {
            return None;
        }
        // The time of last use decides what is removed.
        let _ = file.set_modified(SystemTime::now());
        Some(Mapped { map, places })
    }

    pub(in crate::exec) fn put(&self, key: &blake3::Hash, decls: &[PreparedDecl], tensors: &[Tensor]) {
        let (Some(dir), Some((places, len))) = (&self.dir, places(decls)) else { return };
        if files::create_private(dir).is_ok()
            && self.make_room(dir, len as u64)
            && let Some(path) = files::entry(dir, key.to_hex().as_str())
        {
            let _ = files::write_whole(&path, |file| write(file, &preamble(key, len), &places, tensors));
        }
    }

    /// Removes the files that were not used for longest until there is room for so many bytes, if there can be. The disk
    /// keeps as much free as is taken.
    fn make_room(&self, dir: &Path, bytes: u64) -> bool {
        let limit = self.limit.unwrap_or(LIMIT);
        let fits_disk = free_bytes(dir).is_none_or(|free| bytes <= free / 2);
        let left = limit.checked_sub(bytes).filter(|_| fits_disk);
        left.is_some_and(|left| files::trim(dir, left))
    }
}

/// Where each value lies, and how long the file is.
fn places(decls: &[PreparedDecl]) -> Option<(Vec<Range<usize>>, usize)> {
    let mut end = PREAMBLE;
    let place = |decl: &PreparedDecl| {
        let start = end.checked_next_multiple_of(ALIGN)?;
        end = start.checked_add(byte_len(decl.dtype, &decl.shape)?)?;
        Some(start..end)
    };
    let places = decls.iter().map(place).collect::<Option<_>>()?;
    Some((places, end))
}

fn preamble(key: &blake3::Hash, len: usize) -> [u8; PREAMBLE] {
    let mut bytes = [0; PREAMBLE];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&(len as u64).to_le_bytes());
    bytes[24..56].copy_from_slice(key.as_bytes());
    let hash = blake3::hash(&bytes[..HASHED]);
    bytes[HASHED..HASHED + blake3::OUT_LEN].copy_from_slice(hash.as_bytes());
    bytes
}

fn write(file: &mut File, preamble: &[u8], places: &[Range<usize>], tensors: &[Tensor]) -> io::Result<()> {
    let mut writer = BufWriter::new(&mut *file);
    writer.write_all(preamble)?;
    let mut at = PREAMBLE;
    for (place, tensor) in places.iter().zip(tensors) {
        writer.write_all(&[0; ALIGN][..place.start - at])?;
        writer.write_all(tensor.bytes())?;
        at = place.end;
    }
    writer.flush()?;
    drop(writer);
    // A name that outlives a loss of power must not stand for bytes that do not.
    file.sync_data()
}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    // SAFETY: numbers alone, for which all zeros is a value.
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero and the facts are there to be written.
    let known = unsafe { libc::statvfs(path.as_ptr(), &mut facts) } == 0;
    #[allow(clippy::unnecessary_cast)] // The types of the two differ between systems.
    known.then(|| (facts.f_bavail as u64).saturating_mul(facts.f_frsize as u64))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
