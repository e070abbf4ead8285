//! Reductions in general: lanes along a parallel axis, or along a reduced one with the lanes combined at the end.
//!
//! Invariant: results do not depend on the number of threads: a reduction is never split over items of the grid.

use super::emit::{Tile, begin, number};
use super::pointwise::{chunk, grid};
use super::tiles::{Machine, Segment, each_tile, exact_segments, segments};
use super::{Loops, Reduce, order};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Kernel, Memory, Span, Type, Value, lane};
use crate::seeded::{Fault, is};

pub fn kernel(loops: &Loops, reduce: &Reduce, machine: &Machine) -> Kernel {
    let (mut b, operands, result) = begin(loops);
    let inner = order::vector_axis(loops, machine);
    let mut nest = Reduction { loops, reduce, machine, operands: &operands, at: grid(&mut b, loops, inner) };
    match inner {
        Some(inner) if inner < loops.n_parallel => nest.along_parallel(&mut b, inner, result),
        Some(inner) => nest.along_reduced(&mut b, inner, result),
        None => nest.whole(&mut b, result),
    }
    b.finish()
}

struct Reduction<'a> {
    loops: &'a Loops,
    reduce: &'a Reduce,
    machine: &'a Machine,
    operands: &'a [Memory],
    /// Positions along the axes, as far as they are known.
    at: Vec<Dim>,
}

impl Reduction<'_> {
    /// Lanes along a parallel axis: every reduced axis is a loop.
    fn along_parallel(&mut self, b: &mut Builder, inner: usize, result: Memory) {
        let extent = self.loops.axes[inner].clone();
        let (start, length) = chunk(b, &extent);
        each_tile(b, "j", &segments(&length, self.machine), &[], &mut |b, base, segment, _| {
            self.at[inner] = &(&start + base) + &lane(0);
            let guards = if segment.guarded { vec![Builder::below(&self.at[inner], &extent)] } else { Vec::new() };
            let initial = self.initial(b, segment.width);
            let reduced = self.loops_over(b, &self.reduced_axes(None), &[initial], &mut |this, b, carried| {
                vec![this.step(b, segment.width, &guards, carried[0])]
            });
            self.finish(b, segment.width, guards, reduced[0], result);
            Vec::new()
        });
    }

    /// Lanes along a reduced axis: one accumulator for each width of tile, combined at the end.
    fn along_reduced(&mut self, b: &mut Builder, inner: usize, result: Memory) {
        let segments = exact_segments(&self.loops.axes[inner], self.machine);
        let initials: Vec<Value> = segments.iter().map(|segment| self.initial(b, segment.width)).collect();
        let sums = self.loops_over(b, &self.reduced_axes(Some(inner)), &initials, &mut |this, b, carried| {
            let accumulators = segments.iter().zip(carried).enumerate();
            let next = accumulators.map(|(idx, (segment, &sum))| this.strip(b, inner, idx, segment, sum));
            next.collect()
        });
        let mut total = None;
        for sum in sums {
            let part = b.reduce(self.reduce.combine, sum, 0);
            total = Some(total.map_or(part, |total| b.scalar(self.reduce.combine, &[total, part])));
        }
        let total = total.unwrap_or_else(|| self.initial(b, 1));
        self.finish(b, 1, Vec::new(), total, result);
    }

    /// No axis has more than one element, or there is none.
    fn whole(&mut self, b: &mut Builder, result: Memory) {
        let initial = self.initial(b, 1);
        let reduced = self.step(b, 1, &[], initial);
        self.finish(b, 1, Vec::new(), reduced, result);
    }

    fn strip(&mut self, b: &mut Builder, inner: usize, idx: usize, segment: &Segment, sum: Value) -> Value {
        let name = format!("k{inner}_{idx}");
        let sums = each_tile(b, &name, std::slice::from_ref(segment), &[sum], &mut |b, base, segment, carried| {
            self.at[inner] = base + &lane(0);
            vec![self.step(b, segment.width, &[], carried[0])]
        });
        sums[0]
    }

    fn reduced_axes(&self, but: Option<usize>) -> Vec<usize> {
        (self.loops.n_parallel..self.loops.axes.len()).filter(|&axis| Some(axis) != but).collect()
    }

    /// One loop for each of these axes around `body`.
    fn loops_over(
        &mut self,
        b: &mut Builder,
        axes: &[usize],
        inits: &[Value],
        body: &mut dyn FnMut(&mut Self, &mut Builder, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let Some((&axis, rest)) = axes.split_first() else { return body(self, b, inits) };
        let span = Span::new(&format!("r{axis}"), 0, self.loops.axes[axis].clone(), 1);
        b.for_loop(span, inits, |b, position, carried| {
            self.at[axis] = position.clone();
            self.loops_over(b, rest, carried, body)
        })
    }

    fn initial(&self, b: &mut Builder, width: u64) -> Value {
        let dtype = accumulator(self.loops.body.dtype(self.reduce.element));
        if is(Fault::MaxStartsAtZero) && self.reduce.combine == Scalar::Max {
            return b.constant(Type::new(dtype, [width]), 0.0);
        }
        number(b, Type::new(dtype, [width]), self.reduce.initial.value())
    }

    /// Combines one tile of elements with what has been gathered.
    fn step(&mut self, b: &mut Builder, width: u64, guards: &[Dim], gathered: Value) -> Value {
        let mut tile = Tile::new(self.loops, self.operands, self.at.clone(), vec![width], guards.to_vec());
        let element = tile.full(b, self.reduce.element);
        let element = b.cast(element, b.type_of(gathered).dtype);
        b.scalar(self.reduce.combine, &[gathered, element])
    }

    fn finish(&mut self, b: &mut Builder, width: u64, guards: Vec<Dim>, reduced: Value, result: Memory) {
        let mut tile = Tile::new(self.loops, self.operands, self.at.clone(), vec![width], guards);
        tile.reduced = Some(reduced);
        let value = tile.full(b, self.loops.stored);
        tile.store(b, result, value);
    }
}

/// Half-width floats are summed in f32.
pub fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}
