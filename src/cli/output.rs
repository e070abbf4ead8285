//! Files that commands write, looked at before anything is computed.
//!
//! Invariant: a command that would fail when it comes to write says so first, so no work is lost.

use std::path::Path;

use tilewright::Error;
use tilewright::runtime::files;

use super::term::{Failure, Outcome};

/// Refuses a place where nothing could be written.
pub fn check(path: impl AsRef<Path>) -> Outcome {
    let path = path.as_ref();
    if path.as_os_str() == "-" {
        return Err(Failure::Usage("outputs are written to files: `-` is none; say `./-` for one of that name".into()));
    }
    Ok(files::check_writable(path).map_err(|error| cannot_write(path, &error))?)
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::request(format!("cannot write `{}`: {error}", path.display()))
}
