//! Tile loads and stores as vector accesses.
//!
//! Invariant: a vector access happens only where its lanes are consecutive elements, and touches only the lanes that take
//! part: all of them, or those of a mask. What cannot be one, and on targets without masks what is partial, is gathered
//! or goes lane by lane.

use super::Lower;
use super::block::Spot;
use super::dims::{Truth, along_lanes};
use super::element::strides;
use super::layout::{Part, Tile, parts};
use crate::graph::{Dim, Scalar};
use crate::kernel::types::*;

/// The lanes that take part in a vector access.
pub(super) struct Participants {
    pub truth: Truth,
    pub mask: Option<Value>,
}

impl Lower<'_> {
    pub(super) fn load(&mut self, access: &Access, otherwise: Literal, ty: &Type) -> Tile {
        let access = &self.without_proved_guards(access, &ty.shape);
        if let Some(tile) = self.load_turned(access, otherwise, ty) {
            return tile;
        }
        let part_type = self.part_type(ty);
        let parts = parts(&ty.shape, self.lanes);
        let width = self.source.neighbours(access.memory, ty).unwrap_or(1) as i64;
        let made = parts.iter().map(|part| match self.lane_slope(access, part) {
            Some(slope) if part.vector && slope == width => self.load_row(access, part, otherwise, &part_type),
            Some(0) if part.vector && self.same_for_all_lanes(access, part) => {
                let scalar = self.load_element(access, &part.index, otherwise, ty);
                self.splat(scalar)
            }
            _ if part.vector => self.load_apart(access, part, otherwise, ty),
            _ => self.load_element(access, &part.index, otherwise, ty),
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn store(&mut self, access: &Access, value: Value, accumulate: bool) {
        let tile = self.tile(value);
        let access = &self.without_proved_guards(access, &tile.shape);
        for (part, &value) in parts(&tile.shape, self.lanes).iter().zip(&tile.parts) {
            if part.vector
                && self.lane_slope(access, part) == Some(1)
                && self.store_row(access, part, value, accumulate)
            {
                continue;
            }
            for lane in 0..part.valid {
                let index = lane_index(part, lane);
                let (place, truth) = self.locate(access, &Spot::One(&index), true);
                let scalar = self.extract(value, lane);
                self.when(truth, |lower| lower.write(place, scalar, accumulate));
            }
        }
    }

    pub(super) fn prefetch(&mut self, access: &Access) {
        let access = self.without_proved_guards(access, &[]);
        let (place, truth) = self.locate(&access, &Spot::One(&[]), true);
        self.when(truth, |lower| lower.b.prefetch_at(place));
    }

    pub(super) fn write(&mut self, place: Place, value: Value, accumulate: bool) {
        if !accumulate {
            return self.b.store_at(place, value);
        }
        let ty = self.type_of(value).clone();
        let mask = place.mask.map(|mask| {
            let zero = self.literal(&ty, Literal::zero(ty.dtype));
            Mask { otherwise: Some(zero), ..mask }
        });
        let old = self.load_place(Place { mask, ..place.clone() }, ty);
        let sum = self.op(Scalar::Add, &[old, value]);
        self.b.store_at(place, sum);
    }

    /// Drops the guards that hold for every lane of the tile.
    pub(super) fn without_proved_guards(&mut self, access: &Access, shape: &[u64]) -> Access {
        let mut access = access.clone();
        if access.guards.is_empty() {
            return access;
        }
        let mut facts = self.facts.clone();
        for (lane, low, high) in lane_bounds(shape) {
            facts.declare(lane, low, Some(high));
        }
        access.guards.retain(|guard| !facts.proves(&self.resolve(guard)));
        access
    }

    /// By how many elements neighbouring lanes are apart, where that is one constant.
    pub(super) fn lane_slope(&self, access: &Access, part: &Part) -> Option<i64> {
        self.along(access, part).map(|(_, slope)| slope)
    }

    /// The same after the element of the first lane. What indices that are values add is the same for all lanes, and left
    /// out.
    fn along(&self, access: &Access, part: &Part) -> Option<(Dim, i64)> {
        let strides = strides(&self.source.memory_shape(access.memory));
        let mut flat = Dim::constant(0);
        for (index, stride) in access.index.iter().zip(&strides) {
            match index {
                Index::Dim(dim) => flat = &flat + &(&self.resolve(dim) * stride),
                Index::Value(value) => {
                    let varies = self.source.type_of(*value).shape.last().is_some_and(|&extent| extent > 1);
                    if varies {
                        return None;
                    }
                }
            }
        }
        along_lanes(&flat, &part.index)
    }

    pub(super) fn same_for_all_lanes(&self, access: &Access, part: &Part) -> bool {
        let last = lane_symbol(part.index.len().saturating_sub(1));
        !access.guards.iter().any(|guard| guard.mentions(&last))
    }

    pub(super) fn participants(&mut self, access: &Access, part: &Part) -> Option<Participants> {
        let mut found = Participants { truth: Truth::Always, mask: None };
        if part.valid < self.lanes {
            found.mask = Some(self.first_lanes(part.valid.into()));
        }
        for guard in &access.guards {
            let (base, slope) = along_lanes(&self.resolve(guard), &part.index)?;
            if slope == 0 {
                let holds = self.truth(&base);
                found.truth = self.both(found.truth, holds);
                continue;
            }
            let last = &base + &Dim::constant(slope.saturating_mul(i64::from(part.valid) - 1));
            if self.proves(&base) && self.proves(&last) {
                continue;
            }
            let mask = self.lanes_where(&base, slope);
            found.mask = Some(match found.mask {
                Some(other) => self.op(Scalar::And, &[other, mask]),
                None => mask,
            });
        }
        Some(found)
    }

    /// A condition that is the same for all lanes joins the mask, or is one: a branch costs more. Where it fails, the place
    /// is the start of the memory: machines take long to find that no lane of an address out of reach takes part.
    fn masked(&mut self, found: Participants, place: Place) -> (Truth, Option<Value>, Place) {
        let condition = match found.truth {
            Truth::If(condition) if self.target.masks => condition,
            truth => return (truth, found.mask, place),
        };
        let all = self.truth_mask(condition);
        let mask = match found.mask {
            Some(mask) => self.op(Scalar::And, &[mask, all]),
            None => all,
        };
        let start = self.int(-place.plus);
        let offset = self.op(Scalar::Select, &[condition, place.offset, start]);
        (Truth::Always, Some(mask), Place { offset, ..place })
    }

    pub(super) fn load_row(&mut self, access: &Access, part: &Part, otherwise: Literal, ty: &Type) -> Value {
        let Some(found) = self.participants(access, part).filter(|found| found.mask.is_none() || self.target.masks)
        else {
            return self.load_lanes(access, part, otherwise, ty);
        };
        let (place, inside) = self.locate(access, &Spot::One(&part.index), false);
        let truth = self.both(found.truth, inside);
        self.load_masked(Participants { truth, ..found }, place, otherwise, ty)
    }

    fn load_masked(&mut self, found: Participants, place: Place, otherwise: Literal, ty: &Type) -> Value {
        let (truth, mask, place) = self.masked(found, place);
        let mask = mask.map(|mask| Mask { mask, otherwise: Some(self.literal(ty, otherwise)) });
        self.load_when(truth, Place { mask, ..place }, ty, otherwise)
    }

    /// A vector that begins so many elements after the first lane of a part, all of whose lanes take part or none; it may
    /// have fewer lanes than the target.
    pub(super) fn load_from(
        &mut self,
        access: &Access,
        part: &Part,
        start: i64,
        n_read: Option<i64>,
        otherwise: Literal,
        ty: &Type,
    ) -> Value {
        let (place, truth) = self.locate(access, &Spot::One(&part.index), true);
        let mask = n_read.map(|n_read| self.first_lanes(n_read));
        let place = Place { plus: place.plus + start, ..place };
        self.load_masked(Participants { truth, mask }, place, otherwise, ty)
    }

    /// False if it cannot be one vector store.
    fn store_row(&mut self, access: &Access, part: &Part, value: Value, accumulate: bool) -> bool {
        let Some(found) = self.participants(access, part).filter(|found| found.mask.is_none() || self.target.masks)
        else {
            return false;
        };
        let (place, inside) = self.locate(access, &Spot::One(&part.index), false);
        let truth = self.both(found.truth, inside);
        let (truth, mask, place) = self.masked(Participants { truth, ..found }, place);
        let mask = mask.map(|mask| Mask { mask, otherwise: None });
        let streams = mask.is_none() && !accumulate && self.streams(access, part);
        self.when(truth, |lower| lower.write(Place { mask, streams, ..place }, value, accumulate));
        true
    }

    /// Whether a store goes past the caches: to memory that is streamed, at a multiple of the lanes.
    fn streams(&self, access: &Access, part: &Part) -> bool {
        let Memory::Buffer(at) = access.memory else { return false };
        let is_known = access.index.iter().all(|index| matches!(index, Index::Dim(_)));
        let lanes = Dim::constant(self.lanes.into());
        let is_multiple = |(first, _): (Dim, i64)| first.exact_div(&lanes).is_some();
        self.source.buffers[at as usize].streamed && is_known && self.along(access, part).is_some_and(is_multiple)
    }

    fn load_element(&mut self, access: &Access, index: &[i64], otherwise: Literal, ty: &Type) -> Value {
        let (place, truth) = self.locate(access, &Spot::One(index), true);
        self.load_when(truth, place, &Type::scalar(ty.dtype), otherwise)
    }

    fn load_apart(&mut self, access: &Access, part: &Part, otherwise: Literal, ty: &Type) -> Value {
        let part_type = self.part_type(ty);
        let near = self.load_window(access, part, otherwise, &part_type);
        match near.or_else(|| self.load_gathered(access, part, otherwise, &part_type)) {
            Some(vector) => vector,
            None => self.load_lanes(access, part, otherwise, ty),
        }
    }

    fn load_lanes(&mut self, access: &Access, part: &Part, otherwise: Literal, ty: &Type) -> Value {
        let lanes: Vec<Value> =
            (0..part.valid).map(|lane| self.load_element(access, &lane_index(part, lane), otherwise, ty)).collect();
        self.gather_lanes(&lanes)
    }
}

fn lane_index(part: &Part, lane: u32) -> Vec<i64> {
    let mut index = part.index.clone();
    if let Some(last) = index.last_mut() {
        *last += i64::from(lane);
    }
    index
}
