//! Walks a plan's steps: launches kernels on the pool, copies, loops, branches.
//!
//! Invariant: nothing is allocated here unless a step fails. Pointers are those of a plan whose
//! places were all filled in for this call; run-time indices and bounds are checked when read.

use std::time::Instant;

use super::plan::{Action, CopySlice, Launch, Limit, Plan, PlanStep};
use super::poison::{POISON, Poison, Span};
use super::pool::{Order, Pool};
use super::profile::Counter;
use crate::device::cpu::{Code, KernelFn};
use crate::error::RunError;
use crate::program::{SliceMove, ValueId};

pub struct Executor<'a> {
    pub plan: &'a Plan,
    pub code: &'a Code,
    pub pool: &'a Pool,
    pub arena: *mut u8,
    /// By value.
    pub pointers: &'a [*mut u8],
    /// In the order of the plan's `args`.
    pub args: &'a [*mut u8],
    /// By step; empty when nobody asked.
    pub counters: &'a mut [Counter],
    /// The innermost step that failed.
    pub failed_at: Option<usize>,
    /// Launches of every other round of a loop go the other way.
    pub order: Order,
}

/// What the threads of one launch share.
struct Call {
    function: KernelFn,
    args: *const *mut u8,
    sizes: *const i64,
}

// SAFETY: the tables behind the pointers are only read while the launch runs, and kernels may
// run disjoint grid items at the same time.
unsafe impl Sync for Call {}

impl Call {
    fn run(&self, begin: usize, end: usize) {
        // SAFETY: the program is checked and planned: the arguments are as many and as large
        // as the kernel's text says, which the maker of the code vouches for.
        unsafe { (self.function)(self.args, self.sizes, begin as i64, end as i64) }
    }
}

impl Executor<'_> {
    /// # Safety
    /// Each of `pointers` must be valid for its value's bytes, and writable where the program
    /// writes, for as long as this runs; `arena` for the plan's `arena_len`; `args` must repeat
    /// `pointers` as the plan's `args` say.
    pub unsafe fn run(&mut self) -> Result<(), RunError> {
        let plan = self.plan;
        self.block(&plan.steps)
    }

    fn block(&mut self, steps: &[PlanStep]) -> Result<(), RunError> {
        for step in steps {
            let start = (!self.counters.is_empty()).then(Instant::now);
            self.poison(|poison| &poison.before[step.number]);
            self.step(step).inspect_err(|_| {
                self.failed_at.get_or_insert(step.number);
            })?;
            if let Some(start) = start {
                self.counters[step.number].add(start.elapsed());
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &PlanStep) -> Result<(), RunError> {
        let number = step.number;
        match &step.action {
            Action::Launch(launch) => self.launch(launch),
            Action::Copy { from, to, bytes } => {
                // SAFETY: both values have `bytes` bytes; they may overlap.
                unsafe { std::ptr::copy(self.pointer(*from), self.pointer(*to), *bytes) };
            }
            Action::CopySlice(slice) => self.copy_slice(slice)?,
            Action::Repeat { counter, from, to, body } => {
                let (from, to) = (self.limit(*from), self.limit(*to));
                self.poison(|poison| &poison.after[number]);
                let outside = self.order;
                for round in from..to {
                    self.write_i64(*counter, round);
                    self.order = if round % 2 == 0 { Order::Upward } else { Order::Downward };
                    self.block(body)?;
                }
                self.order = outside;
                self.poison(|poison| &poison.after_loop[number]);
                return Ok(());
            }
            Action::While { at_most, cond, test, body } => {
                let mut left = at_most.map_or(i64::MAX, |limit| self.limit(limit));
                self.poison(|poison| &poison.after[number]);
                while left > 0 {
                    self.block(test)?;
                    if !self.read_bool(*cond) {
                        break;
                    }
                    self.block(body)?;
                    left -= 1;
                }
                self.poison(|poison| &poison.after_loop[number]);
                return Ok(());
            }
            Action::Cond { cond, then, otherwise } => {
                let taken = if self.read_bool(*cond) { then } else { otherwise };
                self.poison(|poison| &poison.after[number]);
                return self.block(taken);
            }
        }
        self.poison(|poison| &poison.after[number]);
        Ok(())
    }

    fn launch(&self, launch: &Launch) {
        let call = Call {
            function: self.code.function(launch.kernel),
            args: self.args[launch.args.clone()].as_ptr(),
            sizes: self.plan.launch_sizes[launch.sizes.clone()].as_ptr(),
        };
        self.pool.run(launch.grid, launch.grain, self.order, &|begin, end| call.run(begin, end));
    }

    fn copy_slice(&self, slice: &CopySlice) -> Result<(), RunError> {
        let row = slice.row(self.read_i64(slice.at))?;
        // SAFETY: the plan checked that `n_rows` rows of `row_bytes` make up the whole value.
        unsafe {
            let inside = self.pointer(slice.rows).add(row * slice.row_bytes);
            let outside = self.pointer(slice.outside);
            match slice.direction {
                SliceMove::Write => std::ptr::copy(outside, inside, slice.row_bytes),
                SliceMove::Read => std::ptr::copy(inside, outside, slice.row_bytes),
            }
        }
        Ok(())
    }

    fn pointer(&self, id: ValueId) -> *mut u8 {
        self.pointers[id.0 as usize]
    }

    fn limit(&self, limit: Limit) -> i64 {
        match limit {
            Limit::Known(value) => value,
            Limit::Value(id) => self.read_i64(id),
        }
    }

    fn read_i64(&self, id: ValueId) -> i64 {
        // SAFETY: the program's checker saw an `i64` scalar.
        unsafe { self.pointer(id).cast::<i64>().read_unaligned() }
    }

    fn write_i64(&self, id: ValueId, value: i64) {
        // SAFETY: as in `read_i64`; counters live in the arena.
        unsafe { self.pointer(id).cast::<i64>().write_unaligned(value) }
    }

    fn read_bool(&self, id: ValueId) -> bool {
        // SAFETY: the program's checker saw a `bool` scalar; any byte is a number.
        unsafe { self.pointer(id).read() != 0 }
    }

    fn poison(&self, spans: impl Fn(&Poison) -> &Vec<Span>) {
        for span in self.plan.poison.as_ref().map_or(&[][..], |poison| spans(poison)) {
            // SAFETY: spans are places of arena values, inside the arena.
            unsafe { self.arena.add(span.offset).write_bytes(POISON, span.bytes) };
        }
    }
}
