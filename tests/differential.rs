//! Random graphs through every pass and both backends, compared with the interpreter.
//!
//! A failure is shrunk and written to `target/differential/seed_index.twir`; it becomes a file of
//! `tests/differential/regressions` once it is understood. The long run is
//! `TILEWRIGHT_GRAPHS=10000 TILEWRIGHT_SEED=2 cargo test --release --test differential -- --ignored long`.

#[path = "differential/mod.rs"]
mod differential;

use std::path::{Path, PathBuf};
use std::time::Duration;

use differential::campaign::{self, Campaign, Outcome, Subject};
use differential::check::{check, silence_panics};
use differential::coverage::Coverage;
use differential::{file, generate};
use tilewright::compiler::codegen::Backend;
use tilewright::compiler::passes::pipeline;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../differential")
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn campaign(seed: u64, n_graphs: u64, max_failures: usize, subject: Subject) -> Outcome {
    campaign_on(Backend::AVAILABLE, seed, n_graphs, max_failures, subject)
}

fn campaign_on(backends: &[Backend], seed: u64, n_graphs: u64, max_failures: usize, subject: Subject) -> Outcome {
    silence_panics();
    campaign::run(&Campaign {
        seed,
        first: number("TILEWRIGHT_FIRST", 0),
        n_graphs,
        subject,
        backends,
        max_failures,
        shrink_for: Duration::from_secs(number("TILEWRIGHT_SHRINK", 20)),
        folder: &folder(),
    })
}

fn report(outcome: &Outcome) {
    println!("{}", outcome.coverage.summary());
    for (name, case, failure) in &outcome.failures {
        println!("=== {name}: {}\n{}", failure.stage, file::print(case, &failure.message));
    }
    assert!(outcome.failures.is_empty(), "{} graphs fail", outcome.failures.len());
}

#[test]
fn random_graphs_agree() {
    report(&campaign(1, number("TILEWRIGHT_GRAPHS", 250), 3, Subject::Graphs));
}

/// Where there is a GPU; lavapipe is one.
#[test]
#[cfg(feature = "wgpu")]
fn random_graphs_agree_on_a_gpu() {
    on_gpu(Backend::Wgsl, tilewright::runtime::device::wgpu::describe());
}

#[test]
#[cfg(feature = "cuda")]
fn random_graphs_agree_on_an_nvidia_gpu() {
    on_gpu(Backend::Cuda, tilewright::runtime::device::cuda::describe());
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn on_gpu(backend: Backend, described: Result<String, tilewright::runtime::RunError>) {
    match described {
        Ok(_) => report(&campaign_on(&[backend], 11, number("TILEWRIGHT_GRAPHS", 60), 5, Subject::Graphs)),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn random_graphs_agree_in_bf16() {
    for (seed, narrow_products) in [(5, true), (6, false)] {
        let subject = Subject::Narrowed { narrow_products };
        let outcome = campaign(seed, number("TILEWRIGHT_GRAPHS", 250) / 5, 3, subject);
        assert!(outcome.coverage.graphs >= 5, "only {} graphs have such factors", outcome.coverage.graphs);
        report(&outcome);
    }
}

#[test]
fn gradients_of_random_graphs_agree() {
    report(&campaign(3, number("TILEWRIGHT_GRAPHS", 120), 3, Subject::Gradients));
}

#[test]
#[ignore = "takes minutes; its report is in tests/reports"]
fn long() {
    long_campaign("report.md", 10_000, Subject::Graphs);
}

#[test]
#[ignore = "takes minutes; its report is in tests/reports"]
fn long_gradients() {
    long_campaign("gradients.md", 2_000, Subject::Gradients);
}

fn long_campaign(file: &str, n_graphs: u64, subject: Subject) {
    let (seed, n_graphs) = (number("TILEWRIGHT_SEED", 2), number("TILEWRIGHT_GRAPHS", n_graphs));
    let outcome = campaign(seed, n_graphs, number("TILEWRIGHT_FAILURES", 20) as usize, subject);
    let passes = pipeline::PASSES.iter().map(|pass| pass.name);
    let stages: Vec<&str> = passes.chain(["llvm", "cranelift"]).collect();
    let text = format!("seed {seed}: {}\n\n{}", outcome.coverage.summary(), outcome.coverage.table(&stages));
    std::fs::write(folder().join(file), text).expect("a report");
    report(&outcome);
}

#[test]
fn what_once_went_wrong_stays_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/regressions");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "twir"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let case = file::read(&name, &std::fs::read_to_string(&path).expect("text")).expect("a case");
        if let Err(failure) = check(&case, Backend::AVAILABLE, &mut Coverage::default()) {
            panic!("{name}: {}: {}", failure.stage, failure.message);
        }
    }
}

#[test]
fn a_case_is_a_function_of_seed_and_index() {
    for index in 0..20 {
        let (a, b) = (generate::case(7, index), generate::case(7, index));
        assert_eq!(a.graph, b.graph);
        assert_eq!(file::read("copy", &file::print(&a, "copy")).expect("it reads back").graph, a.graph);
    }
}
