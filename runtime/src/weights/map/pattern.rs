//! Names with numbers in them: `blocks.{i}.fc1.weight`, `layer{i+1}`.
//!
//! Invariant: a pattern matches a name in at most one way that it reports: digits are taken
//! greedily, and a number that occurs twice must be the same both times.

use std::fmt;
use std::str::FromStr;

/// What the variables of a pattern stand for.
pub type Numbers = Vec<(String, i64)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A variable's number plus an offset.
    Number {
        name: String,
        offset: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(pub String);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Number { name, offset: 0 } => write!(f, "{{{name}}}"),
            Piece::Number { name, offset } => write!(f, "{{{name}{offset:+}}}"),
        })
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad pattern: {}; write `{{i}}` or `{{i+1}}` for a number", self.0)
    }
}

impl std::error::Error for PatternError {}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            let close = after.find('}').ok_or_else(|| PatternError(format!("`{text}` has no `}}`")))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_string()));
            }
            pieces.push(number(&after[1..close])?);
            rest = &after[close + 1..];
        }
        if rest.contains('}') {
            return Err(PatternError(format!("`{text}` has a `}}` too many")));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_string()));
        }
        Ok(Pattern(pieces))
    }
}

fn number(text: &str) -> Result<Piece, PatternError> {
    let error = || PatternError(format!("`{{{text}}}` is no number"));
    let sign = text.find(['+', '-']).unwrap_or(text.len());
    let (name, offset) = text.split_at(sign);
    let name = name.trim();
    let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let offset: String = offset.chars().filter(|c| !c.is_whitespace()).collect();
    let offset = if offset.is_empty() { Ok(0) } else { offset.parse::<i32>() };
    match offset {
        Ok(offset) if named => Ok(Piece::Number { name: name.to_string(), offset: offset.into() }),
        _ => Err(error()),
    }
}

impl Pattern {
    /// The numbers with which this pattern is `name`.
    pub fn matches(&self, name: &str) -> Option<Numbers> {
        let mut numbers = Numbers::new();
        let mut rest = name;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Number { name, offset } => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let found = rest[..digits].parse::<i64>().ok()?;
                    // `007` and `7` would be two names for one thing.
                    if digits > 1 && rest.starts_with('0') {
                        return None;
                    }
                    let value = found.checked_sub(*offset)?;
                    match numbers.iter().find(|(known, _)| known == name) {
                        Some(&(_, known)) if known != value => return None,
                        Some(_) => {}
                        None => numbers.push((name.clone(), value)),
                    }
                    rest = &rest[digits..];
                }
            }
        }
        rest.is_empty().then_some(numbers)
    }

    /// The variables that matching gives a number, or that a name needs one of.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Number { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The name with these numbers; `None` if one is missing or comes out negative.
    pub fn with(&self, numbers: &Numbers) -> Option<String> {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Number { name: variable, offset } => {
                    let (_, value) = numbers.iter().find(|(known, _)| known == variable)?;
                    let value = value.checked_add(*offset).filter(|&value| value >= 0)?;
                    name.push_str(&value.to_string());
                }
            }
        }
        Some(name)
    }
}
