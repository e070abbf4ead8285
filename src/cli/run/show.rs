//! Images of a batch drawn with block characters, side by side, their predicted classes below.

use tilewright::{Error, Tensor};

use super::super::term::{BAD, Failure, GOOD, styled};
use super::report::{Report, class_name};

/// From dark to bright.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
/// Characters that a picture may be wide, two for each pixel.
const MAX_PIXELS: usize = 32;

/// The first `n` images of the first input that holds images.
pub fn pictures(
    inputs: &[(String, Tensor)],
    report: &Report,
    classes: Option<&[String]>,
    n: usize,
) -> Result<String, Failure> {
    let is_image = |tensor: &Tensor| matches!(tensor.shape(), [_, 1 | 3, height, width] if *height > 1 && *width > 1);
    let images = inputs.iter().map(|(_, tensor)| tensor).find(|tensor| is_image(tensor));
    let images =
        images.ok_or_else(|| Error::request("`--show` draws inputs of shape [B, 1 or 3, H, W]; there is none"))?;
    let drawn: Vec<Vec<String>> = (0..n.min(images.shape()[0])).map(|idx| picture(images, idx)).collect();
    let height = drawn.first().map_or(0, Vec::len);
    let mut text = String::new();
    for row in 0..height {
        let cells: Vec<&str> = drawn.iter().map(|lines| lines[row].as_str()).collect();
        text += &format!("  {}\n", cells.join("   "));
    }
    let width = drawn.first().map_or(0, |lines| lines[0].chars().count());
    let captions: Vec<String> = (0..drawn.len()).map(|idx| caption(report, classes, idx, width)).collect();
    Ok(text + &format!("  {}\n\n", captions.join("   ")))
}

fn caption(report: &Report, classes: Option<&[String]>, idx: usize, width: usize) -> String {
    let Some(&class) = report.predicted.get(idx) else { return " ".repeat(width) };
    let name = format!("{:^width$}", class_name(classes, class));
    match report.labels.get(idx) {
        Some(&label) if label == class as i64 => styled(GOOD, name),
        Some(_) => styled(BAD, name),
        None => name,
    }
}

fn picture(images: &Tensor, idx: usize) -> Vec<String> {
    let [_, channels, height, width] = images.shape()[..] else { return Vec::new() };
    let values = images.view().to_f64();
    let image = &values[idx * channels * height * width..][..channels * height * width];
    let (low, high) = image.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let range = if high > low { high - low } else { 1.0 };
    let stride = width.max(height).div_ceil(MAX_PIXELS).max(1);
    let shade = |y: usize, x: usize| {
        let sum: f64 = (0..channels).map(|c| image[(c * height + y) * width + x]).sum();
        let bright = (sum / channels as f64 - low) / range;
        SHADES[((bright * SHADES.len() as f64) as usize).min(SHADES.len() - 1)]
    };
    let row = |y: usize| (0..width).step_by(stride).map(|x| shade(y, x)).collect();
    (0..height).step_by(stride).map(row).collect()
}
