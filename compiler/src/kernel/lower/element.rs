//! Accesses to one element, and conditions.
//!
//! Invariant: an element whose condition fails is not touched.

use super::Lower;
use super::block::Spot;
use super::dims::Truth;
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::types::*;
use crate::seeded::{Fault, is};

impl Lower<'_> {
    /// Where the element lies, and when it takes part.
    pub(super) fn locate(&mut self, access: &Access, spot: &Spot, guarded: bool) -> (Place, Truth) {
        let strides = strides(&self.b.kernel().memory_shape(access.memory));
        let extents = self.source.memory_shape(access.memory);
        let mut flat = Dim::constant(0);
        let mut truth = Truth::Always;
        let mut scattered = Vec::new();
        for (axis, ((own, stride), extent)) in access.index.iter().zip(&strides).zip(&extents).enumerate() {
            match own {
                Index::Dim(dim) => {
                    let at = self.owned_index(access.memory, axis, spot.at(dim));
                    flat = &flat + &(&at * stride);
                }
                Index::Value(value) => {
                    let at = self.broadcast_element(*value, spot);
                    let inside = self.in_axis(at, extent);
                    truth = self.both(truth, inside);
                    scattered.push((at, stride));
                }
            }
        }
        let (mut offset, plus) = self.offset(&flat);
        for (at, stride) in scattered {
            let stride = self.dim(stride);
            let term = self.op(Scalar::Mul, &[at, stride]);
            offset = self.op(Scalar::Add, &[offset, term]);
        }
        if guarded {
            for guard in &access.guards {
                let holds = self.truth(&spot.at(guard));
                truth = self.both(truth, holds);
            }
        }
        (Place { memory: access.memory, offset, plus, mask: None, streams: false }, truth)
    }

    pub(super) fn broadcast_element(&mut self, value: Value, spot: &Spot) -> Value {
        let (index, is_row) = match *spot {
            Spot::One(index) => (index, false),
            Spot::Row(index) => (index, true),
            Spot::Each(_) => unreachable!("no access at such places has indices that are values"),
        };
        let tile = self.tile(value);
        let skipped = index.len() - tile.shape.len();
        let own = index[skipped..].iter().zip(&tile.shape);
        let own: Vec<i64> = own.map(|(&at, &extent)| if extent == 1 { 0 } else { at }).collect();
        if is_row && tile.shape.last().is_some_and(|&extent| extent > 1) {
            return tile.parts[self.part_of(&tile, &own)];
        }
        self.element(&tile, &own)
    }

    fn in_axis(&mut self, at: Value, extent: &Dim) -> Truth {
        let (zero, extent) = (self.int(0), self.dim(extent));
        let low = self.op(Scalar::Ge, &[at, zero]);
        let high = self.op(below(), &[at, extent]);
        Truth::If(self.op(Scalar::And, &[low, high]))
    }

    /// Reads a scalar or a vector under a condition.
    pub(super) fn load_when(&mut self, truth: Truth, place: Place, ty: &Type, otherwise: Literal) -> Value {
        match truth {
            Truth::Always => self.load_place(place, ty.clone()),
            Truth::Never => self.literal(ty, otherwise),
            Truth::If(condition) => {
                self.open(true);
                let loaded = self.load_place(place, ty.clone());
                let then = self.close(vec![loaded]);
                self.open(true);
                let literal = self.literal(ty, otherwise);
                let otherwise = self.close(vec![literal]);
                self.push_if(condition, then, otherwise, &[ty.clone()])[0]
            }
        }
    }

    /// Runs `effect` under a condition.
    pub(super) fn when(&mut self, truth: Truth, effect: impl FnOnce(&mut Self)) {
        match truth {
            Truth::Always => effect(self),
            Truth::Never => {}
            Truth::If(condition) => {
                self.open(true);
                effect(self);
                let then = self.close(Vec::new());
                self.push_if(condition, then, Block::default(), &[]);
            }
        }
    }

    pub(super) fn push_if(&mut self, condition: Value, then: Block, otherwise: Block, types: &[Type]) -> Vec<Value> {
        let depth = self.depth();
        let results: Vec<Value> = types.iter().map(|ty| self.fresh(ty.clone(), depth)).collect();
        let op = Op::If(Box::new(If { condition: Condition::Value(condition), then, otherwise }));
        self.b.push_stmt(Stmt { results: results.clone(), op });
        results
    }

    /// A condition as a mask of all lanes.
    pub(super) fn truth_mask(&mut self, condition: Value) -> Value {
        debug_assert_eq!(self.type_of(condition).dtype, DType::Bool);
        self.splat(condition)
    }
}

/// How an index compares with the extent of its axis.
pub(super) fn below() -> Scalar {
    if is(Fault::GatherReachesOneFurther) { Scalar::Le } else { Scalar::Lt }
}

/// How many elements apart neighbours along each axis are.
pub(super) fn strides(shape: &[Dim]) -> Vec<Dim> {
    let skipped = |axis: usize| usize::from(is(Fault::StrideSkipsAnAxis) && axis == 0 && shape.len() == 3);
    (0..shape.len()).map(|axis| Dim::product(&shape[axis + 1 + skipped(axis)..])).collect()
}
