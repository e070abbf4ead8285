//! Makes of what was given what an input takes: its element type and its axes.
//!
//! Invariant: no value changes but by rounding to the input's floats; what would change otherwise is refused.

use tilewright::runtime::error::ShapeText;
use tilewright::runtime::program::{DType, Port};
use tilewright::{Error, Tensor};

use super::picture::arranged;

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
    let tensor = if origin == Origin::Image { arranged(tensor, port)? } else { tensor };
    ranked(converted(tensor, &port.name, port.dtype, origin)?, port, origin)
}

/// The same values as an input's element type.
pub fn converted(tensor: Tensor, name: &str, to: DType, origin: Origin) -> Result<Tensor, Error> {
    let from = tensor.dtype();
    if from == to {
        return Ok(tensor);
    }
    if from.is_float() && to.is_int() && !is_whole(&tensor, origin) {
        return Err(not_whole(&tensor, name, to, origin));
    }
    if !to.is_float() {
        let (low, high) = range(to);
        if let Some(value) = first_outside(&tensor, low, high) {
            let message = format!("the input `{name}` is {to}, from {low} to {high}: {value} is not in that range");
            return Err(Error::request(message));
        }
    }
    Ok(tensor.view().cast(to)?)
}

/// The least and the greatest of an integer type; those of bools are false and true.
fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::Bool => (0, 1),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U8 => (0, u8::MAX.into()),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::U32 => (0, u32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// The first value that is no whole number of this range. Doubles hold those of every type but i64.
fn first_outside(tensor: &Tensor, low: i64, high: i64) -> Option<String> {
    if let Some(values) = tensor.as_slice::<i64>() {
        return values.iter().find(|value| !(low..=high).contains(*value)).map(i64::to_string);
    }
    let is_inside = |value: f64| value.fract() == 0.0 && (low as f64..=high as f64).contains(&value);
    tensor.view().to_f64().into_iter().find(|&value| !is_inside(value)).map(|value| value.to_string())
}

/// Whether floats are whole numbers that were written out, such as `1e3`.
fn is_whole(tensor: &Tensor, origin: Origin) -> bool {
    matches!(origin, Origin::Literal(_)) && tensor.view().to_f64().iter().all(|value| value.fract() == 0.0)
}

fn not_whole(tensor: &Tensor, name: &str, to: DType, origin: Origin) -> Error {
    if let Origin::Literal(_) = origin {
        let values = tensor.view().to_f64();
        let odd = values.iter().find(|value| value.fract() != 0.0).or(values.first());
        let odd = odd.map_or(String::new(), |value| format!(": {value:?} is none"));
        return Error::request(format!("the input `{name}` takes whole numbers, {to}{odd}"));
    }
    let help = Some("convert it with `.astype` in NumPy".to_string());
    Error::Request { message: format!("the input `{name}` holds {to}, and the array {}", tensor.dtype()), help }
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
