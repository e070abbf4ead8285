//! The specs under `specs/`, held against what PyTorch says and against themselves.
//!
//! Invariant: which golden runs on which engine, and when, is one table (`goldens::PLAN`); a golden that the table does not
//! name is a failure.

mod batches;
mod counts;
mod digits;
mod engine;
mod every_spec;
mod golden;
mod goldens;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
mod narrowed;
mod parity;
mod perturbed;
mod published;
mod speed;
mod training;
