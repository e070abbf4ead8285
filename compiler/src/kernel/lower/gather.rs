//! Loads whose lanes lie anywhere, by indices that are values of their own in each lane.
//!
//! Invariant: lanes outside an axis, and those that a guard leaves out, touch no memory.

use super::Lower;
use super::block::Spot;
use super::dims::{Truth, along_lanes};
use super::element::{below, strides};
use super::layout::Part;
use crate::graph::{Dim, Scalar};
use crate::kernel::types::*;

impl Lower<'_> {
    /// The vector of a part, on targets that take an address for each lane.
    pub(super) fn load_gathered(
        &mut self,
        access: &Access,
        part: &Part,
        otherwise: Literal,
        ty: &Type,
    ) -> Option<Value> {
        let memory_dtype = self.source.memory_dtype(access.memory);
        let is_plain = memory_dtype == ty.dtype && matches!(ty.dtype.size_of(), 4 | 8);
        if !self.target.gather || self.is_block() || !is_plain || !access.index.iter().any(|index| self.varies(index)) {
            return None;
        }
        let strides = strides(&self.source.memory_shape(access.memory));
        let known = access.index.iter().zip(&strides).filter_map(|(index, stride)| match index {
            Index::Dim(dim) => Some(&self.resolve(dim) * stride),
            Index::Value(_) => None,
        });
        let flat = known.fold(Dim::constant(0), |flat, term| &flat + &term);
        let (base, slope) = along_lanes(&flat, &part.index)?;
        let found = self.participants(access, part)?;
        let (plus, mut mask) = (base.constant_term(), found.mask);
        let mut offset = self.numbers(&(&base - &Dim::constant(plus)), slope);
        let extents = self.source.memory_shape(access.memory);
        for ((index, stride), extent) in access.index.iter().zip(&strides).zip(&extents) {
            let Index::Value(value) = index else { continue };
            let at = self.broadcast_element(*value, &Spot::Row(&part.index));
            let at = if self.type_of(at).is_scalar() { self.splat(at) } else { at };
            let inside = self.lanes_in_axis(at, extent);
            mask = Some(self.and_mask(mask, inside));
            let stride = self.dim(stride);
            let stride = self.splat(stride);
            let term = self.op(Scalar::Mul, &[at, stride]);
            offset = self.op(Scalar::Add, &[offset, term]);
        }
        if let Truth::If(condition) = found.truth {
            let all = self.truth_mask(condition);
            mask = Some(self.and_mask(mask, all));
        }
        let truth = if found.truth == Truth::Never { Truth::Never } else { Truth::Always };
        let mask = mask.map(|mask| Mask { mask, otherwise: Some(self.literal(ty, otherwise)) });
        let place = Place { memory: access.memory, offset, plus, mask, streams: false };
        Some(self.load_when(truth, place, ty, otherwise))
    }

    fn varies(&self, index: &Index) -> bool {
        match index {
            Index::Dim(_) => false,
            Index::Value(value) => self.source.type_of(*value).shape.last().is_some_and(|&extent| extent > 1),
        }
    }

    fn lanes_in_axis(&mut self, at: Value, extent: &Dim) -> Value {
        let (zero, extent) = (self.int(0), self.dim(extent));
        let (zero, extent) = (self.splat(zero), self.splat(extent));
        let low = self.op(Scalar::Ge, &[at, zero]);
        let high = self.op(below(), &[at, extent]);
        self.op(Scalar::And, &[low, high])
    }

    fn and_mask(&mut self, mask: Option<Value>, other: Value) -> Value {
        match mask {
            Some(mask) => self.op(Scalar::And, &[mask, other]),
            None => other,
        }
    }
}
