//! Calls at another program's pace: it writes how many it wants, and reads how long each took.
//!
//! Invariant: between two lines of input nothing runs, so engines that take turns do not disturb each other.

use std::io::BufRead;
use std::time::Instant;

use tilewright::Error;

use super::super::term::{Failure, Outcome, print};

/// Calls that one line may ask for.
const MOST: usize = 1_000_000;

/// The time of each of so many calls.
pub fn seconds<T, E>(calls: usize, mut call: impl FnMut() -> Result<T, E>) -> Result<Vec<f64>, E> {
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Says the facts, then answers every line until there are no more.
pub fn answer<T, E: Into<Error>>(facts: &serde_json::Value, mut call: impl FnMut() -> Result<T, E>) -> Outcome {
    print(&format!("{facts}\n"))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::request(format!("cannot read stdin: {error}")))?;
        let calls = line.trim().parse().ok().filter(|&calls| calls <= MOST);
        let calls = calls.ok_or_else(|| Failure::Usage(format!("`{line}` is no number of calls up to {MOST}")))?;
        let times = seconds(calls, &mut call)?;
        print(&format!("{}\n", serde_json::json!(times)))?;
    }
    Ok(())
}
