//! ARCHITECTURE.md: what it names exists, what exists in the code map is named, and its dependencies are those of the
//! manifests.

use std::collections::BTreeSet;

use super::{read, root};

const PAGE: &str = "ARCHITECTURE.md";

/// Every `path/like/this.rs` or `folder/` in backticks.
fn paths(page: &str) -> BTreeSet<String> {
    let prose: String = page.split("```").step_by(2).collect();
    let quoted = prose.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        plain && text.contains('/') && !text.starts_with('.') && !text.starts_with('/')
    };
    quoted.filter(is_path).map(str::to_string).collect()
}

#[test]
fn every_path_exists() {
    let page = read(PAGE);
    let found = paths(&page);
    assert!(found.len() > 20, "the page names no paths");
    let bases = ["", "compiler/src", "runtime/src"];
    let exists = |path: &str| bases.iter().any(|base| root().join(base).join(path).exists());
    let missing: Vec<&String> = found.iter().filter(|path| !exists(path)).collect();
    assert!(missing.is_empty(), "{PAGE} names what is not there: {missing:?}");
}

#[test]
fn every_module_is_on_the_map() {
    let page = read(PAGE);
    for (folder, prefix) in [("compiler/src", "compiler/src/"), ("runtime/src", "runtime/src/")] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name == "lib.rs" {
                continue;
            }
            let mention = if path.is_dir() { format!("`{prefix}{name}/`") } else { format!("`{prefix}{name}`") };
            assert!(page.contains(&mention), "{PAGE} does not have {mention} on its map");
        }
    }
}

#[test]
fn every_dependency_has_its_line() {
    let page = read(PAGE);
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let names: BTreeSet<String> = metadata
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.clone())
        .filter(|name| !name.starts_with("tilewright"))
        .collect();
    for name in names {
        let family = name.split('-').next().unwrap_or(&name).to_string();
        let named = page.contains(&format!("`{name}`")) || page.contains(&format!("`{family}-*`"));
        assert!(named, "{PAGE} gives no reason for the dependency `{name}`");
    }
}
