//! The front end on whole files: `tests/front/` holds text in and snapshots out.
//!
//! `examples/` must parse without a word; `snippets/` show their trees; `errors/` show what is said.
//! `INSTA_UPDATE=always cargo test front` rewrites the snapshots.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ast::dump;
use super::format::format_source;
use super::parse::parse_file;
use super::scan;
use crate::diag::boundary_before;
use crate::diag::{Diagnostic, FileId, SourceMap, Theme, codes, render};

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

/// Parses, and fails where that takes longer than any spec should.
fn parse_quickly(text: &str) -> Vec<Diagnostic> {
    let start = Instant::now();
    let (_, diagnostics) = parse_file(FileId(0), text);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} for {:?}…", text.get(..60));
    diagnostics
}

#[test]
fn brackets_nest_in_linear_time() {
    let pairs = [
        ("(", ")"),
        ("[", "]"),
        ("f(x, [", "])"),
        ("[f(", ") for i in l]"),
        ("x[", "]"),
        ("(a: ", ")"),
        ("if c { ", " } else { 0 }"),
        ("[if ", " { 0 }]"),
        ("-(", ")"),
        ("{ ", " }"),
        ("[(", ",)]"),
        ("f(param [", "] = 0)"),
        ("loop i in ", " carry x = 0 { x }"),
    ];
    for (open, close) in pairs {
        for depth in [30, 60] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            for inner in ["x", "x y", "1 +"] {
                parse_quickly(&format!("const a = {open}{inner}{close}"));
                parse_quickly(&format!("fn f(x: {open}{inner}{close}) {{ }}"));
                parse_quickly(&format!("fn f() {{\n{open}{inner}{close}\n}}"));
            }
        }
    }
    let sixty = format!("const a = {}x{}", "(".repeat(60), ")".repeat(60));
    assert!(parse_quickly(&sixty).is_empty());
}

#[test]
fn statements_that_fail_deep_inside_are_read_once() {
    for word in ["minimize", "metric m =", "assert", "let x =", "h = state", "x ="] {
        let open = format!("{word} (if c {{\n").repeat(30);
        let text = format!("fn f() {{\n{open} 1 + \n{} }}", "\n})".repeat(30));
        assert!(!parse_quickly(&text).is_empty());
    }
    let types = format!("fn f(x: {}1 2{}) {{ }}", "[f32[g(param ".repeat(15), " = 0)]]".repeat(15));
    parse_quickly(&types);
}

#[test]
fn endless_input_ends_in_a_diagnostic() {
    let chains = [
        "(",
        "[",
        "{",
        "f(",
        "-",
        "not ",
        "x.",
        "x + ",
        "x ^ ",
        "if ",
        "if c { } else ",
        "[[int], ",
        "loop i in ",
        "scan t in ",
        "x |> ",
        "fn f() {\n",
        ")",
        "]",
        "}",
        "(]",
        "\"",
        "'",
        "#",
        ";",
        "\n",
        ",",
        "for ",
        "minimize ",
        "module A() {\n",
        "let (",
        "é",
        "|> ",
        "param [",
        "!",
        "a = ",
        "use ",
    ];
    for chain in chains {
        for text in [chain.repeat(20_000), format!("const a = {}", chain.repeat(20_000))] {
            let diagnostics = parse_quickly(&text);
            assert!(diagnostics.len() <= 100 && (chain == "\n" || !diagnostics.is_empty()));
        }
    }
    // Long is not deep.
    let long = format!("const a = [{}]", "f(x, 1) + 2,\n".repeat(20_000));
    assert!(parse_quickly(&long).is_empty());
}

#[test]
fn formatting_keeps_the_tree_and_every_comment_and_settles_at_once() {
    for (name, text) in folder("examples").into_iter().chain(folder("snippets")) {
        let formatted = format_source(&text).expect("what parses can be formatted");
        if let Ok(folder) = std::env::var("TW_FORMATTED") {
            fs::write(Path::new(&folder).join(&name), &formatted).expect("a place to write");
        }
        assert_eq!(tree(&name, &formatted), tree(&name, &text), "{name}:\n{formatted}");
        assert_eq!(comments(&formatted), comments(&text), "{name}");
        let again = format_source(&formatted).expect("what was formatted parses");
        assert_eq!(again, formatted, "{name} changes when formatted again");
    }
}

