//! What can go wrong when a program is loaded and run, as values.
//!
//! Invariant: a message names the thing (input, weight, file, size) and says what was expected
//! and what was found; `notes` say how it came about and `help` what to do. Nobody matches on
//! texts: `kind` is for programs, the rest for people.

use std::fmt;
use std::io;
use std::path::Path;

use crate::bytes::OutOfMemory;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    pub kind: ErrorKind,
    pub message: String,
    pub notes: Vec<String>,
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A name that the program does not have, or a missing or repeated input.
    Name,
    /// An input's element type or shape.
    Input,
    /// A `where` or an `assert` that does not hold.
    Check,
    /// Weights that do not fit the program.
    Weights,
    /// A file that cannot be read or written, or whose contents are not what they claim.
    File,
    Memory,
    /// Machine code that cannot be loaded.
    Code,
    /// A program that breaks its own rules.
    Program,
    /// An index or a loop bound found out of range while running.
    Range,
}

impl RunError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> RunError {
        let message = message.into();
        RunError { kind, message, notes: Vec::new(), help: None }
    }

    pub fn note(mut self, note: impl Into<String>) -> RunError {
        self.notes.push(note.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> RunError {
        self.help = Some(help.into());
        self
    }

    pub fn io(doing: &str, path: &Path, error: &io::Error) -> RunError {
        let what = if path.is_dir() { "it is a folder".to_string() } else { error.to_string() };
        RunError::new(ErrorKind::File, format!("cannot {doing} `{}`: {what}", path.display()))
    }

    pub fn file(path: &Path, problem: impl fmt::Display) -> RunError {
        RunError::new(ErrorKind::File, format!("`{}`: {problem}", path.display()))
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for note in &self.notes {
            write!(f, "\n  = {note}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RunError {}

impl From<OutOfMemory> for RunError {
    fn from(OutOfMemory(len): OutOfMemory) -> RunError {
        let message = format!("no memory for {}", ByteCount(len as u64));
        RunError::new(ErrorKind::Memory, message)
    }
}

/// A number of bytes as people read it.
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let mut scaled = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while scaled >= 1024.0 && unit + 1 < UNITS.len() {
            scaled /= 1024.0;
            unit += 1;
        }
        write!(f, "{scaled:.1} {}", UNITS[unit])
    }
}

/// The known names that a wrong one most likely meant, best first.
pub fn similar<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const LONGEST: usize = 200;
    if wrong.len() > LONGEST {
        return Vec::new();
    }
    let allowed = 1 + wrong.len() / 4;
    let mut close: Vec<_> = known
        .into_iter()
        .filter(|name| name.len().abs_diff(wrong.len()) <= allowed && name.len() <= LONGEST)
        .map(|name| (edit_distance(wrong, name), name))
        .filter(|&(distance, _)| distance <= allowed)
        .collect();
    close.sort();
    close.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many single-byte insertions, deletions and replacements turn one name into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A shape as specs write it.
pub struct ShapeText<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for ShapeText<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, size) in self.0.iter().enumerate() {
            let comma = if axis > 0 { ", " } else { "" };
            write!(f, "{comma}{size}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["blocks.0.attn.weight", "blocks.0.attn.bias", "head.weight"];
        assert_eq!(similar("blocks.0.atn.weight", known)[0], known[0]);
        assert_eq!(similar("hed.weight", known), ["head.weight"]);
        assert!(similar("position", known).is_empty());
        assert!(similar("", known).is_empty());
    }

    #[test]
    fn an_error_shows_its_notes_and_its_help() {
        let error =
            RunError::new(ErrorKind::Name, "no input `x`").note("inputs are `a`, `b`").help("did you mean `a`?");
        assert_eq!(error.to_string(), "no input `x`\n  = inputs are `a`, `b`\n  = help: did you mean `a`?");
        assert_eq!(ByteCount(1536).to_string(), "1.5 KiB");
        assert_eq!(ShapeText(&[1, 2]).to_string(), "[1, 2]");
    }
}
