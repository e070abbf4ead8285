//! `--calibrate`: scales of small integers from data, instead of from each call's values.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tilewright::compiler::graph::{DType, Model, Role};
use tilewright::compiler::passes::Narrowing;
use tilewright::compiler::passes::calibration::Calibration;
use tilewright::runtime::program::Port;
use tilewright::runtime::weights::WeightSet;
use tilewright::{Error, Options, calibrate};

use super::options::{Compilation, Precision};
use super::run::{Given, ports};
use super::term::{Failure, Outcome, detail, show_message};

#[derive(Args, Clone, Debug)]
pub struct Calibrate {
    /// Take the scales of what int8 and int4 weights are multiplied by from these npz files of inputs, not anew from each
    /// call's values
    #[arg(long = "calibrate", value_name = "FILE.npz", num_args = 1.., help_heading = "Compilation")]
    files: Vec<PathBuf>,
}

impl Calibrate {
    pub fn is_asked(&self) -> bool {
        !self.files.is_empty()
    }

    /// Refuses what would have no effect.
    pub fn check(&self, compilation: &Compilation) -> Outcome {
        let is_used =
            matches!(compilation.precision, Some(Precision::Int8 | Precision::Int4)) && !compilation.interprets();
        match self.is_asked() && !is_used {
            true => {
                Err(Failure::Usage("`--calibrate` is for `--precision int8` and `int4` on machine code".to_string()))
            }
            false => Ok(()),
        }
    }

    /// Looks at the data, and tells the options what was seen. Other precisions need nothing of it.
    pub fn look(
        &self,
        options: &mut Options,
        model: &Model,
        entry: &str,
        weights: impl FnOnce() -> Result<Arc<WeightSet>, Failure>,
    ) -> Outcome {
        if !self.is_asked() || !matches!(options.narrowing, Narrowing::Scaled { .. }) {
            return Ok(());
        }
        let inputs = inputs(model, entry, options.float)?;
        let mut samples = Vec::with_capacity(self.files.len());
        for file in &self.files {
            samples.push(ports(&inputs, &[Given::Archive(file.to_string_lossy().into_owned())])?);
        }
        options.calibration = calibrate(model, options, weights()?, entry, &samples)?;
        if let Calibration::Seen(seen) = &options.calibration
            && seen.n_blank(entry) > 0
        {
            let places = seen.n_blank(entry);
            let message = format!(
                "at {places} places the data is zero, or not finite: their scales come from each call's values"
            );
            show_message("warning", &message);
        }
        detail(format!("calibrated with {} files", self.files.len()));
        Ok(())
    }
}

/// What an entry takes, where floats whose type is undecided are `float`.
pub fn inputs(model: &Model, entry: &str, float: DType) -> Result<Vec<Port>, Error> {
    let graph = model.entry(entry).ok_or_else(|| Error::unknown("entry", entry, []))?;
    let data = graph.arguments().iter().filter(|argument| argument.role == Role::Data);
    let port = data.map(|argument| {
        let ty = graph.type_of(argument.value);
        let dtype = if ty.dtype == DType::Real { float } else { ty.dtype };
        Port { name: argument.name.clone(), dtype, shape: ty.shape.clone() }
    });
    Ok(port.collect())
}
