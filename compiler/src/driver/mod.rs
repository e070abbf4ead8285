//! The driver joins the stages: a model becomes a program with machine code in it.
//!
//! Invariant: pure. Nothing is read or written but the cache that the options name, and equal inputs give equal programs,
//! whatever the number of threads.

mod initial;
mod interpreter;
mod kept;
mod machine;
mod rebuild;
mod stages;

use std::fmt;
use std::time::{Duration, Instant};

use tilewright_runtime::program::{self, Program, SizeName};

pub use initial::{initial_params, initial_states, with_given_keys};
pub use interpreter::Interpreter;
pub use machine::machine;
pub use rebuild::rebuild;
pub use stages::{
    Lowered, lower_entries, lower_graphs, lower_kernels, lower_watched, plan_entries, plan_graphs, prepared_values,
};

use crate::codegen::{Arch, Backend, Cache, CodegenError, Progress, Target, compile_cached};
use crate::diag::suggest;
use crate::graph::{DType, Model, NamedSize};
use crate::kernel::{Kernel, guarded, print};
use crate::passes::{Calibration, Narrowing, PassError, prepare};
use crate::plan::PlanError;

#[derive(Clone, Debug)]
pub struct Options {
    pub backend: Backend,
    /// What floats without a written type become.
    pub float: DType,
    /// What contractions with weights read.
    pub narrowing: Narrowing,
    /// No algorithm that rounds more than the plain one does, and is faster.
    pub exact: bool,
    /// What scales of small integers are computed from.
    pub calibration: Calibration,
    /// Threads that compile, and that kernels are cut up for; 0 for one per core.
    pub threads: usize,
    pub target: Target,
    /// Check every graph and kernel after each stage. Tile kernels are checked in any case before they are lowered.
    pub verify: bool,
    pub cache: Cache,
    /// The entries to compile; all of them if this is empty.
    pub entries: Vec<String>,
    /// Is told of each kernel that becomes machine code.
    pub progress: Progress,
}

