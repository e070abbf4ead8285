//! Many cases on all cores: what was covered, and what failed, shrunk and written down.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tilewright::compiler::codegen::Backend;

use super::check::{Failure, check};
use super::coverage::Coverage;
use super::{Case, file, generate, gradients, shrink};

pub struct Campaign<'a> {
    pub seed: u64,
    pub first: u64,
    pub n_graphs: u64,
    /// Check the gradients of the graphs instead of the graphs.
    pub gradients: bool,
    pub backends: &'a [Backend],
    /// Stop after this many failures.
    pub max_failures: usize,
    pub shrink_for: Duration,
    /// Where shrunk failures go, and the case that is being run, in case the process dies of it.
    pub folder: &'a Path,
}

#[derive(Default)]
pub struct Outcome {
    pub coverage: Coverage,
    /// The case as it was found, and what is left of it.
    pub failures: Vec<(String, Case, Failure)>,
}

/// Runs the cases on as many threads as there are cores.
pub fn run(campaign: &Campaign) -> Outcome {
    std::fs::create_dir_all(campaign.folder).expect("a folder for failures");
    let next = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..n_threads {
            let work = std::thread::Builder::new().stack_size(64 << 20);
            let (next, outcome) = (&next, &outcome);
            work.spawn_scoped(scope, move || serve(campaign, thread, next, outcome)).expect("a thread");
        }
    });
    outcome.into_inner().expect("no thread panics while it holds the lock")
}

fn serve(campaign: &Campaign, thread: usize, next: &AtomicU64, outcome: &Mutex<Outcome>) {
    let mut coverage = Coverage::default();
    let current = campaign.folder.join(format!("current.{thread}.twir"));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let n_failures = outcome.lock().expect("whole").failures.len();
        if number >= campaign.n_graphs || n_failures >= campaign.max_failures {
            break;
        }
        let mut case = generate::case(campaign.seed, campaign.first + number);
        if campaign.gradients {
            match gradients::of(&case) {
                Ok(Some(back)) => case = back,
                Ok(None) => continue,
                Err(message) => {
                    let failure = Failure { stage: "differentiate".to_string(), message };
                    outcome.lock().expect("whole").failures.push((case.name.clone(), case, failure));
                    continue;
                }
            }
        }
        std::fs::write(&current, file::print(&case, &case.name)).expect("a file");
        if let Err(failure) = check(&case, campaign.backends, &mut coverage) {
            let (small, reason) = shrink::shrink(&case, &failure, campaign.backends, campaign.shrink_for);
            let path = campaign.folder.join(format!("{}.twir", case.name.replace(':', "_")));
            let remark = format!("{}: {}\n{}", case.name, reason.stage, reason.message);
            std::fs::write(path, file::print(&small, &remark)).expect("a file");
            outcome.lock().expect("whole").failures.push((case.name, small, reason));
        }
    }
    let _ = std::fs::remove_file(current);
    outcome.lock().expect("whole").coverage.merge(coverage);
}
