//! What is done to any bytes: one function for each reader of files, which must return whatever they are.
//!
//! Invariant: a function returns normally unless there is a bug. Both the mutation fuzzer of `tests/fuzz.rs` and the
//! targets of `fuzz/` call these and nothing else.

use std::collections::HashMap;
use std::io::Write;

use tilewright::compiler::diag::{SourceMap, Theme, render};
use tilewright::compiler::front::elaborate::check;
use tilewright::compiler::front::format::format_source;
use tilewright::compiler::front::load::load;
use tilewright::compiler::front::parse::parse_file;
use tilewright::compiler::front::presets;
use tilewright::compiler::graph::parse::{Library, parse_module};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::{kernel, ops};
use tilewright::runtime::data::{npy_from_bytes, npy_to_bytes, npz_from_bytes};
use tilewright::runtime::program::file::Trust;
use tilewright::runtime::program::{DType, ParamDecl, Program};
use tilewright::runtime::weights::{Recipe, Rule, WeightMap, WeightSet};

/// A name, the folders of examples with the ending of their files, and the function.
pub type Target = (&'static str, &'static [(&'static str, &'static str)], fn(&[u8]));

const SEEDS: &str = "tests/fuzz_support/seeds";

pub const TARGETS: &[Target] = &[
    ("spec", &[("tests/front", "tw"), ("specs", "tw")], spec),
    ("graph", &[("tests/passes", "twir"), ("tests/differential", "twir")], graph),
    ("kernel", &[("tests/kernels", "kir")], kernel),
    ("presets", &[("specs", "toml")], presets),
    ("program", &[(SEEDS, "json")], program),
    ("weights", &[(SEEDS, "safetensors")], weights),
    ("npy", &[(SEEDS, "npy")], npy),
    ("npz", &[(SEEDS, "npz")], npz),
];

/// Parses a spec, renders what was found, formats it and elaborates its models; formatting twice changes nothing.
pub fn spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut sources = SourceMap::new();
    let id = sources.add("fuzz.tw", text);
    let (_, diagnostics) = parse_file(id, text);
    for found in diagnostics.iter().take(20) {
        assert!(!render(found, &sources, &Theme::plain()).is_empty());
    }
    let files = HashMap::from([("fuzz.tw".to_string(), text.to_string())]);
    let program = load(&files, "fuzz.tw");
    for found in check(&program).iter().take(20) {
        assert!(!render(found, &program.sources, &Theme::plain()).is_empty());
    }
    if let Ok(formatted) = format_source(text) {
        match format_source(&formatted) {
            Ok(again) => assert_eq!(again, formatted, "formatting is not idempotent"),
            Err(_) => panic!("what was formatted does not parse:\n{formatted}"),
        }
    }
}

/// Parses graphs and verifies them; what verifies survives printing.
pub fn graph(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let library = || Library::of_ops(&|name| ops::find(name));
    let Ok(graphs) = parse_module(text, library()) else { return };
    for graph in graphs {
        let is_right = verify(&graph).is_ok();
        let printed = graph.to_string();
        if is_right {
            let parsed = parse_module(&printed, library()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert!(parsed == [graph], "reads back differently:\n{printed}");
        }
    }
}

/// Parses a kernel and verifies it; what verifies survives printing.
pub fn kernel(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(parsed) = kernel::parse(text) else { return };
    let is_right = kernel::verify(&parsed).is_ok();
    let printed = kernel::print(&parsed);
    if is_right {
        let again = kernel::parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert!(again == parsed, "reads back differently:\n{printed}");
    }
}

/// Reads settings and renders what was found.
pub fn presets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut sources = SourceMap::new();
    let id = sources.add("fuzz.toml", text);
    let (_, diagnostics) = presets::read(id, text);
    for found in diagnostics.iter().take(20) {
        assert!(!render(found, &sources, &Theme::plain()).is_empty());
    }
}

/// Reads the program file that has these bytes for its header; what is well formed survives writing.
pub fn program(bytes: &[u8]) {
    let Ok(program) = Program::from_bytes(&sealed(bytes), Trust::Rebuild) else { return };
    let written = program.to_bytes().expect("what was read can be written");
    assert!(Program::from_bytes(&written, Trust::Rebuild) == Ok(program), "reads back differently");
}

/// The file with this header and no blobs: see `program/file.rs`.
fn sealed(header: &[u8]) -> Vec<u8> {
    let mut start = b"TWPROG\r\n".to_vec();
    start.extend(1u64.to_le_bytes());
    start.extend((header.len() as u64).to_le_bytes());
    start.extend((header.len() as u64 + 64).to_le_bytes());
    let hash = blake3::Hasher::new().update(&start).update(header).finalize();
    [&start, &hash.as_bytes()[..], header].concat()
}

/// Makes weights of a file by rules of every kind.
pub fn weights(bytes: &[u8]) {
    let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile().expect("a file");
    file.write_all(bytes).expect("room for it");
    let decl = |name: &str, dtype, shape: &[usize]| ParamDecl { name: name.into(), dtype, shape: shape.to_vec() };
    let params = [
        decl("qkv", DType::F32, &[2, 3]),
        decl("q5.w", DType::F32, &[3, 2]),
        decl("one", DType::F32, &[2, 2]),
        decl("two", DType::F16, &[2, 2]),
    ];
    let name = |text: &str| Recipe::Name(text.parse().expect("a pattern"));
    let rules = [
        ("qkv", Recipe::Concat { parts: ["q", "k", "v"].map(name).to_vec(), axis: 1 }),
        ("q{i}.w", Recipe::Transpose { of: Box::new(name("t.{i}")), axes: None }),
        ("one", Recipe::Split { whole: Box::new(name("halves")), part: 0, axis: 0 }),
        ("two", Recipe::Split { whole: Box::new(name("halves")), part: 1, axis: 0 }),
    ];
    let rules = rules.map(|(ours, theirs)| Rule { ours: ours.parse().expect("a pattern"), theirs }).to_vec();
    let _ = WeightSet::load(&[file.path()], &params, &[decl("s", DType::I64, &[])], &WeightMap { rules });
}

/// Reads an array; what is one survives writing.
pub fn npy(bytes: &[u8]) {
    let Ok(array) = npy_from_bytes(bytes) else { return };
    let written = npy_to_bytes(array.view()).expect("what was read can be written");
    assert!(npy_from_bytes(&written) == Ok(array), "reads back differently");
}

pub fn npz(bytes: &[u8]) {
    let _ = npz_from_bytes(bytes);
}
