//! How many bugs the differential test finds: each fault of `seeded.rs` is switched on alone, and random graphs run until
//! one fails that passes without it.
//!
//! `cargo test --release --features seeded-bugs --test seeded_bugs -- --nocapture` prints the table that is kept in
//! `tests/reports/seeded_bugs.md`. `TILEWRIGHT_FAULT` names one fault, `TILEWRIGHT_GRAPHS` the most graphs to try.

#[path = "differential/mod.rs"]
#[allow(dead_code)]
mod differential;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use differential::check::{Failure, check, silence_panics};
use differential::coverage::Coverage;
use differential::generate;
use tilewright::compiler::codegen::Backend;
use tilewright::compiler::seeded::{Fault, activate};

const SEED: u64 = 1;

/// The first graph that fails because of the fault, and how; the number may vary by a few with the threads.
fn hunt(fault: Fault, n_graphs: u64, backends: &[Backend]) -> Option<(u64, Failure)> {
    let next = AtomicU64::new(0);
    while next.load(Ordering::Relaxed) < n_graphs {
        let mut found = first_failures(fault, &next, n_graphs, backends);
        found.sort_by_key(|&(index, _)| index);
        let passes_without = |&(index, _): &(u64, Failure)| {
            check(&generate::case(SEED, index), backends, &mut Coverage::default()).is_ok()
        };
        if let Some(caught) = found.into_iter().find(passes_without) {
            return Some(caught);
        }
    }
    None
}

/// What fails under the fault, from the next graph on until something does.
fn first_failures(fault: Fault, next: &AtomicU64, n_graphs: u64, backends: &[Backend]) -> Vec<(u64, Failure)> {
    activate(Some(fault));
    let found = Mutex::new(Vec::new());
    let serve = || {
        while found.lock().expect("whole").is_empty() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n_graphs {
                break;
            }
            if let Err(failure) = check(&generate::case(SEED, index), backends, &mut Coverage::default()) {
                found.lock().expect("whole").push((index, failure));
            }
        }
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, serve).expect("a thread");
        }
    });
    activate(None);
    found.into_inner().expect("whole")
}

#[test]
fn every_seeded_bug_is_found() {
    silence_panics();
    let backends: Vec<Backend> = Backend::AVAILABLE.iter().rev().copied().collect();
    let n_graphs = std::env::var("TILEWRIGHT_GRAPHS").ok().and_then(|text| text.parse().ok()).unwrap_or(3000);
    let only = std::env::var("TILEWRIGHT_FAULT").ok();
    let mut missed = Vec::new();
    println!("| fault | what is wrong | graphs until found | seen |\n|---|---|---:|---|");
    for (fault, what) in Fault::ALL {
        let name = format!("{fault:?}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        match hunt(*fault, n_graphs, &backends) {
            Some((index, failure)) => println!("| {name} | {what} | {} | {} |", index + 1, failure.stage),
            None => {
                println!("| {name} | {what} | missed in {n_graphs} | |");
                missed.push(name);
            }
        }
    }
    assert!(missed.is_empty(), "not found in {n_graphs} graphs: {}", missed.join(", "));
}
