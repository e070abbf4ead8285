//! The front end on whole files: `tests/front/` holds text in and snapshots out.
//!
//! `examples/` must parse without a word; `snippets/` show their trees; `errors/` show what is said.
//! `INSTA_UPDATE=always cargo test front` rewrites the snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use super::ast::dump;
use super::parse::parse_file;
use crate::diag::{Diagnostic, SourceMap, Theme, codes, render};

fn folder(name: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/front");
    let entries = fs::read_dir(root.join(name)).expect("the folder of fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (stem, fs::read_to_string(path).expect("a text file"))
    };
    paths.iter().map(read).collect()
}

fn shown(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let plain = Theme::plain();
    diagnostics.iter().map(|found| render(found, sources, &plain)).collect()
}

/// The dump of a text that must parse.
fn tree(name: &str, text: &str) -> String {
    let mut sources = SourceMap::new();
    let id = sources.add(name, text);
    let (tree, diagnostics) = parse_file(id, text);
    assert!(diagnostics.is_empty(), "{}", shown(&diagnostics, &sources));
    dump::file(&tree)
}

fn errors(name: &str, text: &str) -> (Vec<Diagnostic>, String) {
    let mut sources = SourceMap::new();
    let id = sources.add(name, text);
    let (_, diagnostics) = parse_file(id, text);
    let shown = shown(&diagnostics, &sources);
    (diagnostics, shown)
}

fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../tests/front/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{folder}__{name}"), text));
}

#[test]
fn examples_parse_without_a_word() {
    let examples = folder("examples");
    assert_eq!(examples.len(), 13);
    for (name, text) in examples {
        assert!(tree(&name, &text).lines().count() > 5);
    }
}

#[test]
fn snippets_have_the_trees_they_should() {
    for (name, text) in folder("snippets") {
        snapshot("snippets", &name, &tree(&name, &text));
    }
}

#[test]
fn errors_say_what_they_should() {
    for (name, text) in folder("errors") {
        let (diagnostics, shown) = errors(&format!("{name}.tw"), &text);
        assert!(!diagnostics.is_empty(), "{name} has no error");
        for found in &diagnostics {
            assert!(codes::title(found.code).is_some(), "{} is unregistered", found.code);
            assert!(found.span().is_some(), "{name} has an error without a place");
        }
        snapshot("errors", &name, &shown);
    }
}
