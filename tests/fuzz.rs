//! Mutated files through every reader of files: no panic, and what is valid survives printing.
//!
//! The short run is part of the suite. `TILEWRIGHT_FUZZ=600 cargo test --release --test fuzz -- --ignored --nocapture` runs
//! each target, or the one that `TILEWRIGHT_TARGET` names, for so many seconds, from text `TILEWRIGHT_FIRST` on;
//! the folder `fuzz` has the same targets for libFuzzer.

#[path = "fuzz_support/mutate.rs"]
mod mutate;
#[path = "fuzz_support/targets.rs"]
mod targets;

use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// No text of this size takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

fn timed(run: fn(&[u8]), text: &[u8]) -> (std::thread::Result<()>, Duration) {
    let begin = Instant::now();
    let outcome = catch_unwind(|| run(text));
    (outcome, begin.elapsed())
}

/// Runs one target until the texts or the time are over; gives how many ran, and the ones that failed.
fn fuzz(&(name, folders, run): &Target, seed: u64, texts: Range<u64>, time: Duration) -> (u64, Vec<Vec<u8>>) {
    let mutator = Mutator::new(Path::new(env!("CARGO_MANIFEST_DIR")), folders);
    let (start, mut failures, mut slowest) = (Instant::now(), Vec::new(), Duration::ZERO);
    for number in texts.clone() {
        if start.elapsed() > time || failures.len() >= 5 {
            return (number - texts.start, failures);
        }
        let text = mutator.text(seed, number);
        let (mut outcome, mut took) = timed(run, &text);
        if took > PATIENCE && outcome.is_ok() {
            // The clock runs on while the machine does other things: what is slow is slow again.
            let (again, second) = timed(run, &text);
            (outcome, took) = (again, took.min(second));
        }
        if took > slowest {
            slowest = took;
            println!("{name}: text {number} took {took:?}");
        }
        if outcome.is_err() || took > PATIENCE {
            println!("{name}: text {number} of seed {seed} failed after {took:?}:\n{}", String::from_utf8_lossy(&text));
            failures.push(text);
        }
    }
    (texts.end - texts.start, failures)
}

/// On a thread with the stack of a main thread.
fn fuzz_all(seed: u64, texts: Range<u64>, time: Duration) {
    let run = move || {
        let only = std::env::var("TILEWRIGHT_TARGET").ok();
        for target in TARGETS.iter().filter(|target| only.as_deref().is_none_or(|only| only == target.0)) {
            let (n, failures) = fuzz(target, seed, texts.clone(), time);
            println!("{}: {n} texts, {} failures", target.0, failures.len());
            assert!(failures.is_empty(), "{}: {} of {n} texts failed", target.0, failures.len());
        }
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(run).expect("a thread").join().expect("no text fails");
}

#[test]
fn mutated_texts_are_read_or_refused() {
    fuzz_all(1, 0..1500, Duration::from_secs(6));
}

#[test]
#[ignore = "as long as TILEWRIGHT_FUZZ says"]
fn long() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let texts = number("TILEWRIGHT_FIRST", 0)..u64::MAX;
    fuzz_all(number("TILEWRIGHT_SEED", 2), texts, Duration::from_secs(number("TILEWRIGHT_FUZZ", 600)));
}
