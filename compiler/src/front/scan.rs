//! Characters to tokens, comments and newlines included.
//!
//! Invariant: tokens are in order, do not overlap, and leave out nothing but spaces, so the source can
//! be rebuilt from them. Scanning never fails: what means nothing is an `Unknown` token.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Word,
    Number,
    /// A closed string, quotes included.
    Text,
    /// A string that its line ends without closing.
    OpenText,
    Operator,
    Open,
    Close,
    Comma,
    Newline,
    /// From `//` to the end of the line.
    Comment,
    /// From `//!` to the end of the line.
    Doc,
    /// Something that other languages know and this one does not: `**`, `# comment`, `'text'`.
    Foreign,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    pub fn text(self, source: &str) -> &str {
        &source[self.range()]
    }

    /// Whether the token takes part in the grammar.
    pub fn is_code(self) -> bool {
        !matches!(self.kind, Kind::Newline | Kind::Comment | Kind::Doc)
    }
}

/// Operators of the language, and those of others that would otherwise be read as two of ours;
/// longer ones first.
const OPERATORS: &[(&str, Kind)] = &[
    ("...", Kind::Foreign),
    ("===", Kind::Foreign),
    ("<-", Kind::Operator),
    ("->", Kind::Operator),
    ("|>", Kind::Operator),
    ("..", Kind::Operator),
    ("==", Kind::Operator),
    ("!=", Kind::Operator),
    ("<=", Kind::Operator),
    (">=", Kind::Operator),
    ("**", Kind::Foreign),
    ("&&", Kind::Foreign),
    ("||", Kind::Foreign),
    (":=", Kind::Foreign),
    ("+=", Kind::Foreign),
    ("-=", Kind::Foreign),
    ("*=", Kind::Foreign),
    ("/=", Kind::Foreign),
    ("=>", Kind::Foreign),
    ("::", Kind::Foreign),
    ("<>", Kind::Foreign),
    ("<<", Kind::Foreign),
    (">>", Kind::Foreign),
    ("!", Kind::Foreign),
    ("@", Kind::Foreign),
    ("&", Kind::Foreign),
    ("|", Kind::Foreign),
    ("~", Kind::Foreign),
    ("+", Kind::Operator),
    ("-", Kind::Operator),
    ("*", Kind::Operator),
    ("/", Kind::Operator),
    ("%", Kind::Operator),
    ("^", Kind::Operator),
    ("<", Kind::Operator),
    (">", Kind::Operator),
    ("=", Kind::Operator),
    (":", Kind::Operator),
    (".", Kind::Operator),
    (";", Kind::Operator),
    ("(", Kind::Open),
    ("[", Kind::Open),
    ("{", Kind::Open),
    (")", Kind::Close),
    ("]", Kind::Close),
    ("}", Kind::Close),
    (",", Kind::Comma),
    ("\n", Kind::Newline),
];

/// Every token of the text.
pub fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first != '\n' && first.is_whitespace() || first == '\u{feff}' {
            at += first.len_utf8();
            continue;
        }
        let (kind, len) = token(&text[at..], first);
        tokens.push(Token { kind, start: at, end: at + len });
        at += len;
    }
    tokens
}

