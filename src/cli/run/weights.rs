//! Where weights come from: files, the model's initialisers, or a function of their names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tilewright::compiler::graph::Model;
use tilewright::runtime::program::{ParamDecl, Program};
use tilewright::runtime::weights::{MatchReport, WeightMap, WeightSet, write_safetensors};
use tilewright::{Error, Options, TensorRef, initial_weights};

use super::super::term::{Failure, detail, note, spinner, while_compiling};

#[derive(clap::Args, Clone, Debug)]
#[group(id = "weights-arguments")]
pub struct Args {
    /// Weights: safetensors files, `synthetic` or `init` [default: init]
    #[arg(long, short, value_name = "FILE", num_args = 1..)]
    pub weights: Vec<PathBuf>,
    /// The weight map of the TOML file that fits the names in the weights' files
    #[arg(long, value_name = "NAME")]
    pub map: Option<String>,
    /// The seed of initial values and random numbers
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub seed: i64,
    /// Write the weights to a safetensors file, initial values say, by the model's own names, and states of known sizes
    #[arg(long, value_name = "FILE.safetensors")]
    pub save_weights: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightSource {
    /// The model's initial values, asked for or for want of others.
    Init {
        asked: bool,
    },
    Synthetic,
    Files(Vec<PathBuf>),
}

impl Args {
    pub fn source(&self) -> Result<WeightSource, Failure> {
        let word = |text: &str| self.weights.iter().any(|path| path.as_os_str() == text);
        match self.weights.len() {
            0 => Ok(WeightSource::Init { asked: false }),
            1 if word("init") => Ok(WeightSource::Init { asked: true }),
            1 if word("synthetic") => Ok(WeightSource::Synthetic),
            _ if word("init") || word("synthetic") => {
                Err(Failure::Usage("`init` and `synthetic` stand alone, without files".to_string()))
            }
            _ => Ok(WeightSource::Files(self.weights.clone())),
        }
    }
}

/// What a model wants of weight files: parameters, and states that may be there.
pub struct Wanted {
    pub params: Vec<ParamDecl>,
    pub states: Vec<ParamDecl>,
}

impl Wanted {
    pub fn of(program: &Program) -> Wanted {
        Wanted { params: program.params.clone(), states: program.fixed_states() }
    }
}

/// Writes the params and states of a model as they are.
pub fn save<'t>(path: &Path, values: impl Iterator<Item = (String, TensorRef<'t>)>) -> Result<(), Error> {
    write_safetensors(path, &values.collect::<Vec<_>>())?;
    note(format!("wrote {}", path.display()));
    Ok(())
}

/// The weights for these parameters and states. `model` is needed for initial values only.
pub fn load(
    source: &WeightSource,
    wanted: &Wanted,
    map: &WeightMap,
    model: Option<&Model>,
    options: &Options,
    seed: i64,
) -> Result<Arc<WeightSet>, Failure> {
    let params = &wanted.params;
    match (source, model) {
        (WeightSource::Synthetic, _) => Ok(Arc::new(WeightSet::synthetic(params)?)),
        (WeightSource::Files(paths), _) => {
            let bar = spinner("reading weights");
            let loaded = WeightSet::load(paths, params, &wanted.states, map);
            bar.finish_and_clear();
            let (weights, report) = loaded?;
            check_some(&report, wanted)?;
            mention(&report);
            Ok(Arc::new(weights))
        }
        (WeightSource::Init { .. }, _) if params.is_empty() => Ok(Arc::new(WeightSet::from_tensors(Vec::new()))),
        (WeightSource::Init { asked }, Some(model)) if !model.init.outputs().is_empty() => {
            if !asked {
                note("no weights were given: the model starts from its initial values");
            }
            Ok(Arc::new(while_compiling(options, |options| initial_weights(model, options, seed))?))
        }
        (WeightSource::Init { .. }, _) => Err(Error::Request {
            message: format!("{} weights are needed, and nothing says what they start from", params.len()),
            help: Some("give `--weights FILE.safetensors`, or `--weights synthetic` for a trial".to_string()),
        }
        .into()),
    }
}

/// Files of which nothing is used are those of another model.
fn check_some(report: &MatchReport, wanted: &Wanted) -> Result<(), Error> {
    let names: Vec<&str> = wanted.params.iter().chain(&wanted.states).map(|decl| decl.name.as_str()).collect();
    let (Some(ours), true) = (names.first(), report.matched == 0) else { return Ok(()) };
    let theirs = report.unused.first().map_or("is empty".to_string(), |name| format!("has names such as `{name}`"));
    let message = format!("no weight of the file is one of the model's: the file {theirs}, the model such as `{ours}`");
    let help = Some("a weight map in the TOML file beside the spec says which is which".to_string());
    Err(Error::Request { message, help })
}

fn mention(report: &MatchReport) {
    detail(format!("{} weights matched", report.matched));
    let lists = [
        ("unused in the file", &report.unused),
        ("rules of the weight map that hold for no weight", &report.idle_rules),
        ("states that are not in the file and start as the model says", &report.absent_states),
    ];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        let shown = &names[..names.len().min(8)];
        let more = if names.len() > shown.len() { ", …" } else { "" };
        note(format!("{what}: {}{more}", shown.join(", ")));
    }
}
