//! Signs under one another: the `=` and `<-` of neighbouring lines.
//!
//! Invariant: only lines of one kind in one block, with no empty line between, share a column; a very
//! long name stands alone, for it would push all others far out.

use std::collections::HashMap;

use super::pieces::{Break, Piece};
use crate::front::scan::Kind;

/// The longest name that shares its column.
const LONGEST: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Let,
    Member,
    Write,
}

/// A line that may take part: its sign, and how wide the text before that is.
struct Row {
    sort: Sort,
    sign: usize,
    width: usize,
}

/// Sets the padding of every sign.
pub fn pad(pieces: &mut [Piece]) {
    // What closes a block goes on with the line that opened it.
    let is_start = |piece: &Piece| piece.before == Break::Hard && !piece.is_comment() && piece.kind != Kind::Close;
    let starts: Vec<usize> = (0..pieces.len()).filter(|at| is_start(&pieces[*at])).collect();
    let mut runs: HashMap<usize, Vec<Row>> = HashMap::new();
    for (nth, start) in starts.iter().enumerate() {
        let Some(block) = pieces[*start].inside else {
            continue;
        };
        let end = starts.get(nth + 1).copied().unwrap_or(pieces.len());
        let row = row(pieces, *start, end);
        let apart = pieces[*start].blank || comment_apart(pieces, *start);
        let run = runs.entry(block).or_default();
        let sort = run.last().map(|last| last.sort);
        let joins = |row: &Row| !apart && sort.is_none_or(|sort| sort == row.sort);
        if !row.as_ref().is_some_and(joins) {
            settle(pieces, run);
        }
        run.extend(row);
    }
    runs.values_mut().for_each(|run| settle(pieces, run));
}

/// Whether an empty line stands above the comments over a line.
fn comment_apart(pieces: &[Piece], start: usize) -> bool {
    let above = pieces[..start].iter().rev();
    let mut own_line = above.take_while(|piece| piece.is_comment() && piece.before == Break::Hard);
    own_line.any(|piece| piece.blank)
}

fn settle(pieces: &mut [Piece], run: &mut Vec<Row>) {
    let widest = run.iter().map(|row| row.width).max().unwrap_or(0);
    for row in run.drain(..) {
        pieces[row.sign].padding = widest - row.width;
    }
}

fn row(pieces: &[Piece], start: usize, end: usize) -> Option<Row> {
    let block = pieces[start].inside?;
    let line = &pieces[start..end];
    let is_let = line[0].is("let");
    let name = usize::from(is_let);
    let sign = name + line[name..].iter().position(|piece| piece.is("=") || piece.is("<-"))?;
    let is_path = line[name..sign].iter().all(|piece| piece.kind == Kind::Word || piece.is("."));
    let sort = match (line[sign].text, is_let) {
        ("<-", _) => Sort::Write,
        (_, true) => Sort::Let,
        _ if in_body(pieces, block) => Sort::Member,
        _ => return None,
    };
    let broken = line[1..=sign].iter().any(|piece| piece.before != Break::None);
    if !is_path || broken || line[0].is("metric") {
        return None;
    }
    let spaces = line[1..sign].iter().filter(|piece| piece.spaced).count();
    let width = spaces + line[..sign].iter().map(|piece| piece.text.len()).sum::<usize>();
    if width > LONGEST + if is_let { "let ".len() } else { 0 } {
        return None;
    }
    Some(Row { sort, sign: start + sign, width })
}

/// Whether a block is the body of a module: its header starts with the word.
fn in_body(pieces: &[Piece], block: usize) -> bool {
    let header = pieces[..block].iter().rposition(|piece| piece.before == Break::Hard);
    header.is_some_and(|start| matches!(pieces[start].text, "module" | "model" | "train"))
}
