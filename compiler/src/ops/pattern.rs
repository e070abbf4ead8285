//! Patterns that name axes, after einops (Rogozhnikov, 2022): `b n (s h d) -> s b h n d`.
//!
//! Invariant: every item knows its offset in the text, so that an error can point at it. Text may be hostile: groups do
//! not nest, and nothing recurses.

use std::fmt;

use indexmap::IndexMap;

use crate::graph::{Call, Dim, OpError};

/// The operands' axes, separated by commas, and those of the result, after an arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub operands: Vec<Vec<Item>>,
    pub result: Option<Vec<Item>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub kind: Kind,
    /// The offset in the text, in bytes.
    pub at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An axis with a name.
    Name(String),
    /// An axis of size one, written `1`.
    One,
    /// Any number of axes, written `..`.
    Rest,
    /// Axes that are one axis of the tensor, the last of them fastest, written `(h w)`.
    Group(Vec<Item>),
    /// An axis that is indexed, written `[n]`.
    Indexed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pub at: usize,
    pub message: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.message, self.at)
    }
}

impl std::error::Error for PatternError {}

impl From<PatternError> for OpError {
    fn from(error: PatternError) -> OpError {
        OpError { at: Some(error.at), ..OpError::attr("pattern", error.message) }
    }
}

fn error<T>(at: usize, message: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError { at, message: message.into() })
}

/// Reads a pattern.
pub fn parse(text: &str) -> Result<Pattern, PatternError> {
    let (left, right) = match text.find("->") {
        Some(arrow) => (&text[..arrow], Some(arrow + 2)),
        None => (text, None),
    };
    let mut operands = Vec::new();
    let mut start = 0;
    for part in left.split(',') {
        operands.push(parse_axes(part, start)?);
        start += part.len() + 1;
    }
    let result = right.map(|start| parse_axes(&text[start..], start)).transpose()?;
    Ok(Pattern { operands, result })
}

fn parse_axes(text: &str, start: usize) -> Result<Vec<Item>, PatternError> {
    let mut items = Vec::new();
    // The group that is open, with the offset of its parenthesis.
    let mut group: Option<(usize, Vec<Item>)> = None;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let here = start + at;
        let rest = &text[at..];
        let (length, kind) = match next {
            _ if next.is_whitespace() => {
                at += next.len_utf8();
                continue;
            }
            '(' if group.is_some() => return error(here, "a group within a group"),
            '(' => {
                group = Some((here, Vec::new()));
                at += 1;
                continue;
            }
            ')' => match group.take() {
                Some((opened, axes)) => {
                    items.push(Item { kind: Kind::Group(axes), at: opened });
                    at += 1;
                    continue;
                }
                None => return error(here, "a `)` without its `(`"),
            },
            '[' => {
                let name = word(rest[1..].trim_start());
                let closed = rest[1..].trim_start()[name.len()..].trim_start();
                if name.is_empty() || !closed.starts_with(']') || group.is_some() {
                    return error(here, "an indexed axis is written `[name]`, outside groups");
                }
                (rest.len() - closed.len() + 1, Kind::Indexed(name.to_string()))
            }
            '.' if rest.starts_with("...") => (3, Kind::Rest),
            '.' if rest.starts_with("..") => (2, Kind::Rest),
            _ if !word(rest).is_empty() => (word(rest).len(), Kind::Name(word(rest).to_string())),
            '0'..='9' => match rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]) {
                "1" => (1, Kind::One),
                digits => return error(here, format!("`{digits}`: the only size in a pattern is 1; name the axis")),
            },
            _ => return error(here, format!("`{next}` has no meaning in a pattern")),
        };
        let item = Item { kind, at: here };
        group.as_mut().map_or(&mut items, |(_, axes)| axes).push(item);
        at += length;
    }
    match group {
        Some((opened, _)) => error(opened, "a `(` without its `)`"),
        None => Ok(items),
    }
}

