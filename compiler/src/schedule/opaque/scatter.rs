//! Scattering: the base is copied, then the updates are written in order.
//!
//! Invariant: items of the grid share no element, since each has its own position along the axes that are not indexed, and
//! within an item the updates come in their order. An index out of range writes nothing.

use super::{Opaque, buffer};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Index, Kernel, Memory, Rights, Span, Value, lane};
use crate::ops::gather::Place;
use crate::ops::scatter::{Axes, axes};
use crate::schedule::ScheduleError;
use crate::schedule::pointwise::{chunk, chunk_size};
use crate::schedule::tiles::{Machine, Segment, each_tile, segments};

pub fn kernel(op: &Opaque, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let axes = axes(op.call).map_err(|error| ScheduleError::new(error.message))?;
    let mut b = op.begin();
    let operands = op.call.operands.iter().enumerate();
    let operands = operands.map(|(idx, ty)| buffer(&mut b, &format!("a{idx}"), ty, ty.shape.clone(), Rights::Read));
    let operands: Vec<Memory> = operands.collect();
    let base = op.call.operand(0);
    let result = buffer(&mut b, "out", base, base.shape.clone(), Rights::ReadWrite);
    let last = base.rank() - 1;
    let vector = matches!(axes.places[last], Place::Along(_)).then_some(last);
    let at: Vec<Dim> = (0..base.rank())
        .map(|axis| match axes.places[axis] {
            Place::Along(_) if Some(axis) != vector => b.grid(&format!("g{axis}"), base.shape[axis].clone()),
            _ => Dim::constant(0),
        })
        .collect();
    let mut scatter = Scatter { op, axes: &axes, operands, result, at, width: 1, guards: Vec::new() };
    let Some(axis) = vector else {
        scatter.copy_rows(&mut b, machine);
        scatter.write(&mut b);
        return Ok(b.finish());
    };
    let extent = base.shape[axis].clone();
    let (start, length) = chunk(&mut b, &extent, chunk_size(machine));
    each_tile(&mut b, "j", &segments(&length, machine), &[], &mut |b, from, segment, _| {
        scatter.place(axis, &(&start + from), segment, &extent);
        scatter.copy(b, &scatter.indexed(), scatter.at.clone());
        scatter.write(b);
        Vec::new()
    });
    Ok(b.finish())
}

struct Scatter<'a> {
    op: &'a Opaque<'a>,
    axes: &'a Axes,
    operands: Vec<Memory>,
    result: Memory,
    /// Positions along the axes of the base that are not indexed.
    at: Vec<Dim>,
    width: u64,
    guards: Vec<Dim>,
}

impl Scatter<'_> {
    /// The lanes of one tile lie along this axis.
    fn place(&mut self, axis: usize, start: &Dim, segment: &Segment, extent: &Dim) {
        self.at[axis] = start + &lane(0);
        self.width = segment.width;
        self.guards = if segment.guarded { vec![Builder::below(&self.at[axis], extent)] } else { Vec::new() };
    }

    fn indexed(&self) -> Vec<usize> {
        (0..self.at.len()).filter(|&axis| matches!(self.axes.places[axis], Place::By(_))).collect()
    }

    /// Copies the base along these axes, one loop each, at known positions along the others.
    fn copy(&self, b: &mut Builder, along: &[usize], mut at: Vec<Dim>) {
        let Some((&axis, rest)) = along.split_first() else {
            let value = b.load(self.operands[0], [self.width], &at, self.guards.clone(), 0.0);
            return b.store(self.result, &at, self.guards.clone(), value);
        };
        let extent = self.op.call.operand(0).shape[axis].clone();
        b.for_loop(Span::new(&format!("c{axis}"), 0, extent, 1), &[], |b, position, _| {
            at[axis] = position.clone();
            self.copy(b, rest, at);
            Vec::new()
        });
    }

    /// The copy where the last axis is indexed: lanes lie along it, for the copy alone.
    fn copy_rows(&mut self, b: &mut Builder, machine: &Machine) {
        let last = self.at.len() - 1;
        let extent = self.op.call.operand(0).shape[last].clone();
        let others: Vec<usize> = self.indexed().into_iter().filter(|&axis| axis != last).collect();
        each_tile(b, "j", &segments(&extent, machine), &[], &mut |b, start, segment, _| {
            self.place(last, start, segment, &extent);
            self.copy(b, &others, self.at.clone());
            Vec::new()
        });
        (self.width, self.guards) = (1, Vec::new());
    }

    /// One loop for each axis of the updates that the base does not have, then one update.
    fn write(&self, b: &mut Builder) {
        let names = &self.axes.operands[self.operands.len() - 1];
        let at: Vec<Option<Dim>> =
            names.iter().map(|name| self.along(name).map(|axis| self.at[axis].clone())).collect();
        self.each_update(b, at);
    }

    fn along(&self, name: &str) -> Option<usize> {
        self.axes.places.iter().position(|place| matches!(place, Place::Along(other) if other == name))
    }

    fn each_update(&self, b: &mut Builder, mut at: Vec<Option<Dim>>) {
        let updates = self.op.call.operand(self.operands.len() - 1);
        let Some(axis) = at.iter().position(Option::is_none) else {
            let at: Vec<Dim> = at.into_iter().flatten().collect();
            return self.update(b, &at);
        };
        b.for_loop(Span::new(&format!("u{axis}"), 0, updates.shape[axis].clone(), 1), &[], |b, position, _| {
            at[axis] = Some(position.clone());
            self.each_update(b, at);
            Vec::new()
        });
    }

    fn update(&self, b: &mut Builder, at: &[Dim]) {
        let last = self.operands.len() - 1;
        let places = self.axes.places.iter().enumerate();
        let target: Vec<Index> = places
            .map(|(axis, place)| match place {
                Place::Along(_) => Index::Dim(self.at[axis].clone()),
                Place::By(idx) => {
                    let index = self.read(b, idx + 1, at);
                    Index::Value(b.cast(index, DType::I64))
                }
            })
            .collect();
        let update = self.read(b, last, at);
        let update = b.broadcast(update, [self.width]);
        let value = match self.axes.combine.scalar() {
            Some(scalar) => self.combined(b, scalar, &target, update),
            None => update,
        };
        b.store(self.result, target, self.guards.clone(), value);
    }

    /// An element of an operand at a position among the updates; a tile if it varies along the lanes.
    fn read(&self, b: &mut Builder, operand: usize, at: &[Dim]) -> Value {
        let updates = &self.axes.operands[self.operands.len() - 1];
        let position = |name: &String| updates.iter().position(|other| other == name).map(|axis| at[axis].clone());
        let index: Vec<Dim> =
            self.axes.operands[operand].iter().map(|name| position(name).unwrap_or(Dim::constant(0))).collect();
        let varies = index.iter().any(|dim| dim.mentions(&crate::kernel::lane_symbol(0)));
        let guards = if varies { self.guards.clone() } else { Vec::new() };
        b.load(self.operands[operand], [if varies { self.width } else { 1 }], index, guards, 0.0)
    }

    fn combined(&self, b: &mut Builder, scalar: Scalar, target: &[Index], update: Value) -> Value {
        let dtype = b.type_of(update).dtype;
        let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
        let old = b.load(self.result, [self.width], target.iter().cloned(), self.guards.clone(), 0.0);
        let (old, update) = (b.cast(old, wide), b.cast(update, wide));
        let combined = b.scalar(scalar, &[old, update]);
        b.cast(combined, dtype)
    }
}
