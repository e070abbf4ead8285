//! Where barriers stand: between a write to a memory and another use of it, as far as threads may meet there.
//!
//! Invariant: of two statements of which one writes what the other uses, a barrier stands between, on every way from the
//! first to the second, unless each thread meets itself only: both give the elements to threads by their position along the
//! same axis. The body of a loop is entered as if all that it does had just been done, since it may have been:
//! in the round before.

use super::Lower;
use super::owner::along;
use crate::kernel::types::*;

/// A use of a memory; by position along which axis elements go to threads, if they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    memory: Memory,
    along: Option<usize>,
}

impl Use {
    /// By any thread.
    pub fn of(memory: Memory) -> Use {
        Use { memory, along: None }
    }

    fn meets(&self, other: &Use) -> bool {
        self.memory == other.memory && (self.along.is_none() || self.along != other.along)
    }
}

/// What was done since the last barrier.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    read: Vec<Use>,
    written: Vec<Use>,
    /// Threads may have exchanged values, through memories that are perhaps not made yet.
    exchanged: bool,
}

impl Pending {
    pub fn join(&mut self, other: Pending) {
        other.read.into_iter().for_each(|one| note(&mut self.read, one));
        other.written.into_iter().for_each(|one| note(&mut self.written, one));
        self.exchanged |= other.exchanged;
    }

    /// What items do to buffers concerns no other item, unless they run in order.
    pub fn start_item(&mut self, sequential: bool) {
        let is_seen = |one: &Use| sequential || matches!(one.memory, Memory::Local(_));
        self.read.retain(is_seen);
        self.written.retain(is_seen);
    }

    /// A barrier followed.
    pub fn forget(&mut self, memory: Memory) {
        self.read.retain(|one| one.memory != memory);
        self.written.retain(|one| one.memory != memory);
    }
}

fn note(uses: &mut Vec<Use>, one: Use) {
    if !uses.contains(&one) {
        uses.push(one);
    }
}

impl Lower<'_> {
    fn may_meet(&self, memory: Memory) -> bool {
        let is_constant = match memory {
            Memory::Buffer(at) => self.source.buffers[at as usize].rights == Rights::Read,
            Memory::Local(_) => false,
        };
        self.is_block() && !is_constant && !self.is_owned(memory)
    }

    /// A use of the tile, each element by the thread that has it.
    pub(super) fn use_of(&self, access: &Access, shape: &[u64]) -> Use {
        Use { memory: access.memory, along: along(self.source, access, shape, self.lanes.into()) }
    }

    pub(super) fn before_read(&mut self, one: Use) {
        if self.may_meet(one.memory) {
            self.barrier_if(
                self.was_exchanged(one.memory) || self.pending.written.iter().any(|other| other.meets(&one)),
            );
            note(&mut self.pending.read, one);
        }
    }

    pub(super) fn before_write(&mut self, one: Use) {
        if self.may_meet(one.memory) {
            let Pending { read, written, .. } = &self.pending;
            let meets = read.iter().chain(written).any(|other| other.meets(&one));
            self.barrier_if(self.was_exchanged(one.memory) || meets);
            note(&mut self.pending.written, one);
        }
    }

    fn was_exchanged(&self, memory: Memory) -> bool {
        self.pending.exchanged && self.is_exchange(memory)
    }

    fn barrier_if(&mut self, needed: bool) {
        if needed {
            self.b.barrier();
            self.pending = Pending::default();
        }
    }

    /// Before the body of a loop; gives what was pending, which still is after the loop if it runs no round.
    pub(super) fn enter_loop(&mut self, body: &Block) -> Pending {
        let before = self.pending.clone();
        if self.is_block() {
            self.anticipate(body);
            self.pending.exchanged = true;
        }
        before
    }

    fn anticipate(&mut self, block: &Block) {
        for stmt in &block.stmts {
            match &stmt.op {
                Op::Load(access, _) => self.will(access, stmt.results[0], false),
                Op::Store(access, value) | Op::Accumulate(access, value) => self.will(access, *value, true),
                _ => {}
            }
            stmt.op.blocks().into_iter().for_each(|inner| self.anticipate(inner));
        }
    }

    fn will(&mut self, access: &Access, value: Value, writes: bool) {
        if self.may_meet(access.memory) {
            let one = match self.shares.of(value) {
                Some(_) => Use::of(access.memory),
                None => self.use_of(access, &self.source.type_of(value).shape),
            };
            note(if writes { &mut self.pending.written } else { &mut self.pending.read }, one);
        }
    }
}
