//! Memories of which each element is used by one thread alone: they need no barriers, and locals among them are memory of
//! one thread.
//!
//! Invariant: lanes lie along one axis of the memory, the same in every access, and start at multiples of the block's
//! threads; so an element's position along that axis says whose it is. Or no access to a local has lanes: then each thread
//! keeps a copy of all of it. What threads share in two directions has no owner.

use rustc_hash::FxHashMap;

use super::Lower;
use crate::graph::Dim;
use crate::kernel::types::*;

/// By memory; no entry where threads meet.
#[derive(Default)]
pub(super) struct Owners(FxHashMap<Memory, Owned>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owned {
    /// Lanes lie along this axis.
    Along(usize),
    /// No access has lanes.
    Whole,
}

impl Lower<'_> {
    /// Finds the owners, and gives each thread its own part of the locals that it owns a part of.
    pub(super) fn find_owners(&mut self) {
        let source = self.source;
        let mut found: FxHashMap<Memory, Option<Owned>> = FxHashMap::default();
        let threads = i64::from(self.lanes);
        let shares = &self.shares;
        each_access(&source.body, &mut |access, value| {
            let shape = &source.type_of(value).shape;
            let owned = owned(source, access, shape, threads).filter(|_| shares.of(value).is_none());
            let known = found.entry(access.memory).or_insert(owned);
            if *known != owned {
                *known = None;
            }
        });
        for (memory, owned) in found {
            let Some(owned) = owned else { continue };
            match (memory, owned) {
                // Stores by one thread are read by the others.
                (Memory::Buffer(_), Owned::Whole) => continue,
                (Memory::Local(at), Owned::Along(axis)) => self.b.divide_local(at, axis, self.lanes.into()),
                _ => {}
            }
            self.owners.0.insert(memory, owned);
        }
        for at in 0..source.locals.len() as u32 {
            if !self.owners.0.contains_key(&Memory::Local(at)) {
                self.b.share_local(at);
            }
        }
    }

    /// Whether no two threads use one element.
    pub(super) fn is_owned(&self, memory: Memory) -> bool {
        self.owners.0.contains_key(&memory)
    }

    /// Whether each thread has a copy.
    pub(super) fn is_private(&self, memory: Memory) -> bool {
        matches!(memory, Memory::Local(_)) && self.owners.0.get(&memory) == Some(&Owned::Whole)
    }

    /// The position along an axis in the memory as this thread has it.
    pub(super) fn owned_index(&self, memory: Memory, axis: usize, at: Dim) -> Dim {
        if !matches!(memory, Memory::Local(_)) || self.owners.0.get(&memory) != Some(&Owned::Along(axis)) {
            return at;
        }
        let thread = Dim::from(&super::block::thread_symbol());
        let start = self.resolve(&(&at - &thread));
        start.exact_div(&Dim::constant(self.lanes.into())).unwrap_or(at)
    }
}

/// By position along which axis of the memory the elements of the tile go to threads, if they do.
pub(super) fn along(kernel: &Kernel, access: &Access, shape: &[u64], threads: i64) -> Option<usize> {
    match owned(kernel, access, shape, threads)? {
        Owned::Along(axis) => Some(axis),
        Owned::Whole => None,
    }
}

fn owned(kernel: &Kernel, access: &Access, shape: &[u64], threads: i64) -> Option<Owned> {
    let lanes = shape.len().checked_sub(1).filter(|&last| shape[last] > 1).map(lane_symbol);
    let Some(lanes) = lanes else { return Some(Owned::Whole) };
    let mut found = None;
    for (axis, index) in access.index.iter().enumerate() {
        match index {
            Index::Value(value) if kernel.type_of(*value).shape.last().is_some_and(|&extent| extent > 1) => {
                return None;
            }
            Index::Dim(dim) if dim.mentions(&lanes) => {
                let start = dim - &Dim::from(&lanes);
                let is_whole = !start.mentions(&lanes) && start.exact_div(&Dim::constant(threads)).is_some();
                if found.is_some() || !is_whole {
                    return None;
                }
                found = Some(Owned::Along(axis));
            }
            _ => {}
        }
    }
    found
}

/// Each access, with the tile.
fn each_access(block: &Block, visit: &mut dyn FnMut(&Access, Value)) {
    for stmt in &block.stmts {
        match &stmt.op {
            Op::Load(access, _) => visit(access, stmt.results[0]),
            Op::Store(access, value) | Op::Accumulate(access, value) => visit(access, *value),
            op => op.blocks().into_iter().for_each(|inner| each_access(inner, visit)),
        }
    }
}
