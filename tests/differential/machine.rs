//! Graphs as programs: planned, compiled by a backend and run in a session with poisoned memory.

use std::sync::Arc;

use tilewright::compiler::codegen::{Backend, Cache};
use tilewright::compiler::driver::{self, Options};
use tilewright::compiler::graph::{Argument, Graph, Role, Tensor, Type};
use tilewright::compiler::kernel::{self, Kernel};
use tilewright::compiler::plan::{Interface, Planned, State};
use tilewright::runtime::RunError;
use tilewright::runtime::data::Tensor as Array;
use tilewright::runtime::device::{Code, cpu};
use tilewright::runtime::exec::{self, Session};
use tilewright::runtime::program::Program;
use tilewright::runtime::weights::WeightSet;

pub fn options(backend: Backend) -> Options {
    Options { backend, threads: 1, verify: true, cache: Cache::off(), ..Options::new() }
}

/// The kernels and the plan of the entries that a graph was lowered to.
pub fn planned(graph: &Graph, entries: &[Graph], options: &Options) -> Result<Planned, String> {
    let of = |role: Role| {
        let is_ours = move |argument: &&Argument| argument.role == role;
        let mine = graph.arguments().iter().zip(entries[0].arguments());
        let mine = mine.map(|(_, argument)| argument).filter(is_ours);
        mine.map(|argument| (argument.name.clone(), entries[0].type_of(argument.value).clone()))
    };
    let state = |(name, ty): (String, Type)| State { name, ty, initial: None };
    let interface = Interface {
        name: "random".to_string(),
        params: of(Role::Param).collect(),
        prepared: driver::prepared_values(entries),
        states: of(Role::State).map(state).collect(),
    };
    let options = Options { threads: 2, ..options.clone() };
    driver::plan_graphs(&interface, entries, &options)
        .map_err(|error| format!("{error}\n{}", error.dump().unwrap_or("")))
}

/// That a kernel survives printing and parsing.
pub fn check_kernel(kernel: &Kernel) -> Result<(), String> {
    let text = kernel::print(kernel);
    let parsed = kernel::parse(&text).map_err(|error| format!("{error}\n{text}"))?;
    match parsed == *kernel {
        true => Ok(()),
        false => Err(format!("reads back differently:\n{text}\n{}", kernel::print(&parsed))),
    }
}

/// The program with machine code for its kernels.
pub fn compiled(mut program: Program, options: &Options) -> Result<Program, String> {
    driver::rebuild(&mut program, options).map_err(|error| error.to_string())?;
    Ok(program)
}

fn load(program: &Program) -> Result<Code, RunError> {
    #[cfg(feature = "wgpu")]
    if program.target.backend.starts_with(Backend::Wgsl.name()) {
        use tilewright::runtime::device::wgpu;
        static GPU: std::sync::OnceLock<Arc<wgpu::Gpu>> = std::sync::OnceLock::new();
        let gpu = GPU.get_or_init(|| Arc::new(wgpu::Gpu::open().expect("a GPU")));
        return Ok(Arc::new(wgpu::Code::load(program, Arc::clone(gpu))?).into());
    }
    #[cfg(feature = "cuda")]
    if program.target.backend.starts_with(Backend::Cuda.name()) {
        use tilewright::runtime::device::cuda;
        static GPU: std::sync::OnceLock<Arc<cuda::Gpu>> = std::sync::OnceLock::new();
        let gpu = GPU.get_or_init(|| Arc::new(cuda::Gpu::open().expect("a GPU")));
        return Ok(Arc::new(cuda::Code::load(program, Arc::clone(gpu), &tilewright::Cache::from_env())?).into());
    }
    Ok(Arc::new(cpu::Code::load(program, &cpu::Hosts::standard())?).into())
}

/// A session that holds the params, with sizes that no input tells.
pub fn open(
    program: Program,
    params: Vec<Array>,
    threads: usize,
    sizes: Vec<(String, i64)>,
) -> Result<Session, String> {
    let code = load(&program).map_err(|error| error.to_string())?;
    let weights = WeightSet::from_tensors(params);
    let options = exec::Options { threads, sizes, poison: true, ..exec::Options::default() };
    Session::open(Arc::new(program), code, Arc::new(weights), options).map_err(|error| error.to_string())
}

/// A tensor of the interpreter as the runtime holds it, in the type the program wants.
pub fn array(tensor: &Tensor, ty: &Type) -> Result<Array, String> {
    let tensor = tensor.cast(ty.dtype);
    Array::from_bytes(tensor.dtype, &tensor.shape, &tensor.to_bytes()).map_err(|error| error.to_string())
}

pub fn tensor(array: &Array) -> Tensor {
    let shape = array.shape().to_vec();
    match (array.dtype().is_float(), array.as_slice::<i64>()) {
        (true, _) => Tensor::floats(array.dtype(), shape, array.view().to_f64()),
        (false, Some(ints)) => Tensor::ints(array.dtype(), shape, ints.to_vec()),
        (false, None) => {
            Tensor::ints(array.dtype(), shape, array.view().to_f64().into_iter().map(|v| v as i64).collect())
        }
    }
}