fn comments(text: &str) -> Vec<&str> {
    let tokens = scan::scan(text).into_iter();
    let comments = tokens.filter(|token| matches!(token.kind, scan::Kind::Comment | scan::Kind::Doc));
    comments.map(|token| token.text(text)).collect()
}

/// What formatting promises, for any text that parses; whether it does.
fn check_format(text: &str) -> bool {
    let Ok(formatted) = format_source(text) else {
        return false;
    };
    assert_eq!(tree("formatted", &formatted), tree("source", text), "{text}\n---\n{formatted}");
    assert_eq!(comments(&formatted), comments(text), "{text}");
    let again = format_source(&formatted).expect("what was formatted parses");
    assert_eq!(again, formatted, "not settled:\n{text}");
    true
}

/// A small generator of our own, so that a failure's seed says it all.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn place(&mut self, text: &str) -> usize {
        boundary_before(text, self.below(text.len() + 1))
    }
}

#[rustfmt::skip]
const INSERTS: &[&str] = &[
    "(", ")", "[", "]", "{", "}", "\n", " ", ",", "=", "<-", "|>", "..", ":", "-", "\"", "// c\n",
    "\n\n", "let ", "if ", "for ", "fn ", "minimize ", "over ", "é", "\t", "^", "0", "x", ".", ";",
    "**", "state [", "not ", "\r\n", "'", "#", "where ", "else", "\\",
];

/// One of the changes that typing, pasting and line noise make.
fn mutate(text: &mut String, random: &mut Random) {
    let at = random.place(text);
    match random.below(5) {
        0 => {
            let end = random.place(text).min(at + 12).max(at);
            text.replace_range(at..boundary_before(text, end), "");
        }
        1 => {
            let end = text.floor_char_boundary((at + random.below(60)).min(text.len())).max(at);
            let copy = text[at..end].to_owned();
            let to = random.place(text);
            text.insert_str(to, &copy);
        }
        2 => {
            let space = text[at..].find(' ').map_or(at, |space| at + space);
            text.insert_str(space, ["\n", " // c\n", "\n// c\n", "  "][random.below(4)]);
        }
        3 => {
            if let Some(newline) = text[at..].find('\n') {
                text.replace_range(at + newline..=at + newline, " ");
            }
        }
        _ => text.insert_str(at, INSERTS[random.below(INSERTS.len())]),
    }
}

/// `TW_MUTATIONS=100000 TW_SEED=7 cargo test mutations` for more.
#[test]
fn mutations_never_panic_and_format_safely() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let rounds = number("TW_MUTATIONS").unwrap_or(1000);
    let first = number("TW_SEED").unwrap_or(1);
    let sources: Vec<String> = ["examples", "snippets", "errors", "format"]
        .iter()
        .flat_map(|name| folder(name))
        .map(|(_, text)| text)
        .collect();
    let mut formatted = 0;
    for seed in first..first + rounds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut text = sources[random.below(sources.len())].clone();
        for _ in 0..1 + random.below(3) {
            mutate(&mut text, &mut random);
        }
        let checked = std::panic::catch_unwind(|| {
            parse_quickly(&text);
            check_format(&text)
        });
        match checked {
            Ok(parsed) => formatted += u64::from(parsed),
            Err(_) => panic!("seed {seed}:\n{text}"),
        }
    }
    assert!(formatted > rounds / 10, "only {formatted} of {rounds} parsed");
}

#[test]
fn layouts_are_the_one_layout() {
    for (name, text) in folder("format") {
        assert!(check_format(&text), "{name} must parse");
        let formatted = format_source(&text).expect("it parses");
        snapshot("format", &name, &formatted);
    }
}

#[test]
fn long_lines_are_broken_in_linear_time() {
    let start = Instant::now();
    for text in [
        format!("const a = [{}]", "f(x, 1) + 2, ".repeat(10_000)),
        format!("fn f() {{ minimize a {} }}", "over b using c ".repeat(10_000)),
        format!("const a = x{}", " |> f".repeat(200)),
        format!("fn f() {{\n{}}}", "x = y // c\n".repeat(10_000)),
    ] {
        let formatted = format_source(&text).expect("it parses");
        assert!(formatted.lines().count() > 1);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_file_that_is_too_large_says_so() {
    let text = " ".repeat(super::parse::MAX_SOURCE + 1);
    let (tree, diagnostics) = parse_file(FileId(0), &text);
    assert!(tree.items.is_empty());
    assert_eq!(diagnostics[0].code, "E0114");
}
