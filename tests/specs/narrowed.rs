//! Small models whose contractions read narrow numbers, against what PyTorch says in f32.
//!
//! How far a model takes rounding errors is its own affair: with f16, whose errors are an eighth of those of bf16, each of
//! these models is an eighth as far off. The bounds are twice the largest error measured; models of random weights cancel
//! more than trained ones.

use tilewright::compiler::graph::DType;
use tilewright::compiler::passes::Narrowing;
use tilewright::{Backend, Options};

use crate::engine::{Runner, run, values};
use crate::golden;
use crate::goldens::small;

/// The quickest of each kind.
const FEW: &[&str] = &["vit_digits", "mobilenet_v2_64", "gpt2_tiny"];
const MORE: &[&str] = &[
    "vit_digits",
    "vit_tiny",
    "resnet18_64",
    "mobilenet_v2_64",
    "gpt2_tiny",
    "gpt2_tiny_decode",
    "lstm_tiny",
    "bert_tiny",
    "llama_tiny",
];

const BF16: (Narrowing, f64) = (Narrowing::Factors(DType::BF16), 4e-2);
const F16: (Narrowing, f64) = (Narrowing::Factors(DType::F16), 5e-3);
const INT8: (Narrowing, f64) = (Narrowing::Scaled { bits: 8, group: 8 }, 4e-2);
const INT4: (Narrowing, f64) = (Narrowing::Scaled { bits: 4, group: 8 }, 3e-1);

/// The largest error of each model, at most the bound.
fn check(names: &[&str], (narrowing, bound): (Narrowing, f64)) {
    let mut failures = Vec::new();
    for name in names {
        let golden = golden::named(name);
        let model = golden.build();
        let options = Options { backend: Backend::AVAILABLE[0], narrowing, ..Options::default() };
        let runner = Runner::compiled(&model, &options);
        let (error, _) = run(&golden, &runner, &values(&golden, &model));
        println!("{name:24} {narrowing:?} error {error:.1e}");
        // What reads nothing narrower would be as near as f32.
        if !(error <= bound && error > 1e-5) {
            failures.push(format!("{name}: {error:.2e}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn bf16_stays_near_f32() {
    check(MORE, BF16);
}

#[test]
fn f16_stays_near_f32() {
    check(FEW, F16);
}

#[test]
fn int8_stays_near_f32() {
    check(FEW, INT8);
}

#[test]
fn int4_stays_near_f32() {
    check(FEW, INT4);
}

#[test]
#[ignore = "takes minutes; integers of 4 bits leave little of the smallest models"]
fn every_small_model_stays_near_f32() {
    let goldens = small();
    let names: Vec<&str> = goldens.iter().map(|golden| golden.name.as_str()).collect();
    check(&names, BF16);
    check(&names, F16);
    check(&names, (INT8.0, 1.4e-1));
    check(&names, (INT4.0, 8e-1));
}
