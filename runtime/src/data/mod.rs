//! Tensors outside a program: in memory, in NumPy files, in images.
//!
//! Invariant: a tensor's bytes are exactly its shape times its element size. Whatever reads a
//! file compares the sizes it claims with the bytes it has before it allocates.

mod element;
mod image;
mod npy;
mod npz;
pub(crate) mod reshape;
pub mod synthetic;
pub mod tensor;

pub use crate::program::dtype::{byte_len, n_elements};
pub use element::Element;
pub use image::{ImageLayout, image_from_bytes, read_image, write_png};
pub use npy::{npy_from_bytes, npy_to_bytes, read_npy, write_npy};
pub use npz::{npz_from_bytes, read_npz, write_npz};
pub use tensor::{Tensor, TensorMut, TensorRef};
