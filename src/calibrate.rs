//! Looks at data before a model is compiled with small integers: how large the values become that weights are multiplied
//! by.
//!
//! Invariant: the model is the one that will be compiled, with the same options, so that places have the same numbers.

use std::sync::Arc;

use tilewright_compiler::driver::Options;
use tilewright_compiler::graph::Model;
use tilewright_compiler::passes::calibration::{Calibration, Seen, place};
use tilewright_runtime::data::Tensor;
use tilewright_runtime::exec::Options as SessionOptions;
use tilewright_runtime::program::Port;
use tilewright_runtime::weights::WeightSet;

use crate::{Error, Weights, compile};

/// Calls an entry with each of these samples, and keeps what was greatest. States start anew with each.
pub fn calibrate(
    model: &Model,
    options: &Options,
    weights: Arc<WeightSet>,
    entry: &str,
    samples: &[Vec<(String, Tensor)>],
) -> Result<Calibration, Error> {
    let looking = Options { calibration: Calibration::Look, ..options.clone() };
    let executable = compile(model, &looking)?;
    let session = SessionOptions { threads: options.threads, ..SessionOptions::default() };
    let mut session = executable.open(Weights::Given(weights), session)?;
    let mut seen = Seen::default();
    for sample in samples {
        session.reset()?;
        let ports = executable.program.entry(entry).map_or(&[][..], |entry| &entry.inputs);
        for part in parts(ports, sample)? {
            let views: Vec<_> = part.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
            for (name, greatest) in session.run(entry, &views)? {
                if let Some(place) = place(&name) {
                    seen.add(entry, place, &greatest.view().to_f32()?);
                }
            }
        }
    }
    Ok(if seen.is_empty() { Calibration::None } else { Calibration::Seen(Arc::new(seen)) })
}

type Arrays = Vec<(String, Tensor)>;

/// A sample as the entry takes it: where the first axis of an input is fixed and the sample's is a multiple of it, in pieces
/// of that many rows; inputs that fit as they are go with each piece.
fn parts(ports: &[Port], sample: &[(String, Tensor)]) -> Result<Vec<Arrays>, Error> {
    let rows = |name: &str| {
        let first = ports.iter().find(|port| port.name == name)?.shape.first()?.as_constant()?;
        usize::try_from(first).ok().filter(|&first| first > 0)
    };
    let pieces = |name: &str, tensor: &Tensor| match (rows(name), tensor.shape().first()) {
        (Some(rows), Some(&all)) if all % rows == 0 => (all / rows).max(1),
        _ => 1,
    };
    let n_parts = sample.iter().map(|(name, tensor)| pieces(name, tensor)).max().unwrap_or(1);
    let piece = |name: &String, tensor: &Tensor, number: usize| {
        let mut shape = tensor.shape().to_vec();
        let n_pieces = pieces(name, tensor);
        let bytes = tensor.bytes().len() / n_pieces;
        let from = match n_pieces {
            1 => 0,
            n if n == n_parts => number * bytes,
            _ => return Err(Error::request(format!("the input `{name}` falls into fewer pieces than another"))),
        };
        if n_pieces > 1 {
            shape[0] /= n_pieces;
        }
        Ok((name.clone(), Tensor::from_bytes(tensor.dtype(), &shape, &tensor.bytes()[from..][..bytes])?))
    };
    let part = |number: usize| sample.iter().map(|(name, tensor)| piece(name, tensor, number)).collect();
    (0..n_parts).map(part).collect()
}
