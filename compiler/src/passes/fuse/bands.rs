//! Puts a group before the only one that reads its result, where that one takes it window by window: the kernel makes the
//! result piece by piece, and each piece is still in the second-level cache when it is read. So the widened images of an
//! inverted residual, or those that a pooling follows, never reach memory.
//!
//! A group joins the one that reads it when all of these hold.
//!
//! | condition | why |
//! |---|---|
//! | it makes sums of products, and nothing else reads its result | the work is not done twice, but for what neighbouring tiles share |
//! | the other takes it by one reduction over short windows, and else reads it nowhere | a tile needs a small piece of it |
//! | sizes are known, but for that of a batch | pieces lie in memory of known size |
//! | tiles of whole lines have pieces that fit, and share little | see `Cut` |

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::grow::{Before, Group};
use super::{Kind, Survey};
use crate::graph::pieces::{Piece, Tiles};
use crate::graph::rows::axis_of;
use crate::graph::{Dim, Meaning, Nest, NestIndex, NodeId, Ranges, Scalar, ScalarNode, Symbol, Type, Value, axis};
use crate::passes::Context;

/// Bytes of a piece: it shares the second-level cache, and the memory of a thread, with what it is made of.
const PIECE_BYTES: i64 = 512 << 10;
/// Lines of a tile: more of any image do not fit.
const MAX_LINES: i64 = 1 << 12;
/// Points of a short window.
const MAX_POINTS: i64 = 64;
/// How much more of the value the threads may make than it has, because neighbouring tiles share it, or make while others
/// have nothing left to do: 5 / 4.
const MAX_REPEATED: (i64, i64) = (5, 4);

pub fn join(survey: &Survey, groups: &mut FxHashMap<NodeId, Group>, context: &Context) {
    if context.panel.is_none() || context.staged {
        return;
    }
    let mut roots: Vec<NodeId> = groups.keys().copied().collect();
    roots.sort_unstable();
    for root in roots {
        let Some(group) = groups.get(&root) else { continue };
        let Some(window) = Window::of(survey, group) else { continue };
        let Some(first) = groups.get(&window.value.node).filter(|first| is_contraction(survey, first)) else {
            continue;
        };
        let is_made_for_it = first.before.is_none() && window.is_only_reader(survey, groups);
        let tile = is_made_for_it.then(|| window.tile(panel_width(survey, first), context.threads));
        let Some(tile) = tile.flatten() else { continue };
        let (Some(first), Some(group)) = (groups.remove(&window.value.node), groups.get_mut(&root)) else { continue };
        group.before = Some(Box::new(Before { group: first, tile }));
    }
}

/// The one reduction of a group, and the nest that it is.
fn reduction(survey: &Survey, group: &Group) -> Option<(NodeId, Nest)> {
    let graph = survey.graph;
    let is_reduction = |id: &NodeId| matches!(survey.kind(*id), Kind::Reduction(_));
    let mut reductions = group.members.iter().copied().filter(is_reduction);
    let (id, None) = (reductions.next()?, reductions.next()) else { return None };
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return None };
    let has_its_shape = graph.node(id).types[0].shape == graph.node(group.root).types[0].shape;
    (has_its_shape && group.others.is_empty()).then(|| (id, graph.with_call(id, nest)))
}

/// Whether a group makes sums of products, for each element of its result one.
fn is_contraction(survey: &Survey, group: &Group) -> bool {
    let is_sum_of_products = |nest: &Nest| {
        let is_sum = nest.reduce.is_some_and(|reduce| reduce.combine == Scalar::Add);
        is_sum && matches!(nest.body.last(), Some(ScalarNode::Apply { scalar: Scalar::Mul, .. }))
    };
    reduction(survey, group).is_some_and(|(_, nest)| is_sum_of_products(&nest))
}

/// How many columns lie in a panel of the weight that a contraction takes.
fn panel_width(survey: &Survey, group: &Group) -> Option<i64> {
    let graph = survey.graph;
    let mut unpacks = group.members.iter().filter(|&&id| graph.node(id).op.name == "unpack");
    let (unpack, None) = (unpacks.next()?, unpacks.next()) else { return None };
    let shape = &graph.type_of(graph.operands(*unpack)[0]).shape;
    // Pairs lie inside of columns.
    let inner = usize::from(graph.node(*unpack).attrs.get("depth").is_some());
    shape.iter().rev().nth(inner)?.as_constant().filter(|&width| width > 0)
}

/// How a group takes a value window by window.
struct Window {
    value: Value,
    of: Type,
    /// Of the reduction.
    nest: Nest,
    result: Type,
    /// The positions at which the value is read, axis by axis.
    positions: Vec<Vec<Dim>>,
}

impl Window {
    /// The window of a group that has one.
    fn of(survey: &Survey, group: &Group) -> Option<Window> {
        let graph = survey.graph;
        let (id, nest) = reduction(survey, group)?;
        let points = Dim::product(&nest.axes[nest.n_parallel..]).as_constant()?;
        if !(2..=MAX_POINTS).contains(&points) {
            return None;
        }
        let operands = graph.operands(id);
        let is_read_here = |value: &Value| {
            let readers = group.members.iter().filter(|&&member| graph.operands(member).contains(value));
            !group.members.contains(&value.node) && readers.eq([&id])
        };
        let candidates = operands.iter().enumerate().filter(|(_, value)| is_read_here(value));
        let mut windows = candidates.filter_map(|(operand, &value)| {
            let positions = positions(&nest, operand)?;
            let of = |dim: &Dim, mut axes: Range<usize>| axes.any(|idx| mentions(dim, idx));
            let slides = |dim: &Dim| of(dim, 0..nest.n_parallel) && of(dim, nest.n_parallel..nest.axes.len());
            let is_window = positions.iter().flatten().any(slides);
            let (of, result) = (graph.type_of(value).clone(), graph.node(group.root).types[0].clone());
            is_window.then(|| Window { value, of, nest: nest.clone(), result, positions })
        });
        windows.next()
    }

