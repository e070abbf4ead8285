//! The three ways to run a model, behind one interface: the reference interpreter, LLVM and Cranelift.
//!
//! Invariant: a runner is built once for a model and opened many times with other weights; nothing is compiled again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tilewright::compiler::driver::Interpreter;
use tilewright::compiler::graph::{self, DType, Member, Precision};
use tilewright::runtime::data::synthetic::synthetic;
use tilewright::runtime::weights::{WeightFiles, WeightSet};
use tilewright::{Backend, Executable, Model, Options, Session, SessionOptions, Tensor, Weights, compile};

use crate::golden::{Golden, root};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Interpreter,
    Compiled(Backend),
}

impl Engine {
    /// The engines of this build.
    pub fn all() -> Vec<Engine> {
        let compiled = Backend::AVAILABLE.iter().map(|&backend| Engine::Compiled(backend));
        std::iter::once(Engine::Interpreter).chain(compiled).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Engine::Interpreter => "interpreter",
            Engine::Compiled(backend) => backend.name(),
        }
    }
}

/// A value for each weight by name, running statistics included.
pub type Values = HashMap<String, Tensor>;

/// What a golden runs with: a file's tensors, or generated ones.
pub fn values(golden: &Golden, model: &Model) -> Values {
    if golden.weights == "generated" {
        return weights_of(model)
            .map(|member| (member.path.clone(), generated(&member.path, member, golden.gain)))
            .collect();
    }
    let file = WeightFiles::open(&[root().join(&golden.weights)]).unwrap_or_else(|error| panic!("{error}"));
    let value = |member: &Member| file.get(&member.path).expect("the file has every weight").to_tensor().unwrap();
    weights_of(model).map(|member| (member.path.clone(), value(member))).collect()
}

/// What a checkpoint holds: params, and the states whose sizes are known.
pub fn weights_of(model: &Model) -> impl Iterator<Item = &Member> {
    let fixed = model.states.iter().filter(|state| state.ty.n_elements().as_constant().is_some());
    model.params.iter().chain(fixed)
}

pub fn generated(key: &str, member: &Member, gain: f32) -> Tensor {
    let shape = member.ty.shape.iter().map(|dim| dim.as_constant().expect("a weight's size is known") as usize);
    let shape: Vec<usize> = shape.collect();
    let mut tensor = synthetic(key, &shape).unwrap();
    if shape.len() >= 2 {
        tensor.as_mut_slice::<f32>().unwrap().iter_mut().for_each(|value| *value *= gain);
    }
    tensor
}

pub enum Runner {
    Interpreter(Box<Model>),
    Compiled(Box<Executable>),
}

impl Runner {
    pub fn new(engine: Engine, model: &Model) -> Runner {
        match engine {
            Engine::Interpreter => Runner::Interpreter(Box::new(model.clone())),
            Engine::Compiled(backend) => Runner::compiled(model, &Options { backend, ..Options::default() }),
        }
    }

    pub fn compiled(model: &Model, options: &Options) -> Runner {
        let name = options.backend.name();
        Runner::Compiled(Box::new(compile(model, options).unwrap_or_else(|error| panic!("{name}: {error}"))))
    }

    pub fn open(&self, values: &Values) -> Running {
        match self {
            Runner::Interpreter(model) => {
                let known = values.iter().map(|(name, tensor)| (name.clone(), to_graph(tensor)));
                let mut interpreter = Interpreter::new(Model::clone(model), known.clone().collect(), Precision::Wide);
                for (name, tensor) in known.filter(|(name, _)| model.states.iter().any(|state| state.path == *name)) {
                    interpreter.set_state(&name, tensor);
                }
                Running::Interpreter(Box::new(interpreter))
            }
            Runner::Compiled(executable) => Running::Session(Box::new(open(executable, values))),
        }
    }
}

fn open(executable: &Executable, values: &Values) -> Session {
    let params = &executable.program.params;
    let tensors = params.iter().map(|param| values[&param.name].view().to_tensor().unwrap()).collect();
    let weights = Arc::new(WeightSet::from_tensors(tensors));
    let session = executable.open(Weights::Given(weights), SessionOptions::default());
    let mut session = session.unwrap_or_else(|error| panic!("{error}"));
    for state in &executable.program.states {
        if let Some(value) = values.get(&state.name) {
            session.set_state(&state.name, value.view()).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    session
}

pub enum Running {
    Interpreter(Box<Interpreter>),
    Session(Box<Session>),
}

impl Running {
    pub fn call(&mut self, entry: &str, inputs: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        match self {
            Running::Interpreter(interpreter) => {
                let inputs = inputs.iter().map(|(name, tensor)| (name.clone(), to_graph(tensor))).collect();
                let outputs = interpreter.run(entry, &inputs).unwrap_or_else(|error| panic!("{entry}: {error}"));
                outputs.iter().map(|(name, tensor)| (name.clone(), from_graph(tensor))).collect()
            }
            Running::Session(session) => {
                let views: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
                session.run(entry, &views).unwrap_or_else(|error| panic!("{entry}: {error}"))
            }
        }
    }
}

/// Makes the calls of a golden in one session; the largest error of what it stores, and the seconds of the last call.
pub fn run(golden: &Golden, runner: &Runner, values: &Values) -> (f64, f64) {
    let arrays = golden.arrays();
    let mut running = runner.open(values);
    let (mut worst, mut seconds) = (0.0f64, 0.0);
    for call in &golden.calls {
        let inputs: Vec<_> = call.inputs.iter().map(|input| (input.name.clone(), input.tensor())).collect();
        let start = Instant::now();
        let outputs = running.call(&call.entry, &inputs);
        seconds = start.elapsed().as_secs_f64();
        for stored in &call.stored {
            let error = stored.error(&outputs, &arrays);
            worst = if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) };
        }
    }
    (worst, seconds)
}

fn to_graph(tensor: &Tensor) -> graph::Tensor {
    let shape = tensor.shape().to_vec();
    match tensor.as_slice::<i64>() {
        Some(ints) => graph::Tensor::ints(DType::I64, shape, ints.to_vec()),
        None => graph::Tensor::floats(DType::F32, shape, tensor.view().to_f64()),
    }
}

fn from_graph(tensor: &graph::Tensor) -> Tensor {
    match tensor.as_floats() {
        Some(floats) => Tensor::from_slice(&tensor.shape, floats).unwrap(),
        None => Tensor::from_slice(&tensor.shape, tensor.as_ints().expect("floats or integers")).unwrap(),
    }
}
