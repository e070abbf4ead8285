//! Where a number went wrong: the step is taken again, op by op, from the states before it.
//!
//! Nothing is kept for this while all goes well: a run is a function of its seed and data, so the calls since the last
//! checkpoint are made again, up to the one that failed, and that one is left to the reference interpreter.

use std::collections::HashMap;

use tilewright::Model;
use tilewright::compiler::driver::Interpreter;
use tilewright::compiler::graph::Precision;

use super::super::run::as_reference;
use super::super::term::{Failure, note};
use super::Training;

/// Which op first gave a value that is not finite when the last call of this training is made again, and its place.
pub fn first_op(failed: &Training, model: &Model, step: &str) -> Result<Option<String>, Failure> {
    note("looking for the op where that began");
    let mut again = failed.from_checkpoint()?;
    let calls = |training: &Training| training.checkpoint.calls.get(step).copied().unwrap_or(0);
    let is_next = |training: &Training, next: &str| next == step && calls(training) + 1 == calls(failed);
    let round = failed.checkpoint.round;
    while again.checkpoint.round < round {
        again.round(model, &|_, _| false)?;
    }
    again.round(model, &is_next)?;
    let program = again.session.program();
    let params = program.params.iter().enumerate();
    let params = params.map(|(idx, param)| (param.name.clone(), as_reference(again.weights.get(idx)))).collect();
    let mut interpreter = Interpreter::new(model.clone(), params, Precision::Wide).with_seed(failed.args.seed);
    for (name, value) in again.session.states()? {
        interpreter.set_state(name, as_reference(value));
    }
    let inputs = again.inputs(step)?;
    let inputs: HashMap<_, _> =
        inputs.iter().map(|(name, tensor)| (name.clone(), as_reference(tensor.view()))).collect();
    // Where it cannot be found out, what is known already is said.
    let found = interpreter.first_not_finite(step, &inputs).ok().flatten();
    Ok(found.map(|(op, origin)| format!("`{op}`, {origin}")))
}
