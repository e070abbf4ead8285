//! Objects on disk, in the user's cache directory.
//!
//! Invariant: an entry is used only if it is whole: its file starts with a hash of what follows. Whatever else is found is
//! as good as nothing and is written again; a cache that cannot be read or written only costs time, and so does one that
//! others may write to, which is not used. Entries appear by renaming, so no reader sees half of one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files;

/// Names the directory, or is `off`.
pub const VARIABLE: &str = "TILEWRIGHT_CACHE";
const LIMIT: u64 = 256 << 20;
/// More than an object of one kernel ever has; what is larger is not kept.
const MAX_ENTRY: u64 = 64 << 20;

#[derive(Clone, Debug)]
pub struct Cache {
    dir: Option<PathBuf>,
    /// Bytes that stay after trimming.
    limit: u64,
}

impl Cache {
    /// Where the environment says: `TILEWRIGHT_CACHE`, else `tilewright` in `XDG_CACHE_HOME` or `~/.cache`.
    pub fn from_env() -> Cache {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let dir = match path(VARIABLE) {
            Some(dir) if dir.as_os_str() == "off" => None,
            Some(dir) => Some(dir),
            None => path("XDG_CACHE_HOME")
                .filter(|base| base.is_absolute())
                .or_else(|| path("HOME").map(|home| home.join(".cache")))
                .map(|base| base.join("tilewright")),
        };
        Cache { dir, limit: LIMIT }
    }

    pub fn at(dir: impl Into<PathBuf>) -> Cache {
        Cache { dir: Some(dir.into()), limit: LIMIT }
    }

    /// Remembers nothing.
    pub fn off() -> Cache {
        Cache { dir: None, limit: LIMIT }
    }

    pub fn with_limit(self, bytes: u64) -> Cache {
        Cache { limit: bytes, ..self }
    }

    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The folder, if it is not used because others may write to it.
    pub fn refused(&self) -> Option<&Path> {
        self.dir().filter(|dir| dir.exists() && !files::is_private(dir))
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let dir = self.dir().filter(|dir| files::is_private(dir))?;
        let file = File::open(files::entry(dir, key)?).ok()?;
        let mut bytes = Vec::new();
        (&file).take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
        let (hash, object) = bytes.split_at_checked(blake3::OUT_LEN)?;
        if blake3::hash(object).as_bytes() != hash {
            return None;
        }
        // The time of last use decides what is trimmed.
        let _ = file.set_modified(SystemTime::now());
        Some(object.to_vec())
    }

    pub fn put(&self, key: &str, object: &[u8]) {
        let fits = (object.len() + blake3::OUT_LEN) as u64 <= MAX_ENTRY;
        if let Some(dir) = self.dir.as_ref().filter(|_| fits) {
            let _ = write(dir, key, object);
        }
    }

    /// Removes the entries that were not used for longest until the rest fits the limit.
    pub fn trim(&self) {
        if let Some(dir) = &self.dir {
            files::trim(dir, self.limit);
        }
    }
}

fn write(dir: &Path, key: &str, object: &[u8]) -> io::Result<()> {
    files::create_private(dir)?;
    let path = files::entry(dir, key).ok_or(io::ErrorKind::AlreadyExists)?;
    files::write_whole(&path, |file| {
        file.write_all(blake3::hash(object).as_bytes())?;
        file.write_all(object)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key(byte: u8) -> String {
        blake3::hash(&[byte]).to_hex().to_string()
    }

    #[test]
    fn what_was_put_is_got_and_what_is_broken_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("deeper"));
        let path = dir.path().join("deeper").join(key(0));
        assert_eq!(cache.get(&key(0)), None);
        cache.put(&key(0), b"object");
        assert_eq!(cache.get(&key(0)).as_deref(), Some(&b"object"[..]));
        for broken in [&b""[..], b"short", &fs::read(&path).unwrap()[1..]] {
            fs::write(&path, broken).unwrap();
            assert_eq!(cache.get(&key(0)), None);
        }
        cache.put(&key(0), b"again");
        assert_eq!(cache.get(&key(0)).as_deref(), Some(&b"again"[..]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::ffi::CString::new(dir.path().join(key(0)).to_str().unwrap()).unwrap();
        // SAFETY: the name ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        let cache = Cache::at(dir.path());
        assert_eq!(cache.get(&key(0)), None);
        cache.put(&key(0), b"object");
        assert_eq!(cache.get(&key(0)), None);
    }

    #[test]
    fn trimming_removes_what_was_not_used_for_longest() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).with_limit(300);
        fs::write(dir.path().join("README"), [0; 1000]).unwrap();
        for byte in 0..4 {
            cache.put(&key(byte), &[byte; 100]);
            let file = File::options().write(true).open(dir.path().join(key(byte))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(byte.into())).unwrap();
        }
        assert!(cache.get(&key(0)).is_some(), "which is a use");
        cache.trim();
        let left: Vec<bool> = (0..4).map(|byte| cache.get(&key(byte)).is_some()).collect();
        assert_eq!(left, [true, false, false, true]);
        assert!(dir.path().join("README").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        cache.put(&key(0), b"object");
        assert_eq!(cache.refused(), None);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(cache.get(&key(0)), None);
        cache.put(&key(1), b"object");
        assert!(!dir.path().join(key(1)).exists());
        assert_eq!(cache.refused(), Some(dir.path()));
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let cache = Cache::at("/proc/nothing/can/be/created/here");
        cache.put(&key(0), b"object");
        cache.trim();
        assert_eq!(cache.get(&key(0)), None);
        Cache::off().put(&key(0), b"object");
        assert_eq!(Cache::off().get(&key(0)), None);
    }
}
