//! Arguments that several commands share: what is compiled for what.

use std::sync::Once;

use clap::{Args, ValueEnum};
use tilewright::compiler::graph::DType;
use tilewright::compiler::passes::{Calibration, Narrowing};
use tilewright::{Backend, Cache, Error, Options, Progress, Target};

use super::term::{Failure, Outcome, note};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Compilation")]
pub struct Compilation {
    /// Who computes [default: the first of llvm and cranelift that this build has]
    #[arg(long, value_enum)]
    pub backend: Option<Engine>,
    /// Threads for compiling and running; 0 is one per core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// What floats without a written type become [default: f32]
    #[arg(long, value_enum)]
    pub float: Option<Float>,
    /// What contractions and convolutions with weights read; they sum in f32 [default: f32]
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Multiply and add as the spec says: no algorithm that is faster and rounds more (for convolutions: Winograd's)
    #[arg(long)]
    pub exact: bool,
    /// How many neighbours share a scale in int8 and int4; a multiple of 8 [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(8..=1024))]
    pub group: Option<i64>,
    /// What to compile for: the CPU of this machine (cpu or native), another of its kind (x86-64, x86-64-v2, x86-64-v3,
    /// x86-64-v4; or aarch64), its GPU (wgpu), or its NVIDIA GPU (cuda)
    #[arg(long, default_value = "native", value_name = "TARGET")]
    pub target: String,
    /// Check graphs and kernels after every stage
    #[arg(long)]
    pub verify: bool,
    /// Compile everything and pack all weights anew, and keep nothing on disk
    #[arg(long)]
    pub no_cache: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The reference interpreter: slow, in f64
    Interpreter,
    Llvm,
    Cranelift,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Float {
    F32,
    F64,
}

/// The targets that are no CPUs.
const GPUS: &[(&str, Backend)] = &[("wgpu", Backend::Wgsl), ("cuda", Backend::Cuda)];

/// Members of a group of integers with one scale.
const GROUP: i64 = 32;
/// What their number is a multiple of.
const GROUPS_OF: i64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    F32,
    /// Weights in 16 bits, what they are multiplied by too where that is no slower
    Bf16,
    /// The same in the numbers of IEEE 754
    F16,
    /// Weights in 8 bits, what they are multiplied by in 8 bits too
    Int8,
    /// Weights in 4 bits, what they are multiplied by in 8
    Int4,
}

impl Precision {
    /// What contractions with weights read; groups have as many members as they are told, or a few.
    pub fn narrowing(self, group: Option<i64>) -> Narrowing {
        match self {
            Precision::F32 => Narrowing::None,
            Precision::Bf16 => Narrowing::Factors(DType::BF16),
            Precision::F16 => Narrowing::Factors(DType::F16),
            Precision::Int8 => Narrowing::Scaled { bits: 8, group: group.unwrap_or(GROUP) },
            Precision::Int4 => Narrowing::Scaled { bits: 4, group: group.unwrap_or(GROUP) },
        }
    }
}

/// The user's cache; says once if it stands unused.
fn cache() -> Cache {
    static SAID: Once = Once::new();
    let cache = Cache::from_env();
    if let Some(dir) = cache.refused() {
        let dir = dir.display();
        let why = "others than this user may write to it";
        SAID.call_once(|| note(format!("the cache `{dir}` is not used, for {why}: see to its owner and its rights")));
    }
    cache
}

impl Compilation {
    /// What the compiler is told; the interpreter needs none of it.
    pub fn options(&self, entries: Vec<String>) -> Result<Options, Failure> {
        self.check()?;
        let gpu = GPUS.iter().find(|(name, _)| *name == self.target).map(|&(_, backend)| backend);
        let is_gpu = gpu.is_some();
        let backend = match self.backend {
            Some(Engine::Llvm) => Backend::Llvm,
            Some(Engine::Cranelift) => Backend::Cranelift,
            None | Some(Engine::Interpreter) => gpu.unwrap_or(Backend::AVAILABLE[0]),
        };
        if is_gpu && !backend.is_for_gpus() {
            return Err(Failure::Usage(format!(
                "`--backend` is for CPUs: there is one for `--target {}`",
                self.target
            )));
        }
        if !is_gpu && !Backend::AVAILABLE.contains(&backend) {
            let message = format!("this build has no `{}`", backend.name());
            let help = Some("use `--backend cranelift`, or build with the feature `llvm`".to_string());
            return Err(Error::Request { message, help }.into());
        }
        let cpu = if is_gpu || self.target == "cpu" { "native" } else { &self.target };
        let target = Target::named(cpu).map_err(|error| Error::request(error.message))?;
        Ok(Options {
            backend,
            float: self.float(),
            narrowing: self.precision.unwrap_or(Precision::F32).narrowing(self.group),
            exact: self.exact,
            calibration: Calibration::None,
            threads: self.threads,
            target,
            verify: self.verify || cfg!(debug_assertions),
            cache: if self.no_cache { Cache::off() } else { cache() },
            entries,
            progress: Progress::default(),
        })
    }

    /// Refuses what would have no effect.
    pub fn check(&self) -> Outcome {
        let is_scaled = matches!(self.precision, Some(Precision::Int8 | Precision::Int4));
        let why = match self.group {
            Some(_) if !is_scaled => "`--group` is for `--precision int8` and `int4`",
            Some(group) if group % GROUPS_OF != 0 => "`--group` is a multiple of 8, such as 32 or 128",
            _ if self.narrows() && self.float == Some(Float::F64) => {
                "`--precision` is for f32: leave out `--float f64`"
            }
            _ if self.narrows() && self.interprets() => "the interpreter computes in f64: leave out `--precision`",
            _ => return Ok(()),
        };
        Err(Failure::Usage(why.to_string()))
    }

    /// What undecided floats become.
    pub fn float(&self) -> DType {
        if self.float == Some(Float::F64) { DType::F64 } else { DType::F32 }
    }

    /// Whether something is asked for that is narrower than f32.
    pub fn narrows(&self) -> bool {
        self.precision.is_some_and(|precision| precision != Precision::F32)
    }

    pub fn interprets(&self) -> bool {
        self.backend == Some(Engine::Interpreter)
    }

    /// The first choice that is made before kernels are: a compiled file has made it already.
    pub fn fixed_in_kernels(&self) -> Option<&'static str> {
        let given = [
            (self.float.is_some(), "--float"),
            (self.precision.is_some(), "--precision"),
            (self.exact, "--exact"),
            (self.group.is_some(), "--group"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// `name=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_string(), value.trim().to_string())),
        _ => Err(format!("`{text}` is not of the form name=value")),
    }
}

/// `N=128`.
pub fn size(text: &str) -> Result<(String, i64), String> {
    let (name, value) = pair(text)?;
    match value.parse::<i64>() {
        Ok(size) if size >= 0 => Ok((name, size)),
        _ => Err(format!("`{value}` is no size")),
    }
}
