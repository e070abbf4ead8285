//! What is done to any text: one function for each reader of text, which must return whatever the bytes are.
//!
//! Invariant: a function returns normally unless there is a bug. Both the mutation fuzzer of `tests/fuzz.rs` and the
//! targets of `fuzz/` call these and nothing else.

use std::collections::HashMap;

use tilewright::compiler::diag::{SourceMap, Theme, render};
use tilewright::compiler::front::elaborate::check;
use tilewright::compiler::front::format::format_source;
use tilewright::compiler::front::load::load;
use tilewright::compiler::front::parse::parse_file;
use tilewright::compiler::graph::parse::{Library, parse_module};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::{kernel, ops};

/// A name, the folders of examples with the ending of their files, and the function.
pub type Target = (&'static str, &'static [(&'static str, &'static str)], fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("spec", &[("tests/front", "tw"), ("specs", "tw")], spec),
    ("graph", &[("tests/passes", "twir"), ("tests/differential", "twir")], graph),
    ("kernel", &[("tests/kernels", "kir")], kernel),
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