    /// One node reads the value, and is in one group alone: some are computed in several.
    fn is_only_reader(&self, survey: &Survey, groups: &FxHashMap<NodeId, Group>) -> bool {
        let reads = |group: &&Group| group.operands(survey.graph).contains(&self.value);
        let is_read_once = || groups.values().filter(reads).count() == 1;
        survey.n_uses(self.value.node) == 1 && !survey.is_output(self.value.node) && is_read_once()
    }

    /// The best cut of the result, if one is good.
    fn tile(&self, panel: Option<i64>, threads: u64) -> Option<Vec<i64>> {
        let shape = &self.result.shape;
        let last = shape.len().checked_sub(1).filter(|&last| last >= 2)?;
        let mut whole: Vec<i64> = vec![1; shape.len()];
        for (size, extent) in whole.iter_mut().zip(shape).skip(1) {
            *size = extent.as_constant().filter(|&extent| extent > 0)?;
        }
        // What is made of a panel of columns needs that panel alone.
        if let Some(width) = panel.filter(|&width| self.is_read_in_place(last) && whole[last] % width == 0) {
            whole[last] = width;
        }
        let lines = whole[1];
        let cuts = (1..=lines.min(MAX_LINES)).filter(|size| lines % size == 0).filter_map(|size| {
            whole[1] = size;
            self.cut(whole.clone(), threads)
        });
        let cuts: Vec<Cut> = cuts.collect();
        cuts.into_iter().min_by_key(|cut| (cut.cost, -cut.tile[1])).map(|cut| cut.tile)
    }

    /// The value is read where the result lies along this axis.
    fn is_read_in_place(&self, last: usize) -> bool {
        let of = self.positions.last().map_or(&[][..], Vec::as_slice);
        let others = &self.positions[..self.positions.len().saturating_sub(1)];
        of.iter().all(|dim| *dim == axis(last)) && !others.iter().flatten().any(|dim| mentions(dim, last))
    }

    /// What a cut costs, if its pieces fit and share little.
    fn cut(&self, tile: Vec<i64>, threads: u64) -> Option<Cut> {
        let tiles = Tiles { axes: &self.nest.axes, sizes: &tile };
        let pieces = self.positions.iter().zip(&self.of.shape);
        let pieces = pieces.map(|(positions, extent)| tiles.piece(&positions.iter().collect::<Vec<_>>(), extent));
        let pieces = pieces.collect::<Option<Vec<Piece>>>()?;
        // Of an open batch, one image.
        let known = |extent: &Dim| extent.as_constant().unwrap_or(1);
        let elements = product(pieces.iter().map(|piece| piece.extent))?;
        let items = product((0..tile.len()).map(|axis| known(&tiles.count(axis))))?;
        let whole = product(self.of.shape.iter().map(known))?;
        let rounds = (items as u64).div_ceil(threads) as i64;
        let cost = rounds.checked_mul(elements)?;
        let fits = elements.checked_mul(self.of.dtype.size_of() as i64)? <= PIECE_BYTES;
        let made = cost.checked_mul(threads as i64)?;
        let is_cheap = made.checked_mul(MAX_REPEATED.1)? <= whole.checked_mul(MAX_REPEATED.0)?;
        (fits && is_cheap).then_some(Cut { cost, tile })
    }
}

/// None if it is too large.
fn product(mut of: impl Iterator<Item = i64>) -> Option<i64> {
    of.try_fold(1i64, |all, n| all.checked_mul(n))
}

/// One way to cut the result into tiles.
struct Cut {
    tile: Vec<i64>,
    /// Elements of the value that the busiest thread makes.
    cost: i64,
}

fn mentions(dim: &Dim, idx: usize) -> bool {
    axis(idx).as_symbol().is_some_and(|symbol| dim.mentions(symbol))
}

/// Where a nest reads an operand, axis by axis; none where that is known only at run time.
fn positions(nest: &Nest, operand: usize) -> Option<Vec<Vec<Dim>>> {
    let loads = nest.body.iter().filter_map(|node| match node {
        ScalarNode::Load { operand: from, index, .. } if *from == operand => Some(index),
        _ => None,
    });
    let mut ranges = Ranges::default();
    for (idx, extent) in nest.axes.iter().enumerate() {
        ranges.declare(Symbol::new(format!("i{idx}")), Dim::constant(0), Some(extent - 1));
    }
    let idle = |symbol: &Symbol| nest.axes.get(axis_of(symbol)?)?.is(1).then(|| Dim::constant(0));
    let mut positions: Vec<Vec<Dim>> = Vec::new();
    for index in loads {
        positions.resize(index.len(), Vec::new());
        for (axis, at) in index.iter().enumerate() {
            let NestIndex::Affine(dim) = at else { return None };
            positions[axis].push(ranges.simplify(&dim.substitute(&idle)));
        }
    }
    (!positions.is_empty()).then_some(positions)
}
