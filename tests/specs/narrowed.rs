//! Small models whose contractions read narrow numbers, against what PyTorch says in f32.
//!
//! The bounds are three times what was measured, and no more than a model of random weights bears: rounding errors of a
//! factor are 2⁻⁹ of it in bf16, 2⁻⁸ of the greatest of its group in 8 bits and 2⁻⁴ in 4, and add up over the layers.

use tilewright::compiler::graph::DType;
use tilewright::compiler::passes::Narrowing;
use tilewright::{Backend, Options};

use crate::engine::{Runner, run, values};
use crate::goldens::small;

fn check(narrowing: Narrowing, bound: f64) {
    let mut failures = Vec::new();
    for golden in small() {
        let model = golden.build();
        let options = Options { backend: Backend::AVAILABLE[0], narrowing, ..Options::default() };
        let runner = Runner::compiled(&model, &options);
        let (error, _) = run(&golden, &runner, &values(&golden, &model));
        println!("{:24} {narrowing:?} error {error:.1e}", golden.name);
        if !(error <= bound) {
            failures.push(format!("{}: {error:.2e}", golden.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn bf16_stays_near_f32() {
    check(Narrowing::Factors(DType::BF16), 2e-2);
}

#[test]
fn f16_stays_near_f32() {
    check(Narrowing::Factors(DType::F16), 4e-3);
}

#[test]
fn int8_stays_near_f32() {
    check(Narrowing::Scaled { bits: 8, group: 8 }, 5e-2);
}

#[test]
fn int4_stays_near_f32() {
    check(Narrowing::Scaled { bits: 4, group: 8 }, 3e-1);
}
