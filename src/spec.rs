//! Specs from files: the spec itself, what it imports, and the settings beside it.

use std::path::Path;

use tilewright_compiler::diag::Diagnostic;
use tilewright_compiler::front::ast::{Item, ModuleKind};
use tilewright_compiler::front::elaborate::{self, Setting, elaborate};
use tilewright_compiler::front::load::{Loader, Program, load};
use tilewright_compiler::front::presets::{self, Preset, Presets};
use tilewright_compiler::graph::Model;
use tilewright_runtime::files;
use tilewright_runtime::weights::WeightMap;

use crate::Error;
use crate::weight_map::weight_map;

/// A spec that was read and parsed, with its presets.
pub struct Spec {
    pub program: Program,
    pub presets: Presets,
    maps: Vec<(String, WeightMap)>,
}

/// What to build of a spec; the default is its only model, as written.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub model: Option<String>,
    pub preset: Option<String>,
    /// Config by name, as text: `depth` is `12`.
    pub config: Vec<(String, String)>,
    /// Sizes fixed when compiling.
    pub dims: Vec<(String, i64)>,
    /// Entries that are wanted; others are left out where something is wrong in them. All, where none is named.
    pub entries: Vec<String>,
    /// Only the tree of modules and its members, as for counting.
    pub members_only: bool,
}

impl Choice {
    pub fn preset(name: impl Into<String>) -> Choice {
        Choice { preset: Some(name.into()), ..Choice::default() }
    }
}

struct Files;

impl Loader for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        files::read_text(Path::new(path), Spec::MOST_BYTES).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_string(),
            _ => error.to_string(),
        })
    }
}

impl Spec {
    /// A spec is text that a person wrote; more is refused.
    pub const MOST_BYTES: u64 = 8 << 20;

    /// Reads a spec, whatever is wrong with it: see [`Spec::check`].
    pub fn read(path: &Path) -> Spec {
        let mut program = load(&Files, &path.to_string_lossy());
        let beside = path.with_extension("toml");
        let (mut read, mut maps) = (Presets::default(), Vec::new());
        if beside.exists() {
            let name = beside.to_string_lossy();
            let text = Files.read(&name).unwrap_or_else(|reason| {
                program.diagnostics.push(Diagnostic::error("E0501", format!("`{name}` cannot be read: {reason}")));
                String::new()
            });
            let file = program.sources.add(name, text.clone());
            let (presets, diagnostics) = presets::read(file, &text);
            program.diagnostics.extend(diagnostics);
            for map in &presets.weights {
                let (rules, diagnostics) = weight_map(map);
                program.diagnostics.extend(diagnostics);
                maps.push((map.name.clone(), rules));
            }
            read = presets;
        }
        Spec { program, presets: read, maps }
    }

    /// Reads a spec that must be right.
    pub fn open(path: impl AsRef<Path>) -> Result<Spec, Error> {
        let spec = Spec::read(path.as_ref());
        match spec.program.diagnostics.iter().any(|diagnostic| diagnostic.is_error()) {
            true => Err(spec.error(spec.program.diagnostics.clone())),
            false => Ok(spec),
        }
    }

    /// Everything that is wrong with the file, its presets included.
    pub fn check(&self) -> Result<(), Error> {
        let mut diagnostics = elaborate::check(&self.program);
        let sound = diagnostics.iter().all(|diagnostic| !diagnostic.is_error());
        for preset in self.presets.presets.iter().filter(|_| sound) {
            let choice = Choice { members_only: true, ..Choice::preset(&preset.name) };
            match self.model(&choice) {
                Err(Error::Spec { diagnostics: more, .. }) => diagnostics.extend(more),
                Err(other) => return Err(other),
                Ok(model) => diagnostics.extend(broken_promise(preset, &model)),
            }
        }
        diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| (span.file, span.start)));
        match diagnostics.iter().any(|diagnostic| diagnostic.is_error()) {
            true => Err(self.error(diagnostics)),
            false => Ok(()),
        }
    }

    /// The names of the models and trainings in the file, in order.
    pub fn models(&self) -> Vec<&str> {
        self.named(|kind| kind != ModuleKind::Module)
    }

    /// The names of the trainings alone.
    pub fn trainings(&self) -> Vec<&str> {
        self.named(|kind| kind == ModuleKind::Train)
    }

    fn named(&self, is_meant: fn(ModuleKind) -> bool) -> Vec<&str> {
        let items = self.program.files.first().map_or(&[][..], |file| &file.ast.items);
        let modules = items.iter().filter_map(|item| match item {
            Item::Module(module) if is_meant(module.kind) => Some(module.name.text.as_str()),
            _ => None,
        });
        modules.collect()
    }

    pub fn preset(&self, name: &str) -> Result<&Preset, Error> {
        let presets = &self.presets.presets;
        let found = presets.iter().find(|preset| preset.name == name);
        found.ok_or_else(|| Error::unknown("preset", name, presets.iter().map(|preset| preset.name.as_str())))
    }

    /// The rules that a checkpoint of this kind needs.
    pub fn weight_map(&self, name: &str) -> Result<&WeightMap, Error> {
        let maps = &self.maps;
        let found = maps.iter().find(|(known, _)| known == name).map(|(_, map)| map);
        found.ok_or_else(|| Error::unknown("weight map", name, maps.iter().map(|(known, _)| known.as_str())))
    }

    /// Builds a model.
    pub fn model(&self, choice: &Choice) -> Result<Model, Error> {
        let models = self.models();
        let preset = choice.preset.as_ref().map(|preset| self.preset(preset)).transpose()?;
        let model = choice.model.as_ref().or_else(|| preset?.model.as_ref());
        let name = match (model, models.as_slice()) {
            (Some(name), _) => name.as_str(),
            (None, [only]) => only,
            (None, []) => return Err(Error::request("the file has no model: say which module with `--model NAME`")),
            (None, several) => {
                let list = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                return Err(Error::request(format!("the file has several models: say which with `--model`: {list}")));
            }
        };
        let mut options = elaborate::Options { members_only: choice.members_only, ..Default::default() };
        if let Some(preset) = preset {
            options.config = preset.choices.clone();
            options.preset = Some(preset.name.clone());
        }
        for (key, value) in &choice.config {
            options = options.set(key, Setting::parse(value));
        }
        options.dims = choice.dims.clone();
        options.entries = choice.entries.clone();
        elaborate(&self.program, name, &options).map_err(|diagnostics| self.error(diagnostics))
    }

    fn error(&self, diagnostics: Vec<Diagnostic>) -> Error {
        Error::Spec { diagnostics, sources: self.program.sources.clone() }
    }
}

/// A preset whose model is not what it says.
pub fn broken_promise(preset: &Preset, model: &Model) -> Option<Diagnostic> {
    let expect = preset.expect.as_ref()?;
    let (expected, found) = (expect.params?, model.n_params());
    if expected == found {
        return None;
    }
    let message = format!("`{}({})` has {found} parameters, not {expected}", model.name, preset.name);
    let diagnostic = Diagnostic::error("E0508", message).at(expect.span, "promised here");
    Some(match expect.source.is_empty() {
        true => diagnostic,
        false => diagnostic.with_note(format!("the number is that of {}", expect.source)),
    })
}
