//! The manual of the spec language: every example is parsed, formatted, elaborated, and run where it shows a command.
//!
//! What follows the language of a code block says how it is read:
//!
//! - `tw` is a whole file, which must be free of errors; `tw file=name.tw` is one that others import;
//! - `tw body NAME: TYPE, …` is the inside of a function with these parameters; a comment that looks like a type at the
//!   end of a `let` is the type of what is bound, and checked;
//! - `tw error` is a whole file with mistakes, and the `text` block that follows is what the compiler says of it;
//! - `toml` stands beside the last whole file; its presets must elaborate;
//! - `console` holds commands and what they print, run in a folder with the files shown before. `…` stands for anything.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use tilewright::Spec;
use tilewright::compiler::front::format::format_source;

use super::{bless, expect, read};

const MANUAL: &str = "specs/language.md";

struct Block {
    /// The line of the manual at which it starts.
    line: usize,
    info: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (idx, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(info), false) => {
                blocks.push(Block { line: idx + 1, info: info.to_string(), text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("a block is open");
                block.text += line;
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a code block is never closed");
    blocks
}

/// A folder with the files that the manual has shown so far.
struct Example<'a> {
    folder: &'a Path,
    last: String,
    failures: Vec<String>,
}

impl Example<'_> {
    fn fail(&mut self, block: &Block, message: impl std::fmt::Display) {
        self.failures.push(format!("{MANUAL}:{}: {message}\n{}", block.line, block.text));
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the folder can be written");
        path
    }

    fn whole(&mut self, block: &Block, name: &str) {
        self.last = name.to_string();
        let path = self.write(name, &block.text);
        let _ = fs::remove_file(path.with_extension("toml"));
        self.formatted(block, &block.text);
        if let Err(error) = check(&path) {
            self.fail(block, error);
        }
    }

    fn formatted(&mut self, block: &Block, text: &str) {
        match format_source(text) {
            Ok(formatted) if formatted == text => {}
            Ok(formatted) => self.fail(block, format!("is not formatted; it should be\n{formatted}")),
            Err(_) => {}
        }
    }

    /// Checked as written, and once more with its comments as types.
    fn body(&mut self, block: &Block, params: &str) {
        let wrapped = wrap(&block.text, params);
        self.formatted(block, &wrapped);
        let typed: String = block.text.lines().map(|line| format!("{}\n", typed(line))).collect();
        let path = self.write("body.tw", &wrap(&typed, params));
        if let Err(error) = check(&path) {
            self.fail(block, error);
        }
    }

    fn toml(&mut self, block: &Block) {
        let spec = self.folder.join(&self.last);
        fs::write(spec.with_extension("toml"), &block.text).expect("the folder can be written");
        if let Err(error) = check(&spec) {
            self.fail(block, error);
        }
    }

    fn error(&mut self, block: &Block) -> String {
        let path = self.write("example.tw", &block.text);
        match check(&path) {
            Ok(()) => {
                self.fail(block, "has no error");
                String::new()
            }
            Err(shown) => shown.replace(&format!("{}/", self.folder.display()), ""),
        }
    }

    fn console(&mut self, block: &Block) -> String {
        let mut shown = String::new();
        for command in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let output = Command::new("sh")
                .args(["-c", command])
                .current_dir(self.folder)
                .env("PATH", path_with_tw())
                .env("XDG_CACHE_HOME", self.folder.join("cache"))
                .output();
            let output = output.expect("a shell can be run");
            let printed = [output.stdout, output.stderr].concat();
            write!(shown, "$ {command}\n{}", String::from_utf8_lossy(&printed)).unwrap();
            if !output.status.success() {
                self.fail(block, format!("`{command}` failed\n{shown}"));
            }
        }
        shown
    }
}

fn path_with_tw() -> std::ffi::OsString {
    let folder = Path::new(env!("CARGO_BIN_EXE_tw")).parent().expect("a folder").to_path_buf();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&paths))).expect("paths")
}

fn check(path: &Path) -> Result<(), String> {
    Spec::read(path).check().map_err(|error| error.to_string())
}

