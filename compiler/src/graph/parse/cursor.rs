//! The lexical layer of the text form: words, numbers, strings and sizes, with places for errors.
//!
//! Invariant: `at` is always a character boundary inside the text, and every read moves it forward or fails.

use tilewright_runtime::program::size::{DimParser, ParseError};

use crate::graph::Dim;

pub type Parsed<T> = Result<T, ParseError>;

pub struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        self.error_at(self.at, message)
    }

    pub fn error_at<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::at(self.text, at, message))
    }

    /// Skips white space and comments.
    pub fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            self.at += rest.len() - trimmed.len();
            match trimmed.starts_with("//") {
                true => self.at += trimmed.find('\n').unwrap_or(trimmed.len()),
                false => return,
            }
        }
    }

    /// Eats a token that stands before any comment.
    pub fn eat_before_comment(&mut self, token: &str) -> bool {
        let trimmed = self.rest().trim_start_matches([' ', '\t', '\r', '\n']);
        trimmed.starts_with(token) && self.eat(token)
    }

    /// The comment that ends this line, if nothing else is left on it.
    pub fn line_comment(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let comment = trimmed.strip_prefix("//")?;
        let end = comment.find('\n').unwrap_or(comment.len());
        self.at += rest.len() - trimmed.len() + 2 + end;
        Some(comment[..end].trim())
    }

    pub fn is_at_end(&mut self) -> bool {
        self.skip();
        self.at == self.text.len()
    }

    pub fn peek(&mut self, token: &str) -> bool {
        self.skip();
        self.rest().starts_with(token)
    }

    pub fn eat(&mut self, token: &str) -> bool {
        let found = self.peek(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    pub fn expect(&mut self, token: &str) -> Parsed<()> {
        match self.eat(token) {
            true => Ok(()),
            false => self.error(format!("expected `{token}`{}", self.found())),
        }
    }

    fn found(&self) -> String {
        match self.rest().chars().next() {
            Some(c) if !c.is_control() => format!(", found `{c}`"),
            Some(_) => String::new(),
            None => ", found the end of the text".to_string(),
        }
    }

    /// A word is eaten only whole: `where` is not found in `wherever`.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let start = self.at;
        let found = self.word().is_some_and(|found| found == word);
        self.at = if found { self.at } else { start };
        found
    }

    pub fn word(&mut self) -> Option<&'a str> {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        self.at += end;
        (end > 0).then(|| &rest[..end])
    }

    pub fn expect_word(&mut self, what: &str) -> Parsed<&'a str> {
        match self.word() {
            Some(word) => Ok(word),
            None => self.error(format!("expected {what}{}", self.found())),
        }
    }

    /// A number as it is written, sign included.
    fn number_text(&mut self) -> &'a str {
        self.skip();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let mut end = sign;
        for c in rest[sign..].chars() {
            let exponent_sign = end > sign && matches!(c, '-' | '+') && matches!(rest.as_bytes()[end - 1], b'e' | b'E');
            if !(c.is_ascii_alphanumeric() || c == '.' || exponent_sign) {
                break;
            }
            end += c.len_utf8();
        }
        self.at += end;
        &rest[..end]
    }

    pub fn int(&mut self) -> Parsed<i64> {
        self.skip();
        let start = self.at;
        match self.number_text().parse() {
            Ok(value) => Ok(value),
            Err(_) => self.error_at(start, "expected an integer of 64 bits"),
        }
    }

    pub fn count(&mut self) -> Parsed<usize> {
        self.skip();
        let start = self.at;
        match self.int().map(usize::try_from) {
            Ok(Ok(value)) => Ok(value),
            _ => self.error_at(start, "expected a number that is not negative"),
        }
    }

    pub fn float(&mut self) -> Parsed<f64> {
        self.float_by(|text| text.parse().ok())
    }

    /// A float of 32 bits, rounded once from its decimal form.
    pub fn float32(&mut self) -> Parsed<f64> {
        self.float_by(|text| text.parse::<f32>().ok().map(f64::from))
    }

    fn float_by(&mut self, read: impl Fn(&str) -> Option<f64>) -> Parsed<f64> {
        self.skip();
        let start = self.at;
        let text = self.number_text();
        if text == "nan" && self.rest().starts_with('(') {
            return self.nan_bits();
        }
        match text {
            "nan" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ if text.bytes().any(|b| b.is_ascii_digit()) && read(text).is_some_and(f64::is_finite) => {
                Ok(read(text).unwrap_or_default())
            }
            _ => self.error_at(start, "expected a number that is representable, inf, -inf or nan"),
        }
    }

    fn nan_bits(&mut self) -> Parsed<f64> {
        self.expect("(")?;
        let start = self.at;
        let digits = self.number_text().strip_prefix("0x").unwrap_or("");
        self.expect(")")?;
        match u64::from_str_radix(digits, 16).map(f64::from_bits) {
            Ok(value) if value.is_nan() => Ok(value),
            _ => self.error_at(start, "expected the bits of a NaN, such as 0x7ff8000000000001"),
        }
    }

    pub fn string(&mut self) -> Parsed<String> {
        self.skip();
        let start = self.at;
        if !self.eat("\"") {
            return self.error(format!("expected a string in quotes{}", self.found()));
        }
        let mut value = String::new();
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(value),
                '\n' => break,
                '\\' => value.push(self.escape()?),
                c => value.push(c),
            }
        }
        self.error_at(start, "a string that does not end on its line")
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return self.error("an escape that does not end") };
        self.at += c.len_utf8();
        match c {
            '"' | '\\' => return Ok(c),
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'u' if self.rest().starts_with('{') => {
                let digits = self.rest()[1..].split('}').next().unwrap_or("");
                let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                if let Some(code) = code.filter(|_| self.rest().len() > digits.len() + 1) {
                    self.at += digits.len() + 2;
                    return Ok(code);
                }
            }
            _ => {}
        }
        self.error_at(start, "expected one of the escapes \\\" \\\\ \\n \\t \\u{…}")
    }

    /// A word or a string.
    pub fn name(&mut self, what: &str) -> Parsed<String> {
        match self.peek("\"") {
            true => self.string(),
            false => Ok(self.expect_word(what)?.to_string()),
        }
    }

    pub fn dim(&mut self) -> Parsed<Dim> {
        self.skip();
        let mut parser = DimParser::new(self.text, self.at);
        match parser.parse() {
            Ok(dim) => {
                self.at = parser.at;
                Ok(dim)
            }
            Err(error) => self.error_at(error.at, error.message),
        }
    }

    /// Items between brackets, separated by commas.
    pub fn list<T>(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.eat(",") {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }
}
