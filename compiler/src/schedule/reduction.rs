//! Reductions in general, one or several along the same rows: lanes along an outer axis, so that there is a row in each
//! lane, or along an inner one, with the lanes combined at the end of the row.
//!
//! An item of the grid takes a row through all stages, each a loop along it, and then stores its elements if the result
//! has them: what was read first is still in the cache. What is the same along a row is computed once before each loop,
//! and what several stages need is kept, if that is cheaper than computing it again. While a row is worked on, the next
//! one is asked for, so that memory rests less.
//!
//! Invariant: results do not depend on the number of threads: a reduction is never split over items of the grid.

mod ahead;
mod parts;

use rustc_hash::FxHashMap;

use super::body::{Term, TermId};
use super::emit::{Inverse, Kept, Tile, begin};
use super::keep::{self, Keep};
use super::pointwise::{chunk, grid};
use super::tiles::{Machine, Segment, each_tile, segments};
use super::{Loops, order, stream};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Kernel, Memory, Span, Type, Value, lane};
use crate::seeded::{Fault, is};

/// Rows that one item of the grid handles where they lie along the lanes: each costs a whole reduction.
const CHUNK: i64 = 512;
/// Numbers of four bytes in a line.
const LANES_OF_LINE: u64 = 16;
/// Rows of so many points take long enough for few of them to be an item, and so many items for each thread are enough.
const LONG: i64 = 256;
const MANY_ITEMS: i64 = 32;
/// A loop of at most so many steps is written out.
const UNROLLED: i64 = 4;
/// A row of so few points is divided faster than its divisor is inverted.
const FEW_POINTS: i64 = 8;

pub fn kernel(loops: &Loops, machine: &Machine) -> Kernel {
    let (mut b, operands, result) = begin(loops);
    let lanes = order::vector_axis(loops, machine);
    let at = grid(&mut b, loops, lanes);
    stream::stream(&mut b, result, loops, machine);
    let mut rows = Rows::new(loops, machine, &operands, result, at);
    match lanes {
        Some(lanes) if !loops.inner.contains(&lanes) => rows.across(&mut b, lanes),
        Some(lanes) => rows.along(&mut b, lanes),
        None => rows.tile(&mut b, 1, Vec::new()),
    }
    b.finish()
}

pub struct Rows<'a> {
    pub loops: &'a Loops,
    pub machine: &'a Machine,
    operands: &'a [Memory],
    result: Memory,
    /// Positions along the axes, as far as they are known.
    pub at: Vec<Dim>,
    /// The inner axis along the lanes, if it is one.
    lanes: Option<usize>,
    /// How many rows there are at once, and which of them take part.
    width: u64,
    guards: Vec<Dim>,
    /// What is the same along the row, as far as it has been computed.
    known: FxHashMap<TermId, Value>,
    inverses: FxHashMap<TermId, Inverse>,
    /// What each stage stores for later ones, and what has been stored.
    keeps: Vec<(Keep, Kept)>,
    kept: Vec<Kept>,
}

