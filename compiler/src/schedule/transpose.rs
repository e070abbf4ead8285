//! Pointwise nests that read some operand across the lanes: neighbours lie along another axis of it.
//!
//! A gather takes one element from each of many lines. Where these do not stay in the first-level cache, because they are
//! too many or share its sets, each comes anew for every position along that other axis. Here a block of both axes is read
//! line by line into local memory, and taken from there across.
//!
//! Invariant: each element is computed from the same loads as by `pointwise`; those of a block are done before.

use super::body::{Position, Term, TermId};
use super::emit::{Tile, begin};
use super::order::{self, Stride};
use super::pointwise::chunk;
use super::tiles::{Machine, Segment, each_tile, segments};
use super::{Loops, pointwise, stream};
use crate::graph::rows::divides;
use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Kernel, Memory, Span, lane};

/// Lines that stay in the first-level cache, and how far those are apart that share a set of it, in bytes.
const LINES: i64 = 256;
const SHARED: i64 = 4096;
/// Fewer neighbours than this are not worth turning.
const FEW: i64 = 4;
/// Loads of a nest that are turned; more would leave the first-level cache, or the memory of a block.
const MAX_TURNED: usize = 2;
const MAX_TURNED_IN_BLOCK: usize = 1;

/// How a nest is turned.
pub struct Plan {
    /// Along the lanes of the result.
    inner: usize,
    /// Along which the loads have their neighbours.
    outer: usize,
    loads: Vec<TermId>,
}

/// The loads that go across the lanes `inner`, if they all have their neighbours along one other axis.
pub fn find(loops: &Loops, inner: usize, machine: &Machine) -> Option<Plan> {
    let is_open = |axis: usize| divides(&loops.axes[axis]);
    let is_few = |axis: usize| loops.axes[axis].as_constant().is_some_and(|extent| extent < FEW);
    if machine.lanes == 1 || is_open(inner) || is_few(inner) {
        return None;
    }
    let body = &loops.body;
    let is_across = |id: &TermId| match body.term(*id) {
        Term::Load(load) => {
            let is_plain = load.index.iter().all(|position| matches!(position, Position::Dim(_)));
            is_plain && order::stride(loops, load, inner) == Stride::Other
        }
        _ => false,
    };
    let loads: Vec<TermId> = body.needed(&[loops.stored]).into_iter().filter(is_across).collect();
    let runs_along = |axis: usize, id: &TermId| match body.term(*id) {
        Term::Load(load) => order::stride(loops, load, axis) == Stride::One,
        _ => false,
    };
    let outer = (0..loops.n_parallel).find(|&axis| axis != inner && loads.iter().all(|id| runs_along(axis, id)))?;
    let comes_anew = |id: &TermId| match body.term(*id) {
        Term::Load(load) => {
            let step = order::step(loops, load, inner).and_then(|step| step.as_constant());
            let bytes = step.map(|step| step.saturating_mul(body.dtype(*id).size_of() as i64));
            loops.axes[inner].as_constant().is_none_or(|extent| extent > LINES)
                || bytes.is_some_and(|n| n % SHARED == 0)
        }
        _ => false,
    };
    let most = if machine.is_block() { MAX_TURNED_IN_BLOCK } else { MAX_TURNED };
    let fits = loads.iter().any(comes_anew) && loads.len() <= most && !is_open(outer) && !is_few(outer);
    fits.then_some(Plan { inner, outer, loads })
}

pub fn kernel(loops: &Loops, plan: &Plan, machine: &Machine) -> Kernel {
    let (mut b, operands, result) = begin(loops);
    stream::stream(&mut b, result, loops, machine);
    let mut at: Vec<Dim> = (0..loops.axes.len())
        .map(|axis| match axis == plan.inner || axis == plan.outer {
            true => Dim::constant(0),
            false => b.grid(&format!("g{axis}"), loops.axes[axis].clone()),
        })
        .collect();
    let squares = plan.turns_in_registers(loops, machine);
    let outer = &loops.axes[plan.outer];
    // Some lines of each row at once: memory gives neighbours sooner.
    let size = Dim::constant(if squares { machine.strip() } else { machine.lanes } as i64);
    let block = &b.grid("t", outer.ceil_div(&size)) * &size;
    let n_outer = if is_cut_evenly(outer, &size) { size.clone() } else { (outer - &block).least(&size) };
    let extent = loops.axes[plan.inner].clone();
    let (start, length) = chunk(&mut b, &extent, pointwise::chunk_size(machine));
    let locals = plan.locals(&mut b, loops, machine);
    each_tile(&mut b, "j", &segments(&length, machine), &[], &mut |b, base, segment, _| {
        let first = &start + base;
        let turn = Turn { loops, plan, operands: &operands, result, locals: &locals, first: &first, extent: &extent };
        turn.strip(b, &mut at, (&block, &n_outer), (segment, squares), machine.lanes);
        Vec::new()
    });
    b.finish()
}

fn is_cut_evenly(extent: &Dim, size: &Dim) -> bool {
    extent.as_constant().zip(size.as_constant()).is_some_and(|(n, size)| n % size == 0)
}

impl Plan {
    /// Lowering turns loads of as many rows as lanes, if their numbers are of the usual width.
    fn turns_in_registers(&self, loops: &Loops, machine: &Machine) -> bool {
        let is_usual = |id: &TermId| loops.body.dtype(*id) != DType::Bool && loops.body.dtype(*id).size_of() == 4;
        let is_plain = |id: &TermId| matches!(loops.body.term(*id), Term::Load(load) if load.guards.is_empty());
        !machine.is_block() && self.loads.iter().all(|id| is_usual(id) && is_plain(id))
    }

