//! Which newlines end a statement.
//!
//! Invariant: the laid-out text has exactly the length of the source, so every offset means the same
//! place in both. In it comments are spaces, and so is every newline that does not end a statement:
//! the grammar then needs no rule about lines but "a newline separates".

use super::brackets::Brackets;
use super::habits::Repairs;
use super::scan::{Kind, Token};

/// Operators that need something on their right, so a line that ends in one goes on.
const UNFINISHED: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "=", "<-", "->", "|>", "..", ".", ":", ",", "and",
    "or", "not", "in", "where", "carry", "else",
];

/// What goes on with the line before wherever it starts a line: no statement starts so.
const CONTINUES: &[&str] = &["|>", ".", "->", "and", "or", "in", "where", "carry", "else"];

/// What goes on with the line before when a space follows: `- x` subtracts, `-x` is a new value.
const CONTINUES_SPACED: &[&str] = &["+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "=", "<-", ".."];

/// For each token, whether it is a newline that ends a statement.
pub fn statement_ends(text: &str, tokens: &[Token], brackets: &Brackets) -> Vec<bool> {
    let mut ends = vec![false; tokens.len()];
    let mut lines = Lines { text, tokens, starts: vec![None] };
    let mut last: Option<usize> = None;
    for at in (0..tokens.len()).filter(|at| tokens[*at].is_code()) {
        let gap = last.map_or(0, |last| last + 1)..at;
        let mut newlines = gap.filter(|at| tokens[*at].kind == Kind::Newline).peekable();
        let restart = brackets.restarts.binary_search(&at).is_ok();
        if restart {
            newlines.for_each(|newline| ends[newline] = true);
            lines.starts = vec![None];
        } else if let Some(newline) = newlines.peek()
            && lines.separates(brackets.inside[*newline])
            && !last.is_some_and(|last| lines.goes_on(last, at))
        {
            newlines.for_each(|newline| ends[newline] = true);
            lines.end();
        }
        lines.take(at);
        last = Some(at);
    }
    // What follows the last token separates nothing, but ends it.
    for newline in last.map_or(0, |last| last + 1)..tokens.len() {
        ends[newline] = tokens[newline].kind == Kind::Newline;
    }
    ends
}

struct Lines<'a> {
    text: &'a str,
    tokens: &'a [Token],
    /// In each open block, the first token of the current statement.
    starts: Vec<Option<usize>>,
}

impl<'a> Lines<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.tokens[at].text(self.text)
    }

    /// Whether newlines count in this bracket: in blocks and outside of all they do.
    fn separates(&self, inside: Option<usize>) -> bool {
        inside.is_none_or(|open| self.word(open) == "{")
    }

    /// Whether the statement of `last` goes on with `next`, which is on a later line.
    fn goes_on(&self, last: usize, next: usize) -> bool {
        if self.word(last) == "{" {
            return false;
        }
        UNFINISHED.contains(&self.word(last))
            || self.ends_in_update_word(last)
            || CONTINUES.contains(&self.word(next))
            || CONTINUES_SPACED.contains(&self.word(next)) && self.is_spaced(next)
            || self.starts_update(next)
    }

    fn is_spaced(&self, at: usize) -> bool {
        let rest = &self.text[self.tokens[at].end..];
        rest.is_empty() || rest.starts_with(char::is_whitespace)
    }

    /// `over` and `using` belong to a `minimize` only: elsewhere they are names.
    fn in_minimize(&self) -> bool {
        let start = self.starts.last().copied().flatten();
        start.is_some_and(|start| self.word(start) == "minimize")
    }

    fn starts_update(&self, at: usize) -> bool {
        let follows = self.tokens.get(at + 1).map(|token| token.text(self.text));
        self.in_minimize() && matches!(self.word(at), "over" | "using") && !matches!(follows, Some("=" | "<-"))
    }

    fn ends_in_update_word(&self, at: usize) -> bool {
        self.in_minimize() && matches!(self.word(at), "over" | "using")
    }

    fn take(&mut self, at: usize) {
        match self.word(at) {
            "}" if self.starts.len() > 1 => {
                self.starts.pop();
            }
            word => {
                if let Some(start) = self.starts.last_mut() {
                    start.get_or_insert(at);
                }
                if word == "{" {
                    self.starts.push(None);
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(start) = self.starts.last_mut() {
            *start = None;
        }
    }
}

/// The text for the grammar: see the head of this file. `repairs` stand in for tokens that the
/// grammar could not read; none is longer than what it replaces.
pub fn lay_out(text: &str, tokens: &[Token], ends: &[bool], repairs: &Repairs) -> String {
    let mut laid_out = String::with_capacity(text.len());
    for (at, token) in tokens.iter().enumerate() {
        pad(&mut laid_out, token.start);
        match repairs.get(&at) {
            Some(repair) => laid_out += repair,
            None if token.kind == Kind::Newline && ends[at] => laid_out.push('\n'),
            None if token.is_code() => laid_out += token.text(text),
            None => {}
        }
    }
    pad(&mut laid_out, text.len());
    laid_out
}

fn pad(text: &mut String, to: usize) {
    text.extend(std::iter::repeat_n(' ', to.saturating_sub(text.len())));
}
