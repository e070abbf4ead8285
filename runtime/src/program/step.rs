//! The steps of an entry: kernel launches, copies, and structured control flow over them.
//!
//! Steps are numbered in pre-order from zero: a loop's own number comes first, then its body's
//! (for `While`, `test` before `body`; for `Cond`, `then` before `otherwise`). Lifetimes, labels
//! and profiles all speak in these numbers.

use serde::{Deserialize, Serialize};

use super::{Dim, KernelId, ValueId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Runs grid items `0..grid` in any order, on any threads.
    Launch {
        kernel: KernelId,
        args: Vec<ValueId>,
        sizes: Vec<Dim>,
        grid: Dim,
        /// How many items are worth handing to another thread at the least.
        grain: Dim,
    },
    Copy {
        from: ValueId,
        to: ValueId,
    },
    /// Moves one row of axis 0; `at` is an `i64` scalar, and outside the axis it is an error.
    CopySlice {
        from: ValueId,
        to: ValueId,
        at: ValueId,
        direction: SliceMove,
    },
    /// Runs `body` with `counter` (an `i64` scalar in the arena) at `from`, `from + 1`, … below `to`.
    Repeat {
        counter: ValueId,
        from: Bound,
        to: Bound,
        body: Vec<Step>,
    },
    /// Runs `test`, ends if `cond` (a `bool` scalar) is false, runs `body`, and again.
    While {
        at_most: Option<Bound>,
        cond: ValueId,
        test: Vec<Step>,
        body: Vec<Step>,
    },
    Cond {
        cond: ValueId,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceMove {
    /// `to[at] = from`
    Write,
    /// `to = from[at]`
    Read,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Size(Dim),
    /// An `i64` scalar, read when the loop is reached.
    Value(ValueId),
}

impl Step {
    /// The blocks inside this step, in pre-order.
    pub fn blocks(&self) -> [&[Step]; 2] {
        match self {
            Step::Launch { .. } | Step::Copy { .. } | Step::CopySlice { .. } => [&[], &[]],
            Step::Repeat { body, .. } => [body, &[]],
            Step::While { test, body, .. } => [test, body],
            Step::Cond { then, otherwise, .. } => [then, otherwise],
        }
    }

    /// This step and everything inside it.
    pub fn n_steps(&self) -> usize {
        let inner = self.blocks();
        1 + inner.iter().flat_map(|block| block.iter()).map(Step::n_steps).sum::<usize>()
    }
}
