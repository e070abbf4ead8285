//! ARCHITECTURE.md: what it names exists, modules, dependencies and unsafe code are all named, and its examples of the text
//! formats are well formed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::{kernel, ops};

use super::{read, root};

const PAGE: &str = "ARCHITECTURE.md";

/// Every `path/like/this.rs`, `file.rs` or `folder/` in backticks, but for those of recipes.
fn paths(page: &str) -> BTreeSet<String> {
    let prose: String = page.split("```").step_by(2).collect();
    let quoted = prose.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let placeholder = ["NAME", "FAMILY", "CASE"].iter().any(|word| text.contains(word));
        plain && !placeholder && (text.contains('/') || text.ends_with(".rs")) && !text.starts_with(['.', '/'])
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

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => rust_files(&path, found),
            false => found.extend(Some(path).filter(|path| path.extension().is_some_and(|ext| ext == "rs"))),
        }
    }
}

#[test]
fn unsafe_code_is_where_the_page_says() {
    let named = paths(&read(PAGE));
    let mut files = Vec::new();
    ["src", "compiler/src", "runtime/src"].iter().for_each(|folder| rust_files(&root().join(folder), &mut files));
    for path in files {
        let name = path.strip_prefix(root()).expect("inside").to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).expect("a source file");
        let product = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
        let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
        if !is_test && words.iter().any(|word| product.contains(word)) {
            assert!(named.iter().any(|path| name.ends_with(path.as_str())), "{PAGE} does not know of unsafe in {name}");
        }
    }
}

/// The text of the first code block of a language.
fn block(page: &str, language: &str) -> String {
    let start = page.split(&format!("```{language}\n")).nth(1).expect("an example");
    start.split("```").next().unwrap_or_default().to_string()
}

#[test]
fn examples_of_the_text_formats_are_well_formed() {
    let page = read(PAGE);
    let text = block(&page, "twir");
    let graph = parse(&text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|error| panic!("{error}"));
    verify(&graph).unwrap_or_else(|violations| panic!("{violations:?}"));
    assert_eq!(graph.to_string().trim_end(), text.trim_end());
    let text = block(&page, "kir");
    let kernel = kernel::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    kernel::verify(&kernel).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(kernel.to_string().trim_end(), text.trim_end());
}
