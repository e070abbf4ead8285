//! Rights, and the proof that accesses stay inside.

use super::{Facts, Verifier};
use crate::graph::{DType, Dim};
use crate::kernel::Builder;
use crate::kernel::types::*;

impl Verifier<'_> {
    /// A place that is neither read nor written.
    pub(super) fn hint(&mut self, place: &str, access: &Access) {
        self.has_rank(place, access);
        access.guards.iter().for_each(|guard| self.in_scope(place, guard, 0));
        for index in &access.index {
            match index {
                Index::Dim(dim) => self.in_scope(place, dim, 0),
                Index::Value(value) => self.check(place, false, || format!("{value} is no place to ask for")),
            }
        }
    }

    fn has_rank(&mut self, place: &str, access: &Access) -> bool {
        let (found, wanted) = (access.index.len(), self.kernel.memory_shape(access.memory).len());
        self.check(place, found == wanted, || format!("the memory has {wanted} axes, the access {found} indices"));
        found == wanted
    }

    /// Each lane reads so many neighbours along the last axis.
    pub(super) fn access(&mut self, place: &str, access: &Access, (shape, n_neighbours): (&[u64], u64), facts: &Facts) {
        let extents = self.kernel.memory_shape(access.memory);
        if !self.has_rank(place, access) {
            return;
        }
        let mut facts = facts.clone();
        for (lane, low, high) in lane_bounds(shape) {
            facts.declare(lane, low, Some(high));
        }
        for guard in &access.guards {
            self.in_scope(place, guard, shape.len());
        }
        facts.assume(access.guards.iter().cloned());
        for (axis, (index, extent)) in access.index.iter().zip(&extents).enumerate() {
            let further = if axis + 1 == extents.len() { n_neighbours as i64 - 1 } else { 0 };
            match index {
                Index::Dim(dim) => {
                    self.in_scope(place, dim, shape.len());
                    self.inside(place, access, (axis, dim), &(extent - further), &facts);
                }
                Index::Value(value) if further > 0 => {
                    self.check(place, false, || format!("{value} does not say where a word lies"));
                }
                Index::Value(value) => {
                    let ty = self.kernel.type_of(*value);
                    let fits = ty.dtype == DType::I64 && broadcasts(&ty.shape, shape);
                    self.check(place, fits, || format!("{value} of {ty} is no index of this tile"));
                }
            }
        }
    }

    fn inside(&mut self, place: &str, access: &Access, (axis, index): (usize, &Dim), extent: &Dim, facts: &Facts) {
        for (guard, most) in [(index.clone(), None), (Builder::below(index, extent), Some(extent))] {
            if facts.proves(&guard) {
                continue;
            }
            let bound = most.map_or("at least 0".to_string(), |extent| format!("below `{extent}`"));
            self.check(place, false, || format!("axis {axis}: cannot prove that `{index}` is {bound}"));
            self.unproved.entry(access.clone()).or_default().push(guard);
        }
    }

    fn rights(&self, memory: Memory) -> Rights {
        match memory {
            Memory::Buffer(at) => self.kernel.buffers[at as usize].rights,
            Memory::Local(_) => Rights::ReadWrite,
        }
    }

    pub(super) fn readable(&mut self, place: &str, memory: Memory) {
        let (may, name) = (self.rights(memory) != Rights::Write, self.kernel.memory_name(memory));
        self.check(place, may, || format!("`{name}` may only be written"));
    }

    pub(super) fn writable(&mut self, place: &str, memory: Memory) {
        let (may, name) = (self.rights(memory) != Rights::Read, self.kernel.memory_name(memory));
        self.check(place, may, || format!("`{name}` may only be read"));
    }

    /// Items that add to places only the data tells must not run at the same time.
    pub(super) fn alone(&mut self, place: &str, access: &Access) {
        let scattered = access.index.iter().any(|index| matches!(index, Index::Value(_)));
        let shared = matches!(access.memory, Memory::Buffer(_));
        let holds = !scattered || !shared || self.kernel.sequential || self.kernel.grid.is_empty();
        self.check(place, holds, || "a data-dependent accumulate needs a sequential grid".into());
    }
}

/// Whether extents of 1, and missing leading axes, can be repeated to give `to`.
pub(super) fn broadcasts(from: &[u64], to: &[u64]) -> bool {
    from.len() <= to.len() && from.iter().rev().zip(to.iter().rev()).all(|(&a, &b)| a == b || a == 1)
}
