//! Arguments that name a model: a spec with its preset, or a file of graphs.

use std::path::{Path, PathBuf};

use clap::Args;
use tilewright::compiler::graph::Model;
use tilewright::runtime::files;
use tilewright::runtime::weights::WeightMap;
use tilewright::{Choice, Error, Spec, model_from_text};

use super::fixed_sizes;
use super::options::{pair, size};
use super::stages::timed;
use super::term::Failure;

#[derive(Args, Clone, Debug)]
pub struct Source {
    /// A spec (`.tw`) or a file of graphs (`.twir`)
    pub file: PathBuf,
    /// Which model of the file; needed only where there are several
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// A preset of the TOML file beside the spec
    #[arg(long, short, value_name = "NAME")]
    pub preset: Option<String>,
    /// Config of the model or of an entry, such as depth=6
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub config: Vec<(String, String)>,
    /// Fixes a symbolic size, such as N=128, of the chosen entry, or of each that it fits
    #[arg(long = "dim", value_name = "SIZE=N", value_parser = size)]
    pub dims: Vec<(String, i64)>,
}

/// A model, and the spec it came from if it did.
pub struct Loaded {
    pub model: Model,
    pub spec: Option<Spec>,
}

impl Source {
    /// The model, for these entries of it: all, where none is named.
    pub fn load(&self, entries: &[String]) -> Result<Loaded, Failure> {
        if is_graph(&self.file) {
            if let Some(what) = self.spec_only() {
                return Err(Failure::Usage(format!("{what} is for specs; `{}` holds graphs", self.file.display())));
            }
            let text = read_text(&self.file)?;
            let model = model_from_text(&self.file.to_string_lossy(), &text)?;
            return Ok(Loaded { model, spec: None });
        }
        let spec = timed("parsed", || Spec::open(&self.file))?;
        let model = timed("checked", || {
            let choice = Choice { entries: entries.to_vec(), ..self.choice() };
            spec.model(&fixed_sizes::placed(&spec, choice, entries)?)
        })?;
        Ok(Loaded { model, spec: Some(spec) })
    }

    /// The model for one entry. Where none is named and not all can be read, `call` alone may be.
    pub fn load_one(&self, name: Option<&str>) -> Result<Loaded, Failure> {
        let named: Vec<String> = name.into_iter().map(str::to_string).collect();
        match self.load(&named) {
            Err(failure) if name.is_none() => self.load(&["call".to_string()]).map_err(|_| failure),
            loaded => loaded,
        }
    }

    pub fn choice(&self) -> Choice {
        Choice {
            model: self.model.clone(),
            preset: self.preset.clone(),
            config: self.config.clone(),
            dims: self.dims.clone(),
            ..Choice::default()
        }
    }

    /// The first argument that only a spec can take.
    pub fn spec_only(&self) -> Option<&'static str> {
        let given = [
            (self.model.is_some(), "--model"),
            (self.preset.is_some(), "--preset"),
            (!self.config.is_empty(), "--set"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

impl Loaded {
    /// The rules for a checkpoint's names.
    pub fn weight_map(&self, name: Option<&str>) -> Result<WeightMap, Failure> {
        match (name, &self.spec) {
            (None, _) => Ok(WeightMap::default()),
            (Some(name), Some(spec)) => Ok(spec.weight_map(name)?.clone()),
            (Some(name), None) => Err(Error::unknown("weight map", name, []).into()),
        }
    }

    /// The entry that was asked for: `call` or the only one if none was.
    pub fn entry(&self, name: Option<&str>) -> Result<String, Failure> {
        let entries: Vec<&str> = self.model.entries.iter().map(|entry| entry.name.as_str()).collect();
        choose_entry(&entries, name, &self.model.skipped)
    }
}

pub fn choose_entry(entries: &[&str], name: Option<&str>, skipped: &[(String, String)]) -> Result<String, Failure> {
    match (name, entries) {
        (Some(name), _) if entries.contains(&name) => Ok(name.to_string()),
        (Some(name), _) => match skipped.iter().find(|(skipped, _)| skipped == name) {
            Some((_, reason)) => {
                Err(Error::request(format!("`{name}` cannot be called from outside: {reason}")).into())
            }
            None => Err(Error::unknown("entry", name, entries.iter().copied()).into()),
        },
        (None, [only]) => Ok(only.to_string()),
        (None, _) if entries.contains(&"call") => Ok("call".to_string()),
        (None, []) => Err(Error::request("the model has no entry that can be called from outside").into()),
        (None, several) => {
            let list = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!("say which entry with `--entry`: there is {list}")))
        }
    }
}

pub fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "twir")
}

pub fn is_spec(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tw")
}

/// Graphs, or lines, that a program may have written.
const MOST_BYTES: u64 = 256 << 20;

pub fn read_text(path: &Path) -> Result<String, Failure> {
    read_at_most(path, MOST_BYTES)
}

pub fn read_at_most(path: &Path, most: u64) -> Result<String, Failure> {
    let text = files::read_text(path, most);
    text.map_err(|error| Error::request(format!("cannot read `{}`: {error}", path.display())).into())
}
