//! Reductions over short windows with lanes along an outer axis, such as depthwise convolution and pooling of images whose
//! channels lie last.
//!
//! A tile takes a few neighbouring windows, each in registers of its own: what they share, such as weights, is loaded
//! once for all, and their sums do not wait for each other. Windows at the two edges of an image are apart, so that
//! those in between ask for no padding.
//!
//! Invariant: each result is one sum over its own window, in the order of the window.

use super::Loops;
use super::body::{Load, Position};
use super::emit::{Tile, begin};
use super::order;
use super::pointwise::chunk;
use super::reduction::accumulator;
use super::tiles::{Machine, RegisterTile, Segment, each_tile, segments_of};
use crate::graph::Dim;
use crate::graph::rows::{SHORT_WINDOW, divides};
use crate::kernel::{Builder, Kernel, Memory, Span, Type, Value, lane};
use crate::seeded::{Fault, is};

/// Windows of so many points are written out; of larger ones, the loops around the innermost stay.
const UNROLLED: i64 = 25;
/// The same where a tile takes at most so many instructions to read.
const WRITTEN: u64 = 512;
/// Channels that one item of the grid handles.
const CHUNK: i64 = 512;
/// Bytes of the lines that the windows along an axis have in common with those of the next line, and of what all windows
/// read: they should stay in the first-level cache until then.
const LINES_BYTES: i64 = 48 << 10;

/// What lies where: windows follow each other along `along`, and lanes run along `lanes`.
pub struct Plan {
    along: usize,
    lanes: usize,
    tile: RegisterTile,
    /// Points that are written out at most.
    unrolled: i64,
}

pub fn find(loops: &Loops, machine: &Machine) -> Option<Plan> {
    let points = Dim::product(loops.inner.iter().map(|&axis| &loops.axes[axis])).as_constant()?;
    if loops.stages.len() != 1 || loops.stores_rows() || !(2..=SHORT_WINDOW).contains(&points) {
        return None;
    }
    let is_outer = |axis: usize| !loops.inner.contains(&axis);
    let lanes = order::vector_axis(loops, machine).filter(|&axis| is_outer(axis))?;
    let loads = loops.body.loads(&[loops.stages[0].element]);
    let slides = |axis: usize| loads.iter().any(|load| slides(loops, load, axis));
    let along = (0..loops.axes.len()).rev().find(|&axis| axis != lanes && is_outer(axis) && slides(axis))?;
    // An extent that only a check at entry keeps from being negative has no tiles that are proved to lie inside.
    let extent = &loops.axes[along];
    if divides(extent) || !loops.ranges.proves_le(&Dim::constant(0), extent) {
        return None;
    }
    let of_point: u64 = loads.iter().map(|load| order::instructions(loops, load, lanes, machine)).sum();
    let (tile, unrolled) = tile(points as u64 * of_point, machine);
    Some(Plan { along, lanes, tile, unrolled })
}

/// As many windows and vectors together as do not take too much code, and how many points of them are written out; it takes
/// so many instructions to read one vector of a window.
fn tile(instructions: u64, machine: &Machine) -> (RegisterTile, i64) {
    let widest = machine.window_tile();
    let narrower = [RegisterTile { vectors: 1, ..widest }, RegisterTile { rows: 2, vectors: 1 }];
    let fits = |tile: &RegisterTile| tile.rows * tile.vectors * instructions <= WRITTEN;
    match [widest].into_iter().chain(narrower).find(fits) {
        Some(tile) => (tile, UNROLLED),
        None => (RegisterTile { rows: 1, vectors: 1 }, if instructions <= WRITTEN { UNROLLED } else { 1 }),
    }
}

/// Whether windows that follow each other along an axis lie beside each other, or overlap.
fn slides(loops: &Loops, load: &Load, axis: usize) -> bool {
    let of = |dim: &Dim, axis: usize| dim.mentions(&Loops::symbol(axis));
    load.index.iter().any(|position| match position {
        Position::Dim(dim) => of(dim, axis) && loops.inner.iter().any(|&inner| of(dim, inner)),
        Position::Term(_) => false,
    })
}

