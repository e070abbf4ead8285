//! The TOML beside a spec: presets, which choose config, and weight maps, which say what others call our weights.
//!
//! Invariant: reading is total. Whatever is understood is returned, with a diagnostic for each thing that is not; keys keep
//! their places, so that the elaborator can point at one that no parameter has.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::elaborate::{Choice, Options, Setting};
use crate::diag::{Diagnostic, FileId, Span, suggest};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presets {
    pub presets: Vec<Preset>,
    pub weights: Vec<WeightMap>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    pub name: String,
    /// Which model of the file it is of; needed where there are several.
    pub model: Option<String>,
    pub choices: Vec<Choice>,
    pub expect: Option<Expect>,
    pub span: Span,
}

/// What a preset promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    pub params: Option<i64>,
    pub source: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WeightMap {
    pub name: String,
    pub rules: Vec<Rule>,
}

/// Our name, with `{i}` for numbers, and how it is made of theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub ours: String,
    pub theirs: Recipe,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    Name(String),
    Concat { parts: Vec<Recipe>, axis: usize },
    Split { whole: Box<Recipe>, part: usize, axis: usize },
    Transpose { of: Box<Recipe>, axes: Option<Vec<usize>> },
}

const MAX_DEPTH: usize = 16;

/// Reads the text of a file that is known to the source map as `file`.
pub fn read(file: FileId, text: &str) -> (Presets, Vec<Diagnostic>) {
    let mut reader = Reader { file, diagnostics: Vec::new() };
    let mut presets = Presets::default();
    match DeTable::parse(text) {
        Ok(table) => reader.top(table.get_ref(), &mut presets),
        Err(error) => {
            let range = error.span().unwrap_or(0..0);
            reader.report("E0507", format!("this TOML cannot be read: {}", error.message()), range, "here");
        }
    }
    // Tables come sorted by name; a file is read from the top.
    presets.presets.sort_by_key(|preset| preset.span.start);
    for map in &mut presets.weights {
        map.rules.sort_by_key(|rule| rule.span.start);
    }
    (presets, reader.diagnostics)
}

impl Presets {
    /// The preset of this name, or the diagnostic that there is none; `file` is where it would be.
    pub fn find(&self, name: &str, file: FileId) -> Result<&Preset, Diagnostic> {
        self.presets.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.presets.iter().map(|preset| preset.name.as_str()).collect();
            let at = self.presets.first().map_or(Span::new(file, 0..0), |preset| preset.span);
            let diagnostic = Diagnostic::error("E0506", format!("there is no preset `{name}`"))
                .at(at, "presets are defined here")
                .did_you_mean(suggest(name, names.iter().copied()));
            if names.is_empty() { diagnostic } else { diagnostic.with_note(format!("there are {}", names.join(", "))) }
        })
    }
}

impl Preset {
    /// The options that this preset makes.
    pub fn options(&self) -> Options {
        Options { preset: Some(self.name.clone()), config: self.choices.clone(), ..Options::default() }
    }
}

struct Reader {
    file: FileId,
    diagnostics: Vec<Diagnostic>,
}

type Range = std::ops::Range<usize>;

impl Reader {
    fn report(&mut self, code: &'static str, message: impl Into<String>, at: Range, label: &str) {
        let span = Span::new(self.file, at);
        self.diagnostics.push(Diagnostic::error(code, message).at(span, label));
    }

    fn top(&mut self, table: &DeTable, presets: &mut Presets) {
        for (key, value) in table {
            let Some(inner) = value.get_ref().as_table() else {
                self.report("E0507", format!("`{}` stands outside any table", key.get_ref()), key.span(), "here");
                continue;
            };
            match key.get_ref().as_ref() {
                "preset" => inner.iter().for_each(|(name, value)| presets.presets.extend(self.preset(name, value))),
                "weights" => inner.iter().for_each(|(name, value)| presets.weights.extend(self.map(name, value))),
                other => {
                    let span = Span::new(self.file, key.span());
                    let diagnostic = Diagnostic::error("E0507", format!("a spec's TOML has no table `{other}`"))
                        .at(span, "unknown table")
                        .did_you_mean(suggest(other, ["preset", "weights"]))
                        .with_note("it has `[preset.NAME]` and `[weights.NAME]`");
                    self.diagnostics.push(diagnostic);
                }
            }
        }
    }

