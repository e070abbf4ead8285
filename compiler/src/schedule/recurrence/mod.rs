//! Recurrences: a scan in which the elements of what is carried go their own ways, but for sums along short axes, becomes
//! one kernel. An item of the grid takes a few elements through all rounds and keeps them in registers.
//!
//! The carries have one shape, the *space*; reductions run along its *short* axes, all of them along the same. A tile has
//! those whole, and lanes along one of the others. Anything else is refused here, and runs step by step.
//!
//! Invariant: an item reads of the carries only what it writes, so that items need not wait for each other.

mod ahead;
mod compose;

use self::ahead::Ahead;
use self::compose::{Recurrence, compose};
use rustc_hash::FxHashMap;

use super::body::{Load, Term, TermId};
use super::emit::{Kept, Tile, declare_sizes, is_used};
use super::order::{self, Stride};
use super::reduction::accumulator;
use super::tiles::Machine;
use super::{Loops, ScheduleError};
use crate::graph::rows::divides;
use crate::graph::{Dim, Graph, NodeId};
use crate::kernel::{Builder, Kernel, Memory, Rights, Span, Value, lane};
use crate::seeded::{Fault, is};

/// Vectors of one carried value that an item holds at most.
const MAX_VECTORS: u64 = 64;
/// Additions, or what takes as long, that are written out for a round at most.
const MAX_WORK: u64 = 4096;
/// Vectors side by side where nothing is summed, so that the steps of one wait for those of another.
const SIDE_BY_SIDE: u64 = 4;

/// The kernel of a scan. Its buffers are the carries and captures, then the results.
pub fn schedule(graph: &Graph, id: NodeId, region: &Graph, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let node = graph.node(id);
    let (carries, trip) = (node.attrs.int("carries"), node.attrs.dim("trip"));
    let recurrence = compose(region, &graph.sizes, usize::try_from(carries).unwrap_or(0), &trip)?;
    let lanes = lanes(&recurrence);
    let width = width(&recurrence, lanes, machine)
        .ok_or_else(|| ScheduleError::new("an element with what it is summed with does not fit the registers"))?;
    Ok(kernel(&recurrence, &node.types, lanes, width, machine))
}

/// The axis along which most of what each round reads lies side by side; none where there is nothing beside anything.
fn lanes(recurrence: &Recurrence) -> Option<usize> {
    let loops = &recurrence.loops;
    let round = Loops::symbol(recurrence.round);
    let loads = loops.body.loads(&recurrence.roots);
    let each_round: Vec<&Load> = loads.into_iter().filter(|load| load.mentions(&round)).collect();
    let gain = |axis: usize| {
        let gains = each_round.iter().map(|load| match order::stride(loops, load, axis) {
            Stride::One => 1,
            Stride::None => 0,
            Stride::Other => -4,
        });
        gains.sum::<i64>()
    };
    let is_free = |axis: &usize| !recurrence.short.contains(axis) && !loops.axes[*axis].is(1);
    (0..recurrence.round).filter(is_free).filter(|&axis| !divides(&loops.axes[axis])).max_by_key(|&axis| gain(axis))
}

/// Elements along the lanes.
fn width(recurrence: &Recurrence, lanes: Option<usize>, machine: &Machine) -> Option<u64> {
    let mut short = recurrence.short.iter().map(|&axis| recurrence.loops.axes[axis].as_constant());
    let short = short.try_fold(1u64, |product, size| product.checked_mul(u64::try_from(size?).ok()?))?;
    if short == 0
        || short > MAX_VECTORS
        || short.saturating_mul(recurrence.loops.body.work(&recurrence.roots)) > MAX_WORK
    {
        return None;
    }
    let Some(lanes) = lanes else { return Some(1) };
    let extent = recurrence.loops.axes[lanes].as_constant();
    let is_enough = |n: &u64| extent.is_some_and(|size| size as u64 >= n * machine.lanes * 2 * machine.threads.max(1));
    let side_by_side = [SIDE_BY_SIDE, 2].into_iter().filter(|n| n * short <= SIDE_BY_SIDE).find(is_enough);
    Some(machine.lanes * side_by_side.unwrap_or(1))
}

fn kernel(
    recurrence: &Recurrence,
    results: &[crate::graph::Type],
    lanes: Option<usize>,
    width: u64,
    machine: &Machine,
) -> Kernel {
    let loops = &recurrence.loops;
    let mut b = Builder::new("kernel");
    declare_sizes(&mut b, &loops.ranges, &|symbol| {
        crate::graph::rows::axis_of(symbol).is_none() && is_used(loops, &recurrence.roots, symbol)
    });
    let buffer = |b: &mut Builder, name: String, ty: &crate::graph::Type, rights: Rights| {
        b.buffer(name, ty.dtype, ty.shape.clone(), rights)
    };
    let operands = loops.operands.iter().enumerate();
    let operands: Vec<Memory> = operands.map(|(n, ty)| buffer(&mut b, format!("a{n}"), ty, Rights::Read)).collect();
    let results = results.iter().enumerate();
    let results: Vec<Memory> = results.map(|(n, ty)| buffer(&mut b, format!("r{n}"), ty, Rights::Write)).collect();
    let mut at = vec![Dim::constant(0); loops.axes.len()];
    for axis in (0..recurrence.round).filter(|axis| Some(*axis) != lanes && !recurrence.short.contains(axis)) {
        at[axis] = b.grid(&format!("g{axis}"), loops.axes[axis].clone());
    }
    let mut shape = Vec::new();
    for &axis in &recurrence.short {
        at[axis] = lane(shape.len());
        shape.push(loops.axes[axis].as_constant().unwrap_or(1) as u64);
    }
    let mut guards = Vec::new();
    if let Some(lanes) = lanes {
        let extent = &loops.axes[lanes];
        let item = b.grid("c", extent.ceil_div(&Dim::constant(width as i64)));
        at[lanes] = &(&item * width as i64) + &lane(shape.len());
        if extent.as_constant().is_none_or(|extent| extent % width as i64 != 0) {
            guards.push(Builder::below(&at[lanes], extent));
        }
    }
    shape.push(width);
    let rounds = Rounds { recurrence, operands: &operands, results: &results, at, shape, guards };
    let ahead = Ahead::of(&mut b, &rounds, lanes, machine).zip(lanes);
    rounds.emit(&mut b, ahead.as_ref());
    b.finish()
}

