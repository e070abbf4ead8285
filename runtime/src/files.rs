//! Files that appear whole, and folders of them that are named by keys.
//!
//! Invariant: what is written lies beside its place, under a name of its own, until all of it is there; so no reader sees
//! half of it, and what fails leaves the place as it was.

mod cache;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

pub use cache::{Cache, VARIABLE};

/// Names beside a file that are tried: others may be left of processes that were killed.
const TRIES: usize = 16;

/// Replaces the file at the path by what is written.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    replace(path, |file, _| write(file))
}

/// The same, for writers that make the file themselves: they are told what it is called until all of it is there.
pub fn write_whole_by_name(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    replace(path, |_, name| write(name))
}

fn replace(path: &Path, write: impl FnOnce(&mut File, &Path) -> io::Result<()>) -> io::Result<()> {
    let (mut file, beside) = create_beside(path)?;
    let renamed = write(&mut file, &beside).and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}

fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut tries = (0..TRIES).map(|_| {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut name = OsString::from(path.file_name().unwrap_or_default());
        name.push(format!(".{}.{number}.partial", std::process::id()));
        let beside = path.with_file_name(name);
        File::create_new(&beside).map(|file| (file, beside))
    });
    let exists = |tried: &io::Result<_>| matches!(tried, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    tries.find(|tried| !exists(tried)).unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
}

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
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_whole(&path, |file| file.write_all(b"first")).unwrap();
        write_whole(&path, |file| {
            assert_eq!(fs::read(&path).unwrap(), b"first", "until the other is there");
            file.write_all(b"second")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let failed = write_whole(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside");
    }

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