impl<'a> Rows<'a> {
    pub fn new(
        loops: &'a Loops,
        machine: &'a Machine,
        operands: &'a [Memory],
        result: Memory,
        at: Vec<Dim>,
    ) -> Rows<'a> {
        let (known, inverses, keeps, kept, guards) = Default::default();
        Rows { loops, machine, operands, result, at, lanes: None, width: 1, guards, known, inverses, keeps, kept }
    }

    /// Lanes along an outer axis: every inner axis is a loop.
    fn across(&mut self, b: &mut Builder, lanes: usize) {
        let extent = self.loops.axes[lanes].clone();
        let (start, length) = chunk(b, &extent, self.chunk_size(lanes));
        let segments = segments(&length, self.machine);
        each_tile(b, "j", &segments, &[], &mut |b, base, segment, _| {
            self.at[lanes] = &(&start + base) + &lane(0);
            let guards = if segment.guarded { vec![Builder::below(&self.at[lanes], &extent)] } else { Vec::new() };
            self.tile(b, segment.width, guards);
            Vec::new()
        });
    }

    /// How many rows an item handles: fewer where there would not be an item for each thread, but whole lines of them.
    fn chunk_size(&self, lanes: usize) -> i64 {
        let others = (0..self.loops.axes.len()).filter(|axis| !self.loops.inner.contains(axis) && *axis != lanes);
        let items: i64 = others.filter_map(|axis| self.loops.axes[axis].as_constant()).product();
        let depth = self.loops.inner.iter().filter_map(|&axis| self.loops.axes[axis].as_constant()).product::<i64>();
        // Long rows are worth an item for each strip, so that threads share them out evenly.
        let (wanted, unit) = match depth >= LONG {
            true => (MANY_ITEMS, self.machine.strip()),
            false => (1, self.machine.lanes),
        };
        let share = (wanted * self.machine.threads as i64 / items.max(1)).max(1);
        let even = self.loops.axes[lanes].as_constant().map_or(CHUNK, |extent| (extent + share - 1) / share);
        let unit = unit.max(LANES_OF_LINE) as i64;
        ((even + unit - 1) / unit * unit).min(CHUNK)
    }

    /// One tile of rows, one in each lane.
    pub fn tile(&mut self, b: &mut Builder, width: u64, guards: Vec<Dim>) {
        (self.lanes, self.width, self.guards) = (None, width, guards);
        self.each_way(b);
    }

    /// One row, with lanes along an inner axis.
    pub fn along(&mut self, b: &mut Builder, inner: usize) {
        (self.lanes, self.width, self.guards) = (Some(inner), 1, Vec::new());
        self.each_way(b);
    }

    /// Where only short rows can be kept and not all are known to be short, there are two ways.
    fn each_way(&mut self, b: &mut Builder) {
        let wanted = keep::worthwhile(self.loops);
        let room = keep::room(self.loops, &wanted, self.width);
        let Some(room) = room.filter(|_| !wanted.is_empty()) else { return self.run(b) };
        let keeps = wanted.into_iter().map(|wanted| (wanted, self.place_for(b, &wanted, &room.shape))).collect();
        match room.fits {
            None => {
                self.keeps = keeps;
                self.run(b);
            }
            Some(fits) => {
                let mut short =
                    Rows { keeps, ..Rows::new(self.loops, self.machine, self.operands, self.result, self.at.clone()) };
                (short.lanes, short.width, short.guards) = (self.lanes, self.width, self.guards.clone());
                b.if_else(
                    Condition::Guards(vec![fits]),
                    |b| {
                        short.run(b);
                        Vec::new()
                    },
                    |b| {
                        self.run(b);
                        Vec::new()
                    },
                );
            }
        }
    }

    /// Memory for a kept term: the axis along the lanes comes last.
    fn place_for(&self, b: &mut Builder, keep: &Keep, extents: &[u64]) -> Kept {
        let symbols = self.loops.inner.iter().map(|&axis| (axis, Dim::from(&Loops::symbol(axis))));
        let mut index: Vec<((usize, Dim), u64)> = symbols.zip(extents.iter().copied()).collect();
        match self.lanes {
            Some(lanes) => index.sort_by_key(|((axis, _), _)| (*axis == lanes, *axis)),
            None => index.push(((usize::MAX, lane(0)), self.width)),
        }
        let shape: Vec<u64> = index.iter().map(|(_, extent)| *extent).collect();
        let memory = b.local(format!("row{}", b.kernel().locals.len()), self.loops.body.dtype(keep.term), shape);
        Kept { term: keep.term, memory, index: index.into_iter().map(|((_, dim), _)| dim).collect() }
    }

    fn run(&mut self, b: &mut Builder) {
        (self.known, self.inverses, self.kept) = Default::default();
        let loops = self.loops;
        for (idx, stage) in loops.stages.iter().enumerate() {
            self.prepare(b, stage.element);
            let result = self.stage(b, idx);
            let keeps = self.keeps.iter().filter(|(keep, _)| keep.stage == idx);
            self.kept.extend(keeps.map(|(_, kept)| kept.clone()));
            let mut tile = self.row(self.width, Vec::new());
            tile.reduced(b, idx, result);
            self.known = tile.memo;
        }
        self.prepare(b, loops.stored);
        match loops.stores_rows() {
            true => self.store_row(b),
            false => self.store(b, self.width, self.guards.clone()),
        }
    }
}

