//! The kernels of a program as functions of loaded modules.
//!
//! Invariant: function `i` is kernel `i`, and takes what the head of the compiler's `codegen::cuda` says. Equal texts are
//! compiled once, on as many threads as there are cores.

use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaModule};
use cudarc::nvrtc::Ptx;

use super::Gpu;
use super::driver::failed;
use super::queue::Stream;
use crate::device::gpu::{Loaded, Queue};
use crate::error::{ErrorKind, RunError};
use crate::files::Cache;
use crate::program::{Kernel, KernelId, Program};
use crate::threads::on_threads;

pub struct Code {
    pub(super) gpu: Arc<Gpu>,
    functions: Vec<Function>,
}

pub(super) struct Function {
    pub function: CudaFunction,
    /// Of a block.
    pub threads: u32,
}

/// Before the number of threads in a text.
const BOUNDS: &str = "__launch_bounds__(";

impl Code {
    pub fn load(program: &Program, gpu: Arc<Gpu>, cache: &Cache) -> Result<Code, RunError> {
        let mut blobs: Vec<_> = program.kernels.iter().map(|kernel| kernel.object).collect();
        blobs.sort_unstable();
        blobs.dedup();
        // One kernel of each text, to name in what goes wrong with it.
        let first = |blob| program.kernels.iter().find(|kernel| kernel.object == blob);
        let sources: Vec<&Kernel> = blobs.iter().filter_map(|&blob| first(blob)).collect();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let compiled = on_threads(n_threads, sources.len(), |at| {
            let named = |error: RunError| error.note(format!("while compiling kernel `{}`", sources[at].name));
            gpu.compiler.compile(text_of(program, sources[at])?, cache).map_err(named)
        })?;
        cache.trim();
        let modules: Vec<Arc<CudaModule>> = compiled
            .into_iter()
            .map(|code| gpu.context.load_module(Ptx::from_binary(code)).map_err(failed("loading kernels")))
            .collect::<Result<_, _>>()?;
        let function = |kernel: &Kernel| {
            let at = blobs.iter().position(|&blob| blob == kernel.object).unwrap_or_default();
            let threads = threads_of(text_of(program, kernel)?, &kernel.symbol).ok_or_else(|| {
                RunError::new(ErrorKind::Code, format!("kernel `{}` does not say how many threads it has", kernel.name))
            })?;
            let function = modules[at].load_function(&kernel.symbol);
            let function = function.map_err(failed(&format!("looking for kernel `{}`", kernel.name)))?;
            Ok(Function { function, threads })
        };
        let functions = program.kernels.iter().map(function).collect::<Result<_, RunError>>()?;
        Ok(Code { gpu, functions })
    }

    pub(super) fn function(&self, id: KernelId) -> &Function {
        &self.functions[id.0 as usize]
    }
}

impl Loaded for Code {
    fn n_kernels(&self) -> usize {
        self.functions.len()
    }

    fn queue(self: Arc<Self>) -> Result<Box<dyn Queue>, RunError> {
        Ok(Box::new(Stream::new(self)?))
    }
}

fn text_of<'p>(program: &'p Program, kernel: &Kernel) -> Result<&'p str, RunError> {
    let unfit = |what: &str| RunError::new(ErrorKind::Code, format!("kernel `{}` {what}", kernel.name));
    if !program.target.backend.starts_with("cuda") {
        return Err(unfit("is not CUDA's").help("compile the program with `--target cuda`"));
    }
    let blob = kernel.object.ok_or_else(|| unfit("has no text"))?;
    std::str::from_utf8(program.blob(blob)).map_err(|_| unfit("is no text"))
}

/// How many threads a kernel's blocks have, which its head says.
pub(super) fn threads_of(text: &str, symbol: &str) -> Option<u32> {
    let head = &text[..text.find(&format!(" {symbol}("))?];
    let number = &head[head.rfind(BOUNDS)? + BOUNDS.len()..];
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().filter(|&threads| threads > 0)
}
