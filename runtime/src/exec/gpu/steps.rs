//! Carries out a plan's steps on the device: what they do is asked of its queue, and waited for where the host has to know
//! something.
//!
//! Invariant: steps take effect in their order. What a launch needs is made ready once, before it is first launched. What a
//! loop or a branch depends on is read back from the device; counters are known.

use rustc_hash::FxHashMap;

use crate::device::gpu::{Call, CallId, Queue, Span};
use crate::error::{ErrorKind, RunError};
use crate::exec::plan::{CopySlice, Launch, Plan};
use crate::exec::pool::Order;
use crate::exec::walk::{Device, Walk};
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
}

impl<'a> Steps<'a> {
    pub fn new(queue: &'a mut dyn Queue, program: &'a Program, plan: &'a Plan, spans: &'a [Span]) -> Steps<'a> {
        let (ready, counters) = Default::default();
        Steps { queue, program, plan, spans, ready, counters }
    }

    pub fn run(&mut self) -> (Result<(), RunError>, Option<usize>) {
        let plan = self.plan;
        Walk::run(self, &plan.steps)
    }

    fn span(&self, id: ValueId) -> Span {
        self.spans[id.0 as usize]
    }

    /// The bytes of a value after all steps so far.
    fn fetch<const N: usize>(&mut self, id: ValueId) -> Result<[u8; N], RunError> {
        let bytes = self.queue.read(&[self.span(id)])?.pop().unwrap_or_default();
        bytes.try_into().map_err(|_| RunError::new(ErrorKind::Program, "a scalar has another size"))
    }

    fn copy_span(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        if to.bytes == 0 || from == to {
            return Ok(());
        }
        self.queue.copy(from, to)
    }

    fn prepare(&mut self, launch: &Launch) -> Result<CallId, RunError> {
        let args: Vec<Span> = self.plan.args[launch.args.clone()].iter().map(|&id| self.span(id)).collect();
        self.queue.prepare(&Call {
            kernel: launch.kernel,
            args: &args,
            sizes: &self.plan.launch_sizes[launch.sizes.clone()],
            items: launch.grid as u64,
            sequential: self.program.kernels[launch.kernel.0 as usize].sequential,
        })
    }
}

impl Device for Steps<'_> {
    fn launch(&mut self, step: usize, launch: &Launch, _: Order) -> Result<(), RunError> {
        if launch.grid == 0 {
            return Ok(());
        }
        let call = match self.ready.get(&step) {
            Some(&call) => call,
            None => {
                let call = self.prepare(launch)?;
                self.ready.insert(step, call);
                call
            }
        };
        self.queue.launch(call)
    }

    fn copy(&mut self, from: ValueId, to: ValueId, _: usize) -> Result<(), RunError> {
        // A value has all of its words for itself.
        let [from, to] = [from, to].map(|id| whole_words(self.span(id)));
        self.copy_span(from, to)
    }

    fn copy_row(&mut self, slice: &CopySlice, row: usize) -> Result<(), RunError> {
        let (rows, outside) = (self.span(slice.rows), self.span(slice.outside));
        let offset = rows.offset + (row * slice.row_bytes) as u64;
        let inside = Span { offset, bytes: slice.row_bytes as u64, ..rows };
        match slice.direction {
            SliceMove::Write => self.copy_span(outside, inside),
            SliceMove::Read => self.copy_span(inside, outside),
        }
    }

    fn read_bool(&mut self, id: ValueId) -> Result<bool, RunError> {
        Ok(self.fetch::<1>(id)? != [0])
    }

    fn read_i64(&mut self, id: ValueId) -> Result<i64, RunError> {
        let place = |id: ValueId| self.plan.places[id.0 as usize];
        match self.counters.iter().rev().find(|(counter, _)| place(*counter) == place(id)) {
            Some((_, round)) => Ok(*round),
            None => Ok(i64::from_ne_bytes(self.fetch(id)?)),
        }
    }

    fn begin_round(&mut self, counter: ValueId, round: i64) -> Result<(), RunError> {
        self.queue.write(self.span(counter), &round.to_ne_bytes())?;
        self.counters.push((counter, round));
        Ok(())
    }

    fn end_round(&mut self) {
        self.counters.pop();
    }
}

fn whole_words(span: Span) -> Span {
    Span { bytes: span.bytes.next_multiple_of(4), ..span }
}
