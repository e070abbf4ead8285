//! Who computes: a session on machine code, or the reference interpreter, behind one call.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tilewright::compiler::driver::{Interpreter, is_internal};
use tilewright::compiler::graph::{self, DType, Member, Model, Precision};
use tilewright::runtime::program::file::Trust;
use tilewright::runtime::program::size::constant_shape;
use tilewright::runtime::program::{ParamDecl, Port, Program};
use tilewright::runtime::weights::{WeightMap, WeightSet};
use tilewright::{Error, Executable, Options, Session, SessionOptions, Tensor, Weights, compile};

use super::super::calibrate::inputs;
use super::super::options::Compilation;
use super::super::source::{Loaded, choose_entry, is_graph, is_spec};
use super::super::stages::{self, timed};
use super::super::term::{Failure, detail, while_compiling};
use super::weights::{Wanted, WeightSource};
use super::{Args, weights};

pub enum Engine {
    Session(Box<Session>),
    /// It computes in f64; at its edges undecided floats are of this type.
    Interpreter(Box<Interpreter>, DType),
}

/// A model with weights, ready to be called.
pub struct Opened {
    pub engine: Engine,
    pub name: String,
    pub entry: String,
    pub inputs: Vec<Port>,
    pub compile_seconds: f64,
    pub backend: String,
}

/// What the command line asks for, or the same compiled otherwise.
pub fn open(args: &Args, compilation: &Compilation) -> Result<Opened, Failure> {
    if !is_spec(&args.source.file) && !is_graph(&args.source.file) {
        return open_program(args, compilation, &args.source.file);
    }
    let loaded = args.source.load_one(args.entry.as_deref())?;
    let entry = loaded.entry(args.entry.as_deref())?;
    match compilation.interprets() {
        true => interpreter(args, compilation, loaded, entry),
        false => session(args, compilation, &loaded, entry),
    }
}

fn session(args: &Args, compilation: &Compilation, loaded: &Loaded, entry: String) -> Result<Opened, Failure> {
    let mut options = compilation.options(vec![entry.clone()])?;
    let map = loaded.weight_map(args.weights.map.as_deref())?;
    let weights = args.weights.source()?;
    let load = |wanted: &Wanted, options: &Options| {
        weights::load(&weights, wanted, &map, Some(&loaded.model), options, args.weights.seed)
    };
    let whole = options.clone();
    args.calibrate.look(&mut options, &loaded.model, &entry, || load(&wanted(&loaded.model, whole.float), &whole))?;
    let start = std::time::Instant::now();
    let executable = while_compiling(&options, |options| compile(&loaded.model, options))?;
    let compile_seconds = start.elapsed().as_secs_f64();
    executable.remarks.iter().for_each(detail);
    stages::compiled(&executable.times, executable.program.kernels.len());
    let set = timed("read weights", || load(&Wanted::of(&executable.program), &options))?;
    started(args, executable, set, entry, compile_seconds, options.backend.name())
}

fn started(
    args: &Args,
    executable: Executable,
    set: Arc<WeightSet>,
    entry: String,
    compile_seconds: f64,
    backend: &str,
) -> Result<Opened, Failure> {
    let program = Arc::clone(&executable.program);
    // What fixes a size of a spec has done so already; elsewhere the session does, and knows the names.
    let sizes = if is_spec(&args.source.file) { Vec::new() } else { args.source.dims.clone() };
    let options =
        SessionOptions { threads: args.compilation.threads, sizes, seed: args.weights.seed, ..Default::default() };
    let mut session = timed("packed weights", || executable.open(Weights::Given(Arc::clone(&set)), options))?;
    if let Some(path) = &args.weights.save_weights {
        let fixed = program.fixed_states();
        let params = program.params.iter().enumerate().map(|(idx, param)| (param.name.clone(), set.get(idx)));
        let states = session.states()?.into_iter().filter(|(name, _)| fixed.iter().any(|state| state.name == *name));
        weights::save(path, params.chain(states.map(|(name, value)| (name.to_string(), value))))?;
    }
    let inputs = program.entry(&entry).map_or(Vec::new(), |entry| entry.inputs.clone());
    let (name, backend) = (program.name.clone(), backend.to_string());
    Ok(Opened { engine: Engine::Session(Box::new(session)), name, entry, inputs, compile_seconds, backend })
}

fn open_program(args: &Args, compilation: &Compilation, path: &Path) -> Result<Opened, Failure> {
    if compilation.interprets() {
        return Err(Failure::Usage("the interpreter runs specs, not compiled files".to_string()));
    }
    let fixed = args.source.spec_only().or(compilation.fixed_in_kernels());
    if let Some(what) = fixed.or(args.compare.map(|_| "--compare")) {
        let message = format!("{what} is for specs; what `{}` computes was fixed when it was compiled", path.display());
        return Err(Failure::Usage(message));
    }
    let trust = if args.trust { Trust::UseObjects } else { Trust::Rebuild };
    let program = Program::read_file(path, trust)?;
    let names = program.entries.iter().map(|entry| entry.name.as_str());
    let visible: Vec<&str> = names.filter(|name| !is_internal(name)).collect();
    let entry = choose_entry(&visible, args.entry.as_deref(), &[])?;
    let options = compilation.options(Vec::new())?;
    let executable = match args.trust {
        true => Executable::load(program, Default::default(), Vec::new(), &options.cache)?,
        false => while_compiling(&options, |options| Executable::rebuild(program, options))?,
    };
    let source = args.weights.source()?;
    if args.weights.map.is_some() {
        return Err(Failure::Usage("a compiled file has no weight maps: run the spec".to_string()));
    }
    let wanted = Wanted::of(&executable.program);
    let read = || weights::load(&source, &wanted, &WeightMap::default(), None, &options, args.weights.seed);
    let set = timed("read weights", read)?;
    let seconds = executable.times.total().as_secs_f64();
    started(args, executable, set, entry, seconds, options.backend.name())
}

