//! Files that appear whole, and folders of them that are named by keys.
//!
//! Invariant: a folder of machine code or packed weights is believed only if this user alone may write to it, and trimming
//! it removes nothing that is not named by a key.

mod cache;
mod text;
mod whole;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use cache::{Cache, VARIABLE};
pub use text::{read_text, text_of};
pub use whole::{check_writable, write_whole, write_whole_by_name};

/// A folder that this user alone may write to, for code that will be run and numbers that will be believed. One that is not
/// there yet is made so that nobody else may enter it; one that is there and others may write to is an error.
pub fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    match is_private(dir) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "others than this user may write to the folder")),
    }
}

/// Whether what lies in a folder was put there by this user.
#[cfg(unix)]
pub fn is_private(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    const WRITTEN_BY_OTHERS: u32 = 0o022;
    // SAFETY: a query that cannot fail and changes nothing.
    let user = unsafe { libc::geteuid() };
    fs::metadata(dir).is_ok_and(|facts| facts.is_dir() && facts.uid() == user && facts.mode() & WRITTEN_BY_OTHERS == 0)
}

#[cfg(not(unix))]
pub fn is_private(dir: &Path) -> bool {
    dir.is_dir()
}

/// Where the file of a key lies or will lie, unless something else is there: a pipe would be waited for.
pub fn entry(dir: &Path, key: &str) -> Option<PathBuf> {
    let path = dir.join(key);
    fs::metadata(&path).map_or(true, |facts| facts.is_file()).then_some(path)
}

/// Removes the files named by keys that were not used for longest, until the rest has no more bytes than that. Whether it
/// came to that.
pub fn trim(dir: &Path, limit: u64) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok().filter(|entry| is_named_by_key(&entry.file_name()))?;
            let facts = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((facts.modified().ok()?, facts.len(), entry.path()))
        })
        .collect();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    files.sort();
    for (_, len, path) in files {
        if total <= limit {
            break;
        }
        if fs::remove_file(path).is_ok() {
            total -= len;
        }
    }
    total <= limit
}

/// Keys are hexadecimal hashes; the folder may hold files of others.
fn is_named_by_key(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let key = name.split('.').next().unwrap_or("");
    key.len() == 2 * blake3::OUT_LEN && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn private_folders_are_their_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("deeper").join("still");
        create_private(&private).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o077, 0);
        assert!(is_private(&private));
        for (mode, is_ours) in [(0o755, true), (0o775, false), (0o757, false)] {
            fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!((is_private(&private), create_private(&private).is_ok()), (is_ours, is_ours), "{mode:o}");
        }
    }
}