/// All rounds of one tile.
struct Rounds<'a> {
    recurrence: &'a Recurrence,
    operands: &'a [Memory],
    results: &'a [Memory],
    at: Vec<Dim>,
    shape: Vec<u64>,
    guards: Vec<Dim>,
}

impl Rounds<'_> {
    /// With what is read ahead, for the lanes along an axis.
    fn emit(&self, b: &mut Builder, ahead: Option<&(Ahead, usize)>) {
        let Recurrence { loops, carries, round, .. } = self.recurrence;
        let mut before = self.tile(Dim::constant(0), &[]);
        let initial: Vec<Value> = carries.iter().map(|&carry| before.full(b, carry)).collect();
        self.same_in_all(&mut before, b);
        carries.iter().for_each(|carry| _ = before.memo.remove(carry));
        let known = before.memo;
        let trip = &loops.axes[*round];
        let (mut first, mut carried) = (Dim::constant(0), initial);
        if let Some((ahead, lanes)) = ahead {
            let (n_rounds, n_blocks) = ahead.rounds(trip);
            first = &n_blocks * n_rounds;
            carried = b.for_loop(Span::new("k", 0, n_blocks, 1), &carried, |b, block, carried| {
                let start = block * n_rounds;
                ahead.read(b, self, *lanes, &start);
                b.for_loop(Span::new("s", 0, n_rounds, 1), carried, |b, s, carried| {
                    self.round(b, &(&start + s), &ahead.kept(s), &known, carried)
                })
            });
        }
        if first != *trip {
            let span = Span::new("t", first, trip.clone(), 1);
            carried = b.for_loop(span, &carried, |b, t, carried| self.round(b, t, &[], &known, carried));
        }
        for (&memory, value) in self.results.iter().zip(carried) {
            b.store(memory, self.at[..*round].to_vec(), self.guards.clone(), value);
        }
    }

    fn round(
        &self,
        b: &mut Builder,
        t: &Dim,
        kept: &[Kept],
        known: &FxHashMap<TermId, Value>,
        carried: &[Value],
    ) -> Vec<Value> {
        let Recurrence { carries, next, .. } = self.recurrence;
        let mut tile = self.tile(t.clone(), kept);
        tile.memo = known.clone();
        tile.memo.extend(carries.iter().copied().zip(carried.iter().copied()));
        self.sums(&mut tile, b);
        self.outputs(&mut tile, b);
        if is(Fault::RecurrenceForgetsRounds) {
            return carried.to_vec();
        }
        next.iter().map(|&term| tile.full(b, term)).collect()
    }

    fn tile<'t>(&'t self, round: Dim, kept: &'t [Kept]) -> Tile<'t> {
        let mut at = self.at.clone();
        at[self.recurrence.round] = round;
        let tile = Tile::new(&self.recurrence.loops, self.operands, at, self.shape.clone(), self.guards.clone());
        Tile { kept, ..tile }
    }

    /// Computes once what does not change from round to round.
    fn same_in_all(&self, tile: &mut Tile, b: &mut Builder) {
        let Recurrence { loops, carries, roots, round, .. } = self.recurrence;
        let round = Loops::symbol(*round);
        let mut changing: Vec<TermId> = Vec::new();
        for id in loops.body.needed(roots) {
            let term = loops.body.term(id);
            let mut changes = term.mentions(&round) || carries.contains(&id) || matches!(term, Term::Reduced(_));
            term.for_each_operand(&mut |operand| changes |= changing.contains(&operand));
            match term {
                _ if changes => changing.push(id),
                Term::Const(_) => {}
                _ => _ = tile.value(b, id),
            }
        }
    }

    fn sums(&self, tile: &mut Tile, b: &mut Builder) {
        for (idx, stage) in self.recurrence.loops.stages.iter().enumerate() {
            let element = tile.full(b, stage.element);
            let dtype = accumulator(b.type_of(element).dtype);
            let element = b.cast(element, dtype);
            let axes = 0..self.shape.len() - 1;
            let sum = axes.fold(element, |sum, axis| b.reduce(stage.combine, sum, axis));
            tile.reduced(b, idx, sum);
        }
    }

    fn outputs(&self, tile: &mut Tile, b: &mut Builder) {
        let memories = &self.results[self.recurrence.carries.len()..];
        for (output, &memory) in self.recurrence.outputs.iter().zip(memories) {
            let value = tile.value(b, output.term);
            let mut shape = self.shape.clone();
            if !output.has_short_axes {
                let n_short = shape.len() - 1;
                shape[..n_short].fill(1);
            }
            let value = b.broadcast(value, shape);
            let index: Vec<Dim> = output.at.iter().map(|dim| tile.place(dim)).collect();
            b.store(memory, index, self.guards.clone(), value);
        }
    }
}
