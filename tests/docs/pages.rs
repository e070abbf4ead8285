//! The pages under `docs/`: made of the op table, the passes, the prelude's text and the help of the commands.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use tilewright::compiler::diag::SourceMap;
use tilewright::compiler::front::ast::{Entry, Function, Item, Module, ModuleKind, Use};
use tilewright::compiler::front::parse::parse_file;
use tilewright::compiler::graph::{Meaning, OpDef, Operands};
use tilewright::compiler::ops;
use tilewright::compiler::passes::{canonicalize, pipeline};

use super::{expect, read, root};

const GENERATED: &str = "<!-- Generated from the code by `make docs`: edit the code. -->\n";

#[test]
fn the_page_of_ops_is_fresh() {
    expect("docs/ops.md", &ops_page());
}

#[test]
fn the_page_of_passes_is_fresh() {
    expect("docs/passes.md", &passes_page());
}

#[test]
fn the_page_of_the_prelude_is_fresh() {
    expect("docs/prelude.md", &prelude_page());
}

#[test]
fn the_page_of_commands_is_fresh() {
    expect("docs/cli.md", &commands_page());
}

#[test]
fn every_op_and_pass_has_a_sentence() {
    let ops = ops::TABLE.iter().map(|op| (op.name, op.doc));
    for (name, doc) in ops.chain(pipeline::PASSES.iter().map(|pass| (pass.name, pass.doc))) {
        assert!(doc.ends_with('.'), "{name}: `{doc}` ends without a full stop");
        assert!(doc.starts_with(|c: char| c.is_uppercase() || "`-0123456789".contains(c)), "{name}: `{doc}`");
        assert!(doc.len() > 10 && !doc.contains("  "), "{name}: `{doc}`");
    }
}

struct Kind {
    title: &'static str,
    about: &'static str,
    holds: fn(&OpDef) -> bool,
}

const KINDS: &[Kind] = &[
    Kind {
        title: "Structured primitives",
        about: "Each states its loops and a scalar body (a nest); fusion and tiling work on nests and never on names.",
        holds: |op| matches!(op.meaning, Meaning::Structured { .. }),
    },
    Kind {
        title: "Views",
        about: "The same elements in the same order under another shape: no work is done.",
        holds: |op| matches!(op.meaning, Meaning::View),
    },
    Kind {
        title: "Opaque primitives",
        about: "Computed by a procedure that no nest states.",
        holds: |op| matches!(op.meaning, Meaning::Opaque { .. }),
    },
    Kind {
        title: "Control",
        about: "Ops with regions: graphs of their own, run by the op.",
        holds: |op| matches!(op.meaning, Meaning::Control { .. }),
    },
    Kind {
        title: "Groups",
        about: "Made by passes: what becomes one kernel.",
        holds: |op| matches!(op.meaning, Meaning::Group { .. }),
    },
    Kind { title: "Sources", about: "Computed from nothing.", holds: |op| matches!(op.meaning, Meaning::Source) },
    Kind {
        title: "Composites",
        about: "Defined by simpler ops; the pass `expand` replaces them first of all.",
        holds: |op| matches!(op.meaning, Meaning::Expand(_)),
    },
];

fn ops_page() -> String {
    let mut page = format!("{GENERATED}\n# Ops\n\n");
    page += "Graphs are made of these ops. In the signature, operands (tensors) stand before `;` and attributes (known \
             when compiling) after it; `..` marks any number of operands, `?` an attribute that may be left out. Where there are `low` and `high`, specs may say `padding`, which is both. How specs \
             call them is in the [manual](../specs/language.md). The last column names operands whose memory the result \
             may take.\n";
    for kind in KINDS {
        let ops: Vec<&OpDef> = ops::TABLE.iter().copied().filter(|op| (kind.holds)(op)).collect();
        if ops.is_empty() {
            continue;
        }
        write!(page, "\n## {} ({})\n\n{}\n\n", kind.title, ops.len(), kind.about).unwrap();
        page += "| op | what it computes | in place of |\n|---|---|---|\n";
        for op in ops {
            let doc = op.doc.replace('|', "\\|");
            writeln!(page, "| `{}` | {doc} | {} |", op.signature(), in_place(op)).unwrap();
        }
    }
    page
}

fn in_place(op: &OpDef) -> String {
    let name = |operand: usize| match op.operands {
        Operands::Fixed(names) => names.get(operand).copied().unwrap_or("?"),
        Operands::Variadic(names, rest) => names.get(operand).copied().unwrap_or(rest),
    };
    op.aliases.iter().map(|&(operand, _)| format!("`{}`", name(operand))).collect::<Vec<_>>().join(", ")
}

