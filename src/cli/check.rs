//! `tw check`: everything that is wrong with specs, without compiling them.

use std::path::PathBuf;

use tilewright::{Choice, Error, Spec};

use super::source::{is_graph, read_text};
use super::term::{Failure, GOOD, Outcome, note, show_error, styled};

/// Check specs: every error of every file
///
/// Each model is elaborated with its defaults and with each of its presets; parameter counts that presets promise are
/// compared. Files of graphs (`.twir`) are parsed and verified.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw check specs/vision/vit.tw\n  tw check specs/*/*.tw\n  \
    tw check specs/vision/vit.tw --preset b16")]
pub struct Args {
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check one preset only, its entries included
    #[arg(long, short, value_name = "NAME")]
    preset: Option<String>,
    /// Which model of the file
    #[arg(long, value_name = "NAME", requires = "preset")]
    model: Option<String>,
}

pub fn run(args: Args) -> Outcome {
    let mut n_bad = 0;
    for file in &args.files {
        let result = match is_graph(file) {
            true => read_text(file)
                .and_then(|text| Ok(tilewright::model_from_text(&file.to_string_lossy(), &text)?))
                .map(drop),
            false => check_spec(&args, file),
        };
        match result {
            Ok(()) => note(format!("{} {}", styled(GOOD, "ok"), file.display())),
            Err(Failure::Error(error)) => {
                show_error(&error);
                n_bad += 1;
            }
            Err(other) => return Err(other),
        }
    }
    if n_bad > 0 { Err(Failure::Quiet(1)) } else { Ok(()) }
}

fn check_spec(args: &Args, file: &std::path::Path) -> Outcome {
    let spec = Spec::read(file);
    let Some(preset) = &args.preset else { return Ok(spec.check()?) };
    let spec = Spec::open(file)?;
    let model = spec.model(&Choice { model: args.model.clone(), ..Choice::preset(preset) })?;
    match tilewright::broken_promise(spec.preset(preset)?, &model) {
        Some(diagnostic) => {
            let sources = spec.program.sources.clone();
            Err(Error::Spec { diagnostics: vec![diagnostic], sources }.into())
        }
        None => Ok(()),
    }
}
