//! Tilewright: a declarative model compiler. Architectures in, machine code out.
//!
//! A spec says what a model is; [`compile`] makes machine code of it; a [`Session`] runs that on tensors.
//!
//! ```
//! use tilewright::{Model, Options, Tensor, Weights, compile};
//!
//! let text = r#"graph @call(%0 "x": data f32[B, 3], %1 "w": param f32[3]) where B in 1.. {
//!   %2: f32[B, 3] = broadcast(%1) {shape = [B, 3]}
//!   %3: f32[B, 3] = mul(%0, %2)
//!   return %3 "y": data
//! }"#;
//! let model = tilewright::model_from_text("scale", text)?;
//! let executable = compile(&model, &Options::default())?;
//! let mut session = executable.open(Weights::Synthetic, Default::default())?;
//! let x = Tensor::from_slice(&[2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let outputs = session.run("call", &[("x", x.view())])?;
//! assert_eq!(outputs[0].1.shape(), [2, 3]);
//! # Ok::<(), tilewright::Error>(())
//! ```
//!
//! Invariant: nothing here prints or exits; the command `tw` does, and does nothing that is not public.

mod calibrate;
mod error;
mod executable;
mod spec;
mod text;
mod weight_map;

pub use tilewright_compiler as compiler;
pub use tilewright_runtime as runtime;

pub use calibrate::calibrate;
pub use compiler::codegen::{Backend, Cache, Progress, Target};
pub use compiler::driver::{Options, Times};
pub use compiler::graph::{DType, Model};
pub use error::Error;
pub use executable::{Executable, Weights, check_extents, compile, initial_weights};
pub use runtime::data::{Tensor, TensorRef};
pub use runtime::exec::{Options as SessionOptions, Session};
pub use spec::{Choice, Spec, broken_promise};
pub use text::model_from_text;
