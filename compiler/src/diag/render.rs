//! Diagnostics as text: the source lines, the labels under them, notes and helps below.
//!
//! Invariant: rendering never fails. A label whose span does not fit its file is moved to the nearest
//! place that exists, so a wrong span costs a wrong underline and nothing more.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use codespan_reporting::diagnostic as shown;
use codespan_reporting::term::{self, WriteStyle};

use super::excerpt::Excerpt;
use super::source::boundary_before;
use super::{Diagnostic, FileId, Severity, SourceMap};

/// The escape sequences that a terminal needs for each part; empty strings draw plainly.
#[derive(Clone, Debug, Default)]
pub struct Theme {
    pub error: String,
    pub warning: String,
    pub note: String,
    pub message: String,
    /// Line numbers and borders.
    pub frame: String,
    /// Labels that explain rather than accuse.
    pub secondary: String,
    pub reset: String,
}

impl Theme {
    /// No colours: for files, pipes and tests.
    pub fn plain() -> Theme {
        Theme::default()
    }
}

/// The diagnostic as text, ending in an empty line.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, theme: &Theme) -> String {
    let mut painter = Painter { out: Vec::new(), theme };
    let excerpt = Excerpt::of(diagnostic, sources);
    let shown = translate(diagnostic, sources, &excerpt);
    let config = term::Config::default();
    let drawn = term::emit_to_write_style(&mut painter, &config, &excerpt, &shown);
    let text = String::from_utf8_lossy(&painter.out).into_owned();
    match drawn {
        Ok(()) => text,
        Err(_) => without_source(diagnostic),
    }
}

fn without_source(diagnostic: &Diagnostic) -> String {
    let mut text = format!("error[{}]: {}\n", diagnostic.code, diagnostic.message);
    for help in &diagnostic.helps {
        let _ = writeln!(text, "  = help: {help}");
    }
    text
}

fn translate(diagnostic: &Diagnostic, sources: &SourceMap, excerpt: &Excerpt) -> shown::Diagnostic<FileId> {
    let label = |label: &super::Label| {
        let style = match label.primary {
            true => shown::LabelStyle::Primary,
            false => shown::LabelStyle::Secondary,
        };
        let range = fit(label.span.range(), sources.text(label.span.file));
        shown::Label::new(style, label.span.file, excerpt.range(label.span.file, range)).with_message(&label.text)
    };
    let helps = diagnostic.helps.iter().map(|help| format!("help: {help}"));
    shown::Diagnostic::new(severity(diagnostic.severity))
        .with_code(diagnostic.code)
        .with_message(&diagnostic.message)
        .with_labels(diagnostic.labels.iter().map(label).collect())
        .with_notes(diagnostic.notes.iter().cloned().chain(helps).collect())
}

fn fit(range: Range<usize>, text: &str) -> Range<usize> {
    let start = boundary_before(text, range.start);
    let end = boundary_before(text, range.end).max(start);
    start..end
}

fn severity(severity: Severity) -> shown::Severity {
    match severity {
        Severity::Error => shown::Severity::Error,
        Severity::Warning => shown::Severity::Warning,
        Severity::Note => shown::Severity::Note,
    }
}

/// Collects the drawing and puts the theme's sequences between its parts.
struct Painter<'a> {
    out: Vec<u8>,
    theme: &'a Theme,
}

impl<'a> Painter<'a> {
    fn paint(&mut self, sequence: &str) -> io::Result<()> {
        self.out.write_all(sequence.as_bytes())
    }

    fn of(&self, severity: shown::Severity) -> &'a str {
        match severity {
            shown::Severity::Bug | shown::Severity::Error => &self.theme.error,
            shown::Severity::Warning => &self.theme.warning,
            shown::Severity::Note | shown::Severity::Help => &self.theme.note,
        }
    }
}

impl Write for Painter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteStyle for Painter<'_> {
    fn set_header(&mut self, severity: shown::Severity) -> io::Result<()> {
        let sequence = self.of(severity);
        self.out.write_all(sequence.as_bytes())
    }

    fn set_header_message(&mut self) -> io::Result<()> {
        self.paint(&self.theme.message)
    }

    fn set_line_number(&mut self) -> io::Result<()> {
        self.paint(&self.theme.frame)
    }

    fn set_note_bullet(&mut self) -> io::Result<()> {
        self.paint(&self.theme.frame)
    }

    fn set_source_border(&mut self) -> io::Result<()> {
        self.paint(&self.theme.frame)
    }

    fn set_label(&mut self, severity: shown::Severity, style: shown::LabelStyle) -> io::Result<()> {
        match style {
            shown::LabelStyle::Primary => self.set_header(severity),
            shown::LabelStyle::Secondary => self.paint(&self.theme.secondary),
        }
    }

    fn reset(&mut self) -> io::Result<()> {
        self.paint(&self.theme.reset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    fn example() -> (SourceMap, Diagnostic) {
        let mut sources = SourceMap::new();
        let file = sources.add("vit.tw", "fn f(x: [B]) {\n    softmx(x)\n}\n");
        let diagnostic = Diagnostic::error("E0101", "no op is called `softmx`")
            .at(Span::new(file, 19..25), "called here")
            .also(Span::new(file, 5..6), "`x` comes from here")
            .did_you_mean(Some("softmax"));
        (sources, diagnostic)
    }

    #[test]
    fn shows_the_source_and_every_label() {
        let (sources, diagnostic) = example();
        insta::assert_snapshot!(render(&diagnostic, &sources, &Theme::plain()), @r"
        error[E0101]: no op is called `softmx`
          ┌─ vit.tw:2:5
          │
        1 │ fn f(x: [B]) {
          │      - `x` comes from here
        2 │     softmx(x)
          │     ^^^^^^ called here
          │
          = help: did you mean `softmax`?
        ");
    }

    #[test]
    fn a_theme_adds_only_its_sequences() {
        let (sources, diagnostic) = example();
        let theme = Theme { error: "<e>".into(), reset: "<r>".into(), ..Theme::plain() };
        let painted = render(&diagnostic, &sources, &theme);
        assert!(painted.starts_with("<e>error[E0101]"));
        let stripped = painted.replace("<e>", "").replace("<r>", "");
        assert_eq!(stripped, render(&diagnostic, &sources, &Theme::plain()));
    }

    #[test]
    fn spans_that_do_not_fit_still_render() {
        let mut sources = SourceMap::new();
        let file = sources.add("a.tw", "é");
        for (file, start, end) in [(file, 1, 9), (file, 7, 3), (FileId(9), 0, 4)] {
            let span = Span { file, start, end };
            let diagnostic = Diagnostic::error("E0101", "odd").at(span, "here");
            assert!(render(&diagnostic, &sources, &Theme::plain()).contains("odd"));
        }
    }
}
