//! Where kernels run.

pub mod cpu;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::sync::Arc;

/// The kernels of a program, on the device that they were compiled for.
#[derive(Clone)]
pub enum Code {
    Cpu(Arc<cpu::Code>),
    #[cfg(feature = "wgpu")]
    Wgpu(Arc<wgpu::Code>),
}

impl Code {
    pub fn n_kernels(&self) -> usize {
        match self {
            Code::Cpu(code) => code.n_kernels(),
            #[cfg(feature = "wgpu")]
            Code::Wgpu(code) => code.n_kernels(),
        }
    }
}

impl From<Arc<cpu::Code>> for Code {
    fn from(code: Arc<cpu::Code>) -> Code {
        Code::Cpu(code)
    }
}

#[cfg(feature = "wgpu")]
impl From<Arc<wgpu::Code>> for Code {
    fn from(code: Arc<wgpu::Code>) -> Code {
        Code::Wgpu(code)
    }
}
