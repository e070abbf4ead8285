//! What the compiler says to its user: places in source text, diagnostics, and their rendering.
//!
//! Invariant: this module knows nothing of the language and does no IO. A diagnostic is a value;
//! the command line decides where it goes and in which colours.

pub mod codes;
mod diagnostic;
mod excerpt;
mod render;
mod source;
mod suggest;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use render::{Theme, render};
pub(crate) use source::boundary_before;
pub use source::{FileId, SourceMap, Span};
pub use suggest::suggest;
