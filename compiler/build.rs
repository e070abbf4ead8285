//! Gives the code cache a hash of the sources that decide what machine code a kernel becomes.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

fn main() {
    let mut hasher = DefaultHasher::new();
    for folder in ["src/kernel", "src/codegen"] {
        println!("cargo::rerun-if-changed={folder}");
        hash_folder(Path::new(folder), &mut hasher);
    }
    println!("cargo::rustc-env=TILEWRIGHT_CODE_HASH={:016x}", hasher.finish());
}

fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let entries = fs::read_dir(folder).expect("the sources are beside this script");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => hash_folder(&path, hasher),
            false => fs::read(&path).expect("a readable source").hash(hasher),
        }
    }
}
