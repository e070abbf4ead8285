//! The structure that ARCHITECTURE.md promises: dependencies point one way, and no file grows past reading.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the compiler, and the modules it may import.
const MODULES: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("seeded", &[]),
    ("graph", &[]),
    ("ops", &["graph"]),
    ("front", &["diag", "graph", "ops"]),
    ("passes", &["graph", "ops", "seeded"]),
    ("kernel", &["graph", "seeded"]),
    ("schedule", &["graph", "ops", "kernel", "seeded"]),
    ("codegen", &["graph", "kernel", "seeded"]),
    ("plan", &["graph", "ops", "kernel", "schedule", "seeded"]),
    ("driver", &["diag", "graph", "ops", "front", "passes", "kernel", "schedule", "codegen", "plan"]),
];

/// Each module of the runtime, and the modules it may import.
const RUNTIME_MODULES: &[(&str, &[&str])] = &[
    ("bytes", &[]),
    ("error", &["bytes"]),
    ("files", &[]),
    ("threads", &[]),
    ("machine", &["error"]),
    ("program", &["bytes", "error", "files"]),
    ("data", &["program", "error", "bytes", "files"]),
    ("weights", &["program", "error", "bytes", "data", "files"]),
    ("device", &["program", "error", "bytes", "files", "threads", "machine"]),
    ("exec", &["program", "error", "bytes", "data", "weights", "device", "files"]),
];

/// What the compiler may import of the runtime.
const SEEN_BY_COMPILER: &[&str] = &["program", "files", "threads", "machine"];

/// What `kernel` and `codegen` may name of `graph`: the algebra of sizes, element types, scalar functions.
const SEEN_OF_GRAPH: &[&str] = &[
    "Atom",
    "Bounds",
    "Dim",
    "Found",
    "Range",
    "Ranges",
    "Symbol",
    "greatest_divisor",
    "DType",
    "Scalar",
    "scalar",
    "round",
    "round_int",
    "saturate",
    "wrap",
];

const MAX_LINES: usize = 700;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        match path.is_dir() {
            true => rust_files(&path, found),
            false if path.extension().is_some_and(|ext| ext == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The part of a file that is built into the product: tests may look further.
fn product_code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// The modules of the own crate that a text imports or names.
fn imports(text: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = BTreeSet::new();
    for line in code {
        for rest in line.split("crate::").skip(1).filter(|_| !line.contains("$crate::")) {
            match rest.strip_prefix('{') {
                Some(list) => {
                    found.extend(list.split([',', '}']).map(|item| item.trim().split("::").next().unwrap_or("")))
                }
                None => found.extend(rest.split(|c| !is_word(c)).next()),
            }
        }
    }
    found
}

/// The names of the own crate's `graph` that a text imports or names.
fn names_of_graph(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let name =
        |rest: &str| rest.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_string();
    let mut found = BTreeSet::new();
    for rest in code.split("graph::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 1;
        let is_inside = |c: &char| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth > 0
        };
        let list: String = list.chars().take_while(is_inside).collect();
        found.extend(list.split(',').map(name));
    }
    found.retain(|name| !name.is_empty() && name != "self");
    found
}

/// Tests inside a crate may look where the product may not.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

fn check(source: &Path, modules: &[(&str, &[&str])]) -> Vec<String> {
    let mut files = Vec::new();
    rust_files(source, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let relative = path.strip_prefix(source).expect("inside").to_string_lossy().into_owned();
        let module = relative.split(['/', '.']).next().unwrap_or_default().to_string();
        if module == "lib" || is_test(&path) {
            continue;
        }
        let Some((_, allowed)) = modules.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{relative}: the module `{module}` is not in the table of this test"));
            continue;
        };
        let text = fs::read_to_string(&path).expect("a source file");
        for import in imports(product_code(&text)) {
            let known = modules.iter().any(|(name, _)| *name == import);
            if known && import != module && !allowed.contains(&import) {
                wrong.push(format!("{relative}: `{module}` must not depend on `{import}`"));
            }
        }
    }
    wrong
}

#[test]
fn arrows_between_modules_point_one_way() {
    let mut wrong = check(&root().join("compiler/src"), MODULES);
    wrong.extend(check(&root().join("runtime/src"), RUNTIME_MODULES));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_compiler_sees_little_of_the_runtime() {
    let mut files = Vec::new();
    rust_files(&root().join("compiler/src"), &mut files);
    for path in files.iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(path).expect("a source file");
        for rest in product_code(&text).split("tilewright_runtime::").skip(1) {
            let seen = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            assert!(SEEN_BY_COMPILER.contains(&seen), "{}: tilewright_runtime::{:.30}", path.display(), rest);
        }
    }
}

#[test]
fn kernels_see_little_of_graphs() {
    let mut files = Vec::new();
    ["kernel", "codegen"].iter().for_each(|module| rust_files(&root().join("compiler/src").join(module), &mut files));
    for path in files.iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(path).expect("a source file");
        for name in names_of_graph(product_code(&text)) {
            assert!(SEEN_OF_GRAPH.contains(&name.as_str()), "{}: graph::{name}", path.display());
        }
    }
}

#[test]
fn crates_depend_one_way() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let depends = |from: &str, on: &str| {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == from).expect("a package of the workspace");
        package.dependencies.iter().any(|dep| dep.name == on && dep.kind == cargo_metadata::DependencyKind::Normal)
    };
    assert!(depends("tilewright-compiler", "tilewright-runtime"));
    assert!(!depends("tilewright-runtime", "tilewright-compiler"), "the runtime never sees the compiler");
    assert!(!depends("tilewright-runtime", "tilewright") && !depends("tilewright-compiler", "tilewright"));
}

/// A name that a manifest lists must be named by the code that it is listed for.
#[test]
fn every_dependency_is_used() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let mut unused = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().expect("a folder").as_std_path();
        let text_of = |folders: &[&str]| -> String {
            let mut files = Vec::new();
            let folders = folders.iter().map(|name| folder.join(name)).filter(|path| path.is_dir());
            folders.for_each(|path| rust_files(&path, &mut files));
            files.iter().map(|path| fs::read_to_string(path).expect("a source file")).collect()
        };
        let (product, all) = (text_of(&["src"]), text_of(&["src", "tests", "benches", "examples"]));
        for dependency in &package.dependencies {
            let text = match dependency.kind {
                cargo_metadata::DependencyKind::Normal => &product,
                _ => &all,
            };
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
            let used = text.contains(&format!("{name}::")) || text.contains(&format!("use {name} as "));
            if !used {
                unused.push(format!("{} lists `{name}` and names it nowhere", package.name));
            }
        }
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

#[test]
fn files_stay_readable() {
    let mut files = Vec::new();
    for folder in ["src", "compiler/src", "runtime/src", "tests", "benches"] {
        rust_files(&root().join(folder), &mut files);
    }
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        assert!(text.lines().count() <= MAX_LINES, "{} is too long: which concept wants out?", path.display());
        let documented = text.starts_with("//!") || text.starts_with("#![");
        assert!(documented, "{} does not open with what it is", path.display());
    }
}

#[test]
fn a_backward_edge_is_found() {
    assert!(imports("use crate::{graph, codegen::llvm};").contains("codegen"));
    assert!(imports("let x = crate::front::parse::parse_file();").contains("front"));
    assert!(!imports("// crate::front is above").contains("front"));
}