pub fn kernel(loops: &Loops, plan: &Plan, machine: &Machine) -> Kernel {
    let (mut b, operands, result) = begin(loops);
    let tile = plan.tile;
    let few = channels_of_lines(loops, plan, (tile.vectors * machine.lanes) as i64);
    let lanes = &loops.axes[plan.lanes];
    // Few channels pass by all lines before the next ones do.
    let first = few.filter(|_| !machine.is_block()).map(|few| chunk(&mut b, lanes, few));
    let is_grid = |axis: usize| axis != plan.lanes && axis != plan.along && !loops.inner.contains(&axis);
    let at: Vec<Dim> = (0..loops.axes.len())
        .map(|axis| match is_grid(axis) {
            true => b.grid(&format!("g{axis}"), loops.axes[axis].clone()),
            false => Dim::constant(0),
        })
        .collect();
    let (start, length) = first.unwrap_or_else(|| chunk(&mut b, lanes, CHUNK));
    let channels = segments_of(&length, tile.vectors * machine.lanes, machine);
    let mut windows = Windows { loops, plan, operands: &operands, result, at };
    let loads = loops.body.loads(&[loops.stages[0].element]);
    let reaches_over = loads.iter().any(|load| load.guards.iter().any(|g| g.mentions(&Loops::symbol(plan.along))));
    let blocks = blocks(&loops.axes[plan.along], tile.rows, reaches_over);
    for (nth, block) in blocks.iter().enumerate() {
        each_tile(&mut b, &format!("x{nth}_"), std::slice::from_ref(block), &[], &mut |b, first, block, _| {
            each_tile(b, &format!("j{nth}_"), &channels, &[], &mut |b, base, segment, _| {
                windows.tile(b, block, first, segment, &(&start + base));
                Vec::new()
            })
        });
    }
    b.finish()
}

/// So many channels of the lines that a window reads stay in the first-level cache, if not all of them do and a tile of
/// this width does.
fn channels_of_lines(loops: &Loops, plan: &Plan, width: i64) -> Option<i64> {
    let loads = loops.body.loads(&[loops.stages[0].element]);
    let (sliding, others): (Vec<&Load>, Vec<&Load>) =
        loads.into_iter().partition(|load| slides(loops, load, plan.along));
    let load = sliding.first()?;
    let operand = |load: &Load| &loops.operands[load.operand];
    let element = |load: &Load| operand(load).dtype.size_of() as i64;
    let moves =
        |position: &Position, axis: usize| matches!(position, Position::Dim(dim) if dim.mentions(&Loops::symbol(axis)));
    let place = |axis: usize| load.index.iter().position(|position| moves(position, axis));
    let (along, channel) = (place(plan.along)?, place(plan.lanes)?);
    // Lines are the points of the window that lie neither along them nor among the channels.
    let is_across = |&&axis: &&usize| ![along, channel].iter().any(|&place| moves(&load.index[place], axis));
    let n_lines = Dim::product(loops.inner.iter().filter(is_across).map(|&axis| &loops.axes[axis])).as_constant()?;
    let line_bytes = operand(load).shape[along].as_constant()?.checked_mul(n_lines)?.checked_mul(element(load))?;
    let each_bytes = |load: &Load| {
        let is_read = |&&axis: &&usize| load.mentions(&Loops::symbol(axis));
        Dim::product(loops.inner.iter().filter(is_read).map(|&axis| &loops.axes[axis]))
            .as_constant()
            .map(|n| n * element(load))
    };
    let of_channels = others.into_iter().filter(|load| load.mentions(&Loops::symbol(plan.lanes)));
    let bytes = of_channels.map(each_bytes).try_fold(line_bytes, |sum, bytes| sum.checked_add(bytes?))?;
    let fit = LINES_BYTES / bytes.max(1) / width * width;
    let all = loops.axes[plan.lanes].as_constant()?;
    (n_lines > 1 && fit > 0 && fit < all).then_some(fit)
}

