//! What a caller chooses: config by name, sizes that are fixed, and how much of the model to build.

use crate::diag::Span;

/// A value of config from outside: a preset, a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(String),
    List(Vec<Setting>),
}

/// One choice: `depth` of the model, `unet.channels` of a module that is its parameter, `steps` of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub key: String,
    pub value: Setting,
    /// Where it is written, if that is in a file of the program's source map.
    pub span: Option<Span>,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of the preset that the choices come from, for messages.
    pub preset: Option<String>,
    pub config: Vec<Choice>,
    /// Sizes that are fixed: `N` in every entry, `decode.N` in one.
    pub dims: Vec<(String, i64)>,
    /// Entries that are wanted: what is wrong in others is not told, and they are left out. All, where none is named.
    pub entries: Vec<String>,
    /// Only the tree and the members are wanted, as for counting.
    pub members_only: bool,
}

impl Options {
    pub fn set(mut self, key: &str, value: Setting) -> Options {
        self.config.push(Choice { key: key.to_string(), value, span: None });
        self
    }

    pub fn dim(mut self, name: &str, size: i64) -> Options {
        self.dims.push((name.to_string(), size));
        self
    }

    pub fn wants(&self, entry: &str) -> bool {
        self.entries.is_empty() || self.entries.iter().any(|wanted| wanted == entry)
    }

    /// What a size of this entry is fixed to.
    pub fn fixed(&self, entry: &str, name: &str) -> Option<i64> {
        let is_meant = |key: &str| key == name || key.split_once('.') == Some((entry, name));
        self.dims.iter().rev().find(|(key, _)| is_meant(key)).map(|(_, size)| *size)
    }
}

impl Setting {
    /// Reads `12`, `1e-3`, `true`, `[1, 2]`, `"text"`; anything else is text too.
    pub fn parse(text: &str) -> Setting {
        Setting::parse_within(text.trim(), 16)
    }

    fn parse_within(text: &str, depth: usize) -> Setting {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
            && depth > 0
        {
            let items = split_list(inner).into_iter().map(|item| Setting::parse_within(item.trim(), depth - 1));
            return Setting::List(items.collect());
        }
        let plain = text.replace('_', "");
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match (plain.parse::<i64>(), plain.parse::<f64>(), text.parse::<bool>(), quoted) {
            (Ok(value), ..) => Setting::Int(value),
            (_, Ok(value), ..) if plain.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                Setting::Float(value)
            }
            (_, _, Ok(value), _) => Setting::Bool(value),
            (.., Some(quoted)) => Setting::Str(quoted.to_string()),
            _ => Setting::Str(text.to_string()),
        }
    }
}

/// Splits at the commas outside brackets.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i32);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::Setting;

    #[test]
    fn reads_numbers_lists_and_text() {
        let ints = |values: &[i64]| Setting::List(values.iter().map(|value| Setting::Int(*value)).collect());
        for (text, wanted) in [
            ("50", Setting::Int(50)),
            ("86_567", Setting::Int(86567)),
            ("1e-3", Setting::Float(1e-3)),
            ("true", Setting::Bool(true)),
            ("nearest", Setting::Str("nearest".into())),
            ("[1, 2]", ints(&[1, 2])),
            ("[[1], [2, 3]]", Setting::List(vec![ints(&[1]), ints(&[2, 3])])),
            ("[]", ints(&[])),
            ("inf_", Setting::Str("inf_".into())),
        ] {
            assert_eq!(Setting::parse(text), wanted, "{text}");
        }
    }
}
