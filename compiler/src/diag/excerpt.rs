//! The sources of a diagnostic as they are shown: of a line too long to read, what surrounds the first label in it.
//!
//! Invariant: lines keep their numbers, and what a label points at its column, whatever of the line is shown.

use std::collections::HashMap;
use std::ops::Range;

use codespan_reporting::files::{self, Files};

use super::source::boundary_before;
use super::{Diagnostic, FileId, SourceMap};

/// Bytes of a line that are shown.
const MOST: usize = 240;
/// Of them, before a label that lies farther to the right.
const BEFORE: usize = 60;
const CUT: &str = "…";

pub(super) struct Excerpt<'a> {
    sources: &'a SourceMap,
    /// Files with such lines, as shown.
    cut: HashMap<FileId, Shortened>,
}

struct Shortened {
    text: SourceMap,
    /// The bytes that are left of each line that was cut, by its number.
    kept: HashMap<usize, Range<usize>>,
}

const ONLY: FileId = FileId(0);

impl<'a> Excerpt<'a> {
    pub(super) fn of(diagnostic: &Diagnostic, sources: &'a SourceMap) -> Excerpt<'a> {
        let mut cut = HashMap::new();
        for label in &diagnostic.labels {
            let (file, text) = (label.span.file, sources.text(label.span.file));
            if text.lines().any(|line| line.len() > MOST) && !cut.contains_key(&file) {
                let labels = diagnostic.labels.iter().filter(|label| label.span.file == file);
                let places: Vec<usize> = labels.map(|label| label.span.start as usize).collect();
                cut.insert(file, Shortened::of(sources.name(file), text, &places));
            }
        }
        Excerpt { sources, cut }
    }

    /// Where bytes of a file are in what is shown of it.
    pub(super) fn range(&self, file: FileId, range: Range<usize>) -> Range<usize> {
        let Some(shortened) = self.cut.get(&file) else { return range };
        let place = |at: usize| {
            let line = self.sources.line_index(file, at).unwrap_or(0);
            let (Some(whole), Some(shown)) =
                (self.sources.line_range(file, line), shortened.text.line_range(ONLY, line))
            else {
                return at;
            };
            let Some(kept) = shortened.kept.get(&line) else { return at - whole.start + shown.start };
            let lead = if kept.start > whole.start { CUT.len() } else { 0 };
            shown.start + lead + at.clamp(kept.start, kept.end) - kept.start
        };
        place(range.start)..place(range.end)
    }

    fn shown(&self, file: FileId) -> (&SourceMap, FileId) {
        self.cut.get(&file).map_or((self.sources, file), |shortened| (&shortened.text, ONLY))
    }
}

impl Shortened {
    fn of(name: &str, text: &str, places: &[usize]) -> Shortened {
        let (mut shown, mut kept, mut start) = (String::new(), HashMap::new(), 0);
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let (content, end) = (line.trim_end_matches('\n'), start + line.len());
            if content.len() <= MOST {
                shown.push_str(line);
            } else {
                let first =
                    places.iter().filter(|place| (start..end).contains(*place)).min().map_or(0, |at| at - start);
                let from = if first + BEFORE <= MOST { 0 } else { boundary_before(content, first - BEFORE) };
                let to = boundary_before(content, from + MOST);
                let part =
                    [if from > 0 { CUT } else { "" }, &content[from..to], if to < content.len() { CUT } else { "" }];
                shown.extend(part);
                shown.push_str(&line[content.len()..]);
                kept.insert(number, start + from..start + to);
            }
            start = end;
        }
        let mut text = SourceMap::new();
        text.add(name, shown);
        Shortened { text, kept }
    }
}

impl<'a> Files<'a> for Excerpt<'_> {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, file: FileId) -> Result<&'a str, files::Error> {
        Ok(self.sources.name(file))
    }

    fn source(&'a self, file: FileId) -> Result<&'a str, files::Error> {
        let (sources, file) = self.shown(file);
        Ok(sources.text(file))
    }

    fn line_index(&'a self, file: FileId, offset: usize) -> Result<usize, files::Error> {
        let (sources, file) = self.shown(file);
        sources.line_index(file, offset).ok_or(files::Error::FileMissing)
    }

    fn line_range(&'a self, file: FileId, line: usize) -> Result<Range<usize>, files::Error> {
        let (sources, file) = self.shown(file);
        sources.line_range(file, line).ok_or(files::Error::FileMissing)
    }

    fn column_number(&'a self, file: FileId, line: usize, offset: usize) -> Result<usize, files::Error> {
        let shown = self.line_range(file, line)?;
        let source = self.source(file)?;
        let kept = self.cut.get(&file).and_then(|shortened| shortened.kept.get(&line));
        let whole = self.sources.line_range(file, line).ok_or(files::Error::FileMissing)?;
        let (before, lead) = match kept.filter(|kept| kept.start > whole.start) {
            Some(kept) => (self.sources.text(file)[whole.start..kept.start].chars().count(), CUT.len()),
            None => (0, 0),
        };
        let start = shown.start + lead;
        Ok(before + source[start..boundary_before(source, offset).max(start)].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Span, Theme, render};
    use super::*;

    #[test]
    fn of_a_long_line_what_surrounds_the_label_is_shown() {
        let mut sources = SourceMap::new();
        let far = "é".repeat(5000);
        let text = format!("short\n{far} softmx(x) {}\nrest", "y ".repeat(5000));
        let at = text.find("softmx").unwrap();
        let file = sources.add("long.tw", text);
        let diagnostic = Diagnostic::error("E0101", "no op is called `softmx`")
            .at(Span::new(file, at..at + 6), "called here")
            .also(Span::new(file, 0..5), "here too");
        let shown = render(&diagnostic, &sources, &Theme::plain());
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].trim(), "┌─ long.tw:2:5002");
        let (source, label) = (lines[5], lines[6]);
        assert!(source.contains("│ …éé") && source.contains("softmx(x) y y") && source.ends_with('…'), "{shown}");
        let column = |line: &str, part: &str| line[..line.find(part).unwrap()].chars().count();
        assert_eq!(column(source, "softmx"), column(label, "^^^^^^ called here"), "{shown}");
        assert!(lines.iter().all(|line| line.len() < 400), "{shown}");
        assert!(shown.contains("1 │ short") && shown.contains("----- here too"), "{shown}");
    }
}
