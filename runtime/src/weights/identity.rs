//! What tells weights from others without reading them all.
//!
//! Weights of files are known by what the system says of each file (path, device, inode, length, time of the last change)
//! and by a hash of its header. Whoever writes to a file moves that time, which no program can set, but for a change within
//! the clock's grain: so a file that was changed a moment ago is known for as long as this process runs, and no longer.
//!
//! Invariant: equal identities mean equal weights, as long as nobody writes to a file that is mapped.

use std::fs::Metadata;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Coarser than the clock of any file system.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    hash: [u8; blake3::OUT_LEN],
    /// Another process would find the same.
    lasting: bool,
}

impl Default for Identity {
    /// Of weights that are in memory alone, and like no others.
    fn default() -> Identity {
        static SETS: AtomicU64 = AtomicU64::new(0);
        let number = SETS.fetch_add(1, Ordering::Relaxed);
        Identity { hash: *blake3::hash(&number.to_le_bytes()).as_bytes(), lasting: false }
    }
}

impl Identity {
    /// Of a file with this header.
    pub fn of_file(path: &Path, facts: &Metadata, header: &[u8]) -> Identity {
        let changed = last_change(facts);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"file");
        // Another path to the same inode only means that work is done again.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        part(&mut hasher, path.as_os_str().as_encoded_bytes());
        for number in place(facts) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&facts.len().to_le_bytes());
        hasher.update(&changed.as_nanos().to_le_bytes());
        part(&mut hasher, header);
        let lasting = now.checked_sub(changed).is_some_and(|age| age >= SETTLED);
        Identity { hash: *hasher.finalize().as_bytes(), lasting }
    }

    /// Of what is made of all of these in the way that `how` says.
    pub fn of_all(all: &[Identity], how: &str) -> Identity {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"all");
        all.iter().for_each(|one| part(&mut hasher, &one.hash));
        part(&mut hasher, how.as_bytes());
        Identity { hash: *hasher.finalize().as_bytes(), lasting: all.iter().all(|one| one.lasting) }
    }

    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    pub fn is_lasting(&self) -> bool {
        self.lasting
    }
}

fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Since 1970. Where the system does not keep the time of the last change, that of the last write, which can be set.
#[cfg(unix)]
fn last_change(facts: &Metadata) -> Duration {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(facts.ctime()).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(facts.ctime_nsec()).unwrap_or_default())
}

#[cfg(not(unix))]
fn last_change(facts: &Metadata) -> Duration {
    let written = facts.modified().ok();
    written.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
}

#[cfg(unix)]
fn place(facts: &Metadata) -> [u64; 2] {
    use std::os::unix::fs::MetadataExt;
    [facts.dev(), facts.ino()]
}

#[cfg(not(unix))]
fn place(_: &Metadata) -> [u64; 2] {
    [0; 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_in_memory_are_like_no_others() {
        let (one, other) = (Identity::default(), Identity::default());
        assert_ne!(one.hash(), other.hash());
        assert!(!one.is_lasting());
    }

    #[test]
    fn a_file_is_known_by_its_facts_and_its_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"one").unwrap();
        let of = |header: &[u8]| Identity::of_file(&path, &std::fs::metadata(&path).unwrap(), header);
        let before = of(b"header");
        assert_eq!(before, of(b"header"));
        assert_ne!(before.hash(), of(b"other").hash());
        assert!(!before.is_lasting(), "it was just written");
        std::thread::sleep(Duration::from_millis(30));
        let then = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, b"two").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
        assert_ne!(before.hash(), of(b"header").hash(), "the time of a write can be set back, that of a change cannot");
        assert_ne!(Identity::of_all(&[before], "a").hash(), Identity::of_all(&[before], "b").hash());
    }

    #[test]
    fn a_file_that_has_settled_is_known_to_other_processes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let facts = std::fs::metadata(&path).unwrap();
        let file = Identity::of_file(&path, &facts, b"header");
        assert!(file.is_lasting());
        assert!(Identity::of_all(&[file], "").is_lasting());
        assert!(!Identity::of_all(&[file, Identity::default()], "").is_lasting());
    }
}
