//! Tensors outside a program: in memory, in NumPy files, in images.
//!
//! Invariant: a tensor's bytes are exactly its shape times its element size. Whatever reads a
//! file compares the sizes it claims with the bytes it has before it allocates.

mod element;
pub mod tensor;

pub use element::Element;
pub use tensor::{Tensor, TensorMut, TensorRef, byte_len, n_elements};