impl<'a> Rows<'a> {
    /// Computes what a term needs that is the same along the row, and inverts what the row is divided by: not where the
    /// last digit of a quotient decides.
    fn prepare(&mut self, b: &mut Builder, root: TermId) {
        let body = &self.loops.body;
        let inner: Vec<_> = self.loops.inner.iter().map(|&axis| Loops::symbol(axis)).collect();
        let varying = body.varying(&[root], &inner);
        let length = Dim::product(self.loops.inner.iter().map(|&axis| &self.loops.axes[axis]));
        let is_long = length.as_constant().is_none_or(|length| length > FEW_POINTS);
        let exact = self.loops.exact_divisors();
        let mut tile = self.row(self.width, self.guards.clone());
        let is_had = |id: TermId| self.known.contains_key(&id) || self.kept.iter().any(|kept| kept.term == id);
        for id in body.needed_until(&[root], &is_had) {
            match body.term(id) {
                Term::Const(_) => {}
                Term::Apply(Scalar::Div, args) if varying[&id] && !varying[&args[1]] && is_long => {
                    let is_wide = matches!(body.dtype(id), DType::F32 | DType::F64);
                    if is_wide && !exact.contains(&args[1]) && !tile.inverses.contains_key(&args[1]) {
                        tile.invert(b, args[1]);
                    }
                }
                _ if varying[&id] => {}
                _ => _ = tile.value(b, id),
            }
        }
        (self.known, self.inverses) = (tile.memo, tile.inverses);
    }

