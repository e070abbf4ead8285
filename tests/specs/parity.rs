//! Ten optimizer steps in f64 against PyTorch's, from the same weights on the same data: `tests/goldens/training.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tilewright::compiler::graph::DType;
use tilewright::runtime::data::synthetic::synthetic;
use tilewright::runtime::program::random::{fnv1a_64, random_bits};
use tilewright::{Choice, Options, SessionOptions, Spec, Tensor, Weights, compile};

#[derive(Deserialize)]
struct Golden {
    /// The shape of each input.
    inputs: BTreeMap<String, Vec<usize>>,
    /// How many there are to choose from, or none: then `y` is a number.
    classes: u64,
    losses: Vec<f64>,
    /// The sum of each parameter's elements, and of their squares, at the end.
    params: BTreeMap<String, [f64; 2]>,
}

const TOLERANCE: f64 = 1e-8;

fn words(name: &str, n: usize) -> impl Iterator<Item = u32> + use<> {
    let key = fnv1a_64(name.as_bytes());
    (0..n as u64).map(move |index| random_bits(0, 0, key, index, 0))
}

fn input(golden: &Golden, name: &str, shape: &[usize], step: usize) -> Tensor {
    let n = shape.iter().product();
    let key = format!("{name}.{step}");
    let words = words(&key, n);
    if name == "y" && golden.classes > 0 {
        let classes: Vec<i64> = words.map(|word| i64::from(word) % golden.classes as i64).collect();
        return Tensor::from_slice(shape, &classes).expect("a tensor");
    }
    let even = |word: u32| f64::from(word >> 8) / f64::from(1 << 23) - 1.0;
    let values: Vec<f64> = words.map(even).map(|u| if name == "t" { (u + 1.0) / 2.0 } else { u }).collect();
    Tensor::from_slice(shape, &values).expect("a tensor")
}

fn hold(name: &str, golden: &Golden) {
    let spec = Spec::open("tests/specs/train/parity.tw").unwrap_or_else(|error| panic!("{error:?}"));
    let choice = Choice { model: Some(name.to_string()), ..Choice::default() };
    let model = spec.model(&choice).unwrap_or_else(|error| panic!("{error:?}"));
    let executable =
        compile(&model, &Options { float: DType::F64, verify: false, ..Options::default() }).expect("it compiles");
    let mut session = executable.open(Weights::Synthetic, SessionOptions::default()).expect("it opens");
    for path in golden.params.keys() {
        let (dtype, shape) = session.state(path).map(|state| (state.dtype(), state.shape().to_vec())).expect(path);
        assert_eq!(dtype, DType::F64);
        let value = synthetic(path, &shape).and_then(|value| value.view().cast(dtype)).expect("a tensor");
        session.set_state(path, value.view()).expect("it is a state");
    }
    let learned = model.learned().count();
    assert_eq!(learned, golden.params.len(), "{name} learns other tensors");
    for (step, wanted) in golden.losses.iter().enumerate() {
        let inputs = golden.inputs.iter().map(|(own, shape)| (own.as_str(), input(golden, own, shape, step)));
        let inputs: Vec<_> = inputs.collect();
        let views: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor.view())).collect();
        let outputs = session.run("learn", &views).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = outputs[0].1.view().to_f64()[0];
        assert!((found - wanted).abs() <= TOLERANCE, "{name}: the loss is {found} and not {wanted} in step {step}");
    }
    for (path, [sum, squares]) in &golden.params {
        let values = session.state(path).expect(path).to_f64();
        for (found, wanted) in
            [(values.iter().sum::<f64>(), sum), (values.iter().map(|value| value * value).sum(), squares)]
        {
            // The errors of single elements, which are what is meant, add up as a random walk does.
            let close = (found - wanted).abs() <= TOLERANCE * (values.len() as f64).sqrt();
            assert!(close, "{name}: `{path}` comes to {found} and not {wanted}");
        }
    }
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    let text = include_str!("../goldens/training.json");
    let goldens: BTreeMap<String, Golden> = serde_json::from_str(text).expect("the goldens");
    assert_eq!(goldens.len(), 5);
    goldens.iter().for_each(|(name, golden)| hold(name, golden));
}