fn interpreter(args: &Args, compilation: &Compilation, loaded: Loaded, entry: String) -> Result<Opened, Failure> {
    compilation.check()?;
    let map = loaded.weight_map(args.weights.map.as_deref())?;
    let float = compilation.float();
    let inputs = inputs(&loaded.model, &entry, float)?;
    let wanted = wanted(&loaded.model, float);
    let source = args.weights.source()?;
    let model = loaded.model;
    let name = model.name.clone();
    let initialize = matches!(source, WeightSource::Init { .. });
    let (mut given, mut states) = (HashMap::new(), Vec::new());
    if !initialize {
        let options = compilation.options(Vec::new())?;
        let set = weights::load(&source, &wanted, &map, None, &options, args.weights.seed)?;
        let params = wanted.params.iter().enumerate();
        given.extend(params.map(|(idx, param)| (param.name.clone(), as_reference(set.get(idx)))));
        states.extend(set.states().map(|(name, value)| (name.to_string(), as_reference(value))));
    }
    let mut engine = Interpreter::new(model, given, Precision::Asked).with_seed(args.weights.seed);
    states.into_iter().for_each(|(name, value)| engine.set_state(&name, value));
    for (name, value) in &args.source.dims {
        engine = engine.with_size(name, *value);
    }
    if initialize && !wanted.params.is_empty() {
        engine.initialize()?;
    }
    if let Some(path) = &args.weights.save_weights {
        let fixed: Vec<String> = wanted.states.iter().map(|state| state.name.clone()).collect();
        let param = |param: &ParamDecl| Some((param.name.clone(), engine.param(&param.name)?.clone()));
        let values = wanted.params.iter().filter_map(param).chain(engine.first_states(&fixed)?);
        let values = values.map(|(name, value)| Ok((name, array(&value, float)?)));
        let values = values.collect::<Result<Vec<(String, Tensor)>, Error>>()?;
        weights::save(path, values.iter().map(|(name, value)| (name.clone(), value.view())))?;
    }
    let engine = Engine::Interpreter(Box::new(engine), float);
    Ok(Opened { engine, name, entry, inputs, compile_seconds: 0.0, backend: "interpreter".to_string() })
}

/// What a model wants of weights, where floats whose type is undecided are `float`.
pub fn wanted(model: &Model, float: DType) -> Wanted {
    let fixed = |member: &Member| {
        let (dtype, shape) = (decided(member.ty.dtype, float), constant_shape(&member.ty.shape)?);
        Some(ParamDecl { name: member.path.clone(), dtype, shape })
    };
    let all = |members: &[Member]| members.iter().filter_map(fixed).collect();
    Wanted { params: all(&model.params), states: all(&model.states) }
}

/// A tensor as the interpreter holds it.
pub fn as_reference(tensor: tilewright::TensorRef) -> graph::Tensor {
    let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
    match dtype {
        DType::I64 => graph::Tensor::ints(dtype, shape, tensor.as_slice::<i64>().unwrap_or_default().to_vec()),
        dtype if dtype.is_float() => graph::Tensor::floats(dtype, shape, tensor.to_f64()),
        dtype => graph::Tensor::ints(dtype, shape, tensor.to_f64().into_iter().map(|value| value as i64).collect()),
    }
}

fn decided(dtype: DType, float: DType) -> DType {
    if dtype == DType::Real { float } else { dtype }
}

fn array(tensor: &graph::Tensor, float: DType) -> Result<Tensor, Error> {
    let dtype = decided(tensor.dtype, float);
    let bytes = graph::Tensor { dtype, ..tensor.clone() }.to_bytes();
    Ok(Tensor::from_bytes(dtype, &tensor.shape, &bytes)?)
}

impl Engine {
    pub fn run(&mut self, entry: &str, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Failure> {
        match self {
            Engine::Session(session) => {
                let views: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
                Ok(session.run(entry, &views)?)
            }
            Engine::Interpreter(interpreter, float) => {
                let inputs = inputs.iter().map(|(name, tensor)| (name.clone(), as_reference(tensor.view()))).collect();
                let outputs = interpreter.run(entry, &inputs)?;
                let arrays = outputs.iter().map(|(name, tensor)| Ok((name.clone(), array(tensor, *float)?)));
                Ok(arrays.collect::<Result<_, Error>>()?)
            }
        }
    }
}
