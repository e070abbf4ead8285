//! The driver and the GPU: found, opened, and described.
//!
//! Invariant: no function of a library is called before the library was found, for cudarc panics where it is not.

use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, sys};

use super::compiler::Compiler;
use crate::error::{ByteCount, ErrorKind, RunError};

pub struct Gpu {
    pub name: String,
    pub(super) context: Arc<CudaContext>,
    pub(super) compiler: Compiler,
}

/// What the driver said, as an error.
pub(super) fn failed(doing: &str) -> impl Fn(DriverError) -> RunError {
    let doing = doing.to_string();
    move |error| {
        let kind = match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::Memory,
            _ => ErrorKind::Code,
        };
        RunError::new(kind, format!("{doing}: {error}"))
    }
}

fn missing(what: &str, help: &str) -> RunError {
    RunError::new(ErrorKind::Code, format!("there is no NVIDIA GPU to run on: {what}")).help(help)
}

/// The GPU of this machine in a line, or why there is none.
pub fn describe() -> Result<String, RunError> {
    let gpu = Gpu::open()?;
    let memory = gpu.context.total_mem().map_err(failed("asking for the GPU's memory"))?;
    let (arch, version) = (&gpu.compiler.arch, &gpu.compiler.version);
    Ok(format!("{} ({arch}, {}, NVRTC {version})", gpu.name, ByteCount(memory as u64)))
}

impl Gpu {
    /// The first GPU that the driver has; `CUDA_VISIBLE_DEVICES` says which that is.
    pub fn open() -> Result<Gpu, RunError> {
        // SAFETY: loading a library runs its initialisers, which those of NVIDIA's driver are made for.
        if !unsafe { sys::is_culib_present() } {
            return Err(missing("the driver's library `libcuda` cannot be loaded", "install NVIDIA's driver"));
        }
        let none = |error: DriverError| missing(&error.to_string(), "see whether `nvidia-smi` finds the GPU");
        cudarc::driver::result::init().map_err(none)?;
        if CudaContext::device_count().map_err(none)? == 0 {
            let help = "see whether `nvidia-smi` finds one, and what `CUDA_VISIBLE_DEVICES` says";
            return Err(missing("the driver finds no device", help));
        }
        let context = CudaContext::new(0).map_err(none)?;
        // SAFETY: each buffer is used on the stream alone that it was made on, so there is nothing to track.
        unsafe { context.disable_event_tracking() };
        let name = context.name().map_err(none)?;
        let (major, minor) = context.compute_capability().map_err(none)?;
        // What an architecture has beyond its successors is behind a letter.
        let letter = if major >= 9 { "a" } else { "" };
        let compiler = Compiler::find(format!("sm_{major}{minor}{letter}"))?;
        Ok(Gpu { name, context, compiler })
    }
}
