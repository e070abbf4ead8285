//! Bad specs, as a newcomer would write them, and what is said about them.
//!
//! Each `tests/errors/NAME.tw` (or `NAME/main.tw`, with the files it imports; a `.toml` beside it takes part) goes the road
//! of `tw check`. Its first line says which codes come out, in order, and whether a help must be among them:
//! `//! expect: E0301, help`. The words are in the snapshots; `INSTA_UPDATE=always cargo test --test errors` rewrites
//! them, and whoever does that reads them.

use std::fs;
use std::path::{Path, PathBuf};

use tilewright::compiler::diag::{Diagnostic, SourceMap, Theme, codes, render};
use tilewright::{Choice, Error, Spec};

const FOLDER: &str = "tests/errors";

/// What no newcomer should meet: names of our own code, and its habits when a value is dumped.
const INTERNAL: &[&str] = &[
    "Some(",
    "None)",
    "Ok(",
    "Err(",
    "Rc<",
    "Box<",
    "Vec<",
    "Value::",
    "Span {",
    "Dim(",
    "Poison",
    "unwrap",
    "panicked",
    "ExprKind",
    "EOI",
    "WHITESPACE",
    "NEWLINE",
    "_expr",
    "_stmt",
    "i64::MAX",
    "9223372036854775807",
    "{:?}",
];

struct Case {
    name: String,
    path: PathBuf,
}

struct Expected {
    codes: Vec<String>,
    help: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(FOLDER).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "tw") {
            cases.push(Case { name, path });
        } else if path.join("main.tw").is_file() {
            cases.push(Case { name, path: path.join("main.tw") });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn expected(path: &Path) -> Expected {
    let text = fs::read_to_string(path).expect("a text file");
    let line = text.lines().next().and_then(|line| line.strip_prefix("//! expect: "));
    let line = line.unwrap_or_else(|| panic!("{} starts with `//! expect: CODES`", path.display()));
    let (codes, help): (Vec<&str>, Vec<&str>) = line.split(", ").partition(|part| part.starts_with('E'));
    assert!(help.iter().all(|part| *part == "help"), "{line}");
    Expected { codes: codes.iter().map(|code| code.to_string()).collect(), help: !help.is_empty() }
}

fn checked(path: &Path) -> (Vec<Diagnostic>, SourceMap) {
    match Spec::read(path).check() {
        Err(Error::Spec { diagnostics, sources }) => (diagnostics, sources),
        Err(other) => panic!("{} ends in {other}", path.display()),
        Ok(()) => (Vec::new(), SourceMap::new()),
    }
}

fn shown(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    diagnostics.iter().map(|diagnostic| render(diagnostic, sources, &Theme::plain())).collect()
}

/// Every place lies in its file, on characters; every word is one that a newcomer may read.
fn well_formed(diagnostic: &Diagnostic, sources: &SourceMap) -> Result<(), String> {
    if codes::title(diagnostic.code).is_none() {
        return Err(format!("{} is in no register", diagnostic.code));
    }
    if diagnostic.span().is_none() {
        return Err("no place is named".to_string());
    }
    for label in &diagnostic.labels {
        let text = sources.text(label.span.file);
        let inside = text.get(label.span.range()).is_some() && !sources.name(label.span.file).is_empty();
        if !inside {
            return Err(format!("the label `{}` lies outside its file", label.text));
        }
    }
    let labels = diagnostic.labels.iter().map(|label| &label.text);
    let words: Vec<&String> =
        labels.chain(&diagnostic.notes).chain(&diagnostic.helps).chain([&diagnostic.message]).collect();
    match INTERNAL.iter().find(|internal| words.iter().any(|text| text.contains(*internal))) {
        Some(internal) => Err(format!("`{internal}` is a word of our own")),
        None => Ok(()),
    }
}

fn problems(case: &Case) -> Vec<String> {
    let expected = expected(&case.path);
    let (diagnostics, sources) = checked(&case.path);
    let mut problems: Vec<String> =
        diagnostics.iter().filter_map(|diagnostic| well_formed(diagnostic, &sources).err()).collect();
    let found: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    if found.is_empty() || found != expected.codes {
        problems.push(format!("expected {:?}, found {found:?}", expected.codes));
    }
    if expected.help && diagnostics.iter().all(|diagnostic| diagnostic.helps.is_empty()) {
        problems.push("there is no help".to_string());
    }
    problems.into_iter().map(|problem| format!("{}: {problem}", case.name)).collect()
}

#[test]
fn every_mistake_is_found_and_found_once() {
    let cases = cases();
    assert!(cases.len() >= 70, "{} cases", cases.len());
    let problems: Vec<String> = cases.iter().flat_map(problems).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn messages_say_what_they_should() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("errors/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::allow_duplicates! {
            for case in cases() {
                let (diagnostics, sources) = checked(&case.path);
                insta::assert_snapshot!(case.name.as_str(), shown(&diagnostics, &sources));
            }
        }
    });
}

/// What is said of bad specs must not be said of good ones.
#[test]
fn nothing_is_said_about_the_specs_that_come_along() {
    let mut n_specs = 0;
    for folder in std::fs::read_dir("specs").expect("the specs").filter_map(|entry| Some(entry.ok()?.path())) {
        let files = std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "tw")) {
            let (diagnostics, sources) = checked(&path);
            assert!(diagnostics.is_empty(), "{}", shown(&diagnostics, &sources));
            n_specs += 1;
        }
    }
    assert!(n_specs >= 19, "only {n_specs} specs");
}

/// What a caller asks for and a spec does not have.
#[test]
fn requests_that_cannot_be_met_name_the_nearest() {
    let spec = Spec::open("specs/vision/vit.tw").expect("the spec is good");
    let config =
        |key: &str, value: &str| Choice { config: vec![(key.into(), value.into())], ..Choice::preset("digits") };
    for (choice, wanted) in [
        (Choice::preset("digit"), "did you mean `digits`?"),
        (Choice { model: Some("Vit".into()), ..Choice::default() }, "did you mean `ViT`?"),
        (config("dept", "2"), "did you mean `depth`?"),
        (config("depth", "deep"), "an int is wanted, and this is a string"),
        (config("heads", "5"), "asks for `dim % heads == 0`"),
    ] {
        match spec.model(&choice) {
            Ok(_) => panic!("{choice:?} is refused"),
            Err(error) => assert!(error.to_string().contains(wanted), "{choice:?}: {error}"),
        }
    }
}
