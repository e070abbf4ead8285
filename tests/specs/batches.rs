//! One compiled program serves every batch and every length.

use crate::engine::{Engine, Runner, generated, values, weights_of};
use crate::golden::{model_of, named, relative_error};
use tilewright::{Backend, Choice, Tensor};

fn first(tensor: &Tensor, n_rows: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let row = tensor.bytes().len() / shape[0];
    shape[0] = n_rows;
    Tensor::from_bytes(tensor.dtype(), &shape, &tensor.bytes()[..row * n_rows]).unwrap()
}

#[test]
fn one_program_serves_every_batch() {
    let golden = named("vit_digits");
    let model = golden.build();
    let values = values(&golden, &model);
    let pixels = golden.calls[0].inputs[0].tensor();
    let wanted = golden.arrays()["logits"].view().to_f64();
    for &backend in Backend::AVAILABLE {
        let runner = Runner::new(Engine::Compiled(backend), &model);
        let mut running = runner.open(&values);
        for batch in [1, 2, 7, 360, 3] {
            let outputs = running.call("call", &[("pixels".to_string(), first(&pixels, batch))]);
            assert_eq!(outputs[0].1.shape(), [batch, 10]);
            let error = relative_error(&outputs[0].1.view().to_f64(), &wanted[..batch * 10]);
            assert!(error < 1e-4, "{} with a batch of {batch}: {error:.1e}", backend.name());
        }
    }
}

#[test]
fn one_program_serves_every_length() {
    let golden = named("lstm_tiny");
    let model = golden.build();
    let values = values(&golden, &model);
    let row = |length: usize| {
        let numbers: Vec<f32> = (0..length * 16).map(|idx| ((idx % 37) as f32 - 18.0) / 18.0).collect();
        [("x".to_string(), Tensor::from_slice(&[1, length, 16], &numbers).unwrap())]
    };
    let mut reference = Runner::new(Engine::Interpreter, &model).open(&values);
    for &backend in Backend::AVAILABLE {
        let mut running = Runner::new(Engine::Compiled(backend), &model).open(&values);
        for length in [1, 2, 17, 64] {
            let found = running.call("call", &row(length));
            let wanted = reference.call("call", &row(length));
            for ((name, a), (_, b)) in found.iter().zip(&wanted) {
                let error = relative_error(&a.view().to_f64(), &b.view().to_f64());
                assert!(error < 1e-5, "{}: `{name}` of length {length}: {error:.1e}", backend.name());
            }
        }
    }
}

/// A network of strided convolutions at sizes that its strides do not divide.
#[test]
fn one_program_serves_every_picture() {
    let config = [("blocks", "[1, 1, 1, 1]"), ("bottleneck", "false"), ("classes", "3")];
    let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let model = model_of("specs/vision/resnet.tw", &Choice { config, ..Choice::default() });
    let values = weights_of(&model).map(|member| (member.path.clone(), generated(&member.path, member, 1.0))).collect();
    let picture = |shape: [usize; 4]| {
        let numbers: Vec<f32> =
            (0..shape.iter().product()).map(|idx: usize| (idx * 29 % 101) as f32 / 50.0 - 1.0).collect();
        [("pixels".to_string(), Tensor::from_slice(&shape, &numbers).unwrap())]
    };
    let mut reference = Runner::new(Engine::Interpreter, &model).open(&values);
    for &backend in Backend::AVAILABLE {
        let mut running = Runner::new(Engine::Compiled(backend), &model).open(&values);
        for shape in [[1, 3, 32, 32], [2, 3, 32, 32], [1, 3, 33, 47], [3, 3, 40, 1], [1, 3, 64, 64], [2, 3, 64, 64]] {
            let found = running.call("call", &picture(shape));
            let wanted = reference.call("call", &picture(shape));
            let error = relative_error(&found[0].1.view().to_f64(), &wanted[0].1.view().to_f64());
            assert!(error < 1e-5, "{} at {shape:?}: {error:.1e}", backend.name());
        }
    }
}