/// Covers an axis by tiles of `width` windows, and a narrower one. Where windows reach over the edges, the first tile and
/// the last are apart: what is guarded in them is proved in all others.
fn blocks(extent: &Dim, width: u64, reaches_over: bool) -> Vec<Segment> {
    let wide = Dim::constant(width as i64);
    let (n_wide, rest) = (extent.floor_div(&wide), extent.modulo(&wide));
    let rest_start = &n_wide * &wide;
    let block = |start: Dim, count: Dim, width: u64| Segment { start, count, width, guarded: false };
    let (zero, one) = (Dim::constant(0), Dim::constant(1));
    let mut blocks = match n_wide.as_constant().filter(|&n| reaches_over && n > 1) {
        Some(n) => vec![
            block(zero, one.clone(), width),
            block(wide.clone(), Dim::constant(n - 2), width),
            block(&rest_start - &wide, one, width),
        ],
        None => vec![block(zero, n_wide, width)],
    };
    blocks.push(match rest.as_constant() {
        _ if is(Fault::WindowsLeaveTheRest) => block(rest_start, Dim::constant(0), width),
        Some(rest) => block(rest_start, Dim::constant(i64::from(rest > 0)), rest as u64),
        None => block(rest_start, rest, 1),
    });
    blocks.retain(|block| !block.count.is(0));
    blocks
}

struct Windows<'a> {
    loops: &'a Loops,
    plan: &'a Plan,
    operands: &'a [Memory],
    result: Memory,
    at: Vec<Dim>,
}

impl Windows<'_> {
    /// The windows of a block, for one tile of channels.
    fn tile(&mut self, b: &mut Builder, block: &Segment, first: &Dim, channels: &Segment, start: &Dim) {
        let (along, lanes) = (self.plan.along, self.plan.lanes);
        self.at[along] = first + &lane(0);
        self.at[lanes] = start + &lane(1);
        let guards = match channels.guarded {
            true => vec![Builder::below(&self.at[lanes], &self.loops.axes[lanes])],
            false => Vec::new(),
        };
        let shape = vec![block.width, channels.width];
        let stage = &self.loops.stages[0];
        let dtype = accumulator(self.loops.body.dtype(stage.element));
        let initial = b.constant(Type::new(dtype, shape.clone()), stage.initial.value());
        let loops = self.loops;
        let sum = self.points(b, &loops.inner, initial, &shape, &guards);
        let mut tile = Tile::new(self.loops, self.operands, self.at.clone(), shape, guards);
        tile.reduced(b, 0, sum);
        let value = tile.full(b, self.loops.stored);
        tile.store(b, self.result, value);
    }

    /// One loop for each inner axis.
    fn points(&mut self, b: &mut Builder, axes: &[usize], sum: Value, shape: &[u64], guards: &[Dim]) -> Value {
        let Some((&axis, rest)) = axes.split_first() else {
            let stage = &self.loops.stages[0];
            let tile = Tile::new(self.loops, self.operands, self.at.clone(), shape.to_vec(), guards.to_vec());
            return tile.combine(b, stage, sum);
        };
        let extent = self.loops.axes[axis].clone();
        let points = Dim::product(axes.iter().map(|&axis| &self.loops.axes[axis]));
        let unroll = points.as_constant().is_some_and(|points| points <= self.plan.unrolled);
        let span = Span { unroll, ..Span::new(&format!("r{axis}"), 0, extent, 1) };
        b.for_loop(span, &[sum], |b, position, carried| {
            self.at[axis] = position.clone();
            vec![self.points(b, rest, carried[0], shape, guards)]
        })[0]
    }
}
