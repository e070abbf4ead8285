//! The walk over a plan's steps: which of them are taken, in which order and how often. What each does is up to the device.
//!
//! Invariant: steps are taken in their order, and those inside a loop or a branch as what it depends on says when it is
//! reached. Nothing is allocated here.

use std::time::Instant;

use super::plan::{Action, CopySlice, Launch, Limit, PlanStep};
use super::pool::Order;
use crate::error::RunError;
use crate::program::ValueId;

/// Who carries steps out: the threads of a CPU, or the queue of a GPU. Steps go by their numbers.
pub trait Device {
    fn launch(&mut self, step: usize, launch: &Launch, order: Order) -> Result<(), RunError>;
    fn copy(&mut self, from: ValueId, to: ValueId, bytes: usize) -> Result<(), RunError>;
    fn copy_row(&mut self, slice: &CopySlice, row: usize) -> Result<(), RunError>;
    fn read_bool(&mut self, id: ValueId) -> Result<bool, RunError>;
    fn read_i64(&mut self, id: ValueId) -> Result<i64, RunError>;
    fn begin_round(&mut self, counter: ValueId, round: i64) -> Result<(), RunError>;
    fn end_round(&mut self) {}

    /// A step is reached: when, if somebody keeps the times.
    fn begin(&mut self, _step: usize) -> Option<Instant> {
        None
    }

    /// A step has done what it does itself: the steps inside it come next.
    fn enter(&mut self, _step: usize) {}

    /// A loop is left.
    fn leave(&mut self, _step: usize) {}

    /// A step is over, with all inside it.
    fn end(&mut self, _step: usize, _begun: Option<Instant>) {}
}

pub struct Walk<'a, D> {
    device: &'a mut D,
    /// Launches of every other round of a loop go the other way.
    order: Order,
    /// The innermost step that failed.
    failed_at: Option<usize>,
}

impl<'a, D: Device> Walk<'a, D> {
    /// Takes all steps; or why not, and at which step.
    pub fn run(device: &'a mut D, steps: &[PlanStep]) -> (Result<(), RunError>, Option<usize>) {
        let mut walk = Walk { device, order: Order::Upward, failed_at: None };
        (walk.block(steps), walk.failed_at)
    }

    fn block(&mut self, steps: &[PlanStep]) -> Result<(), RunError> {
        for step in steps {
            let begun = self.device.begin(step.number);
            self.step(step).inspect_err(|_| {
                self.failed_at.get_or_insert(step.number);
            })?;
            self.device.end(step.number, begun);
        }
        Ok(())
    }

    fn step(&mut self, step: &PlanStep) -> Result<(), RunError> {
        let number = step.number;
        match &step.action {
            Action::Launch(launch) => self.device.launch(number, launch, self.order)?,
            Action::Copy { from, to, bytes } => self.device.copy(*from, *to, *bytes)?,
            Action::CopySlice(slice) => {
                let row = slice.row(self.device.read_i64(slice.at)?)?;
                self.device.copy_row(slice, row)?;
            }
            Action::Repeat { counter, from, to, body } => {
                let rounds = self.limit(*from)?..self.limit(*to)?;
                self.device.enter(number);
                let outside = self.order;
                for round in rounds {
                    self.device.begin_round(*counter, round)?;
                    self.order = if round % 2 == 0 { Order::Upward } else { Order::Downward };
                    self.block(body)?;
                    self.device.end_round();
                }
                self.order = outside;
                self.device.leave(number);
                return Ok(());
            }
            Action::While { at_most, cond, test, body } => {
                let mut left = at_most.map_or(Ok(i64::MAX), |limit| self.limit(limit))?;
                self.device.enter(number);
                while left > 0 {
                    self.block(test)?;
                    if !self.device.read_bool(*cond)? {
                        break;
                    }
                    self.block(body)?;
                    left -= 1;
                }
                self.device.leave(number);
                return Ok(());
            }
            Action::Cond { cond, then, otherwise } => {
                let taken = if self.device.read_bool(*cond)? { then } else { otherwise };
                self.device.enter(number);
                return self.block(taken);
            }
        }
        self.device.enter(number);
        Ok(())
    }

    fn limit(&mut self, limit: Limit) -> Result<i64, RunError> {
        match limit {
            Limit::Known(value) => Ok(value),
            Limit::Value(id) => self.device.read_i64(id),
        }
    }
}
