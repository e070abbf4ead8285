//! PNG and JPEG images as tensors of f32 in [0, 1], with three channels.
//!
//! Invariant: an image whose decoding would take more than [`MAX_BYTES`], or which is longer
//! than [`MAX_SIDE`], is refused from its header.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use image::{ImageReader, Limits, RgbImage};

use super::{Tensor, TensorRef};
use crate::error::{ErrorKind, RunError, ShapeText};
use crate::files;

const MAX_SIDE: u32 = 1 << 15;
const MAX_BYTES: u64 = 512 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLayout {
    /// `[3, H, W]`
    ChannelsFirst,
    /// `[H, W, 3]`
    ChannelsLast,
}

pub fn read_image(path: &Path, layout: ImageLayout) -> Result<Tensor, RunError> {
    let bytes = fs::read(path).map_err(|error| RunError::io("read", path, &error))?;
    image_from_bytes(&bytes, layout).map_err(|error| RunError::file(path, error))
}

pub fn image_from_bytes(bytes: &[u8], layout: ImageLayout) -> Result<Tensor, RunError> {
    let bad = |error: &dyn std::fmt::Display| RunError::new(ErrorKind::File, format!("no image: {error}"));
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| bad(&error))?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| bad(&error))?.into_rgb32f();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.into_raw();
    match layout {
        ImageLayout::ChannelsLast => Tensor::from_slice(&[height, width, 3], &pixels),
        ImageLayout::ChannelsFirst => {
            let mut tensor = Tensor::zeros(crate::program::DType::F32, &[3, height, width])?;
            let planes = tensor.as_mut_slice::<f32>().unwrap_or_default();
            for (place, value) in planes.iter_mut().enumerate() {
                let (channel, pixel) = (place / (height * width), place % (height * width));
                *value = pixels[pixel * 3 + channel];
            }
            Ok(tensor)
        }
    }
}

/// Writes `[3, H, W]` or `[1, H, W]` (or `[H, W]`), values in [0, 1], others clamped.
pub fn write_png(path: &Path, tensor: TensorRef) -> Result<(), RunError> {
    let (channels, height, width) = match *tensor.shape() {
        [height, width] => (1, height, width),
        [channels @ (1 | 3), height, width] => (channels, height, width),
        ref shape => {
            let message = format!("a tensor of shape {} is no image; [3, H, W] or [1, H, W] is", ShapeText(shape));
            return Err(RunError::new(ErrorKind::Input, message));
        }
    };
    let values = tensor.to_f32()?;
    let plane = height * width;
    let byte = |pixel: usize, channel: usize| {
        (values[channel % channels * plane + pixel].clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let bytes: Vec<u8> = (0..plane)
        .flat_map(|pixel| (0..3).map(move |channel| (pixel, channel)))
        .map(|(pixel, channel)| byte(pixel, channel))
        .collect();
    let sides =
        u32::try_from(width).ok().zip(u32::try_from(height).ok()).filter(|&(width, height)| width > 0 && height > 0);
    let image = sides.and_then(|(width, height)| RgbImage::from_raw(width, height, bytes));
    let image = image.ok_or_else(|| RunError::new(ErrorKind::Input, "an image needs at least one pixel"))?;
    let write = |name: &Path| image.save_with_format(name, image::ImageFormat::Png).map_err(io::Error::other);
    files::write_whole_by_name(path, write).map_err(|error| RunError::io("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_comes_back_in_both_layouts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.png");
        let values: Vec<f32> = (0..18).map(|i| i as f32 / 17.0).collect();
        let tensor = Tensor::from_slice(&[3, 2, 3], &values).unwrap();
        write_png(&path, tensor.view()).unwrap();
        let first = read_image(&path, ImageLayout::ChannelsFirst).unwrap();
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.003);
        assert_eq!(first.shape(), [3, 2, 3]);
        assert!(close(first.as_slice().unwrap(), &values));
        let last = read_image(&path, ImageLayout::ChannelsLast).unwrap();
        assert_eq!(last.shape(), [2, 3, 3]);
        let wanted: Vec<f32> = (0..18).map(|i| values[i % 3 * 6 + i / 3]).collect();
        assert!(close(last.as_slice().unwrap(), &wanted));
        let flat = Tensor::from_slice(&[2, 3], &values[..6]).unwrap();
        write_png(&path, flat.view()).unwrap();
        assert_eq!(read_image(&path, ImageLayout::ChannelsFirst).unwrap().shape(), [3, 2, 3]);
        assert!(write_png(&path, Tensor::from_slice(&[18], &values).unwrap().view()).is_err());
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.png");
        write_png(&path, Tensor::from_slice(&[2, 2], &[0.5f32; 4]).unwrap().view()).unwrap();
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() - 12 {
            assert!(image_from_bytes(&good[..len], ImageLayout::ChannelsLast).is_err());
        }
        // A header that claims 2³¹ − 1 pixels a side.
        let mut huge = good.clone();
        huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert!(image_from_bytes(&huge, ImageLayout::ChannelsLast).is_err());
        assert!(image_from_bytes(b"GIF89a", ImageLayout::ChannelsLast).is_err());
    }
}
