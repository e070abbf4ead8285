//! Where barriers stand: between a write to a memory and another use of it, as far as threads may meet there.
//!
//! Invariant: of two statements of which one writes what the other uses, a barrier stands between, on every way from the
//! first to the second. The body of a loop is entered as if all that it does had just been done, since it may have been:
//! in the round before.

use super::Lower;
use crate::kernel::types::*;

/// What was done since the last barrier.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    read: Vec<Memory>,
    written: Vec<Memory>,
    /// Threads may have exchanged values, through memories that are perhaps not made yet.
    exchanged: bool,
}

impl Pending {
    pub fn join(&mut self, other: Pending) {
        other.read.into_iter().for_each(|memory| note(&mut self.read, memory));
        other.written.into_iter().for_each(|memory| note(&mut self.written, memory));
        self.exchanged |= other.exchanged;
    }

    /// What items do to buffers concerns no other item, unless they run in order.
    pub fn start_item(&mut self, sequential: bool) {
        let is_seen = |memory: &Memory| sequential || matches!(memory, Memory::Local(_));
        self.read.retain(is_seen);
        self.written.retain(is_seen);
    }

    /// A barrier followed.
    pub fn forget(&mut self, memory: Memory) {
        self.read.retain(|&other| other != memory);
        self.written.retain(|&other| other != memory);
    }
}

fn note(memories: &mut Vec<Memory>, memory: Memory) {
    if !memories.contains(&memory) {
        memories.push(memory);
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

    pub(super) fn before_read(&mut self, memory: Memory) {
        if self.may_meet(memory) {
            self.barrier_if(self.was_exchanged(memory) || self.pending.written.contains(&memory));
            note(&mut self.pending.read, memory);
        }
    }

    pub(super) fn before_write(&mut self, memory: Memory) {
        if self.may_meet(memory) {
            let Pending { read, written, .. } = &self.pending;
            self.barrier_if(self.was_exchanged(memory) || written.contains(&memory) || read.contains(&memory));
            note(&mut self.pending.written, memory);
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
                Op::Load(access, _) => self.will(access.memory, false),
                Op::Store(access, _) | Op::Accumulate(access, _) => self.will(access.memory, true),
                _ => {}
            }
            stmt.op.blocks().into_iter().for_each(|inner| self.anticipate(inner));
        }
    }

    fn will(&mut self, memory: Memory, writes: bool) {
        if self.may_meet(memory) {
            note(if writes { &mut self.pending.written } else { &mut self.pending.read }, memory);
        }
    }
}
