//! The documentation kept true: generated pages are what the code says, examples of the manual compile and print what
//! the manual shows, and ARCHITECTURE.md names only what exists.
//!
//! `TILEWRIGHT_BLESS=1 cargo test --test docs` writes the generated pages, and the expected texts of the manual, anew.

#[path = "docs/architecture.rs"]
mod architecture;
#[path = "docs/manual.rs"]
mod manual;
#[path = "docs/pages.rs"]
mod pages;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn bless() -> bool {
    std::env::var_os("TILEWRIGHT_BLESS").is_some_and(|value| value == "1")
}

/// Compares a file of the repository with what it should be, or writes it.
fn expect(path: &str, wanted: &str) {
    let full: PathBuf = root().join(path);
    if bless() {
        fs::write(&full, wanted).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let found = fs::read_to_string(&full).unwrap_or_default();
    let differing = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = differing.unwrap_or_else(|| found.lines().count().min(wanted.lines().count()));
    assert!(found == wanted, "{path} is stale from line {} on: run `make docs`", line + 1);
}
