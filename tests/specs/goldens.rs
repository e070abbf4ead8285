//! Outputs equal PyTorch's: each golden on each engine that the table gives it.

use crate::engine::{Engine, Runner, run, values};
use crate::golden::{self, Golden};

/// max|a − b| / max|b| that is allowed, and what the interpreter keeps, which computes in f64.
const TOLERANCE: f64 = 1e-4;
const TOLERANCE_WIDE: f64 = 1e-6;

/// When a golden runs: always on all engines, always but for the interpreter, or on demand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Everywhere,
    Compiled,
    OnDemand,
}

const PLAN: &[(&str, When)] = &[
    ("vit_digits", When::Everywhere),
    ("vit_digits_generated", When::Everywhere),
    ("vit_tiny", When::Everywhere),
    ("resnet18_64", When::Everywhere),
    ("mobilenet_v2_64", When::Everywhere),
    ("gpt2_tiny", When::Everywhere),
    ("gpt2_tiny_decode", When::Everywhere),
    ("lstm_tiny", When::Everywhere),
    ("lstm", When::Everywhere),
    ("layers", When::Everywhere),
    ("bert_tiny", When::Everywhere),
    ("llama_tiny", When::Everywhere),
    ("shufflenet_v2_tiny", When::Everywhere),
    ("efficientnet_tiny", When::Everywhere),
    ("ddpm_tiny", When::Everywhere),
    ("unet_tiny", When::Everywhere),
    ("mamba_tiny", When::Everywhere),
    ("vit_b16", When::Compiled),
    ("resnet50", When::Compiled),
    ("mobilenet_v2", When::Compiled),
    ("gpt2_decode", When::Compiled),
    ("gpt2_prefill", When::OnDemand),
    ("vit_b32", When::OnDemand),
    ("vit_l16", When::OnDemand),
    ("resnet18", When::OnDemand),
    ("resnet50_64", When::OnDemand),
    ("bert_base", When::OnDemand),
    ("llama_1b", When::OnDemand),
    ("shufflenet_v2", When::OnDemand),
    ("efficientnet_b0", When::OnDemand),
    ("mamba_block", When::OnDemand),
    ("ddpm", When::OnDemand),
];

/// Goldens small enough to run once per weight.
pub fn small() -> Vec<Golden> {
    let small = PLAN.iter().filter(|(_, when)| *when == When::Everywhere);
    small.map(|(name, _)| golden::named(name)).collect()
}

pub fn large() -> Vec<Golden> {
    let large = PLAN.iter().filter(|(_, when)| *when != When::Everywhere);
    large.map(|(name, _)| golden::named(name)).collect()
}

#[test]
fn every_golden_has_its_place() {
    let mut planned: Vec<&str> = PLAN.iter().map(|(name, _)| *name).collect();
    let goldens = golden::all();
    let mut stored: Vec<&str> = goldens.iter().map(|golden| golden.name.as_str()).collect();
    planned.sort_unstable();
    stored.sort_unstable();
    assert_eq!(planned, stored);
}

fn check(names: &[&str], wanted: &[Engine]) {
    let mut failures = Vec::new();
    for &name in names {
        let golden = golden::named(name);
        let model = golden.build();
        let values = values(&golden, &model);
        for &engine in wanted {
            let runner = Runner::new(engine, &model);
            let (error, seconds) = run(&golden, &runner, &values);
            println!("{name:24} {:12} error {error:.1e}, last call {seconds:.3} s", engine.name());
            let bound = if engine == Engine::Interpreter { TOLERANCE_WIDE } else { TOLERANCE };
            // A NaN is not within any bound.
            if !(error <= bound) {
                failures.push(format!("{name} on {}: {error:.2e}", engine.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn planned(when: When) -> Vec<&'static str> {
    PLAN.iter().filter(|(_, planned)| *planned == when).map(|(name, _)| *name).collect()
}

fn compiled() -> Vec<Engine> {
    Engine::all().into_iter().filter(|engine| *engine != Engine::Interpreter).collect()
}

#[test]
fn small_goldens_interpreted() {
    check(&planned(When::Everywhere), &[Engine::Interpreter]);
}

#[test]
fn small_goldens_compiled() {
    check(&planned(When::Everywhere), &compiled());
}

#[test]
fn large_goldens_compiled() {
    check(&planned(When::Compiled), &compiled());
}

#[test]
#[ignore = "the largest models: minutes and gigabytes"]
fn largest_goldens_compiled() {
    check(&planned(When::OnDemand), &compiled());
}

/// `GOLDEN=vit_b16 ENGINE=llvm`: one alone.
#[test]
#[ignore = "for looking at one golden"]
fn one_golden() {
    let name = std::env::var("GOLDEN").expect("GOLDEN names one");
    let engine = std::env::var("ENGINE").unwrap_or_default();
    let wanted: Vec<Engine> =
        Engine::all().into_iter().filter(|known| engine.is_empty() || known.name() == engine).collect();
    check(&[&name], &wanted);
}
