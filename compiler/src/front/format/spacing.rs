//! Where a space stands between two pieces of a line.
//!
//! Invariant: no space is added or removed where that would change the reading: `minimize (x)` and
//! `state [B]` keep theirs, a sign before a value keeps touching it.

use super::pieces::{Break, Piece};
use crate::front::scan::Kind;

/// Reserved words after which a value or a pattern starts.
const BEFORE_VALUE: &[&str] =
    &["use", "const", "let", "if", "else", "for", "in", "loop", "while", "scan", "carry", "where", "and", "or", "not"];

/// Words that are names or not by whether a space follows them.
const BY_SPACE: &[&str] = &["minimize", "assert", "over", "using", "param", "state", "most"];

/// Sets `spaced` of every piece.
pub fn space(pieces: &mut [Piece]) {
    let mut before: Option<usize> = None;
    let mut in_path = false;
    // Whether the code piece before is a sign that clings to what follows.
    let mut clings = false;
    for at in 0..pieces.len() {
        if pieces[at].is_comment() {
            pieces[at].spaced = true;
            continue;
        }
        let Some(last) = before else {
            in_path = pieces[at].is("use");
            before = Some(at);
            continue;
        };
        let starts = pieces[at].before == Break::Hard;
        in_path &= !pieces[at].is("{");
        let first_of_path = pieces[last].is("use");
        let spaced = match in_path {
            true => first_of_path,
            false => !clings && needs_space(pieces, last, at),
        };
        let unary = is_unary(pieces, last, at, starts);
        pieces[at].spaced = spaced;
        clings = unary || pieces[at].is("..") && !leads_line(pieces, at);
        in_path |= starts && pieces[at].is("use");
        before = Some(at);
    }
}

/// A `..` that goes on with the line before needs its space to be read so.
fn leads_line(pieces: &[Piece], at: usize) -> bool {
    let in_block = pieces[at].inside.is_none_or(|open| pieces[open].is("{"));
    pieces[at].before == Break::Soft && in_block
}

fn is_unary(pieces: &[Piece], last: usize, at: usize, starts: bool) -> bool {
    if !pieces[at].is("-") {
        return false;
    }
    if starts || starts_value(&pieces[last]) {
        return true;
    }
    let next_touches = pieces.get(at + 1).is_some_and(|next| next.touches);
    BY_SPACE.contains(&pieces[last].text) && next_touches && !pieces[at].touches
}

/// Whether what follows this piece starts a value.
fn starts_value(piece: &Piece) -> bool {
    match piece.kind {
        Kind::Operator | Kind::Open | Kind::Comma => true,
        Kind::Word => BEFORE_VALUE.contains(&piece.text),
        _ => false,
    }
}

fn needs_space(pieces: &[Piece], last: usize, at: usize) -> bool {
    let (before, piece) = (&pieces[last], &pieces[at]);
    match (before.text, piece.text) {
        ("{", "}") => return false,
        ("{", _) | (_, "}") => return true,
        (_, "," | ";" | ")" | "]" | ".") | ("(" | "[" | ".", _) => return false,
        ("," | ";", _) => return true,
        (_, ":") => return false,
        (":", _) => return !is_slice(pieces, last),
        (_, "..") => {
            return matches!(before.kind, Kind::Word) && BEFORE_VALUE.contains(&before.text);
        }
        (_, "{") => return true,
        _ => {}
    }
    if piece.kind != Kind::Open {
        return true;
    }
    match before.kind {
        Kind::Word if BY_SPACE.contains(&before.text) => !piece.touches,
        Kind::Word => BEFORE_VALUE.contains(&before.text),
        Kind::Operator => true,
        _ => false,
    }
}

/// A `:` directly in square brackets takes a part of an axis; elsewhere it names or types.
fn is_slice(pieces: &[Piece], colon: usize) -> bool {
    pieces[colon].inside.is_some_and(|open| pieces[open].is("["))
}
