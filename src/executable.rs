//! A compiled model, loaded and ready to open sessions on.

use std::path::PathBuf;
use std::sync::Arc;

use tilewright_compiler::codegen::{Backend, Cache};
use tilewright_compiler::driver::{self, Options, Times, initial_params, with_given_keys};
use tilewright_compiler::graph::Model;
use tilewright_runtime::data::Tensor;
use tilewright_runtime::device::{Code, cpu};
use tilewright_runtime::exec::{Options as SessionOptions, Session, WeightCache};
use tilewright_runtime::program::Program;
use tilewright_runtime::weights::{MatchReport, WeightMap, WeightSet};

use crate::Error;

/// A program and its machine code; sessions share both.
#[derive(Clone)]
pub struct Executable {
    pub program: Arc<Program>,
    pub code: Code,
    pub times: Times,
    pub remarks: Vec<String>,
    /// Where sessions whose options say nothing of it keep what they make of weights.
    pub weight_cache: WeightCache,
}

/// Where the weights of a session come from.
pub enum Weights {
    /// A function of each weight's name and shape, the same everywhere: for tests and trials.
    Synthetic,
    /// What was loaded or made before.
    Given(Arc<WeightSet>),
    /// Parameters and the states that the files have under their names; other states start as the model says.
    Files { paths: Vec<PathBuf>, map: WeightMap },
}

/// Compiles a model and loads the code.
pub fn compile(model: &Model, options: &Options) -> Result<Executable, Error> {
    check_extents(model)?;
    let compiled = driver::compile(model, options)?;
    // Sessions take much at once, and what is left of passes and code generators would count on top of it.
    tilewright_runtime::bytes::give_back();
    Executable::load(compiled.program, compiled.times, compiled.remarks, &options.cache)
}

/// Refuses a model with a weight that no memory holds, which later stages take for a fault of the compiler.
pub fn check_extents(model: &Model) -> Result<(), Error> {
    const MOST: i64 = 1 << 48;
    for member in model.params.iter().chain(&model.states) {
        let sizes = member.ty.shape.iter().map(|size| size.as_constant().unwrap_or(1));
        let n_elements = sizes.fold(1i64, i64::saturating_mul);
        if n_elements > MOST {
            let message = format!("the weight `{}`, {}, is larger than any memory", member.path, member.ty);
            return Err(Error::Request {
                message,
                help: Some("its shape follows from the config: see `--set`".into()),
            });
        }
    }
    Ok(())
}

impl Executable {
    /// A program that holds machine code. What is made of its weights is kept beside what the cache keeps.
    pub fn load(program: Program, times: Times, remarks: Vec<String>, cache: &Cache) -> Result<Executable, Error> {
        let code = load_code(&program, cache)?;
        let weight_cache = cache.dir().map_or(WeightCache::off(), |dir| WeightCache::at(dir.join("weights")));
        Ok(Executable { program: Arc::new(program), code, times, remarks, weight_cache })
    }

    /// A program from a file; code in it is made again from its kernels' text.
    pub fn rebuild(mut program: Program, options: &Options) -> Result<Executable, Error> {
        let start = std::time::Instant::now();
        driver::rebuild(&mut program, options)?;
        let times = Times { codegen: start.elapsed(), ..Times::default() };
        Executable::load(program, times, Vec::new(), &options.cache)
    }

    pub fn weights(&self, weights: Weights) -> Result<(Arc<WeightSet>, Option<MatchReport>), Error> {
        let program = &self.program;
        match weights {
            Weights::Synthetic => Ok((Arc::new(WeightSet::synthetic(&program.params)?), None)),
            Weights::Given(set) => Ok((set, None)),
            Weights::Files { paths, map } => {
                let (set, report) = WeightSet::load(&paths, &program.params, &program.fixed_states(), &map)?;
                Ok((Arc::new(set), Some(report)))
            }
        }
    }

    pub fn open(&self, weights: Weights, mut options: SessionOptions) -> Result<Session, Error> {
        let (weights, _) = self.weights(weights)?;
        if options.cache.is_off() {
            options.cache = self.weight_cache.clone();
        }
        Ok(Session::open(Arc::clone(&self.program), self.code.clone(), weights, options)?)
    }
}

/// The kernels on the device that they are for.
fn load_code(program: &Program, cache: &Cache) -> Result<Code, Error> {
    let is_of = |backend: Backend| program.target.backend.starts_with(backend.name());
    if is_of(Backend::Cuda) {
        return on_cuda(program, cache);
    }
    if is_of(Backend::Wgsl) {
        return on_wgpu(program);
    }
    Ok(Arc::new(cpu::Code::load(program, &cpu::Hosts::standard())?).into())
}

#[cfg(feature = "cuda")]
fn on_cuda(program: &Program, cache: &Cache) -> Result<Code, Error> {
    use tilewright_runtime::device::cuda;
    let gpu = Arc::new(cuda::Gpu::open()?);
    Ok(Arc::new(cuda::Code::load(program, gpu, cache)?).into())
}

#[cfg(not(feature = "cuda"))]
fn on_cuda(_: &Program, _: &Cache) -> Result<Code, Error> {
    let help = "build it with `--features cuda`; `tw compile --emit DIR` writes the kernels without";
    Err(without("NVIDIA's GPUs", help))
}

#[cfg(feature = "wgpu")]
fn on_wgpu(program: &Program) -> Result<Code, Error> {
    use tilewright_runtime::device::wgpu;
    let gpu = Arc::new(wgpu::Gpu::open()?);
    Ok(Arc::new(wgpu::Code::load(program, gpu)?).into())
}

