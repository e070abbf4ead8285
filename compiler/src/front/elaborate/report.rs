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

#[derive(Clone, Default)]
pub struct Reports {
    pub diagnostics: Vec<Diagnostic>,
    seen: HashSet<(&'static str, Option<Span>)>,
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

    /// The value is poisoned already.
    pub fn silent() -> Poisoned {
        Poisoned(())
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| (span.file, span.start)));
        self.diagnostics
    }
}