fn token(rest: &str, first: char) -> (Kind, usize) {
    if rest.starts_with("//!") {
        return (Kind::Doc, line(rest));
    }
    if rest.starts_with("//") {
        return (Kind::Comment, line(rest));
    }
    if rest.starts_with("/*") {
        return (Kind::Foreign, through(rest, "/*", "*/"));
    }
    if rest.starts_with("\"\"\"") {
        return (Kind::Foreign, through(rest, "\"\"\"", "\"\"\""));
    }
    match first {
        'a'..='z' | 'A'..='Z' | '_' => (Kind::Word, run(rest, is_word)),
        '0'..='9' => (Kind::Number, number(rest)),
        '"' => string(rest),
        '\'' => match quoted(rest, '\'') {
            Some(len) => (Kind::Foreign, len),
            None => (Kind::Unknown, 1),
        },
        '#' => (Kind::Foreign, line(rest)),
        _ => match OPERATORS.iter().find(|(op, _)| rest.starts_with(op)) {
            Some((op, kind)) => (*kind, op.len()),
            None if first.is_alphanumeric() => (Kind::Unknown, run(rest, char::is_alphanumeric)),
            None => (Kind::Unknown, first.len_utf8()),
        },
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn run(rest: &str, accept: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !accept(c)).unwrap_or(rest.len())
}

fn line(rest: &str) -> usize {
    let len = run(rest, |c| c != '\n');
    rest[..len].trim_end().len()
}

fn through(rest: &str, open: &str, close: &str) -> usize {
    let inner = &rest[open.len()..];
    let end = inner.find(close).map(|at| at + close.len());
    open.len() + end.unwrap_or(inner.len())
}

/// Digits, a fraction where a digit follows the point, an exponent; letters that cling to it belong to
/// it too, so that `3x` is one wrong number.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut len = run(rest, is_word);
    if bytes.get(len) == Some(&b'.') && is_digit(len + 1) && !rest[..len].contains(['e', 'E']) {
        len += 1 + run(&rest[len + 1..], is_word);
    }
    let exponent_sign = matches!(bytes.get(len), Some(b'+' | b'-'))
        && matches!(bytes[len - 1], b'e' | b'E')
        && is_digit(len + 1)
        && !rest.starts_with("0x");
    if exponent_sign {
        len += 1 + run(&rest[len + 1..], is_word);
    }
    len
}

fn string(rest: &str) -> (Kind, usize) {
    match quoted(rest, '"') {
        Some(len) => (Kind::Text, len),
        None => (Kind::OpenText, open_text(rest)),
    }
}

/// Brackets and commas that end the line were likely meant to stand after the quote that is missing.
fn open_text(rest: &str) -> usize {
    let text = rest[..line(rest)].trim_end_matches(|c: char| c.is_whitespace() || ")]}{,".contains(c));
    text.len().max(1)
}

/// The length of the quoted text that `rest` starts with, if its line closes it.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let each = |token: Token| format!("{:?} {}", token.kind, token.text(text));
        scan(text).into_iter().map(each).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn numbers_stop_before_ranges_and_slices() {
        assert_eq!(shown("0..2"), "Number 0, Operator .., Number 2");
        assert_eq!(shown("1.5e-4+x"), "Number 1.5e-4, Operator +, Word x");
        assert_eq!(shown("1e5-2"), "Number 1e5, Operator -, Number 2");
        assert_eq!(shown("10_000:2.x"), "Number 10_000, Operator :, Number 2, Operator ., Word x");
        assert_eq!(shown("3x"), "Number 3x");
    }

    #[test]
    fn the_arrow_is_one_token() {
        assert_eq!(shown("x<-1"), "Word x, Operator <-, Number 1");
        assert_eq!(shown("a |>f"), "Word a, Operator |>, Word f");
    }

    #[test]
    fn strings_end_with_their_line_and_hide_comments() {
        assert_eq!(shown(r#""a // \" b" c"#), r#"Text "a // \" b", Word c"#);
        assert_eq!(shown("\"abc\nx").replace('\n', "␤"), "OpenText \"abc, Newline ␤, Word x");
        assert_eq!(shown("x // é \""), "Word x, Comment // é \"");
    }

    #[test]
    fn nothing_but_spaces_is_left_out() {
        let text = "f(x) é§ 'a' #c\n\"\"\"d\ne\"\"\" /* f */ \r\n\t`?";
        let mut at = 0;
        for token in scan(text) {
            assert!(text[at..token.start].trim().is_empty());
            assert!(token.end > token.start);
            at = token.end;
        }
        assert!(text[at..].trim().is_empty());
    }
}
