//! Files that appear whole.
//!
//! Invariant: what is written lies beside its place, under a name of its own, until all of it is there; so no reader sees
//! half of it, and what fails leaves the place as it was. A link stays a link, and a device or a pipe stays what it is: it
//! is written to, once all is there.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names beside a file that are tried: others may be left of processes that were killed.
const TRIES: usize = 16;
/// Links that are followed from one to the next.
const LINKS: usize = 40;

/// Replaces the file at the path by what is written.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    replace(path, |file, _| write(file))
}

/// The same, for writers that make the file themselves: they are told what it is called until all of it is there.
pub fn write_whole_by_name(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    replace(path, |_, name| write(name))
}

/// Why nothing could be written to the path, found out before there is anything to write.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match place(path)? {
        Place::File { path, .. } => create_beside(&path).and_then(|(_, beside)| fs::remove_file(beside)),
        // Whether it takes anything is seen when something comes.
        Place::Stream => Ok(()),
    }
}

/// Where a file comes to lie.
enum Place {
    /// With the permissions of the one that is there.
    File { path: PathBuf, permissions: Option<Permissions> },
    /// A device or a pipe.
    Stream,
}

fn place(path: &Path) -> io::Result<Place> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_symlink() => {
                let to = fs::read_link(&path)?;
                path = path.parent().map_or(to.clone(), |parent| parent.join(&to));
            }
            Ok(facts) if facts.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(facts) if facts.is_file() => return Ok(Place::File { path, permissions: Some(facts.permissions()) }),
            Ok(_) => return Ok(Place::Stream),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Place::File { path, permissions: None });
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many links, each of which leads to the next"))
}

fn replace(path: &Path, write: impl FnOnce(&mut File, &Path) -> io::Result<()>) -> io::Result<()> {
    let (path, permissions) = match place(path)? {
        Place::File { path, permissions } => (path, permissions),
        Place::Stream => return pour(path, write),
    };
    let (mut file, beside) = create_beside(&path)?;
    let renamed = file.metadata().and_then(|facts| {
        write(&mut file, &beside)?;
        fs::set_permissions(&beside, permissions.unwrap_or(facts.permissions()))?;
        fs::rename(&beside, &path)
    });
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}

fn pour(path: &Path, write: impl FnOnce(&mut File, &Path) -> io::Result<()>) -> io::Result<()> {
    let (mut file, whole) = create_beside(&std::env::temp_dir().join("tilewright"))?;
    let poured = write(&mut file, &whole).and_then(|()| {
        io::copy(&mut File::open(&whole)?, &mut File::options().write(true).open(path)?)?;
        Ok(())
    });
    let _ = fs::remove_file(&whole);
    poured
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
        check_writable(&path).unwrap();
        assert!(check_writable(&dir.path().join("none").join("file")).is_err());
        assert!(check_writable(dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let [file, link, absent, dangling] = ["file", "link", "absent", "dangling"].map(|name| dir.path().join(name));
        fs::write(&file, b"first").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        symlink(&absent, &dangling).unwrap();
        write_whole(&link, |file| file.write_all(b"second")).unwrap();
        // Some writers make the file anew, with permissions of their own.
        write_whole_by_name(&dangling, |name| {
            fs::remove_file(name)?;
            fs::write(name, b"third")?;
            fs::set_permissions(name, Permissions::from_mode(0o600))
        })
        .unwrap();
        assert_eq!((fs::read(&file).unwrap(), fs::read(&absent).unwrap()), (b"second".to_vec(), b"third".to_vec()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_ne!(fs::metadata(&absent).unwrap().permissions().mode() & 0o777, 0o600);
        assert!([&link, &dangling].iter().all(|path| fs::symlink_metadata(path).unwrap().is_symlink()));
        symlink("round", dir.path().join("round")).unwrap();
        assert!(write_whole(&dir.path().join("round"), |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_written_to() {
        use std::os::unix::net::UnixListener;
        let dir = tempfile::tempdir().unwrap();
        write_whole(Path::new("/dev/null"), |file| file.write_all(b"nothing")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(write_whole(&socket, |file| file.write_all(b"nothing")).is_err());
        assert!(!fs::metadata(&socket).unwrap().is_file());
    }
}