fn wrap(body: &str, params: &str) -> String {
    let indented =
        body.lines().map(|line| if line.is_empty() { "\n".to_string() } else { format!("        {line}\n") });
    let uses = "use nn { Linear }\n\n";
    let uses = if body.contains("Linear") { uses } else { "" };
    format!("{uses}model Example() {{\n    fn call({params}) {{\n{}    }}\n}}\n", indented.collect::<String>())
}

/// `let y = f(x)   // [B, 3]` with the comment as a type.
fn typed(line: &str) -> String {
    let Some((code, comment)) = line.split_once("//") else { return line.to_string() };
    let ty = comment.trim();
    let dtype = ty.split('[').next().unwrap_or("");
    let is_type = ty.ends_with(']') && dtype.chars().all(|c| c.is_ascii_alphanumeric()) && !ty.contains(":");
    match code.trim_start().strip_prefix("let ").and_then(|rest| rest.split_once(" =")) {
        Some((name, value)) if is_type && !name.contains(['(', ':']) => format!("let {}: {ty} ={value}", name.trim()),
        _ => line.to_string(),
    }
}

/// Whether a text is as shown, where `…` stands for anything within a line, and alone on a line for any lines.
fn matches(shown: &[&str], found: &[&str]) -> bool {
    match (shown.split_first(), found.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=found.len()).any(|skip| matches(rest, &found[skip..])),
        (Some((first, rest)), Some((line, others))) => matches_line(first, line) && matches(rest, others),
        _ => false,
    }
}

fn matches_line(shown: &str, found: &str) -> bool {
    let parts: Vec<&str> = shown.trim_end().split('…').collect();
    let Some(mut rest) = found.trim_end().strip_prefix(parts[0]) else { return false };
    for (idx, part) in parts.iter().enumerate().skip(1) {
        let at = if idx + 1 == parts.len() {
            rest.ends_with(part).then(|| rest.len() - part.len())
        } else {
            rest.find(part)
        };
        match at {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn the_manual_is_true() {
    let page = read(MANUAL);
    let folder = tempfile::tempdir().expect("a folder");
    let mut example = Example { folder: folder.path(), last: String::new(), failures: Vec::new() };
    let mut said: Option<String> = None;
    let mut blessed = page.clone();
    for block in blocks(&page) {
        let (language, rest) = block.info.split_once(' ').unwrap_or((&block.info, ""));
        let (kind, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        match (language, kind) {
            ("tw", "") => example.whole(&block, "example.tw"),
            ("tw", "body") => example.body(&block, detail),
            ("tw", "error") => said = Some(example.error(&block)),
            ("tw", file) => match file.strip_prefix("file=") {
                Some(name) => example.whole(&block, name),
                None => example.fail(&block, format!("`{file}` is no kind of example")),
            },
            ("toml", _) => example.toml(&block),
            ("console", _) => {
                let found = example.console(&block);
                let lines = |text: &'_ str| text.lines().map(str::to_string).collect::<Vec<String>>();
                let (shown, printed) = (lines(&block.text), lines(&found));
                let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
                let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
                if !matches(&shown, &printed) {
                    example.fail(&block, format!("prints\n{found}"));
                }
            }
            ("text", _) => {
                if let Some(said) = said.take()
                    && said.trim_end() != block.text.trim_end()
                {
                    blessed = blessed.replacen(
                        &format!("```text\n{}```", block.text),
                        &format!("```text\n{}\n```", said.trim_end()),
                        1,
                    );
                    if !bless() {
                        example.fail(&block, format!("the compiler says\n{said}"));
                    }
                }
            }
            _ => example.fail(&block, format!("`{}` is no language of the manual", block.info)),
        }
    }
    if bless() {
        expect(MANUAL, &blessed);
    }
    assert!(example.failures.is_empty(), "{}", example.failures.join("\n"));
}

#[test]
fn wildcards_match_and_comments_become_types() {
    assert!(matches(&["a … c", "…", "z"], &["a b c", "x", "y", "z"]));
    assert!(!matches(&["a … c"], &["a b d"]));
    assert_eq!(typed("let y = f(x)   // i64[B, 3]"), "let y: i64[B, 3] = f(x)   ");
    assert_eq!(typed("let y = f(x)   // a list"), "let y = f(x)   // a list");
}