#[cfg(not(feature = "wgpu"))]
fn on_wgpu(_: &Program) -> Result<Code, Error> {
    Err(without("GPUs", "build it with `--features wgpu`"))
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn without(what: &str, help: &str) -> Error {
    Error::Request { message: format!("this build runs no kernels on {what}"), help: Some(help.to_string()) }
}

/// The weights that a model starts from, by its own initialisers: a program that is compiled, run once and forgotten.
pub fn initial_weights(model: &Model, options: &Options, seed: i64) -> Result<WeightSet, Error> {
    let mut initial = initial_params(model);
    let (entry, keys) = with_given_keys(&initial.entries[0]).map_err(|error| Error::request(error.message))?;
    initial.entries = vec![entry];
    let options = Options { entries: Vec::new(), ..options.clone() };
    let executable = compile(&initial, &options)?;
    let session_options = SessionOptions { seed, threads: options.threads, ..SessionOptions::default() };
    let mut session = executable.open(Weights::Synthetic, session_options)?;
    let given = keys.into_iter().map(|(name, key)| Ok((name, Tensor::from_slice(&[], &[key ^ seed])?)));
    let given = given.collect::<Result<Vec<(String, Tensor)>, Error>>()?;
    let inputs: Vec<_> = given.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
    let outputs = session.run(&initial.entries[0].name, &inputs)?;
    let wanted = model.params.iter().map(|member| {
        let found = outputs.iter().position(|(name, _)| *name == member.path);
        found.ok_or_else(|| Error::request(format!("`{}` has no initial value", member.path)))
    });
    let order = wanted.collect::<Result<Vec<usize>, Error>>()?;
    let mut outputs: Vec<_> = outputs.into_iter().map(|(_, tensor)| Some(tensor)).collect();
    Ok(WeightSet::from_tensors(order.into_iter().filter_map(|at| outputs[at].take()).collect()))
}

#[cfg(test)]
mod tests {
    use tilewright_runtime::data::Element;

    use super::*;

    /// Doubles just beside, and at, the middle between neighbours of a narrow type, and the ends.
    fn halfway(widen: fn(u16) -> f64) -> Vec<f64> {
        let mut values = vec![0.0, -0.0, 1e300, -1e-300, f64::INFINITY, f64::MAX, 65519.999, 65520.0];
        for bits in (0x0001..0x7b00).step_by(211) {
            let (below, above) = (widen(bits), widen(bits + 1));
            let (middle, little) = (below + (above - below) / 2.0, (above - below) * 2f64.powi(-31));
            values.extend([middle - little, middle, middle + little, -(middle + little), below + little]);
        }
        values
    }

    /// Numbers below the least may be taken as zeros.
    fn check<T: Element + PartialEq + std::fmt::Debug>(dtype: &str, widen: fn(u16) -> f64, least: f64) {
        let mut values = halfway(widen);
        values.retain(|value| value.abs() >= least || *value == 0.0);
        let text = format!(
            "graph @call(%0 \"x\": data f64[B]) where B in 1.. {{\n  %1: {dtype}[B] = cast(%0) {{to = {dtype}}}\n  \
             return %1 \"y\": data\n}}"
        );
        let model = crate::model_from_text("cast", &text).unwrap_or_else(|error| panic!("{error}"));
        let wanted: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
        let x = Tensor::from_slice(&[values.len()], &values).unwrap();
        for &backend in Backend::AVAILABLE {
            let executable = compile(&model, &Options { backend, ..Options::default() }).unwrap();
            let mut session = executable.open(Weights::Synthetic, SessionOptions::default()).unwrap();
            let outputs = session.run("call", &[("x", x.view())]).unwrap();
            let found = outputs[0].1.as_slice::<T>().unwrap();
            for ((value, found), wanted) in values.iter().zip(found).zip(&wanted) {
                assert_eq!(found, wanted, "{value:e} as {dtype} on {}", backend.name());
            }
        }
    }

    #[test]
    fn machine_code_rounds_doubles_to_narrow_floats_once() {
        check::<half::f16>("f16", |bits| half::f16::from_bits(bits).to_f64(), 0.0);
        check::<half::bf16>("bf16", |bits| half::bf16::from_bits(bits).to_f64(), f64::from(f32::MIN_POSITIVE));
    }

    #[test]
    fn sessions_of_the_same_weights_share_what_is_made_of_them() {
        let spec = crate::Spec::open(concat!(env!("CARGO_MANIFEST_DIR"), "/specs/vision/vit.tw")).unwrap();
        let model = spec.model(&crate::Choice::preset("digits")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let executable = compile(&model, &Options { cache: Cache::at(folder.path()), ..Options::default() }).unwrap();
        let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/specs/vision/digits/weights.safetensors");
        let open = || {
            let files = Weights::Files { paths: vec![weights.into()], map: WeightMap::default() };
            executable.open(files, SessionOptions::default()).unwrap()
        };
        let pixels = Tensor::from_slice(&[1, 1, 8, 8], &[0.5f32; 64]).unwrap();
        let run = |session: &mut Session| session.run("call", &[("pixels", pixels.view())]).unwrap().remove(0).1;
        let mut first = open();
        let expected = run(&mut first);
        let kept = std::fs::read_dir(folder.path().join("weights")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&kept).unwrap();
        bytes[128..].fill(0);
        let beside = folder.path().join("beside");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, &kept).unwrap();
        assert_eq!(run(&mut open()), expected, "the file is not looked at while a session has the same");
        drop(first);
        assert_ne!(run(&mut open()), expected, "and is afterwards");
    }
}
