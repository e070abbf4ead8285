//! Where weights come from: files, the model's initialisers, or a function of their names.

use std::path::PathBuf;
use std::sync::Arc;

use tilewright::compiler::graph::Model;
use tilewright::runtime::data::synthetic::synthetic;
use tilewright::runtime::program::ParamDecl;
use tilewright::runtime::weights::{MatchReport, WeightMap, WeightSet};
use tilewright::{Error, Options, initial_weights};

use super::super::term::{Failure, detail, note, spinner};

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
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightSource {
    Init,
    Synthetic,
    Files(Vec<PathBuf>),
}

impl Args {
    pub fn source(&self) -> Result<WeightSource, Failure> {
        let word = |text: &str| self.weights.iter().any(|path| path.as_os_str() == text);
        match self.weights.len() {
            0 => Ok(WeightSource::Init),
            1 if word("init") => Ok(WeightSource::Init),
            1 if word("synthetic") => Ok(WeightSource::Synthetic),
            _ if word("init") || word("synthetic") => {
                Err(Failure::Usage("`init` and `synthetic` stand alone, without files".to_string()))
            }
            _ => Ok(WeightSource::Files(self.weights.clone())),
        }
    }
}

/// The weights for these parameters. `model` is needed for initial values only.
pub fn load(
    source: &WeightSource,
    params: &[ParamDecl],
    map: &WeightMap,
    model: Option<&Model>,
    options: &Options,
    seed: i64,
) -> Result<Arc<WeightSet>, Failure> {
    if params.is_empty() {
        return Ok(Arc::new(WeightSet::from_tensors(Vec::new())));
    }
    match (source, model) {
        (WeightSource::Synthetic, _) => Ok(Arc::new(WeightSet::from_fn(params, synthetic)?)),
        (WeightSource::Files(paths), _) => {
            let bar = spinner("reading weights");
            let loaded = WeightSet::load(paths, params, map);
            bar.finish_and_clear();
            let (weights, report) = loaded?;
            mention(&report);
            Ok(Arc::new(weights))
        }
        (WeightSource::Init, Some(model)) if !model.init.outputs().is_empty() => {
            note("no weights were given: the model starts from its initial values");
            Ok(Arc::new(initial_weights(model, options, seed)?))
        }
        (WeightSource::Init, _) => Err(Error::Request {
            message: format!("{} weights are needed, and nothing says what they start from", params.len()),
            help: Some("give `--weights FILE.safetensors`, or `--weights synthetic` for a trial".to_string()),
        }
        .into()),
    }
}

fn mention(report: &MatchReport) {
    detail(format!("{} weights matched", report.matched));
    if !report.unused.is_empty() {
        let names: Vec<&str> = report.unused.iter().take(8).map(String::as_str).collect();
        let more = if report.unused.len() > names.len() { ", …" } else { "" };
        note(format!("unused in the file: {}{more}", names.join(", ")));
    }
}
