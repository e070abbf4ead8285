//! Walks a plan's steps on the device: what they do is asked of its queue, and waited for where the host has to know something.
//!
//! Invariant: steps take effect in their order. What a launch needs is made ready once, before it is first launched. What a
//! loop or a branch depends on is read back from the device; counters are known.

use rustc_hash::FxHashMap;

use crate::device::gpu::{Call, CallId, Queue, Span};
use crate::error::{ErrorKind, RunError};
use crate::exec::plan::{Action, CopySlice, Launch, Limit, Plan, PlanStep};
use crate::program::{Program, SliceMove, ValueId};

pub(super) struct Steps<'a> {
    queue: &'a mut dyn Queue,
    program: &'a Program,
    plan: &'a Plan,
    /// By value.
    spans: &'a [Span],
    /// The launches that were made ready, by the number of their step.
    ready: FxHashMap<usize, CallId>,
    /// Where the counters of the loops around lie, and what they are: they need not be read back.
    counters: Vec<(ValueId, i64)>,
    /// The innermost step that failed.
    pub failed_at: Option<usize>,
}

impl<'a> Steps<'a> {
    pub fn new(queue: &'a mut dyn Queue, program: &'a Program, plan: &'a Plan, spans: &'a [Span]) -> Steps<'a> {
        let (ready, counters) = Default::default();
        Steps { queue, program, plan, spans, ready, counters, failed_at: None }
    }

    pub fn run(&mut self) -> Result<(), RunError> {
        let plan = self.plan;
        self.block(&plan.steps)
    }

    fn block(&mut self, steps: &[PlanStep]) -> Result<(), RunError> {
        for step in steps {
            self.step(step).inspect_err(|_| {
                self.failed_at.get_or_insert(step.number);
            })?;
        }
        Ok(())
    }

    fn step(&mut self, step: &PlanStep) -> Result<(), RunError> {
        match &step.action {
            Action::Launch(launch) => self.launch(step.number, launch),
            Action::Copy { from, to, .. } => {
                // A value has all of its words for itself.
                let [from, to] = [*from, *to].map(|id| whole_words(self.span(id)));
                self.copy(from, to)
            }
            Action::CopySlice(slice) => self.copy_slice(slice),
            Action::Repeat { counter, from, to, body } => {
                let (from, to) = (self.limit(*from)?, self.limit(*to)?);
                for round in from..to {
                    self.queue.write(self.span(*counter), &round.to_ne_bytes())?;
                    self.counters.push((*counter, round));
                    self.block(body)?;
                    self.counters.pop();
                }
                Ok(())
            }
            Action::While { at_most, cond, test, body } => {
                let mut left = at_most.map_or(Ok(i64::MAX), |limit| self.limit(limit))?;
                while left > 0 {
                    self.block(test)?;
                    if !self.fetch_bool(*cond)? {
                        break;
                    }
                    self.block(body)?;
                    left -= 1;
                }
                Ok(())
            }
            Action::Cond { cond, then, otherwise } => {
                let taken = if self.fetch_bool(*cond)? { then } else { otherwise };
                self.block(taken)
            }
        }
    }

    fn span(&self, id: ValueId) -> Span {
        self.spans[id.0 as usize]
    }

    /// The bytes of a value after all steps so far.
    fn fetch<const N: usize>(&mut self, id: ValueId) -> Result<[u8; N], RunError> {
        let bytes = self.queue.read(&[self.span(id)])?.pop().unwrap_or_default();
        bytes.try_into().map_err(|_| RunError::new(ErrorKind::Program, "a scalar has another size"))
    }

    fn fetch_bool(&mut self, id: ValueId) -> Result<bool, RunError> {
        Ok(self.fetch::<1>(id)? != [0])
    }

    fn fetch_i64(&mut self, id: ValueId) -> Result<i64, RunError> {
        let place = |id: ValueId| self.plan.places[id.0 as usize];
        match self.counters.iter().rev().find(|(counter, _)| place(*counter) == place(id)) {
            Some((_, round)) => Ok(*round),
            None => Ok(i64::from_ne_bytes(self.fetch(id)?)),
        }
    }

    fn limit(&mut self, limit: Limit) -> Result<i64, RunError> {
        match limit {
            Limit::Known(value) => Ok(value),
            Limit::Value(id) => self.fetch_i64(id),
        }
    }

    fn copy(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        if to.bytes == 0 || from == to {
            return Ok(());
        }
        self.queue.copy(from, to)
    }

    fn copy_slice(&mut self, slice: &CopySlice) -> Result<(), RunError> {
        let row = slice.row(self.fetch_i64(slice.at)?)?;
        let (rows, outside) = (self.span(slice.rows), self.span(slice.outside));
        let offset = rows.offset + (row * slice.row_bytes) as u64;
        let inside = Span { offset, bytes: slice.row_bytes as u64, ..rows };
        match slice.direction {
            SliceMove::Write => self.copy(outside, inside),
            SliceMove::Read => self.copy(inside, outside),
        }
    }

    fn launch(&mut self, number: usize, launch: &Launch) -> Result<(), RunError> {
        if launch.grid == 0 {
            return Ok(());
        }
        let call = match self.ready.get(&number) {
            Some(&call) => call,
            None => {
                let args: Vec<Span> = self.plan.args[launch.args.clone()].iter().map(|&id| self.span(id)).collect();
                let call = self.queue.prepare(&Call {
                    kernel: launch.kernel,
                    args: &args,
                    sizes: &self.plan.launch_sizes[launch.sizes.clone()],
                    items: launch.grid as u64,
                    sequential: self.program.kernels[launch.kernel.0 as usize].sequential,
                })?;
                self.ready.insert(number, call);
                call
            }
        };
        self.queue.launch(call)
    }
}

fn whole_words(span: Span) -> Span {
    Span { bytes: span.bytes.next_multiple_of(4), ..span }
}
