//! Checkpoints: all states of a session, and how far training has come, in one safetensors file.
//!
//! Invariant: the file is replaced as a whole, after all of it is written, so whoever stops the process finds the last one
//! that was complete; and a run that goes on from it takes the same steps on the same data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tilewright::runtime::weights::{WeightFiles, write_safetensors};
use tilewright::{Error, Session, Tensor, TensorRef};

use super::super::term::{Failure, Outcome, note};

/// Names of what is no state; no member of a model has a space in its path.
const ROUND: &str = "training round";
const CALLS: &str = "training calls of ";

pub struct Checkpoint {
    path: Option<PathBuf>,
    pub round: u64,
    /// How often each step was taken.
    pub calls: BTreeMap<String, i64>,
}

impl Checkpoint {
    /// The state of things in a file, given to the session, or the beginning.
    pub fn open(path: Option<PathBuf>, session: &mut Session) -> Result<Checkpoint, Failure> {
        let mut checkpoint = Checkpoint { path, round: 0, calls: BTreeMap::new() };
        let Some(path) = checkpoint.path.as_ref().filter(|path| path.exists()) else { return Ok(checkpoint) };
        let file = WeightFiles::open(&[path])?;
        let number = |name: &str| file.get(name).and_then(|value| value.as_slice::<i64>()?.first().copied());
        let Some(round) = number(ROUND).and_then(|round| u64::try_from(round).ok()) else {
            return Err(Error::request(format!("`{}` is no checkpoint", path.display())).into());
        };
        checkpoint.round = round;
        for name in file.names() {
            if let (Some(step), Some(calls)) = (name.strip_prefix(CALLS), number(name)) {
                checkpoint.calls.insert(step.to_string(), calls.max(0));
            }
        }
        let states: Vec<String> = session.program().states.iter().map(|state| state.name.clone()).collect();
        let missing: Vec<&str> = states.iter().map(String::as_str).filter(|name| file.get(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(lacking(path, &missing, states.len()).into());
        }
        for (name, value) in states.iter().filter_map(|name| Some((name, file.get(name)?))) {
            session.set_state(name, value)?;
        }
        note(format!("going on from round {round} of {}", path.display()));
        Ok(checkpoint)
    }

    pub fn write(&self, session: &mut Session) -> Outcome {
        let Some(path) = &self.path else { return Ok(()) };
        let round = Tensor::from_slice(&[1], &[self.round as i64])?;
        let calls: Vec<(String, Tensor)> = self
            .calls
            .iter()
            .map(|(step, calls)| Ok((format!("{CALLS}{step}"), Tensor::from_slice(&[1], &[*calls])?)))
            .collect::<Result<_, Error>>()?;
        let mut tensors: Vec<(String, TensorRef)> = vec![(ROUND.to_string(), round.view())];
        tensors.extend(calls.iter().map(|(name, tensor)| (name.clone(), tensor.view())));
        tensors.extend(session.states()?.into_iter().map(|(name, value)| (name.to_string(), value)));
        Ok(write_safetensors(path, &tensors)?)
    }
}

/// Names of states that are written out before the rest is counted.
const NAMED: usize = 8;

/// What a file lacks is never begun anew: training would go another way, and nobody would see it.
fn lacking(path: &Path, missing: &[&str], n_states: usize) -> Error {
    let mut names = missing.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if missing.len() > NAMED {
        names += &format!(" and {} more", missing.len() - NAMED);
    }
    let (path, n_missing) = (path.display(), missing.len());
    let message = format!("the checkpoint `{path}` lacks {n_missing} of {n_states} states of this model: {names}");
    let help =
        "it is of another model: choose another file, or remove it; `--weights` takes what is there as first values";
    Error::Request { message, help: Some(help.to_string()) }
}