fn passes_page() -> String {
    let mut page = format!("{GENERATED}\n# Passes\n\n");
    let order: Vec<String> = pipeline::PIPELINE.iter().map(|pass| format!("`{}`", pass.name)).collect();
    write!(
        page,
        "The pipeline runs {}, in this order; after each pass the graph is verified in debug builds and with ",
        order.join(", ")
    )
    .unwrap();
    page += "`--verify`. `tw ir SPEC --after PASS` prints the graph after a pass, and `tw opt FILE.twir --passes A,B` runs \
             passes over a file of graphs.\n";
    for pass in pipeline::PASSES {
        write!(page, "\n## {}\n\n**{}**\n\n{}", pass.name, pass.doc, head_of_module(pass.name)).unwrap();
        if pass.name == "canonicalize" {
            page += &rules();
        }
    }
    page
}

/// The `//!` lines of a pass's file.
fn head_of_module(name: &str) -> String {
    let name = name.replace('-', "_");
    let folder = root().join("compiler/src/passes");
    let file = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
    let text = file.iter().find_map(|path| fs::read_to_string(path).ok()).expect("a pass has a file of its name");
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

fn rules() -> String {
    let mut table = "\n| rule | rewrite | exact |\n|---|---|---|\n".to_string();
    for rule in canonicalize::rules() {
        let [equation, exact] = [rule.equation, rule.exact].map(|text| text.replace('|', "\\|"));
        writeln!(table, "| {} | `{equation}` | {exact} |", rule.name).unwrap();
    }
    table
}

fn prelude_page() -> String {
    let mut page = format!("{GENERATED}\n# The prelude\n\n");
    page += "What `use nn { … }` and the like bring in. It is written in the language itself, under `specs/prelude/`: \
             read it, copy it, change it. Parameters with `=` have a default; members are what a weight file names.\n";
    let folder = root().join("specs/prelude");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the prelude")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_by_key(|name| (name != "nn.tw", name.clone()));
    for name in names.iter().filter_map(|name| name.strip_suffix(".tw")) {
        part(name, &mut page);
    }
    page
}

fn part(name: &str, page: &mut String) {
    let mut sources = SourceMap::new();
    let text = read(&format!("specs/prelude/{name}.tw"));
    let id = sources.add(name, text.clone());
    let (file, diagnostics) = parse_file(id, &text);
    assert!(diagnostics.is_empty(), "{name}");
    write!(page, "\n## {name}\n\n{}\n", file.docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n"))
        .unwrap();
    let (mut functions, mut modules, mut passed_on) = (String::new(), String::new(), String::new());
    for item in &file.items {
        match item {
            Item::Fn(function) => writeln!(functions, "{}", header(&sources, function)).unwrap(),
            Item::Module(module) => modules += &module_text(&sources, module),
            Item::Use(import) => passed_on += &layers_of(import),
            Item::Const(_) => {}
        }
    }
    if !passed_on.is_empty() {
        write!(page, "\nIt passes on:\n\n{passed_on}").unwrap();
    }
    if !functions.is_empty() {
        write!(page, "\n```tilewright\n{functions}```\n").unwrap();
    }
    *page += &modules;
}

/// What a part passes on that is worth a place of its own: modules, not the functions that it calls.
fn layers_of(import: &Use) -> String {
    let names = import.names.iter().map(|wanted| &wanted.name.text).filter(|name| name.starts_with(char::is_uppercase));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let path = &import.path.text;
    if names.is_empty() { String::new() } else { format!("- of [{path}](#{path}): {}\n", names.join(", ")) }
}

/// The text of a function up to its body, on one line.
fn header(sources: &SourceMap, function: &Function) -> String {
    sources.slice(function.header()).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn module_text(sources: &SourceMap, module: &Module) -> String {
    let word = match module.kind {
        ModuleKind::Module => "module",
        ModuleKind::Model => "model",
        ModuleKind::Train => "train",
    };
    let whole = sources.slice(module.span);
    let head = whole.split(" {\n").next().unwrap_or(whole).trim_end();
    assert!(head.starts_with(word), "{head}");
    let mut text = format!("\n### {}\n\n```tilewright\n{head}\n", module.name.text);
    for entry in &module.entries {
        match entry {
            Entry::Member(member) => {
                let line = sources.slice(member.span).split_whitespace().collect::<Vec<_>>().join(" ");
                writeln!(text, "    {line}").unwrap();
            }
            Entry::Fn(function) => writeln!(text, "    {}", header(sources, function)).unwrap(),
            Entry::Let(_) | Entry::Step(_) | Entry::Schedule(_) => {}
        }
    }
    text + "```\n"
}

fn commands_page() -> String {
    let mut page = format!("{GENERATED}\n# The command line\n\n```text\n{}```\n", help(&[]));
    let all = help(&[]);
    let commands = all.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names = commands.map_while(|line| line.strip_prefix("  ").filter(|line| !line.is_empty()));
    let names = names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        write!(page, "\n## tw {name}\n\n```text\n{}```\n", help(&[name])).unwrap();
    }
    page
}

fn help(command: &[&str]) -> String {
    let mut run = Command::new(env!("CARGO_BIN_EXE_tw"));
    let output = run.args(command).arg("--help").env("COLUMNS", "100").output().expect("tw can be run");
    assert!(output.status.success(), "tw {command:?} --help");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
