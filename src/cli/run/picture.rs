//! A picture as an input takes it: its channels first or last, three of them or, where it is grey, one.
//!
//! Invariant: every value stays; a picture in colours is no grey one.

use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

/// What was read as `[3, H, W]`, with its channels where the input has them: `[…, C, H, W]` or `[…, H, W, C]`.
pub fn arranged(picture: Tensor, port: &Port) -> Result<Tensor, Error> {
    let (&[_, height, width], Some(values)) = (picture.shape(), picture.as_slice::<f32>()) else { return Ok(picture) };
    let plane = height * width;
    let channels_at = |from_end: usize| {
        let axis = port.shape.len().checked_sub(from_end)?;
        port.shape[axis].as_constant().filter(|size| [1, 3].contains(size))
    };
    let (channels, is_last) = match (channels_at(3), channels_at(1)) {
        (Some(channels), _) => (channels, false),
        (None, Some(channels)) => (channels, true),
        (None, None) => return Ok(picture),
    };
    if channels == 1 && values.iter().zip(&values[plane..]).any(|(one, next)| one != next) {
        let message = format!("the input `{}` takes pictures of one channel, and this one has colours", port.name);
        return Err(Error::Request { message, help: Some("make it a grey one first".to_string()) });
    }
    let arranged = match (channels, is_last) {
        (1, false) => Tensor::from_slice(&[1, height, width], &values[..plane]),
        (1, true) => Tensor::from_slice(&[height, width, 1], &values[..plane]),
        (_, false) => return Ok(picture),
        (_, true) => {
            let turned: Vec<f32> = (0..3 * plane).map(|place| values[place % 3 * plane + place / 3]).collect();
            Tensor::from_slice(&[height, width, 3], &turned)
        }
    };
    Ok(arranged?)
}