/// The name at the start of a text, or nothing.
fn word(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

/// The names of axes that are all plain.
pub fn names(items: &[Item]) -> Result<Vec<String>, PatternError> {
    let name = |item: &Item| match &item.kind {
        Kind::Name(name) => Ok(name.clone()),
        _ => error(item.at, "only names of axes can stand here"),
    };
    items.iter().map(name).collect()
}

/// As [`names`], each of them once.
pub fn distinct_names(items: &[Item]) -> Result<Vec<String>, PatternError> {
    let all = names(items)?;
    match (1..all.len()).find(|&idx| all[..idx].contains(&all[idx])) {
        Some(idx) => error(items[idx].at, format!("`{}` stands here twice", all[idx])),
        None => Ok(all),
    }
}

/// What the names of the axes of `..` begin with, more than once where a written name does; a number follows, counted from
/// the last.
const REST: char = '_';

/// Writes `..` out as names, the same ones in every operand and in the result, aligned from the last.
pub fn write_out_rest(pattern: &mut Pattern, ranks: &[usize]) -> Result<(), PatternError> {
    let is_rest = |item: &Item| item.kind == Kind::Rest;
    let items = || pattern.operands.iter().chain(&pattern.result).flatten();
    let longest = items().map(underscores).max().unwrap_or(0);
    let rest = REST.to_string().repeat(longest + 1);
    let mut widest = 0;
    let mut write_out = |items: &mut Vec<Item>, n_axes: Option<usize>| {
        let Some(place) = items.iter().position(is_rest) else { return Ok(()) };
        if let Some(second) = items[place + 1..].iter().find(|item| is_rest(item)) {
            return error(second.at, "`..` stands here twice");
        }
        let n_axes = n_axes.unwrap_or(widest);
        widest = widest.max(n_axes);
        let at = items[place].at;
        let name = |idx: usize| Item { kind: Kind::Name(format!("{rest}{}", n_axes - 1 - idx)), at };
        items.splice(place..=place, (0..n_axes).map(name));
        Ok(())
    };
    for (items, rank) in pattern.operands.iter_mut().zip(ranks) {
        let n_axes = (rank + 1).saturating_sub(items.len());
        write_out(items, Some(n_axes))?;
    }
    pattern.result.as_mut().map_or(Ok(()), |items| write_out(items, None))
}

/// How many underscores the name of an axis starts with, at most.
fn underscores(item: &Item) -> usize {
    match &item.kind {
        Kind::Name(name) | Kind::Indexed(name) => name.len() - name.trim_start_matches(REST).len(),
        Kind::Group(parts) => parts.iter().map(underscores).max().unwrap_or(0),
        Kind::One | Kind::Rest => 0,
    }
}

/// A name as whoever wrote the pattern knows it.
fn spoken(name: &str) -> String {
    let number = name.strip_prefix(REST).map(|rest| rest.trim_start_matches(REST));
    match number.and_then(|number| number.parse::<usize>().ok()) {
        Some(number) => format!("axis -{} of `..`", number + 1),
        None => format!("`{name}`"),
    }
}

/// The size of each name, in order of appearance; `axes[idx]` names the axes of operand `idx`.
pub fn sizes(call: &Call, axes: &[Vec<String>]) -> Result<IndexMap<String, Dim>, OpError> {
    let mut sizes: IndexMap<String, (Dim, usize)> = IndexMap::new();
    for (idx, names) in axes.iter().enumerate() {
        let (operand, of) = (call.operand(idx), call.operand_name(idx));
        if names.len() != operand.rank() {
            let n = names.len();
            return Err(OpError::operand(
                idx,
                format!("the pattern gives `{of}` {n} axes and it has {}", operand.rank()),
            ));
        }
        for (name, size) in names.iter().zip(&operand.shape) {
            let (known, first) = sizes.entry(name.clone()).or_insert_with(|| (size.clone(), idx));
            if !call.same_size(known, size) {
                let (name, first) = (spoken(name), call.operand_name(*first));
                let message = format!("{name} is {known} in `{first}` and {size} in `{of}`");
                return Err(OpError::operand(idx, message));
            }
        }
    }
    Ok(sizes.into_iter().map(|(name, (size, _))| (name, size)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(items: &[Item]) -> String {
        let show = |item: &Item| match &item.kind {
            Kind::Name(name) => name.clone(),
            Kind::One => "1".into(),
            Kind::Rest => "..".into(),
            Kind::Group(axes) => format!("({})", shown(axes)),
            Kind::Indexed(name) => format!("[{name}]"),
        };
        items.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_written_is_read() {
        let pattern = parse("b [n] c,.. m 1 -> (b m)  .. c ()").unwrap();
        assert_eq!(pattern.operands.iter().map(|axes| shown(axes)).collect::<Vec<_>>(), ["b [n] c", ".. m 1"]);
        assert_eq!(shown(&pattern.result.unwrap()), "(b m) .. c ()");
        assert_eq!(parse("").unwrap(), Pattern { operands: vec![vec![]], result: None });
    }

    #[test]
    fn the_rest_has_names_of_its_own() {
        let written_out = |text: &str, rank: usize| {
            let mut pattern = parse(text).unwrap();
            write_out_rest(&mut pattern, &[rank]).unwrap();
            format!("{} -> {}", shown(&pattern.operands[0]), shown(&pattern.result.unwrap()))
        };
        assert_eq!(written_out(".. b -> b ..", 3), "_1 _0 b -> b _1 _0");
        assert_eq!(written_out("_0 .. (b __1) -> b .. _0 __1", 3), "_0 ___0 (b __1) -> b ___0 _0 __1");
    }

    #[test]
    fn errors_point_at_their_cause() {
        for (text, at) in [
            ("a (b (c", 5),
            ("a b) c", 3),
            ("a, (b -> c", 3),
            ("a 2 -> a", 2),
            ("a -> é", 5),
            ("[", 0),
            ("a [b", 2),
            ("a -> b -> c", 7),
        ] {
            assert_eq!(parse(text).unwrap_err().at, at, "{text}");
        }
    }

    #[test]
    fn rests_align_from_the_last() {
        let mut pattern = parse(".. i, .. j -> .. i j").unwrap();
        write_out_rest(&mut pattern, &[3, 2]).unwrap();
        assert_eq!(pattern.operands.iter().map(|axes| shown(axes)).collect::<Vec<_>>(), ["_1 _0 i", "_0 j"]);
        assert_eq!(shown(&pattern.result.unwrap()), "_1 _0 i j");
    }
}