    fn preset<K: AsRef<str>>(&mut self, name: &Spanned<K>, value: &Spanned<DeValue>) -> Option<Preset> {
        let Some(table) = value.get_ref().as_table() else {
            self.report("E0507", "a preset is a table", value.span(), "write `[preset.NAME]`");
            return None;
        };
        let span = Span::new(self.file, name.span());
        let name = name.get_ref().as_ref().to_string();
        let mut preset = Preset { name, model: None, choices: Vec::new(), expect: None, span };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "expect" => preset.expect = self.expect(value),
                "model" => match self.setting(value, 0) {
                    Some(Setting::Str(model)) => preset.model = Some(model),
                    _ => self.report("E0507", "`model` is the name of one", value.span(), "write it in quotes"),
                },
                key_text => self.choice(key_text.to_string(), key.span(), value, &mut preset.choices, 0),
            }
        }
        Some(preset)
    }

    /// Tables within a preset reach into module parameters: `unet.channels`.
    fn choice(&mut self, key: String, at: Range, value: &Spanned<DeValue>, choices: &mut Vec<Choice>, depth: usize) {
        if let Some(table) = value.get_ref().as_table()
            && depth < MAX_DEPTH
        {
            for (inner, value) in table {
                self.choice(format!("{key}.{}", inner.get_ref()), inner.span(), value, choices, depth + 1);
            }
            return;
        }
        if let Some(setting) = self.setting(value, 0) {
            choices.push(Choice { key, value: setting, span: Some(Span::new(self.file, at)) });
        }
    }

    fn setting(&mut self, value: &Spanned<DeValue>, depth: usize) -> Option<Setting> {
        let found = match value.get_ref() {
            DeValue::String(text) => Some(Setting::Str(text.to_string())),
            DeValue::Integer(number) => {
                i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(Setting::Int)
            }
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok().map(Setting::Float),
            DeValue::Boolean(truth) => Some(Setting::Bool(*truth)),
            DeValue::Array(items) if depth < MAX_DEPTH => {
                let items: Option<Vec<Setting>> = items.iter().map(|item| self.setting(item, depth + 1)).collect();
                return items.map(Setting::List);
            }
            _ => None,
        };
        if found.is_none() {
            self.report(
                "E0507",
                "config is a number, a string, true, false, or a list of them",
                value.span(),
                "neither",
            );
        }
        found
    }

    fn expect(&mut self, value: &Spanned<DeValue>) -> Option<Expect> {
        let Some(table) = value.get_ref().as_table() else {
            self.report("E0507", "`expect` is a table", value.span(), "write `{ params = … }`");
            return None;
        };
        let mut expect = Expect { params: None, source: String::new(), span: Span::new(self.file, value.span()) };
        for (key, value) in table {
            match (key.get_ref().as_ref(), self.setting(value, 0)) {
                ("params", Some(Setting::Int(params))) => expect.params = Some(params),
                ("source", Some(Setting::Str(source))) => expect.source = source,
                (_, None) => {}
                (other, _) => {
                    let span = Span::new(self.file, key.span());
                    let diagnostic = Diagnostic::error("E0507", format!("`expect` has no `{other}` of this kind"))
                        .at(span, "unknown")
                        .did_you_mean(suggest(other, ["params", "source"]));
                    self.diagnostics.push(diagnostic);
                }
            }
        }
        Some(expect)
    }

    fn map<K: AsRef<str>>(&mut self, name: &Spanned<K>, value: &Spanned<DeValue>) -> Option<WeightMap> {
        let Some(table) = value.get_ref().as_table() else {
            self.report("E0507", "a weight map is a table", value.span(), "write `[weights.NAME]`");
            return None;
        };
        let mut rules = Vec::with_capacity(table.len());
        for (ours, theirs) in table {
            if let Some(recipe) = self.recipe(theirs, 0) {
                let span = Span::new(self.file, ours.span());
                rules.push(Rule { ours: ours.get_ref().to_string(), theirs: recipe, span });
            }
        }
        Some(WeightMap { name: name.get_ref().as_ref().to_string(), rules })
    }

    fn recipe(&mut self, value: &Spanned<DeValue>, depth: usize) -> Option<Recipe> {
        if let Some(name) = value.get_ref().as_str() {
            return Some(Recipe::Name(name.to_string()));
        }
        let table = value.get_ref().as_table().filter(|_| depth < MAX_DEPTH);
        let number = |name: &str| -> Option<usize> {
            let entry = table?.get(name)?;
            entry.get_ref().as_integer().and_then(|number| number.as_str().parse().ok())
        };
        let entry = |name: &str| table.and_then(|table| table.get(name));
        let recipe = if let Some(parts) = entry("concat").and_then(|parts| parts.get_ref().as_array()) {
            let parts: Option<Vec<Recipe>> = parts.iter().map(|part| self.recipe(part, depth + 1)).collect();
            Some(Recipe::Concat { parts: parts?, axis: number("axis").unwrap_or(0) })
        } else if let Some(whole) = entry("split") {
            let whole = Box::new(self.recipe(whole, depth + 1)?);
            number("part").map(|part| Recipe::Split { whole, part, axis: number("axis").unwrap_or(0) })
        } else if let Some(of) = entry("transpose") {
            let axes = entry("axes").and_then(|axes| axes.get_ref().as_array());
            let axes = axes.map(|axes| {
                let axis = |axis: &Spanned<DeValue>| axis.get_ref().as_integer()?.as_str().parse().ok();
                axes.iter().filter_map(axis).collect()
            });
            Some(Recipe::Transpose { of: Box::new(self.recipe(of, depth + 1)?), axes })
        } else {
            None
        };
        if recipe.is_none() {
            let label = "a name, { concat = […] }, { split = …, part = 0 } or { transpose = … }";
            self.report("E0507", "this says nothing about a weight", value.span(), label);
        }
        recipe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_keep_their_order_and_places() {
        let text = "[preset.b]\ndim = 8\nunet.channels = [1, 2]\nexpect = { params = 1_000, source = \"me\" }\n\
                    [preset.a]\nrate = 1e-3\n[weights.torch]\n\"b.{i}\" = \"x.{i}\"\n\"a\" = { concat = [\"p\", \"q\"], axis = 1 }\n";
        let (presets, diagnostics) = read(FileId(3), text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let names: Vec<&str> = presets.presets.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let b = &presets.presets[0];
        let keys: Vec<&str> = b.choices.iter().map(|choice| choice.key.as_str()).collect();
        assert_eq!(keys, ["dim", "unet.channels"]);
        assert_eq!(b.choices[0].span.map(|span| &text[span.range()]), Some("dim"));
        assert_eq!(b.expect.as_ref().and_then(|expect| expect.params), Some(1000));
        assert_eq!(presets.weights[0].rules[0].ours, "b.{i}");
        let both = vec![Recipe::Name("p".into()), Recipe::Name("q".into())];
        assert_eq!(presets.weights[0].rules[1].theirs, Recipe::Concat { parts: both, axis: 1 });
    }

    #[test]
    fn mistakes_are_found_and_the_rest_is_read() {
        let text = "[presets.b]\ndim = 8\n[preset.a]\nday = 2020-01-01\ndim = 9\n[weights.w]\nx = 3\n";
        let (presets, diagnostics) = read(FileId(0), text);
        assert_eq!(diagnostics.len(), 3, "{diagnostics:?}");
        assert!(diagnostics.iter().any(|diagnostic| diagnostic.helps == ["did you mean `preset`?"]));
        assert_eq!(presets.presets[0].choices[0].value, Setting::Int(9));
        assert!(presets.find("aa", FileId(0)).is_err_and(|diagnostic| diagnostic.helps == ["did you mean `a`?"]));
        assert_eq!(read(FileId(0), "= [").1.len(), 1);
    }
}
