//! The diagnostics of one elaboration.
//!
//! Invariant: a mistake is reported once, however many instances meet it: no two diagnostics share code and place.
//! `Poisoned` is only made by reporting, or by meeting a value that is poisoned already.

use std::collections::HashSet;

use crate::diag::{Diagnostic, Span};

/// Something went wrong and has been reported; what depends on it stays silent.
#[derive(Clone, Copy, Debug)]
pub struct Poisoned(());

pub type Outcome<T> = Result<T, Poisoned>;

/// After this many, a file is wrong in some other way.
const MAX_DIAGNOSTICS: usize = 200;

/// Something about sizes that nothing shows.
const OPEN_SIZE: &str = "E0208";

/// Types as a spec writes them: the model's float type has no name there but `float`, and stands before no shape.
fn as_written(mut diagnostic: Diagnostic) -> Diagnostic {
    let labels = diagnostic.labels.iter_mut().map(|label| &mut label.text);
    let texts = labels.chain(&mut diagnostic.notes).chain(&mut diagnostic.helps).chain([&mut diagnostic.message]);
    for text in texts.filter(|text| text.contains("real")) {
        let quoted = |(idx, part): (usize, &str)| if idx % 2 == 1 { part.to_string() } else { unquoted(part) };
        *text = text.split('`').enumerate().map(quoted).collect::<Vec<_>>().join("`");
    }
    diagnostic
}

fn unquoted(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.strip_prefix("real") {
        Some(shape) if shape.starts_with('[') => shape.to_string(),
        Some(rest) if rest.is_empty() || rest == "," || rest == "." => format!("float{rest}"),
        _ => word.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
pub struct Reports {
    pub diagnostics: Vec<Diagnostic>,
    seen: HashSet<(&'static str, Option<Span>)>,
    /// What needs a part of the compiler that is not there yet: one diagnostic for all.
    not_yet: Vec<(Span, String)>,
    /// Questions about sizes were dropped.
    open_sizes: bool,
}

/// How far the reports of a part of the work had come when it began.
pub struct Mark {
    diagnostics: usize,
    not_yet: usize,
}

impl Reports {
    pub fn add(&mut self, diagnostic: Diagnostic) -> Poisoned {
        let diagnostic = as_written(diagnostic);
        let key = (diagnostic.code, diagnostic.span());
        if self.diagnostics.len() < MAX_DIAGNOSTICS && self.seen.insert(key) {
            self.diagnostics.push(diagnostic);
        }
        Poisoned(())
    }

    pub fn not_yet(&mut self, span: Span, construct: &str) -> Poisoned {
        if self.not_yet.iter().all(|(other, _)| *other != span) {
            self.not_yet.push((span, construct.to_string()));
        }
        Poisoned(())
    }

    pub fn mark(&self) -> Mark {
        Mark { diagnostics: self.diagnostics.len(), not_yet: self.not_yet.len() }
    }

    /// What is not known of sizes is of no interest in an entry that cannot be compiled yet: that is one message.
    pub fn drop_open_sizes(&mut self, since: Mark) {
        if self.not_yet.len() > since.not_yet {
            let (before, mut at) = (self.diagnostics.len(), 0);
            self.diagnostics.retain(|diagnostic| {
                at += 1;
                at <= since.diagnostics || diagnostic.code != OPEN_SIZE
            });
            self.open_sizes |= self.diagnostics.len() < before;
        }
    }

    /// The value is poisoned already.
    pub fn silent() -> Poisoned {
        Poisoned(())
    }

    pub fn has_errors(&self) -> bool {
        !self.not_yet.is_empty() || self.diagnostics.iter().any(Diagnostic::is_error)
    }

    pub fn finish(mut self) -> Vec<Diagnostic> {
        if let Some(((first, construct), rest)) = self.not_yet.split_first() {
            let message = format!("`{construct}` needs the differentiator, which is not there yet");
            let mut diagnostic = Diagnostic::error("E0399", message).at(*first, "not yet");
            for (span, construct) in rest.iter().filter(|(span, _)| span.file == first.file).take(8) {
                diagnostic = diagnostic.also(*span, format!("nor `{construct}`"));
            }
            self.diagnostics.push(diagnostic.with_note(match self.open_sizes {
                true => "the rest of the file was checked, but not what must be known of its sizes",
                false => "the rest of the file was checked",
            }));
        }
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| (span.file, span.start)));
        self.diagnostics
    }
}
