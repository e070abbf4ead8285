//! A spec and everything it imports, read and parsed.
//!
//! Invariant: file access goes through a [`Loader`]; the prelude is part of the compiler. Files are numbered in the order
//! in which they are met, so a file's position is its `FileId`; the first is the one asked for.

mod duplicates;
mod prelude;

use std::collections::HashMap;

use super::ast;
use super::elaborate::elsewhere;
use super::parse::parse_file;
use crate::diag::{Diagnostic, SourceMap, Span, suggest};

/// Reads a file by its path.
pub trait Loader {
    fn read(&self, path: &str) -> Result<String, String>;
}

/// Files held in memory, for tests and fuzzers.
impl Loader for HashMap<String, String> {
    fn read(&self, path: &str) -> Result<String, String> {
        self.get(path).cloned().ok_or_else(|| "there is no such file".to_string())
    }
}

pub struct Program {
    pub sources: SourceMap,
    pub files: Vec<SpecFile>,
    pub diagnostics: Vec<Diagnostic>,
}

pub struct SpecFile {
    pub path: String,
    pub ast: ast::File,
    /// What each name at the top of this file stands for.
    pub names: HashMap<String, Named>,
}

/// An item of a file, by its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub file: usize,
    pub item: usize,
    pub span: Span,
}

const MAX_FILES: usize = 256;
/// Names that a message lists: those like the wanted one, or all of a file.
const MAX_ALIKE: usize = 6;
const MAX_LISTED: usize = 64;

/// Reads `path` and what it imports. Problems are in `diagnostics`; the program is whatever could be read.
pub fn load(loader: &dyn Loader, path: &str) -> Program {
    let program = Program { sources: SourceMap::new(), files: Vec::new(), diagnostics: Vec::new() };
    let mut loading = Loading { loader, program, by_path: HashMap::new(), open: Vec::new() };
    match loader.read(path) {
        Ok(text) => {
            loading.file(path, text);
        }
        Err(reason) => {
            let file = loading.program.sources.add(path, "");
            let diagnostic = Diagnostic::error("E0501", format!("`{path}` cannot be read: {reason}"));
            loading.program.diagnostics.push(diagnostic.at(Span::new(file, 0..0), "this file"));
        }
    }
    loading.program
}

struct Loading<'l> {
    loader: &'l dyn Loader,
    program: Program,
    by_path: HashMap<String, usize>,
    /// Files whose imports are being read, outermost first.
    open: Vec<usize>,
}

