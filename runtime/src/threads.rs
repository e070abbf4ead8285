//! A queue of jobs over threads: whichever is free takes the next one.
//!
//! Invariant: every job is done, also where the system starts fewer threads than were asked for, or none; what comes out
//! is in the order of the jobs, whatever the number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Compilers recurse over what they are given; the default stack of a thread is small.
const STACK: usize = 64 << 20;

/// Does the jobs `0..n_jobs`, on as many as `n_threads` threads; the first error, in their order, is returned.
pub fn on_threads<T: Send, E: Send>(
    n_threads: usize,
    n_jobs: usize,
    job: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(n_jobs)));
    let work = || {
        loop {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            if idx >= n_jobs {
                break;
            }
            let result = job(idx);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((idx, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..n_threads.clamp(1, n_jobs.max(1)) {
            let spawned = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            if spawned.is_err() {
                // No thread to be had: the caller works itself.
                work();
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(idx, _)| idx);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::on_threads;

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        for n_threads in [0, 1, 3, 100] {
            for n_jobs in [0, 1, 50] {
                let found = on_threads(n_threads, n_jobs, |idx| Ok::<_, ()>(idx * idx));
                assert_eq!(found, Ok((0..n_jobs).map(|idx| idx * idx).collect()));
            }
        }
    }

    #[test]
    fn the_first_error_in_that_order_is_returned() {
        let found = on_threads(4, 50, |idx| if idx % 20 == 19 { Err(idx) } else { Ok(idx) });
        assert_eq!(found, Err(19));
    }
}
