//! Models on GPUs, where there are some: the results of the CPU, and PyTorch's.
//!
//! A machine without a driver says so and passes: `tw targets` tells what is missing. Mesa's lavapipe is a driver that
//! needs no GPU, and so is `tests/cuda/device.cpp`.

use tilewright::compiler::graph::DType;
use tilewright::compiler::passes::Narrowing;
#[cfg(feature = "cuda")]
use tilewright::runtime::device::cuda;
#[cfg(feature = "wgpu")]
use tilewright::runtime::device::wgpu;
use tilewright::{Backend, Options, Tensor};

use crate::digits::{RIGHT, right_of};
use crate::engine::{Runner, Running, Values, generated, run, values, weights_of};
use crate::golden::{Golden, Input, model_of, named, relative_error};
use tilewright::{Choice, Model};

/// How far from the CPU.
const TOLERANCE: f64 = 1e-5;

/// Goldens that run in seconds on a driver without a GPU.
const SMALL: &[&str] =
    &["lstm_tiny", "gpt2_tiny", "gpt2_tiny_decode", "vit_tiny", "bert_tiny", "llama_tiny", "mamba_tiny"];

/// How far from f32 where factors are narrow.
const NARROW_TOLERANCES: [(DType, f64); 2] = [(DType::BF16, 4e-2), (DType::F16, 5e-3)];

/// Those of them whose products are by matrices, where a GPU has instructions for that.
const NARROW: &[&str] = &["lstm_tiny", "gpt2_tiny", "vit_tiny", "bert_tiny"];

/// The devices that are there; says of the others why not.
fn devices() -> Vec<Backend> {
    let all = [
        #[cfg(feature = "wgpu")]
        (Backend::Wgsl, wgpu::describe()),
        #[cfg(feature = "cuda")]
        (Backend::Cuda, cuda::describe()),
    ];
    let there = all.into_iter().filter_map(|(backend, described)| match described {
        Ok(name) => {
            println!("on {name}");
            Some(backend)
        }
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    });
    there.collect()
}

fn on(backend: Backend, model: &Model, values: &Values) -> Running {
    Runner::compiled(model, &Options { backend, ..Options::default() }).open(values)
}

fn floats(outputs: &[(String, Tensor)]) -> Vec<f64> {
    outputs.iter().flat_map(|(_, tensor)| tensor.view().to_f64()).collect()
}

/// All calls on both; the largest error of any output.
fn error_of(golden: &Golden, model: &Model, device: Backend) -> f64 {
    let values = values(golden, model);
    let mut engines = [Backend::AVAILABLE[0], device].map(|backend| on(backend, model, &values));
    let mut worst = 0.0f64;
    for call in &golden.calls {
        let inputs: Vec<_> = call.inputs.iter().map(|input: &Input| (input.name.clone(), input.tensor())).collect();
        let [cpu, gpu] = engines.each_mut().map(|engine| floats(&engine.call(&call.entry, &inputs)));
        worst = worst.max(relative_error(&gpu, &cpu));
    }
    worst
}

#[test]
fn digits_are_recognised_as_on_the_cpu() {
    let golden = named("vit_digits");
    let model = golden.build();
    for device in devices() {
        let mut gpu = on(device, &model, &values(&golden, &model));
        let inputs = [("pixels".to_string(), golden.calls[0].inputs[0].tensor())];
        let outputs = gpu.call("call", &inputs);
        assert_eq!(right_of(&outputs[0].1), RIGHT, "{}", device.name());
    }
}

#[test]
fn small_models_agree_with_the_cpu_and_with_pytorch() {
    for (device, name) in devices().into_iter().flat_map(|device| SMALL.iter().map(move |name| (device, name))) {
        let golden = named(name);
        let model = golden.build();
        let error = error_of(&golden, &model, device);
        println!("{name} by {}: {error:.1e}", device.name());
        assert!(error <= TOLERANCE, "{name} is {error:e} from the CPU");
        let options = Options { backend: device, ..Options::default() };
        let (error, _) = run(&golden, &Runner::compiled(&model, &options), &values(&golden, &model));
        assert!(error <= 1e-4, "{name} is {error:e} from PyTorch");
    }
}

#[test]
fn narrow_models_agree_with_wide_ones() {
    for (device, name) in devices().into_iter().flat_map(|device| NARROW.iter().map(move |name| (device, name))) {
        let golden = named(name);
        let model = golden.build();
        for (dtype, tolerance) in NARROW_TOLERANCES {
            let options = Options { backend: device, narrowing: Narrowing::Factors(dtype), ..Options::default() };
            let (error, _) = run(&golden, &Runner::compiled(&model, &options), &values(&golden, &model));
            println!("{name} in {dtype} by {}: {error:.1e}", device.name());
            assert!(error <= tolerance, "{name} is {error:e} from PyTorch in f32");
        }
    }
}

#[test]
fn resnet_agrees_with_the_cpu() {
    let golden = named("resnet18_64");
    let model = model_of(&golden.spec, &Choice { preset: Some("18".to_string()), ..golden.choice() });
    let made = weights_of(&model).map(|member| (member.path.clone(), generated(&member.path, member, golden.gain)));
    let values: Values = made.collect();
    let pixels: Vec<f32> = (0..3 * 32 * 32).map(|at| ((at * 37 % 101) as f32 / 50.0) - 1.0).collect();
    let pixels = || Tensor::from_slice(&[1, 3, 32, 32], &pixels).expect("an image");
    let outputs = |backend| floats(&on(backend, &model, &values).call("call", &[("pixels".to_string(), pixels())]));
    for device in devices() {
        let error = relative_error(&outputs(device), &outputs(Backend::AVAILABLE[0]));
        println!("resnet18 at 32 x 32 by {}: {error:.1e}", device.name());
        assert!(error <= TOLERANCE, "{error:e}");
    }
}