    /// A square of each load, a row of which lies as it was read.
    fn locals(&self, b: &mut Builder, loops: &Loops, machine: &Machine) -> Vec<Memory> {
        let local = |&id: &TermId| {
            // Rows that lie a power of two apart would share lines of the cache.
            let shape = [machine.strip(), machine.lanes + 1];
            b.local(format!("turned{}", b.kernel().locals.len()), loops.body.dtype(id), shape)
        };
        self.loads.iter().map(local).collect()
    }
}

/// One block on its way.
struct Turn<'a> {
    loops: &'a Loops,
    plan: &'a Plan,
    operands: &'a [Memory],
    result: Memory,
    locals: &'a [Memory],
    /// Along the inner axis.
    first: &'a Dim,
    extent: &'a Dim,
}

impl<'a> Turn<'a> {
    /// Turns a strip of so many positions along the outer axis: in registers as far as squares go, if they may.
    fn strip(
        &self,
        b: &mut Builder,
        at: &mut [Dim],
        (block, n_outer): (&Dim, &Dim),
        (segment, squares): (&Segment, bool),
        lanes: u64,
    ) {
        let number = Dim::constant(lanes as i64);
        if !squares || segment.width % lanes != 0 || segment.guarded {
            return self.rest(b, at, (block, n_outer), segment, lanes);
        }
        let n_squares = n_outer.floor_div(&number);
        self.squares(b, at, (block, &n_squares), segment, lanes);
        if !is_cut_evenly(&self.loops.axes[self.plan.outer], &number) {
            let done = &n_squares * &number;
            self.rest(b, at, (&(block + &done), &(n_outer - &done)), segment, lanes);
        }
    }

    /// Turns through memory, as many positions along the outer axis at once as there are lanes.
    fn rest(&self, b: &mut Builder, at: &mut [Dim], (block, n_outer): (&Dim, &Dim), segment: &Segment, lanes: u64) {
        let (outer, width) = (&self.loops.axes[self.plan.outer], &Dim::constant(lanes as i64));
        b.for_loop(Span::new("w", 0, n_outer.ceil_div(width), 1), &[], |b, w, _| {
            let block = block + &(w * width);
            at[self.plan.outer] = &block + &lane(0);
            self.read(b, at, segment, (outer, lanes));
            let n_outer = (outer - &block).least(width);
            b.for_loop(Span::new("o", 0, n_outer, 1), &[], |b, o, _| {
                at[self.plan.outer] = &block + o;
                let (value, tile) = self.take(b, at, segment, o);
                tile.store(b, self.result, value);
                Vec::new()
            });
            Vec::new()
        });
    }

    /// Turns square after square in registers.
    fn squares(&self, b: &mut Builder, at: &mut [Dim], (block, count): (&Dim, &Dim), segment: &Segment, lanes: u64) {
        let (inner, outer) = (self.plan.inner, self.plan.outer);
        b.for_loop(Span::new("i", 0, (segment.width / lanes) as i64, 1), &[], |b, i, _| {
            at[inner] = &(self.first + &(i * lanes as i64)) + &lane(1);
            b.for_loop(Span::new("s", 0, count.clone(), 1), &[], |b, s, _| {
                at[outer] = &(block + &(s * lanes as i64)) + &lane(0);
                let mut tile = Tile::new(self.loops, self.operands, at.to_vec(), vec![lanes, lanes], Vec::new());
                let value = tile.full(b, self.loops.stored);
                tile.store(b, self.result, value);
                Vec::new()
            });
            Vec::new()
        });
    }

    /// Reads the block: lanes along the outer axis.
    fn read(&self, b: &mut Builder, at: &[Dim], segment: &Segment, (outer, lanes): (&Dim, u64)) {
        let width = Dim::constant(segment.width as i64);
        let n_inner = if segment.guarded { (self.extent - self.first).least(&width) } else { width };
        b.for_loop(Span::new("u", 0, n_inner, 1), &[], |b, u, _| {
            let mut at = at.to_vec();
            at[self.plan.inner] = self.first + u;
            let along = &at[self.plan.outer];
            let is_whole = outer.as_constant().is_some_and(|extent| extent % lanes as i64 == 0);
            let guards = if is_whole { Vec::new() } else { vec![Builder::below(along, outer)] };
            let mut tile = Tile::new(self.loops, self.operands, at, vec![lanes], guards);
            for (&id, &local) in self.plan.loads.iter().zip(self.locals) {
                let value = tile.full(b, id);
                b.store(local, [u, &lane(0)], [], value);
            }
            Vec::new()
        });
    }

    /// One position along the outer axis, with lanes along the inner one.
    fn take(&self, b: &mut Builder, at: &[Dim], segment: &Segment, o: &Dim) -> (crate::kernel::Value, Tile<'a>) {
        let mut at = at.to_vec();
        at[self.plan.inner] = self.first + &lane(0);
        let guards = if segment.guarded { vec![Builder::below(&at[self.plan.inner], self.extent)] } else { Vec::new() };
        let mut tile = Tile::new(self.loops, self.operands, at, vec![segment.width], guards.clone());
        for (&id, &local) in self.plan.loads.iter().zip(self.locals) {
            let value = b.load(local, [segment.width], [&lane(0), o], guards.clone(), 0.0);
            tile.memo.insert(id, value);
        }
        let value = tile.full(b, self.loops.stored);
        (value, tile)
    }
}
