//! The TOML file beside a spec: presets, what they promise, and what weights are called elsewhere.
//!
//! Invariant: every problem of the file is reported, at its place; what can be read is kept. Whether a preset's keys exist
//! is for the elaborator to say, who knows the parameters.

mod weights;

use std::ops::Range;

use tilewright_runtime::weights::WeightMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diag::{Diagnostic, FileId, Span, suggest};
use crate::front::elaborate::{Choice, Setting};

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub presets: Vec<Preset>,
    pub weights: Vec<(String, WeightMap)>,
}

#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    pub choices: Vec<Choice>,
    pub expect: Expect,
    pub span: Span,
}

/// What a preset promises, with where that is known from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    pub params: Option<i64>,
    pub source: Option<String>,
}

const SECTIONS: [&str; 2] = ["preset", "weights"];
const PROMISES: [&str; 2] = ["params", "source"];

/// Reads the text of a settings file.
pub fn read(file: FileId, text: &str) -> (Settings, Vec<Diagnostic>) {
    let mut reader = Reader { file, settings: Settings::default(), diagnostics: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = reader.span(error.span().unwrap_or(0..0));
        reader.diagnostics.push(Diagnostic::error("E0601", error.message().to_string()).at(place, "here"));
    }
    reader.top(table.get_ref());
    (reader.settings, reader.diagnostics)
}

struct Reader {
    file: FileId,
    settings: Settings,
    diagnostics: Vec<Diagnostic>,
}

type Key<'a, 'i> = (&'a str, Range<usize>, &'a Spanned<DeValue<'i>>);

impl Reader {
    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn report(&mut self, code: &'static str, range: Range<usize>, message: impl Into<String>, label: &str) {
        let diagnostic = Diagnostic::error(code, message).at(self.span(range), label);
        self.diagnostics.push(diagnostic);
    }

    fn top(&mut self, table: &DeTable) {
        for (name, place, value) in in_order(table) {
            let Some(section) = value.get_ref().as_table() else {
                self.unknown(name, place, "section", &SECTIONS);
                continue;
            };
            match name {
                "preset" => in_order(section).into_iter().for_each(|entry| self.preset(entry)),
                "weights" => {
                    for (name, _, map) in in_order(section) {
                        let map = self.weight_map(map);
                        self.settings.weights.push((name.to_string(), map));
                    }
                }
                _ => self.unknown(name, place, "section", &SECTIONS),
            }
        }
    }

    fn unknown(&mut self, name: &str, place: Range<usize>, what: &str, known: &[&str]) {
        let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
        let diagnostic = Diagnostic::error("E0602", format!("there is no {what} `{name}`"))
            .at(self.span(place), "not known")
            .did_you_mean(suggest(name, known.iter().copied()))
            .with_note(format!("there are {list}"));
        self.diagnostics.push(diagnostic);
    }

    fn preset(&mut self, (name, place, value): Key) {
        let Some(table) = value.get_ref().as_table() else {
            return self.report("E0602", value.span(), format!("the preset `{name}` is a table"), "not a table");
        };
        let span = self.span(place);
        let mut preset = Preset { name: name.to_string(), choices: Vec::new(), expect: Expect::default(), span };
        for (key, place, value) in in_order(table) {
            match (key, value.get_ref()) {
                ("expect", DeValue::Table(table)) => preset.expect = self.expect(table),
                _ => self.choices(key, place, value, &mut preset.choices),
            }
        }
        self.settings.presets.push(preset);
    }

    /// `unet.channels = [..]`, which TOML reads as a table in a table, reaches into a module parameter.
    fn choices(&mut self, key: &str, place: Range<usize>, value: &Spanned<DeValue>, choices: &mut Vec<Choice>) {
        if let DeValue::Table(inner) = value.get_ref() {
            for (part, place, value) in in_order(inner) {
                self.choices(&format!("{key}.{part}"), place, value, choices);
            }
            return;
        }
        if let Some(value) = self.setting(value) {
            let span = Some(self.span(place));
            choices.push(Choice { key: key.to_string(), value, span });
        }
    }

    fn setting(&mut self, value: &Spanned<DeValue>) -> Option<Setting> {
        match value.get_ref() {
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(Setting::Int(number)),
                Err(_) => {
                    self.report("E0601", value.span(), "this integer does not fit 64 bits", "too large");
                    None
                }
            },
            DeValue::Float(number) => Some(Setting::Float(number.as_str().parse().unwrap_or(f64::NAN))),
            DeValue::Boolean(value) => Some(Setting::Bool(*value)),
            DeValue::String(text) => Some(Setting::Str(text.to_string())),
            DeValue::Array(items) => {
                let items: Option<Vec<Setting>> = items.iter().map(|item| self.setting(item)).collect();
                Some(Setting::List(items?))
            }
            other => {
                let found = other.type_str();
                let message = format!("config is a number, a truth value, a string or a list, not a {found}");
                self.report("E0602", value.span(), message, "not config");
                None
            }
        }
    }

    fn expect(&mut self, table: &DeTable) -> Expect {
        let mut expect = Expect::default();
        for (key, place, value) in in_order(table) {
            match (key, self.setting(value)) {
                ("params", Some(Setting::Int(params))) => expect.params = Some(params),
                ("source", Some(Setting::Str(source))) => expect.source = Some(source),
                ("params", Some(_)) => self.report("E0602", value.span(), "`params` is a whole number", "not one"),
                ("source", Some(_)) => self.report("E0602", value.span(), "`source` is a string", "not one"),
                (_, Some(_)) => self.unknown(key, place, "promise", &PROMISES),
                (_, None) => {}
            }
        }
        expect
    }
}

/// The entries of a table as they are written.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Key<'a, 'i>> {
    let mut entries: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, place, _)| place.start);
    entries
}

#[cfg(test)]
mod tests;
