//! Images side by side in one PNG, for people to look at.
//!
//! Invariant: rows from left to right and top to bottom, in the order of the batch; values outside [0, 1] are clamped.

use std::path::Path;

use tilewright::runtime::data::write_png;
use tilewright::{Error, Tensor};

/// An image shorter than this is shown larger, each pixel as a square.
const SEEN: usize = 32;
/// Pixels between images.
const GAP: usize = 2;

/// What can be drawn: `[B, 1, H, W]` or `[B, 3, H, W]` of floats.
pub fn is_grid(tensor: &Tensor) -> bool {
    matches!(tensor.shape(), [_, 1 | 3, _, _]) && !tensor.shape().contains(&0) && tensor.dtype().is_float()
}

/// Writes a batch of images as one.
pub fn write_grid(path: &Path, images: &Tensor) -> Result<(), Error> {
    let &[n_images, channels, height, width] = images.shape() else {
        return Err(Error::request("a grid is made of images, [B, 1, H, W] or [B, 3, H, W]"));
    };
    let scale = SEEN.div_ceil(height.min(width).max(1));
    let n_columns = (1..=n_images.max(1)).find(|n| n.saturating_mul(*n) >= n_images).unwrap_or(1);
    let n_rows = n_images.div_ceil(n_columns).max(1);
    let side = |n: usize, extent: usize| n * (extent * scale + GAP) + GAP;
    let (all_high, all_wide) = (side(n_rows, height), side(n_columns, width));
    let values = images.view().to_f32()?;
    let mut grid = vec![1.0f32; channels * all_high * all_wide];
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at % width, at / width % height);
        let (channel, image) = (at / (width * height) % channels, at / (width * height * channels));
        let top = (image / n_columns) * (height * scale + GAP) + GAP + y * scale;
        let left = (image % n_columns) * (width * scale + GAP) + GAP + x * scale;
        for row in top..top + scale {
            let start = (channel * all_high + row) * all_wide + left;
            grid[start..start + scale].fill(*value);
        }
    }
    let grid = Tensor::from_slice(&[channels, all_high, all_wide], &grid)?;
    Ok(write_png(path, grid.view())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.png");
        let values: Vec<f32> = (0..3 * 16 * 16).map(|at| [0.0, 0.5, 1.0][at / 256]).collect();
        write_grid(&path, &Tensor::from_slice(&[3, 1, 16, 16], &values).unwrap()).unwrap();
        let seen = tilewright::runtime::data::read_image(&path, tilewright::runtime::data::ImageLayout::ChannelsFirst);
        let seen = seen.unwrap();
        let side = 2 * (32 + GAP) + GAP;
        assert_eq!(seen.shape(), [3, side, side]);
        let pixel = |y: usize, x: usize| seen.as_slice::<f32>().unwrap()[y * side + x];
        assert_eq!(pixel(GAP, GAP), 0.0);
        assert!((pixel(GAP + 31, GAP + 40) - 0.5).abs() < 0.01);
        assert_eq!(pixel(GAP + 40, GAP + 5), 1.0);
        assert_eq!(pixel(0, 0), 1.0, "the gap is white");
    }
}
