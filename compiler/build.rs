//! Gives the cache hashes of the sources that decide what machine code a kernel becomes, and what program a model.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

fn main() {
    name("TILEWRIGHT_CODE_HASH", &["src/kernel", "src/codegen"]);
    name("TILEWRIGHT_SOURCE_HASH", &["src", "../runtime/src/program"]);
}

/// Those folders that there are: a published crate has its own alone, and depends on one version of the other.
fn name(variable: &str, folders: &[&str]) {
    let mut hasher = DefaultHasher::new();
    for folder in folders.iter().map(Path::new).filter(|folder| folder.exists()) {
        println!("cargo::rerun-if-changed={}", folder.display());
        hash_folder(folder, &mut hasher);
    }
    println!("cargo::rustc-env={variable}={:016x}", hasher.finish());
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
