//! Where kernels run.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod gpu;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::sync::Arc;

/// The kernels of a program, on the device that they were compiled for.
#[derive(Clone)]
pub enum Code {
    Cpu(Arc<cpu::Code>),
    Gpu(Arc<dyn gpu::Loaded>),
}

impl Code {
    pub fn n_kernels(&self) -> usize {
        match self {
            Code::Cpu(code) => code.n_kernels(),
            Code::Gpu(code) => code.n_kernels(),
        }
    }
}

impl From<Arc<cpu::Code>> for Code {
    fn from(code: Arc<cpu::Code>) -> Code {
        Code::Cpu(code)
    }
}

impl<G: gpu::Loaded + 'static> From<Arc<G>> for Code {
    fn from(code: Arc<G>) -> Code {
        Code::Gpu(code)
    }
}
