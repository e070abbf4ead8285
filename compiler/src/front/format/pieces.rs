//! The source as pieces: tokens and comments, and whether each starts a line.
//!
//! Invariant: a piece starts a line when the author put it on a new one, or when its block has more
//! than one line; `Hard` before the first piece of a statement, `Soft` inside one.

use super::spacing;
use crate::diag::FileId;
use crate::front::brackets::match_brackets;
use crate::front::layout::statement_ends;
use crate::front::scan::{Kind, scan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    None,
    Soft,
    Hard,
}

#[derive(Clone, Debug)]
pub struct Piece<'a> {
    pub text: &'a str,
    pub kind: Kind,
    pub before: Break,
    /// Whether an empty line stands before it.
    pub blank: bool,
    /// Whether the author left no space between it and the piece before.
    pub touches: bool,
    /// The open bracket it lies in; a closing bracket lies where its opening one does.
    pub inside: Option<usize>,
    /// For an opening bracket, the piece that closes it, and the other way round.
    pub partner: Option<usize>,
    /// For a `{`, whether its content has lines of its own.
    pub has_lines: bool,
    /// Whether a space stands before it within a line.
    pub spaced: bool,
    /// More spaces before it, to align it with the lines around.
    pub padding: usize,
}

impl Piece<'_> {
    pub fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::Comment | Kind::Doc)
    }

    pub fn is(&self, text: &str) -> bool {
        self.text == text && !self.is_comment()
    }
}

/// The pieces of a text that parses.
pub fn take_apart(text: &str) -> Vec<Piece<'_>> {
    let tokens = scan(text);
    let brackets = match_brackets(FileId(0), text, &tokens);
    let ends = statement_ends(text, &tokens, &brackets);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut piece_of = vec![None; tokens.len()];
    let (mut newlines, mut ended, mut end) = (0, false, 0);
    for (at, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Newline {
            newlines += 1;
            ended |= ends[at];
            end = token.end;
            continue;
        }
        piece_of[at] = Some(pieces.len());
        let before = match newlines {
            0 => Break::None,
            _ if ended => Break::Hard,
            _ => Break::Soft,
        };
        pieces.push(Piece {
            text: token.text(text),
            kind: token.kind,
            before,
            blank: newlines > 1 && ended,
            touches: token.start == end,
            inside: brackets.inside[at].and_then(|open| piece_of[open]),
            partner: None,
            has_lines: false,
            spaced: false,
            padding: 0,
        });
        (newlines, ended, end) = (0, false, token.end);
    }
    for (open, close) in brackets.closed_by.iter().enumerate() {
        let close = close.and_then(|close| piece_of[close]);
        if let (Some(open), Some(close)) = (piece_of[open], close) {
            pieces[open].partner = Some(close);
            pieces[close].partner = Some(open);
        }
    }
    settle_blocks(&mut pieces);
    settle_brackets(&mut pieces);
    join_lines(&mut pieces);
    spacing::space(&mut pieces);
    pieces
}

/// A block with any line break of its own, or a block of lines directly in it, starts and ends its
/// content on new lines.
fn settle_blocks(pieces: &mut [Piece]) {
    for at in (0..pieces.len()).rev() {
        let closes = pieces[at].kind == Kind::Close;
        let block = if closes { pieces[at].partner } else { pieces[at].inside };
        if let Some(open) = block.filter(|open| pieces[*open].is("{")) {
            pieces[open].has_lines |= pieces[at].before != Break::None || pieces[at].has_lines;
        }
    }
    for open in 0..pieces.len() {
        if pieces[open].has_lines {
            open_up(pieces, open);
        }
    }
}

/// Gives a block lines of its own.
pub fn open_up(pieces: &mut [Piece], open: usize) {
    let Some(close) = pieces[open].partner else {
        return;
    };
    pieces[open].has_lines = true;
    let first = &mut pieces[open + 1];
    if !(first.is_comment() && first.before == Break::None) {
        first.before = Break::Hard;
    }
    first.blank = false;
    pieces[close].before = Break::Hard;
    pieces[close].blank = false;
}

/// A round or square bracket closes on a line of its own exactly when its content starts on one.
fn settle_brackets(pieces: &mut [Piece]) {
    for open in 0..pieces.len() {
        let Some(close) = pieces[open].partner.filter(|close| open + 1 < *close) else {
            continue;
        };
        if pieces[open].is("{") {
            continue;
        }
        let content = pieces[open + 1..close].iter().find(|piece| !piece.is_comment());
        let hangs = content.is_some_and(|piece| piece.before != Break::None);
        if hangs || !pieces[close - 1].is_comment() {
            pieces[close].before = if hangs { Break::Soft } else { Break::None };
        }
    }
}

/// Breaks that no layout has: before `else`, and around `..`, which reads badly at a line's edge.
fn join_lines(pieces: &mut [Piece]) {
    for at in 1..pieces.len() {
        let (before, piece) = (&pieces[at - 1], &pieces[at]);
        let joins = piece.is("else") || piece.is("..") && !matches!(before.kind, Kind::Comma | Kind::Open);
        if joins && piece.before == Break::Soft && !before.is_comment() {
            pieces[at].before = Break::None;
        }
    }
    if let Some(first) = pieces.first_mut() {
        first.before = Break::Hard;
        first.blank = false;
    }
}
