//! Pictures of what has been learned: an entry that makes images is called with the states of training.

use std::path::Path;

use tilewright::runtime::program::{Port, Program, STEP_INPUT};
use tilewright::{Error, Session, Tensor};

use super::super::grid::{is_grid, write_grid};
use super::super::term::Outcome;

/// Says why an entry cannot be drawn from, before training starts.
pub fn check(program: &Program, entry: &str) -> Result<(), Error> {
    let Some(plan) = program.entry(entry) else {
        let names = program.entries.iter().map(|entry| entry.name.as_str());
        return Err(Error::unknown("entry", entry, names));
    };
    match plan.inputs.iter().find(|port| !port.is_seed() && !port.is_step()) {
        None => Ok(()),
        Some(port) => Err(Error::request(format!("`{entry}` needs `{}`: samples are drawn from nothing", port.name))),
    }
}

/// Draws what the entry makes; the draws are those of the seed, so that pictures of different rounds can be compared.
pub fn write(session: &mut Session, entry: &str, path: &Path) -> Outcome {
    let takes_step = session.program().entry(entry).is_some_and(|plan| plan.inputs.iter().any(Port::is_step));
    let step = Tensor::from_slice(&[], &[0i64])?;
    let inputs: &[_] = if takes_step { &[(STEP_INPUT, step.view())] } else { &[] };
    let outputs = session.run(entry, inputs)?;
    let Some((_, images)) = outputs.iter().find(|(_, tensor)| is_grid(tensor)) else {
        return Err(Error::request(format!("`{entry}` makes no images, [B, 1, H, W] or [B, 3, H, W]")).into());
    };
    Ok(write_grid(path, images)?)
}