    /// A tile of this row, or of these rows, that knows what is known.
    fn row(&self, width: u64, guards: Vec<Dim>) -> Tile<'_> {
        let tile = Tile::new(self.loops, self.operands, self.at.clone(), vec![width], guards);
        Tile { memo: self.known.clone(), inverses: self.inverses.clone(), kept: &self.kept, ..tile }
    }

    /// One reduction: a loop along the row.
    fn stage(&mut self, b: &mut Builder, idx: usize) -> Value {
        let combine = self.loops.stages[idx].combine;
        let Some(lanes) = self.lanes else {
            let initial = self.initial(b, idx, self.width);
            let step = &mut |this: &mut Self, b: &mut Builder, carried: &[Value]| {
                vec![this.step(b, idx, this.width, this.guards.clone(), carried[0])]
            };
            return self.gather(b, idx, &self.inner_but(None), &[initial], step)[0];
        };
        // One accumulator for each width of tile, combined at the end.
        let segments = segments(&self.loops.axes[lanes], self.machine);
        let initials: Vec<Value> = segments.iter().map(|segment| self.initial(b, idx, segment.width)).collect();
        let sums = self.gather(b, idx, &self.inner_but(Some(lanes)), &initials, &mut |this, b, carried| {
            let strips = segments.iter().zip(carried).enumerate();
            strips.map(|(nth, (segment, &sum))| this.strip(b, idx, lanes, nth, segment, sum)).collect()
        });
        let parts: Vec<Value> = sums.into_iter().map(|sum| b.reduce(combine, sum, 0)).collect();
        let total = parts.into_iter().reduce(|total, part| b.scalar(combine, &[total, part]));
        total.unwrap_or_else(|| self.initial(b, idx, 1))
    }

    fn strip(&mut self, b: &mut Builder, idx: usize, lanes: usize, nth: usize, segment: &Segment, sum: Value) -> Value {
        let span = Span::new(&format!("k{lanes}_{nth}"), 0, segment.count.clone(), 1);
        let sums = self.in_parts(b, idx, span, &[sum], &mut |this, b, k, carried| {
            let base = &segment.start + &(k * segment.width as i64);
            this.at[lanes] = &base + &lane(0);
            let inside = Builder::below(&this.at[lanes], &this.loops.axes[lanes]);
            match segment.guarded {
                true => vec![this.partial_step(b, idx, segment.width, inside, carried[0])],
                false => {
                    this.prefetch(b, idx, lanes, &base, segment.width);
                    this.prefetch_result(b, idx, lanes, &base, segment.width);
                    vec![this.step(b, idx, segment.width, Vec::new(), carried[0])]
                }
            }
        });
        sums[0]
    }

    fn inner_but(&self, but: Option<usize>) -> Vec<usize> {
        self.loops.inner.iter().copied().filter(|&axis| Some(axis) != but).collect()
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
        b.for_loop(self.span(axis), inits, |b, position, carried| {
            self.at[axis] = position.clone();
            self.loops_over(b, rest, carried, body)
        })
    }

    fn span(&self, axis: usize) -> Span {
        let extent = self.loops.axes[axis].clone();
        let unroll = extent.as_constant().is_some_and(|extent| extent <= UNROLLED);
        Span { unroll, ..Span::new(&format!("r{axis}"), 0, extent, 1) }
    }

    fn initial(&self, b: &mut Builder, idx: usize, width: u64) -> Value {
        let stage = &self.loops.stages[idx];
        let dtype = accumulator(self.loops.body.dtype(stage.element));
        if is(Fault::MaxStartsAtZero) && stage.combine == Scalar::Max {
            return b.constant(Type::new(dtype, [width]), 0.0);
        }
        b.constant(Type::new(dtype, [width]), stage.initial.value())
    }

    /// Combines one tile of elements with what has been gathered, and stores what is kept of it.
    fn step(&self, b: &mut Builder, idx: usize, width: u64, guards: Vec<Dim>, gathered: Value) -> Value {
        let stage = &self.loops.stages[idx];
        let mut tile = self.row(width, guards);
        self.keeps.iter().filter(|(keep, _)| keep.stage == idx).for_each(|(_, kept)| tile.keep(b, kept));
        tile.combine(b, stage, gathered)
    }

    /// The same where only the lanes inside take part; the others keep what they have.
    fn partial_step(&self, b: &mut Builder, idx: usize, width: u64, inside: Dim, gathered: Value) -> Value {
        let next = self.step(b, idx, width, vec![inside.clone()], gathered);
        let (room, zero) = (b.index([width], inside), b.constant(Type::new(DType::I64, [width]), 0.0));
        let takes_part = b.scalar(Scalar::Ge, &[room, zero]);
        b.scalar(Scalar::Select, &[takes_part, next, gathered])
    }

    fn store_row(&mut self, b: &mut Builder) {
        let lanes = self.lanes;
        self.loops_over(b, &self.inner_but(lanes), &[], &mut |this, b, _| {
            let Some(lanes) = lanes else {
                this.store(b, this.width, this.guards.clone());
                return Vec::new();
            };
            let extent = &this.loops.axes[lanes];
            let segments = segments(extent, this.machine);
            each_tile(b, &format!("s{lanes}_"), &segments, &[], &mut |b, base, segment, _| {
                this.at[lanes] = base + &lane(0);
                let guards = if segment.guarded { vec![Builder::below(&this.at[lanes], extent)] } else { Vec::new() };
                if !segment.guarded {
                    this.prefetch(b, this.loops.stages.len(), lanes, base, segment.width);
                }
                this.store(b, segment.width, guards);
                Vec::new()
            })
        });
    }

    fn store(&self, b: &mut Builder, width: u64, guards: Vec<Dim>) {
        let mut tile = self.row(width, guards);
        let value = tile.full(b, self.loops.stored);
        tile.store(b, self.result, value);
    }
}

/// Half-width floats are summed in f32.
pub fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}
