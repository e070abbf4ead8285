//! Time spent in each step, where a session was asked to keep it.
//!
//! Invariant: a step's time includes the steps inside it; `calls` counts how often it ran.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub calls: u64,
    pub time: Duration,
    /// The shortest time of a call: what the others would take on a quiet machine.
    pub best: Duration,
}

impl Counter {
    pub fn add(&mut self, time: Duration) {
        self.best = if self.calls == 0 { time } else { self.best.min(time) };
        self.calls += 1;
        self.time += time;
    }
}

/// One line of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    pub entry: String,
    pub step: usize,
    /// The kernel's name, or `copy`, `repeat`, …
    pub what: String,
    /// Where the step came from, such as `blocks.0.attn vit.tw:16`.
    pub label: String,
    pub counter: Counter,
}