impl Loading<'_> {
    fn file(&mut self, path: &str, text: String) -> usize {
        let id = self.program.sources.add(path, text.clone());
        let (ast, diagnostics) = parse_file(id, &text);
        self.program.diagnostics.extend(diagnostics);
        let index = self.program.files.len();
        self.by_path.insert(path.to_string(), index);
        let imports: Vec<ast::Use> = ast.items.iter().filter_map(imports_of).cloned().collect();
        self.program.files.push(SpecFile { path: path.to_string(), ast, names: HashMap::new() });
        self.declare(index);
        self.open.push(index);
        for import in &imports {
            self.import(index, import);
        }
        self.open.pop();
        index
    }

    fn declare(&mut self, index: usize) {
        let file = &mut self.program.files[index];
        self.program.diagnostics.extend(duplicates::find(&file.ast));
        for (item, entry) in file.ast.items.iter().enumerate() {
            let names: Vec<&ast::Ident> = match entry {
                ast::Item::Use(_) => continue,
                ast::Item::Const(entry) => names_of(&entry.pattern),
                ast::Item::Fn(entry) => vec![&entry.name],
                ast::Item::Module(entry) => vec![&entry.name],
            };
            for name in names {
                let named = Named { file: index, item, span: name.span };
                if let Some(first) = file.names.insert(name.text.clone(), named) {
                    self.program.diagnostics.push(twice(name, first.span));
                }
            }
        }
    }

    fn import(&mut self, index: usize, import: &ast::Use) {
        let Some(target) = self.resolve(index, &import.path) else { return self.poison(index, import) };
        for wanted in &import.names {
            let found = self.program.files[target].names.get(&wanted.name.text).copied();
            let Some(found) = found else {
                let diagnostic = self.missing(target, import, wanted);
                self.program.diagnostics.push(diagnostic);
                self.unknown_import(index, wanted);
                continue;
            };
            let local = wanted.local();
            let first = self.program.files[index].names.get(&local.text).map(|named| named.span);
            match first {
                Some(first) => {
                    self.program.diagnostics.push(twice(local, first));
                    // Which of the two is meant is not known: what is said of either may be wrong.
                    let neither = Named { file: usize::MAX, item: 0, span: first };
                    self.program.files[index].names.insert(local.text.clone(), neither);
                }
                None => {
                    self.program.files[index].names.insert(local.text.clone(), found);
                }
            }
        }
    }

    /// Names of a file that could not be read are known to be unknown: one message is enough.
    fn poison(&mut self, index: usize, import: &ast::Use) {
        import.names.iter().for_each(|wanted| self.unknown_import(index, wanted));
    }

    fn unknown_import(&mut self, index: usize, wanted: &ast::Imported) {
        let named = Named { file: usize::MAX, item: 0, span: wanted.name.span };
        self.program.files[index].names.entry(wanted.local().text.clone()).or_insert(named);
    }

    fn missing(&self, target: usize, import: &ast::Use, wanted: &ast::Imported) -> Diagnostic {
        let names = &self.program.files[target].names;
        let mut candidates: Vec<&str> = names.keys().map(String::as_str).collect();
        candidates.sort_unstable();
        let name = wanted.name.text.as_str();
        let diagnostic = Diagnostic::error("E0503", format!("`{}` has no `{name}`", import.path.text))
            .at(wanted.name.span, "not found there");
        if let Some(written) = elsewhere::written(name) {
            return diagnostic.help(format!("write {written}"));
        }
        if let Some(near) = suggest(name, candidates.iter().copied()) {
            return diagnostic.did_you_mean(Some(near));
        }
        if let Some(function) = elsewhere::function_like(name) {
            return diagnostic.help(format!("`{function}` is a function, which needs no `use`"));
        }
        let part = |known: &&str| known.len() > 2 && name.len() > 2 && (known.contains(name) || name.contains(*known));
        let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let alike: Vec<&str> = candidates.iter().copied().filter(part).take(MAX_ALIKE).collect();
        match candidates.len() {
            _ if !alike.is_empty() => diagnostic.help(format!("did you mean one of {}?", list(&alike))),
            ..=MAX_LISTED => diagnostic.with_note(format!("it has {}", candidates.join(", "))),
            _ => diagnostic,
        }
    }

    fn resolve(&mut self, index: usize, path: &ast::Ident) -> Option<usize> {
        let (file, text) = match prelude::file(&path.text) {
            Some(text) => (format!("prelude/{}.tw", path.text), Ok(text.to_string())),
            None if path.text.starts_with('.') => {
                let file = join(&self.program.files[index].path, &path.text);
                let text = self.loader.read(&file);
                (file, text)
            }
            None => {
                let names = prelude::names();
                let diagnostic = Diagnostic::error("E0502", format!("the prelude has no `{}`", path.text))
                    .at(path.span, "no such part of the prelude")
                    .did_you_mean(suggest(&path.text, names.iter().copied()))
                    .with_note(format!("it has {}; a file beside this one is `./{}`", names.join(", "), path.text));
                self.program.diagnostics.push(diagnostic);
                return None;
            }
        };
        if let Some(&known) = self.by_path.get(&file) {
            return self.known(known, path);
        }
        if self.program.files.len() >= MAX_FILES {
            let diagnostic = Diagnostic::error("E0501", format!("more than {MAX_FILES} files are imported"));
            self.program.diagnostics.push(diagnostic.at(path.span, "this one is too many"));
            return None;
        }
        match text {
            Ok(text) => Some(self.file(&file, text)),
            Err(reason) => {
                let diagnostic = Diagnostic::error("E0501", format!("`{file}` cannot be read: {reason}"));
                self.program.diagnostics.push(diagnostic.at(path.span, "imported here"));
                None
            }
        }
    }

    /// A file that was met before: fine, unless it is still waiting for this very import.
    fn known(&mut self, known: usize, path: &ast::Ident) -> Option<usize> {
        let Some(at) = self.open.iter().position(|open| *open == known) else { return Some(known) };
        let names: Vec<&str> = self.open[at..].iter().map(|open| self.program.files[*open].path.as_str()).collect();
        let circle = format!("{} -> {}", names.join(" -> "), self.program.files[known].path);
        let diagnostic = Diagnostic::error("E0504", "files import each other in a circle")
            .at(path.span, "this import closes the circle")
            .with_note(circle)
            .help("move what both need into a third file");
        self.program.diagnostics.push(diagnostic);
        None
    }
}

fn imports_of(item: &ast::Item) -> Option<&ast::Use> {
    match item {
        ast::Item::Use(item) => Some(item),
        _ => None,
    }
}

fn names_of(pattern: &ast::Pattern) -> Vec<&ast::Ident> {
    match &pattern.kind {
        ast::PatternKind::Name(name) => vec![name],
        ast::PatternKind::Wildcard => Vec::new(),
        ast::PatternKind::Tuple(parts) => parts.iter().flat_map(names_of).collect(),
    }
}

fn twice(name: &ast::Ident, first: Span) -> Diagnostic {
    Diagnostic::error("E0304", format!("`{}` is defined twice", name.text))
        .at(name.span, "again here")
        .also(first, "first here")
}

/// `./unet` as seen from `specs/diffusion/controlnet.tw` is `specs/diffusion/unet.tw`.
fn join(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{}.tw", parts.join("/"))
}

/// The first part of the prelude that defines a name or passes it on.
pub fn prelude_part_with(name: &str) -> Option<&'static str> {
    let words = ["module", "fn", "const"];
    let has = |text: &str| passes_on(text, name) || words.iter().any(|word| defines(text, word, name));
    prelude::names().into_iter().find(|part| prelude::file(part).is_some_and(has))
}

/// Whether the text has `use … { …, NAME, … }`.
fn passes_on(text: &str, name: &str) -> bool {
    let is_other = |letter: char| !letter.is_alphanumeric() && letter != '_';
    let lists = text.split("\nuse ").skip(1).filter_map(|rest| rest.split_once('}')?.0.split_once('{'));
    lists.flat_map(|(_, names)| names.split(is_other)).any(|word| word == name)
}

/// Whether a line of the text reads `module NAME`, whatever its `word` and however the line goes on.
pub fn defines(text: &str, word: &str, name: &str) -> bool {
    let rest_of =
        |line: &str| Some(line.strip_prefix(word)?.strip_prefix(' ')?.trim_start().strip_prefix(name)?.chars().next());
    let ends = |next: Option<char>| next.is_none_or(|next| !next.is_alphanumeric() && next != '_');
    text.lines().filter_map(rest_of).any(ends)
}
