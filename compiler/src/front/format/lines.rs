//! Pieces to lines: indents, further breaks where a line is too wide, comments in a column.
//!
//! Invariant: a line inside brackets starts under what its bracket starts with, or one step in where
//! the bracket ends its line. Breaking a line again changes nothing, so the result is stable.

use std::cmp::Reverse;

use super::pieces::{Break, Piece, open_up};
use super::{COMMENT_COLUMN, WIDTH};
use crate::front::scan::Kind;

const STEP: usize = 4;

/// Operators that a line may be broken before, from loosest to tightest.
const OPERATORS: &[&[&str]] = &[&["or"], &["and"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"]];

#[derive(Default)]
struct Line {
    text: String,
    comment: Option<String>,
    blank: bool,
}

/// The whole text.
pub fn write(pieces: &mut [Piece]) -> String {
    let mut writer = Writer {
        places: vec![Place::default(); pieces.len()],
        indents: Vec::new(),
        lasts: Vec::new(),
        statement: 0,
        statement_indent: 0,
        pieces,
    };
    let mut lines = Vec::new();
    let mut start = 0;
    while start < writer.pieces.len() {
        let end = writer.end(start);
        lines.push(writer.line(start, end));
        start = end;
    }
    join(lines)
}

/// Where a piece is written.
#[derive(Clone, Copy, Default)]
struct Place {
    line: usize,
    column: usize,
    /// For a `{`, the indent of what it belongs to: the statement, or the line where it stands in other
    /// brackets.
    base: usize,
}

struct Writer<'p, 'a> {
    pieces: &'p mut [Piece<'a>],
    places: Vec<Place>,
    /// For each line so far, its indent and its last piece of code.
    indents: Vec<usize>,
    lasts: Vec<usize>,
    /// The first piece of the statement being written, and its indent.
    statement: usize,
    statement_indent: usize,
}

impl Writer<'_, '_> {
    /// Places the pieces of the line that starts here, to the author's break or to where it gets too
    /// wide; where the line ends.
    fn end(&mut self, start: usize) -> usize {
        let indent = self.indent(start);
        if self.pieces[start].before == Break::Hard {
            (self.statement, self.statement_indent) = (start, indent);
        }
        let mut breaks = Vec::new();
        let mut column = indent;
        for at in start..self.pieces.len() {
            if at > start {
                if self.pieces[at].before != Break::None {
                    return at;
                }
                if self.may_break(at) {
                    breaks.push(at);
                }
                column += usize::from(self.pieces[at].spaced) + self.pieces[at].padding;
            }
            self.place(at, column, indent);
            let piece = &self.pieces[at];
            column += piece.text.chars().count();
            if column > WIDTH && !piece.is_comment() && !breaks.is_empty() {
                let end = self.best(&breaks, at);
                match self.pieces[end - 1].is("{") {
                    true => open_up(self.pieces, end - 1),
                    false => self.pieces[end].before = Break::Soft,
                }
                return end;
            }
        }
        self.pieces.len()
    }

    fn place(&mut self, at: usize, column: usize, indent: usize) {
        let outer = self.pieces[at].inside;
        let bracketed = outer.is_some_and(|outer| !self.pieces[outer].is("{"));
        self.places[at] =
            Place { line: self.indents.len(), column, base: if bracketed { indent } else { self.statement_indent } };
    }

    fn indent(&self, start: usize) -> usize {
        let piece = &self.pieces[start];
        let closes = piece.kind == Kind::Close;
        let open = if closes { piece.partner } else { piece.inside };
        let Some(open) = open else {
            return self.continued(start, 0);
        };
        let place = self.places[open];
        if self.pieces[open].is("{") {
            return match closes {
                true => place.base,
                false => self.continued(start, place.base + STEP),
            };
        }
        if self.lasts[place.line] == open {
            return self.indents[place.line] + if closes { 0 } else { STEP };
        }
        place.column + usize::from(!closes)
    }

    /// The indent of a line outside of round and square brackets.
    fn continued(&self, start: usize, indent: usize) -> usize {
        let piece = &self.pieces[start];
        match piece.before {
            Break::Hard => indent,
            _ if piece.is("where") => indent + 2 * STEP,
            _ if self.in_list(start) => indent,
            _ => indent + STEP,
        }
    }

    /// Names of a `use` and turns of a schedule stand under one another.
    fn in_list(&self, at: usize) -> bool {
        let open = self.pieces[at].inside;
        open.is_some_and(|open| {
            let after_word = open.checked_sub(1).is_some_and(|word| self.pieces[word].is("loop"));
            let comma = self.pieces[..at].iter().rev().find(|piece| !piece.is_comment());
            (after_word || self.pieces[open].is("{")) && comma.is_some_and(|piece| piece.is(","))
        })
    }

    /// The best place to break a line that gets too wide at `last`: in the outermost, then longest bracket that has a place
    /// early enough, the last such place; else the first there is. Before an operator rather than in a bracket that is
    /// closed by then, or in an index.
    fn best(&self, breaks: &[usize], last: usize) -> usize {
        let is_closed = |at: usize| self.bracket(at).is_some_and(|(_, close)| close < last);
        let divides = |at: usize| self.operator(at).filter(|_| !is_closed(at));
        let fits = |at: &&usize| self.width(**at) <= WIDTH;
        let has_operator = breaks.iter().filter(fits).any(|at| divides(*at).is_some());
        let is_worse = |at: usize| is_closed(at) || self.bracket(at).is_some_and(|(open, _)| self.touches_value(open));
        let rank = |at: &usize| {
            // A block is opened up at the level of what it belongs to.
            let level = if self.pieces[at - 1].is("{") { at - 1 } else { *at };
            let class = match (divides(*at), self.operator(*at)) {
                (Some(looseness), _) => (1, looseness),
                (None, Some(_)) => (3, 0),
                (None, None) => (if has_operator && is_worse(*at) { 2 } else { 0 }, 0),
            };
            let extent = self.bracket(*at).map_or(0, |(open, close)| close - open);
            (class.0, self.depth(level), class.1, Reverse(extent), Reverse(*at))
        };
        let best = breaks.iter().filter(fits).min_by_key(|at| rank(at));
        *best.unwrap_or(&breaks[0])
    }

    /// The round or square bracket around a piece, and where it closes.
    fn bracket(&self, at: usize) -> Option<(usize, usize)> {
        let open = self.pieces[at].inside.filter(|open| !self.pieces[*open].is("{"))?;
        Some((open, self.pieces[open].partner.unwrap_or(open)))
    }

    /// Whether a `[` indexes what it touches, or gives the shape of an element type.
    fn touches_value(&self, open: usize) -> bool {
        let value = open.checked_sub(1).map(|before| self.pieces[before].kind);
        self.pieces[open].is("[") && !self.pieces[open].spaced && matches!(value, Some(Kind::Word | Kind::Close))
    }

    /// How tightly an operator between two values binds; a line that starts with one goes on with the line before.
    fn operator(&self, at: usize) -> Option<usize> {
        let between = self.pieces[at].spaced && self.pieces.get(at + 1).is_some_and(|next| next.spaced);
        let level = OPERATORS.iter().position(|level| level.contains(&self.pieces[at].text));
        level.filter(|_| between && !self.pieces[at].is_comment())
    }

    /// The column after the piece before `end`.
    fn width(&self, end: usize) -> usize {
        let last = end - 1;
        self.places[last].column + self.pieces[last].text.chars().count()
    }

    fn may_break(&self, at: usize) -> bool {
        let (before, piece) = (&self.pieces[at - 1], &self.pieces[at]);
        if piece.kind == Kind::Close || piece.is_comment() {
            return false;
        }
        let in_lines = |at: usize| match self.pieces[at].inside.map(|open| &self.pieces[open]) {
            Some(open) => open.is("{") && open.has_lines,
            None => true,
        };
        if before.is("{") && !before.has_lines {
            return in_lines(at - 1);
        }
        if in_lines(at) {
            let update = piece.is("over") && self.pieces[self.statement].is("minimize");
            return before.is(",") || piece.is("where") || piece.is("|>") || update || self.operator(at).is_some();
        }
        let open = piece.inside.map(|open| &self.pieces[open]);
        let bracket = open.filter(|open| !open.is("{"));
        let goes_on = before.is(",") || self.operator(at).is_some();
        bracket.is_some_and(|open| goes_on || piece.is("for") && open.is("["))
    }

    fn depth(&self, at: usize) -> usize {
        let outer = |at: &usize| self.pieces[*at].inside;
        std::iter::successors(self.pieces[at].inside, outer).count()
    }

    /// Writes a line whose columns are settled.
    fn line(&mut self, start: usize, end: usize) -> Line {
        let mut line =
            Line { blank: self.pieces[start].blank && self.pieces[start].before == Break::Hard, ..Line::default() };
        for at in start..end {
            let piece = &self.pieces[at];
            if at > start && piece.is_comment() {
                line.comment = Some(piece.text.to_owned());
                break;
            }
            let width = line.text.chars().count();
            line.text.extend(std::iter::repeat_n(' ', self.places[at].column - width));
            line.text += piece.text;
        }
        let code = (start..end).rev().find(|at| !self.pieces[*at].is_comment());
        self.indents.push(self.places[start].column);
        self.lasts.push(code.unwrap_or(start));
        line
    }
}

/// Comments after code on neighbouring lines start in one column.
fn join(lines: Vec<Line>) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < lines.len() {
        let run = lines[at..].iter().take_while(|line| line.comment.is_some()).count().max(1);
        let widths = lines[at..at + run].iter().map(|line| line.text.chars().count() + 2);
        let column = widths.max().unwrap_or(0).max(COMMENT_COLUMN);
        for line in &lines[at..at + run] {
            if line.blank && !text.is_empty() {
                text.push('\n');
            }
            text += &line.text;
            if let Some(comment) = &line.comment {
                let gap = column - line.text.chars().count();
                text.extend(std::iter::repeat_n(' ', gap));
                text += comment;
            }
            text.push('\n');
        }
        at += run;
    }
    text
}
