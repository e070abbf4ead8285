//! Machine code: printers of loop-level kernels, nothing more.
//!
//! Invariant: a backend prints what the head of `kernel::types` says, statement by statement; whatever is clever happens
//! in the kernel lowering. Both backends give relocatable ELF objects that reach nothing outside themselves but host
//! functions by name, so one loader serves them.

pub mod cranelift;
pub mod cuda;
pub mod llvm;
mod parallel;
mod source;
pub mod target;
pub mod wgsl;

use std::fmt;

pub use parallel::{Compiled, Entry, Progress, compile_cached};
pub use target::{Arch, Target};
pub use tilewright_runtime::files::{Cache, VARIABLE};

use crate::kernel::Kernel;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    Llvm,
    Cranelift,
    /// Shaders for GPUs.
    Wgsl,
    /// CUDA C++, as text.
    Cuda,
}

impl Backend {
    /// The backends of this build that make code for CPUs, the better one first.
    pub const AVAILABLE: &[Backend] =
        if cfg!(feature = "inkwell") { &[Backend::Llvm, Backend::Cranelift] } else { &[Backend::Cranelift] };

    pub fn name(self) -> &'static str {
        match self {
            Backend::Llvm => "llvm",
            Backend::Cranelift => "cranelift",
            Backend::Wgsl => "wgsl",
            Backend::Cuda => "cuda",
        }
    }

    /// Whether its kernels are those of blocks of threads, and are text.
    pub fn is_for_gpus(self) -> bool {
        matches!(self, Backend::Wgsl | Backend::Cuda)
    }

    pub fn from_name(name: &str) -> Option<Backend> {
        [Backend::Llvm, Backend::Cranelift, Backend::Wgsl, Backend::Cuda]
            .into_iter()
            .find(|backend| backend.name() == name)
    }

    /// What a cached object depends on besides the kernel and the target.
    pub fn version(self) -> String {
        match self {
            Backend::Llvm => llvm::version(),
            Backend::Cranelift => cranelift::version(),
            // Their sources are hashed with those of the lowering.
            Backend::Wgsl | Backend::Cuda => "1".to_string(),
        }
    }
}

/// A kernel and the symbol that its function gets in the object.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    pub symbol: &'a str,
    pub kernel: &'a Kernel,
}

/// One object that defines a function for each unit.
pub fn compile(units: &[Unit], backend: Backend, target: &Target) -> Result<Vec<u8>, CodegenError> {
    match backend {
        Backend::Llvm => llvm::compile(units, target),
        Backend::Cranelift => cranelift::compile(units, target),
        Backend::Wgsl => wgsl::print(units).map(String::into_bytes),
        Backend::Cuda => cuda::print(units).map(String::into_bytes),
    }
}

/// A kernel that cannot be printed or that the code generator refused: a fault of the compiler, not of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodegenError {
    pub message: String,
    /// The backend's text of what was refused, if it got that far.
    pub dump: Option<String>,
}

impl CodegenError {
    pub fn new(message: impl Into<String>) -> CodegenError {
        CodegenError { message: message.into(), dump: None }
    }

    pub fn with_dump(self, dump: impl Into<String>) -> CodegenError {
        CodegenError { dump: Some(dump.into()), ..self }
    }

    fn in_kernel(self, name: &str) -> CodegenError {
        CodegenError { message: format!("kernel `{name}`: {}", self.message), ..self }
    }
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.dump {
            Some(dump) => write!(f, "\n{dump}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CodegenError {}

#[cfg(test)]
mod tests;
