//! The Graph IR: what is computed.

pub mod scalar;

pub use scalar::Scalar;
pub use tilewright_runtime::program::dtype::DType;
pub use tilewright_runtime::program::size::{Atom, Dim, Range, Ranges, Symbol};
