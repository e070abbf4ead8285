//! Carries out a plan's steps on the CPU: launches kernels on the pool, and copies.
//!
//! Invariant: nothing is allocated here. Pointers are those of a plan whose places were all filled
//! in for this call.

use std::time::Instant;

use super::plan::{CopySlice, Launch, Plan};
use super::poison::{POISON, Poison, Span};
use super::pool::{Order, Pool};
use super::profile::Counter;
use super::walk::{Device, Walk};
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
    pub unsafe fn run(&mut self) -> (Result<(), RunError>, Option<usize>) {
        let plan = self.plan;
        Walk::run(self, &plan.steps)
    }

    fn pointer(&self, id: ValueId) -> *mut u8 {
        self.pointers[id.0 as usize]
    }

    fn poison(&self, spans: impl Fn(&Poison) -> &Vec<Span>) {
        for span in self.plan.poison.as_ref().map_or(&[][..], |poison| spans(poison)) {
            // SAFETY: spans are places of arena values, inside the arena.
            unsafe { self.arena.add(span.offset).write_bytes(POISON, span.bytes) };
        }
    }
}

impl Device for Executor<'_> {
    fn launch(&mut self, _: usize, launch: &Launch, order: Order) -> Result<(), RunError> {
        let call = Call {
            function: self.code.function(launch.kernel),
            args: self.args[launch.args.clone()].as_ptr(),
            sizes: self.plan.launch_sizes[launch.sizes.clone()].as_ptr(),
        };
        self.pool.run(launch.grid, launch.grain, order, &|begin, end| call.run(begin, end));
        Ok(())
    }

    fn copy(&mut self, from: ValueId, to: ValueId, bytes: usize) -> Result<(), RunError> {
        // SAFETY: both values have `bytes` bytes; they may overlap.
        unsafe { std::ptr::copy(self.pointer(from), self.pointer(to), bytes) };
        Ok(())
    }

    fn copy_row(&mut self, slice: &CopySlice, row: usize) -> Result<(), RunError> {
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

    fn read_bool(&mut self, id: ValueId) -> Result<bool, RunError> {
        // SAFETY: the program's checker saw a `bool` scalar; any byte is a number.
        Ok(unsafe { self.pointer(id).read() != 0 })
    }

    fn read_i64(&mut self, id: ValueId) -> Result<i64, RunError> {
        // SAFETY: the program's checker saw an `i64` scalar.
        Ok(unsafe { self.pointer(id).cast::<i64>().read_unaligned() })
    }

    fn begin_round(&mut self, counter: ValueId, round: i64) -> Result<(), RunError> {
        // SAFETY: as in `read_i64`; counters live in the arena.
        unsafe { self.pointer(counter).cast::<i64>().write_unaligned(round) };
        Ok(())
    }

    fn begin(&mut self, step: usize) -> Option<Instant> {
        let begun = (!self.counters.is_empty()).then(Instant::now);
        self.poison(|poison| &poison.before[step]);
        begun
    }

    fn enter(&mut self, step: usize) {
        self.poison(|poison| &poison.after[step]);
    }

    fn leave(&mut self, step: usize) {
        self.poison(|poison| &poison.after_loop[step]);
    }

    fn end(&mut self, step: usize, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.counters[step].add(begun.elapsed());
        }
    }
}
