//! Numbers and strings to their values.
//!
//! Invariant: a literal that cannot be read is reported and stands as a harmless value, so that the rest
//! of the file is still checked.

use crate::diag::{Diagnostic, Span};
use crate::front::ast::ExprKind;

pub fn number(text: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> ExprKind {
    let digits = text.replace('_', "");
    if digits.contains(['.', 'e', 'E']) {
        return match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => ExprKind::Float(value),
            _ => {
                let diagnostic = Diagnostic::error("E0106", "this number is too large")
                    .at(span, "beyond the largest 64-bit float")
                    .help("infinity is called `inf`");
                diagnostics.push(diagnostic);
                ExprKind::Float(0.0)
            }
        };
    }
    match digits.parse::<i64>() {
        Ok(value) => ExprKind::Int(value),
        Err(_) => {
            let diagnostic = Diagnostic::error("E0106", "this number is too large")
                .at(span, format!("an int is at most {}", i64::MAX))
                .help("write it as a float, as in `1e20`");
            diagnostics.push(diagnostic);
            ExprKind::Int(0)
        }
    }
}

/// The text between the quotes, escapes resolved.
pub fn string(text: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> String {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        value += &rest[..at];
        rest = &rest[at + 1..];
        let start = inner.len() - rest.len();
        match escape(rest) {
            Some((c, len)) => {
                value.push(c);
                rest = &rest[len..];
            }
            None => {
                let mut place = span;
                place.start += start as u32;
                place.end = place.start + 1 + rest.chars().next().map_or(0, char::len_utf8) as u32;
                let diagnostic = Diagnostic::error("E0107", "this escape means nothing")
                    .at(place, "unknown")
                    .help("escapes are `\\n`, `\\t`, `\\\\`, `\\\"` and `\\u{e9}`");
                diagnostics.push(diagnostic);
            }
        }
    }
    value + rest
}

/// The character that an escape names, without its backslash, and the escape's length.
fn escape(rest: &str) -> Option<(char, usize)> {
    let simple = match rest.chars().next()? {
        'n' => '\n',
        't' => '\t',
        '\\' => '\\',
        '"' => '"',
        'u' => {
            let digits = rest.strip_prefix("u{")?.split_once('}')?.0;
            if digits.is_empty() || digits.len() > 6 {
                return None;
            }
            let code = u32::from_str_radix(digits, 16).ok()?;
            return Some((char::from_u32(code)?, digits.len() + 3));
        }
        _ => return None,
    };
    Some((simple, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;

    fn read(text: &str) -> (String, Vec<String>) {
        let mut diagnostics = Vec::new();
        let span = Span::new(FileId(0), 0..text.len());
        let value = string(text, span, &mut diagnostics);
        let place = |d: &Diagnostic| text[d.labels[0].span.range()].to_owned();
        (value, diagnostics.iter().map(place).collect())
    }

    #[test]
    fn escapes_resolve_and_wrong_ones_are_placed() {
        assert_eq!(read(r#""a\n\t\\\"\u{e9}""#), ("a\n\t\\\"é".into(), vec![]));
        assert_eq!(read(r#""a\qb\é""#).1, [r"\q", r"\é"]);
        assert_eq!(read(r#""\u{d800}\u{}\u{1234567}""#).1, [r"\u", r"\u", r"\u"]);
    }
}
