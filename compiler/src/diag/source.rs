//! Source files and places in them.
//!
//! Invariant: a `Span` is a half-open range of byte offsets into the text of its file, exactly as the
//! file was read; line and column numbers are computed only when something is shown.

use std::ops::Range;

/// The last place at or before `at` where a character starts.
pub(crate) fn boundary_before(text: &str, at: usize) -> usize {
    let mut places = (0..=at.min(text.len())).rev();
    places.find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

/// A file of a [`SourceMap`], in order of insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// The bytes `start..end` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, range: Range<usize>) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file, start: offset(range.start), end: offset(range.end) }
    }

    /// The smallest span that covers both, which must lie in one file.
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Every file that takes part in a compilation, by name.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

#[derive(Clone, Debug)]
struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl SourceMap {
    pub fn new() -> SourceMap {
        SourceMap::default()
    }

    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(breaks).collect();
        let id = FileId(self.files.len() as u32);
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        id
    }

    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("", |file| &file.name)
    }

    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |file| &file.text)
    }

    /// The text that a span covers; empty where the span does not fit its file.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.range()).unwrap_or("")
    }

    /// The line and column of a span's start, both counted from one, columns in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let Some(file) = self.get(span.file) else {
            return (1, 1);
        };
        let start = boundary_before(&file.text, span.start as usize);
        let line = file.line_index(start);
        let column = file.text[file.line_starts[line]..start].chars().count();
        (line + 1, column + 1)
    }

    pub(crate) fn line_index(&self, file: FileId, offset: usize) -> Option<usize> {
        Some(self.get(file)?.line_index(offset))
    }

    pub(super) fn line_range(&self, file: FileId, line: usize) -> Option<Range<usize>> {
        let file = self.get(file)?;
        let start = *file.line_starts.get(line)?;
        let end = file.line_starts.get(line + 1);
        Some(start..end.copied().unwrap_or(file.text.len()))
    }

    fn get(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file.0 as usize)
    }
}

impl SourceFile {
    fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let mut map = SourceMap::new();
        let file = map.add("a.tw", "let é = 1\nx");
        let at = |start| map.line_column(Span::new(file, start..start + 1));
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(7), (1, 7));
        assert_eq!(at(11), (2, 1));
        assert_eq!(at(5), (1, 5));
        assert_eq!(at(900), (2, 2));
    }

    #[test]
    fn a_span_that_does_not_fit_is_empty_text() {
        let mut map = SourceMap::new();
        let file = map.add("a.tw", "abc");
        assert_eq!(map.slice(Span::new(file, 1..3)), "bc");
        assert_eq!(map.slice(Span::new(file, 2..9)), "");
        assert_eq!(map.slice(Span::new(FileId(7), 0..1)), "");
    }
}
