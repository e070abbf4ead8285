//! Training steps of small models, compiled in f64, against the interpreter: the same losses, step after step.

use std::collections::HashMap;

use tilewright::compiler::driver::Interpreter;
use tilewright::compiler::graph::{self, DType, Precision, Role, Sampler, Symbol};
use tilewright::{Backend, Choice, Options, SessionOptions, Spec, Tensor, Weights, compile};

const SPEC: &str = "tests/specs/train/small.tw";
const N_STEPS: usize = 4;

/// Sizes that the steps leave open.
fn size(symbol: &Symbol) -> Option<i64> {
    match symbol.name() {
        "B" => Some(3),
        "T" => Some(5),
        _ => None,
    }
}

/// The losses of both ways, by step and name.
fn hold(train: &str, n_classes: i64, backend: Backend) {
    let spec = Spec::open(SPEC).unwrap_or_else(|error| panic!("{error:?}"));
    let choice = Choice { model: Some(train.to_string()), ..Choice::default() };
    let model = spec.model(&choice).unwrap_or_else(|error| panic!("{error:?}"));
    let options = Options { float: DType::F64, backend, ..Options::default() };
    let executable = compile(&model, &options).unwrap_or_else(|error| panic!("{train}: {error}"));
    let session = SessionOptions { poison: true, ..SessionOptions::default() };
    let mut session = executable.open(Weights::Synthetic, session).unwrap_or_else(|error| panic!("{train}: {error}"));
    let mut interpreter = Interpreter::new(model.clone(), HashMap::new(), Precision::Wide);
    let entry = model.entry("learn").expect("the step");
    let mut sampler = Sampler::new(5);
    for step in 0..N_STEPS {
        let (mut ours, mut theirs) = (Vec::new(), HashMap::new());
        for argument in entry.arguments().iter().filter(|argument| argument.role == Role::Data) {
            let ty = entry.type_of(argument.value);
            let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.eval(&size).expect("a size") as usize).collect();
            let n = shape.iter().product::<usize>();
            let ints: Vec<i64> = match argument.name.as_str() {
                "seed" => vec![0],
                "step" => vec![step as i64],
                _ => (0..n).map(|_| sampler.int(0, n_classes - 1)).collect(),
            };
            let floats: Vec<f64> = (0..n).map(|_| sampler.float(-1.5, 1.5)).collect();
            let name = argument.name.clone();
            if ty.dtype.is_float() {
                ours.push((name.clone(), Tensor::from_slice(&shape, &floats).expect("a tensor")));
                theirs.insert(name, graph::Tensor::floats(DType::Real, shape, floats));
            } else {
                ours.push((name.clone(), Tensor::from_slice(&shape, &ints).expect("a tensor")));
                theirs.insert(name, graph::Tensor::ints(DType::I64, shape, ints));
            }
        }
        let views: Vec<_> = ours.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
        let found = session.run("learn", &views).unwrap_or_else(|error| panic!("{train}: {error}"));
        let wanted = interpreter.run("learn", &theirs).unwrap_or_else(|error| panic!("{train}: {error}"));
        assert_eq!(found.len(), wanted.len());
        for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
            let (found, wanted) = (found.view().to_f64()[0], wanted.float_at(0));
            let close = (found - wanted).abs() <= 1e-8 * (1.0 + wanted.abs());
            assert!(close, "{train} on {}: `{name}` is {found} and not {wanted} in step {step}", backend.name());
        }
    }
}

#[test]
fn steps_of_small_models_agree_with_the_interpreter() {
    for (train, n_classes) in [("Rec", 4), ("Gpt", 64), ("Gan", 1)] {
        Backend::AVAILABLE.iter().for_each(|backend| hold(train, n_classes, *backend));
    }
}

#[test]
fn a_critic_tells_how_far_two_gaussians_are_apart() {
    let spec = Spec::open("tests/specs/train/wasserstein.tw").unwrap_or_else(|error| panic!("{error:?}"));
    let model = spec.model(&Choice::default()).unwrap_or_else(|error| panic!("{error:?}"));
    let executable = compile(&model, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let mut session = executable.open(Weights::Synthetic, SessionOptions::default()).expect("it opens");
    let step = |step: i64| Tensor::from_slice(&[], &[step]).expect("a tensor");
    for idx in 0..1500 {
        session.run("critic", &[("step", step(idx).view())]).unwrap_or_else(|error| panic!("{error}"));
    }
    let outputs = session.run("apart", &[("step", step(0).view())]).unwrap_or_else(|error| panic!("{error}"));
    let apart = outputs[0].1.view().to_f64()[0];
    assert!((apart - 3.0).abs() <= 0.06, "they are 3 apart, and it says {apart}");
}

/// Gradients of attention compute its scores again, some rows at a time: memory grows as the rows do, not as their square.
#[test]
fn attention_over_many_rows_learns_in_linear_memory() {
    let spec = Spec::open("tests/specs/train/attention.tw").unwrap_or_else(|error| panic!("{error:?}"));
    let bytes = |n: usize| {
        let choice = Choice { dims: vec![("B".to_string(), 1), ("N".to_string(), n as i64)], ..Choice::default() };
        let model = spec.model(&choice).unwrap_or_else(|error| panic!("{error:?}"));
        let executable = compile(&model, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
        let mut session = executable.open(Weights::Synthetic, SessionOptions::default()).expect("it opens");
        let x = Tensor::zeros(DType::F32, &[1, n, 32]).expect("a tensor");
        session.arena_bytes("learn", &[("x", x.view()), ("y", x.view())]).unwrap_or_else(|error| panic!("{error}"))
    };
    let (once, twice) = (bytes(2048), bytes(4096));
    assert!(twice <= once * 21 / 10, "{once} bytes, and {twice} for twice the rows");
    // The scores of both heads alone would take more.
    assert!(twice < 4096 * 4096 * 2 * 4 / 4, "{twice} bytes");
}
