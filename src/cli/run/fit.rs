//! Makes of what was given what an input takes: its element type and its axes.
//!
//! Invariant: no value changes but by rounding to the input's floats; what would change otherwise is refused.

use tilewright::runtime::error::ShapeText;
use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

/// Where a value comes from, which decides what a missing axis means and what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Written out on the command line.
    Literal(&'a str),
    Array,
    /// A picture, which has no axis of the batch.
    Image,
}

/// What was given as the port's element type and with its axes.
pub fn fit(tensor: Tensor, port: &Port, origin: Origin) -> Result<Tensor, Error> {
    ranked(converted(tensor, port)?, port, origin)
}

fn converted(tensor: Tensor, port: &Port) -> Result<Tensor, Error> {
    let (from, to) = (tensor.dtype(), port.dtype);
    let widens = from == to || to.is_float() || (from.is_int() && to.is_int()) || to.size_of() == 1;
    match widens {
        true if from == to => Ok(tensor),
        true => Ok(tensor.view().cast(to)?),
        false => Err(Error::request(format!("the input `{}` holds {to}, and the file {from}", port.name))),
    }
}

/// A picture is a batch of one; whatever else lacks an axis is not guessed at.
fn ranked(tensor: Tensor, port: &Port, origin: Origin) -> Result<Tensor, Error> {
    let (expected, found) = (port.shape.len(), tensor.shape().len());
    let is_batch = |port: &Port| port.shape[0].as_constant().is_none_or(|size| size == 1);
    if origin == Origin::Image && found + 1 == expected && is_batch(port) {
        let shape = [&[1], tensor.shape()].concat();
        return Ok(tensor.reshaped(&shape)?);
    }
    if found >= expected {
        return Ok(tensor);
    }
    let axes = |n: usize| if n == 1 { "1 axis".to_string() } else { format!("{n} axes") };
    let (wanted, shape) = (ShapeText(&port.shape), ShapeText(tensor.shape()));
    let message = format!(
        "the input `{}` has {}, {wanted}; what is given has {}, {shape}",
        port.name,
        axes(expected),
        axes(found)
    );
    Err(Error::Request { message, help: Some(missing_axis(port, expected - found, origin)) })
}

/// How the axes that are missing are written.
fn missing_axis(port: &Port, n_missing: usize, origin: Origin) -> String {
    const SHORT: usize = 40;
    match origin {
        Origin::Literal(text) => {
            let inner = if text.len() <= SHORT { text } else { "…" };
            let (open, close) = ("[".repeat(n_missing), "]".repeat(n_missing));
            format!("each pair of brackets is an axis, here of one: `{}={open}{inner}{close}`", port.name)
        }
        Origin::Array | Origin::Image => "`array[None]` in NumPy adds an axis of one in front".to_string(),
    }
}
