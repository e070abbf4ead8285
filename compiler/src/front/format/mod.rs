//! `tw fmt`: one layout for every spec.
//!
//! Invariant: the tokens and comments of the result are those of the source, in the same order, and its
//! newlines separate the same statements; formatting twice changes nothing. Where a statement breaks
//! inside is the author's choice, except that what is wider than `WIDTH` is broken further.

mod align;
mod lines;
mod pieces;
mod spacing;

use super::parse::parse_file;
use crate::diag::{Diagnostic, FileId};

/// The widest line, comments after it not counted.
const WIDTH: usize = 120;

/// The column at which comments after code start, where the code is shorter.
const COMMENT_COLUMN: usize = 63;

/// The text in the one layout, or why it cannot be read; spans are those of file 0.
pub fn format_source(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (_, diagnostics) = parse_file(FileId(0), text);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let mut pieces = pieces::take_apart(text);
    align::pad(&mut pieces);
    Ok(lines::write(&mut pieces))
}
