//! A position in the text of a kernel, with what the grammar is made of.
//!
//! Invariant: the position is on a character boundary.

use tilewright_runtime::program::size::{DimParser, ParseError};

use crate::graph::Dim;
use crate::kernel::types::Literal;

pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space and comments; gives the place of what follows.
    pub fn place(&mut self) -> usize {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return self.at;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Takes `token` if it comes next; a token that is a word must end there.
    pub fn eat(&mut self, token: &str) -> bool {
        self.place();
        let Some(after) = self.rest().strip_prefix(token) else { return false };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // `x` separates extents, as in `6x64`, and is the one word that may run into what follows.
        if token != "x" && token.ends_with(is_word) && after.starts_with(is_word) {
            return false;
        }
        self.at += token.len();
        true
    }

    pub fn peek(&mut self, token: &str) -> bool {
        self.place();
        self.rest().starts_with(token)
    }

    /// Returns to a place that `place` gave.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(format!("expected `{token}`"))) }
    }

    pub fn expect_end(&mut self) -> Result<(), ParseError> {
        self.place();
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("unexpected text after the kernel")) }
    }

    /// A name or a keyword: letters, digits, `_` and `.`, not starting with a digit or a dot.
    pub fn word(&mut self) -> Result<&'a str, ParseError> {
        self.place();
        let rest = self.rest();
        let length = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
        if !is_name(&rest[..length]) {
            return Err(self.error("expected a word"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// An integer, perhaps negative.
    pub fn integer(&mut self) -> Result<i64, ParseError> {
        self.place();
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let number = &rest[..length + rest.len() - digits.len()];
        let value = number.parse().map_err(|_| self.error("expected an integer that fits 64 bits"))?;
        self.at += number.len();
        Ok(value)
    }

    /// An integer after its minus sign, which spaces may follow.
    pub fn negative(&mut self) -> Result<i64, ParseError> {
        self.expect("-")?;
        self.integer()?.checked_neg().ok_or_else(|| self.error("an integer that is too large"))
    }

    pub fn unsigned(&mut self) -> Result<u64, ParseError> {
        self.place();
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let value = rest[..length].parse().map_err(|_| self.error("expected an unsigned integer that fits 64 bits"))?;
        self.at += length;
        Ok(value)
    }

    pub fn literal(&mut self) -> Result<Literal, ParseError> {
        self.place();
        let rest = self.rest();
        let in_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
        let number = &rest[..rest.find(|c: char| !in_number(c)).unwrap_or(rest.len())];
        let parsed = match number.parse::<i64>() {
            Ok(value) => Some(Literal::Int(value)),
            Err(_) => number.parse::<f64>().ok().map(Literal::float),
        };
        let literal = parsed.ok_or_else(|| self.error("expected a number"))?;
        self.at += number.len();
        Ok(literal)
    }

    pub fn dim(&mut self) -> Result<Dim, ParseError> {
        let mut parser = DimParser::new(self.text, self.place());
        let parsed = parser.parse();
        self.at = parser.at;
        parsed.map_err(|error| self.error_at(error.at, error.message))
    }

    pub fn error(&mut self, message: impl Into<String>) -> ParseError {
        let at = self.place();
        self.error_at(at, message)
    }

    pub fn error_at(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, at, message)
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Whether a kernel, buffer or local can have this name.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_name_char)
}