impl Options {
    /// For this machine, with the better backend and the user's cache.
    pub fn new() -> Options {
        Options {
            backend: Backend::AVAILABLE[0],
            float: DType::F32,
            narrowing: Narrowing::None,
            exact: false,
            calibration: Calibration::None,
            threads: 0,
            target: Target::host(),
            verify: cfg!(debug_assertions),
            cache: Cache::from_env(),
            entries: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Whether the target loses nothing by multiplying numbers as narrow as is asked for.
    pub fn narrow_products(&self) -> bool {
        match self.narrowing {
            Narrowing::Factors(dtype) => self.target.desc(self.backend).multiplies(dtype),
            _ => true,
        }
    }

    pub fn n_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

pub struct Compiled {
    pub program: Program,
    /// Decisions of passes and of planning.
    pub remarks: Vec<String>,
    pub times: Times,
}

/// Whether the compiler made an entry beside those of the model.
pub fn is_internal(entry: &str) -> bool {
    [initial::STATES, initial::PARAMS, prepare::ENTRY].contains(&entry)
}

/// How long each stage took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub passes: Duration,
    pub plan: Duration,
    /// Lowering of kernels and making code of them, where the cache has none; reading the whole program, where it has that.
    pub codegen: Duration,
}

impl Times {
    pub fn total(&self) -> Duration {
        self.passes + self.plan + self.codegen
    }
}

/// Compiles the entries of a model, or finds what was compiled of an equal one.
pub fn compile(model: &Model, options: &Options) -> Result<Compiled, CompileError> {
    let key = kept::key(model, options);
    if let Some(compiled) = key.as_ref().and_then(|key| kept::find(key, options)) {
        return Ok(compiled);
    }
    let compiled = compile_anew(model, options)?;
    if let Some(key) = &key {
        kept::keep(key, &compiled, options);
    }
    Ok(compiled)
}

fn compile_anew(model: &Model, options: &Options) -> Result<Compiled, CompileError> {
    ask_for_code(options)?;
    let mut times = Times::default();
    let lowered = timed(&mut times.passes, || lower_entries(model, options))?;
    let planned = timed(&mut times.plan, || plan_entries(model, &lowered, options))?;
    if options.verify {
        lower_kernels(&planned.kernels, options)?;
    }
    let mut program = planned.program;
    name_sizes(&mut program, model);
    let unproved = timed(&mut times.codegen, || add_code_to_own(&mut program, &planned.kernels, options))?;
    let remarks = lowered.remarks.into_iter().chain(planned.remarks).chain(unproved).collect();
    Ok(Compiled { program, remarks, times })
}

/// The code generators of a build make code for the kind of CPU that it runs on; for others there are the stages before.
pub fn ask_for_code(options: &Options) -> Result<(), CompileError> {
    let arch = options.target.arch;
    if arch == Arch::HOST || options.backend.is_for_gpus() {
        return Ok(());
    }
    let [wanted, own] = [arch, Arch::HOST].map(|arch| arch.triple().split('-').next().unwrap_or_default());
    Err(CompileError::Name {
        message: format!("this build makes machine code for {own}, not for {wanted}"),
        help: Some(format!(
            "compile on such a machine; `tw ir --stage llvm --target {wanted}` shows what LLVM is given"
        )),
    })
}

/// Tells each entry what the spec calls those of its sizes that are symbols times or plus something.
fn name_sizes(program: &mut Program, model: &Model) {
    for NamedSize { entry, name, size } in model.sizes.iter().filter(|size| size.size.as_symbol().is_none()) {
        if let Some(entry) = program.entries.iter_mut().find(|own| own.name == *entry) {
            entry.names.push(SizeName { name: name.clone(), size: size.clone() });
        }
    }
}

/// Adds code for kernels that were made here. One that is not proved to stay in its memory asks at run time, where that is
/// all that it lacks; what is said of each is returned.
fn add_code_to_own(program: &mut Program, kernels: &[Kernel], options: &Options) -> Result<Vec<String>, CompileError> {
    let Err(error) = add_code(program, kernels, options) else { return Ok(Vec::new()) };
    let with_guards: Vec<Option<Kernel>> = kernels.iter().map(guarded).collect();
    if with_guards.iter().all(Option::is_none) {
        return Err(error);
    }
    let mut remarks = Vec::new();
    for (declared, guarded) in program.kernels.iter_mut().zip(&with_guards) {
        if let Some(guarded) = guarded {
            declared.text = print(guarded);
            remarks.push(format!("kernel `{}` checks at run time what could not be proved", guarded.name));
        }
    }
    let kernels: Vec<Kernel> =
        kernels.iter().zip(with_guards).map(|(kernel, guarded)| guarded.unwrap_or_else(|| kernel.clone())).collect();
    add_code(program, &kernels, options)?;
    Ok(remarks)
}

fn add_code(program: &mut Program, kernels: &[Kernel], options: &Options) -> Result<(), CompileError> {
    let desc = options.target.desc(options.backend);
    let threads = options.n_threads();
    let Options { backend, target, cache, progress, .. } = options;
    let compiled = compile_cached(kernels, &desc, *backend, target, threads, cache, progress)?;
    let objects: Vec<_> = compiled.objects.iter().map(|object| program.add_blob(object)).collect();
    for (kernel, entry) in program.kernels.iter_mut().zip(compiled.entries) {
        kernel.object = Some(objects[entry.object]);
        kernel.symbol = entry.symbol;
    }
    program.target = program::Target {
        backend: format!("{} {}", options.backend.name(), options.backend.version()),
        triple: options.target.arch.triple().to_string(),
        cpu: options.target.tune.clone(),
        features: options.target.features.join(" "),
    };
    Ok(())
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *total += start.elapsed();
    result
}

/// Why a model could not be compiled. All but `Name` and `Program` are faults of the compiler and carry what they are about.
#[derive(Debug)]
pub enum CompileError {
    /// Something was asked for that the model, or this build, does not have.
    Name {
        message: String,
        help: Option<String>,
    },
    /// A program that was read from somewhere is not what it claims to be.
    Program(String),
    Pass(PassError),
    Plan(PlanError),
    /// A kernel that does not verify: the problems, then its text.
    Kernel {
        message: String,
        dump: String,
    },
    Codegen(CodegenError),
}

impl CompileError {
    pub fn unknown_entry(model: &Model, name: &str) -> CompileError {
        let known: Vec<&str> = model.entries.iter().map(|entry| entry.name.as_str()).collect();
        let help = suggest(name, known.iter().copied()).map(|close| format!("did you mean `{close}`?"));
        let skipped = model.skipped.iter().find(|(skipped, _)| skipped == name);
        let message = match skipped {
            Some((_, reason)) => format!("`{name}` of `{}` is no entry: {reason}", model.name),
            None => format!("`{}` has no entry `{name}`: there is {}", model.name, list(&known)),
        };
        CompileError::Name { message, help }
    }

    /// Whether this is a fault of ours.
    pub fn is_internal(&self) -> bool {
        !matches!(self, CompileError::Name { .. } | CompileError::Program(_))
    }

    pub fn help(&self) -> Option<&str> {
        match self {
            CompileError::Name { help, .. } => help.as_deref(),
            _ => None,
        }
    }

    /// The graph, kernel or assembly that an internal error is about.
    pub fn dump(&self) -> Option<&str> {
        match self {
            CompileError::Plan(error) => error.dump.as_deref(),
            CompileError::Kernel { dump, .. } => Some(dump),
            CompileError::Codegen(error) => error.dump.as_deref(),
            CompileError::Name { .. } | CompileError::Program(_) | CompileError::Pass(_) => None,
        }
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_string(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Name { message, .. } | CompileError::Program(message) => f.write_str(message),
            CompileError::Pass(error) => write!(f, "{error}"),
            CompileError::Plan(error) => write!(f, "planning: {error}"),
            CompileError::Kernel { message, .. } => f.write_str(message),
            CompileError::Codegen(error) => f.write_str(&error.message),
        }
    }
}

impl std::error::Error for CompileError {}

impl From<PassError> for CompileError {
    fn from(error: PassError) -> CompileError {
        CompileError::Pass(error)
    }
}

impl From<PlanError> for CompileError {
    fn from(error: PlanError) -> CompileError {
        CompileError::Plan(error)
    }
}

impl From<CodegenError> for CompileError {
    fn from(error: CodegenError) -> CompileError {
        CompileError::Codegen(error)
    }
}
