//! Attention: scores, their softmax and the mixing of values, tile by tile.
//!
//! An item of the grid has a block of rows (queries). It takes tiles of keys one after the other; for each, a few rows at
//! a time: their scores come into memory of the first-level cache, are turned into exponentials there, and mix the values
//! of these keys into the sums of the rows. Of a row three things are carried from tile to tile: the largest score so
//! far, the sum of the exponentials relative to it, and the mixture, both scaled when a larger score comes. Where all keys
//! fit one tile, nothing is carried.
//!
//! Invariant: keys are visited in ascending order, so results depend neither
//! on the number of threads nor on how rows are cut into blocks. Keys that `bounds` excludes are not visited.

mod arithmetic;
mod bounds;
mod common;
mod direct;
mod emit;
mod keys;
mod matrices;
mod mix;
mod queries;
mod score;
mod staged;
mod values;

use std::ops::RangeInclusive;

use super::body::{Load, Position, Term, TermId};
use super::compose::{compose_from, compose_region};
use super::contraction::pairs::{paired, paired_anyhow};
use super::contraction::{self, Plan};
use super::emit::{declare_sizes, is_used};
use super::exponentials::Power;
use super::tiles::Machine;
use super::{Loops, ScheduleError};
use crate::graph::reads::Reads;
use crate::graph::{DType, Dim, Graph, NodeId, Ranges, Scalar, Value, softmax};
use crate::kernel::{Builder, Kernel, Memory, Rights};
use bounds::Bounds;
use matrices::Matrices;

/// Keys of one tile: the scores of a few rows, and the keys and values themselves, stay in the caches.
const KEYS: u64 = 512;
/// Keys that are taken in one tile if there are no more.
const FEW_KEYS: i64 = 1024;
/// Bytes that an item keeps of all of its rows: with scores and values they fit the stack.
const ROWS_OF_ITEM: u64 = 512 << 10;
/// Groups of rows that one item of the grid handles.
const GROUPS: i64 = 32;

/// Factors whose inverse, times 1 / ln 2, is a number, too.
const SCALES: RangeInclusive<f64> = 1e-30..=1e30;

/// A contraction, and how it is tiled.
struct Part {
    loops: Loops,
    plan: Plan,
}

/// Everything about the kernel that is known before it is written.
struct Attention<'a> {
    score: Part,
    mix: Part,
    /// The mixing pair by pair, where weights and values are bf16.
    mix_pairs: Option<Part>,
    /// Values do not lie in pairs, and are brought into them.
    keeps_values: bool,
    /// Registers of matrices hold both products.
    matrices: Option<Matrices>,
    /// The axis of the mixing that each parallel axis of the scores is, unless it has one position; the last is the one
    /// summed over.
    axes: Vec<Option<usize>>,
    bounds: Bounds,
    /// A row that is masked as a whole gives zeros; else NaN.
    is_guarded: bool,
    /// By what scores are multiplied when they become exponentials, and not before.
    scale: f64,
    machine: &'a Machine,
}

/// The kernel of scores and their mixing; why there is none.
pub fn schedule(score: &Graph, mix: &Graph, sizes: &Ranges, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let refuse = |why: &str| ScheduleError::new(format!("attention needs {why}"));
    let mut scores = compose_region(score, sizes)?;
    arithmetic::cheapen(&mut scores);
    let mut score = part(scores, machine).ok_or_else(|| refuse("scores that are a contraction"))?;
    let (weights, is_guarded) = weights_of(mix).ok_or_else(|| refuse("a softmax of its scores that is contracted"))?;
    let arguments = mix.arguments().iter().skip(1).map(|argument| argument.value);
    let operands: Vec<Value> = [weights].into_iter().chain(arguments).collect();
    let mut mix =
        part(compose_from(mix, sizes, &operands)?, machine).ok_or_else(|| refuse("values that are contracted"))?;
    let axes = axes_of_weights(&mix).ok_or_else(|| refuse("a softmax along the axis that is summed over"))?;
    let n_parallel = score.loops.n_parallel;
    let fits = axes.len() == n_parallel
        && axes.last() == Some(&Some(mix.loops.n_parallel))
        && mix.loops.axes.len() == mix.loops.n_parallel + 1
        && score.plan.column_axis == n_parallel - 1
        && score.plan.dtype == mix.plan.dtype
        && score.loops.result.dtype == score.plan.dtype
        && mix.loops.axes[mix.plan.column_axis].as_constant().is_some();
    (score.plan.row_axis, mix.plan.row_axis) = match mix.plan.row_axis {
        Some(row) => (row_of_scores(&score, &axes, row), Some(row)),
        None => (unit_axis(&score), unit_axis(&mix)),
    };
    if !fits || score.plan.row_axis.is_none() || mix.plan.row_axis.is_none() {
        return Err(refuse("the same rows for scores and values"));
    }
    let in_pairs =
        |loops: &Loops| paired(loops).or_else(|| paired_anyhow(loops).filter(|_| machine.mma || machine.matrices));
    let by_pairs = |loops: &Loops| self::part(in_pairs(loops)?, machine);
    let row_axis = score.plan.row_axis;
    let mut score = by_pairs(&score.loops).unwrap_or(score);
    score.plan.row_axis = row_axis;
    let scale = if machine.is_block() { None } else { without_scale(&mut score.loops) };
    // Scores come in whole panels: both keys of a pair have a weight.
    let is_even = machine.mma || machine.matrices;
    let of_mix = if is_even { by_pairs(&even(&mix.loops)) } else { by_pairs(&mix.loops) };
    let has_pairs = of_mix.is_some();
    let mut mix_pairs = of_mix
        .or_else(|| pairs_to_keep(&mix, machine))
        .filter(|_| (score.plan.tile.vectors * machine.lanes).is_multiple_of(2));
    if let Some(pairs) = &mix_pairs {
        mix.plan.tile = pairs.plan.tile;
    }
    let matrices = match machine.matrices {
        true => Matrices::of(&mut score, &mut mix, &mut mix_pairs, machine),
        false => None,
    };
    let bounds = Bounds::of(&score.loops);
    let keeps_values = mix_pairs.is_some() && (matrices.is_some() || !has_pairs);
    let scale = scale.unwrap_or(1.0);
    let attention =
        Attention { score, mix, mix_pairs, keeps_values, matrices, axes, bounds, is_guarded, scale, machine };
    attention.outer_axes().ok_or_else(|| refuse("scores for each row of the result"))?;
    Ok(attention.kernel(sizes))
}

/// The axis of the scores that is the one of the mixing along which rows lie, if it does not change the keys.
fn row_of_scores(score: &Part, axes: &[Option<usize>], row: usize) -> Option<usize> {
    let own = axes.iter().position(|axis| *axis == Some(row))?;
    (!score.loops.moves(score.plan.column_factor, own)).then_some(own)
}

/// An axis of one position that can stand for the only row.
fn unit_axis(part: &Part) -> Option<usize> {
    (0..part.plan.column_axis).rev().find(|&axis| part.loops.axes[axis].is(1))
}

fn part(loops: Loops, machine: &Machine) -> Option<Part> {
    let [reduce] = loops.stages.as_slice() else { return None };
    let plan = contraction::plan(&loops, reduce, machine).filter(|_| !loops.stores_rows())?;
    Some(Part { loops, plan })
}

/// The mixing pair by pair, where values do not lie in pairs and it is worth it to bring them there.
fn pairs_to_keep(mix: &Part, machine: &Machine) -> Option<Part> {
    let pairs = part(paired_anyhow(&even(&mix.loops)).filter(|_| !machine.is_block())?, machine)?;
    let width = pairs.plan.tile.vectors * machine.lanes;
    (values::has_rows(mix) && values::has_room(mix, width, KEYS)).then_some(pairs)
}

/// The mixing over an even number of keys: the value of one beyond the end is zero.
fn even(mix: &Loops) -> Loops {
    let (mut loops, keys) = (mix.clone(), mix.n_parallel);
    let own = Loops::symbol(keys);
    loops.axes[keys] = &mix.axes[keys].ceil_div(&Dim::constant(2)) * 2;
    if loops.axes[keys] == mix.axes[keys] {
        return loops;
    }
    loops.ranges.remove(&own);
    loops.ranges.declare(own.clone(), Dim::constant(0), Some(&loops.axes[keys] - 1));
    let inside = Builder::below(&Dim::from(&own), &mix.axes[keys]);
    let mut roots = loops.roots();
    let guarded = |load: &mut Load| {
        if load.operand > 0 && load.mentions(&own) {
            load.guards.push(inside.clone());
        }
    };
    loops.body = mix.body.rewrite(&mut roots, &Dim::clone, &guarded);
    loops.set_roots(&roots);
    loops
}

/// Takes a positive factor, or divisor, off the scores, if nothing else is done with their sums.
fn without_scale(score: &mut Loops) -> Option<f64> {
    // What a mask leaves, of scores that are -inf elsewhere.
    let mut scaled = score.stored;
    let mut masks = Vec::new();
    while let Term::Apply(Scalar::Select, args) = score.body.term(scaled)
        && let Term::Const(number) = score.body.term(args[2])
        && number.value() == f64::NEG_INFINITY
    {
        masks.push([args[0], args[2]]);
        scaled = args[1];
    }
    let number = |side: TermId| match score.body.term(side) {
        Term::Const(number) => Some(number.value()).filter(|number| SCALES.contains(number)),
        _ => None,
    };
    let (sum, scale) = match score.body.term(scaled) {
        Term::Apply(Scalar::Mul, sides) => match (number(sides[0]), number(sides[1])) {
            (Some(scale), _) => (sides[1], scale),
            (None, scale) => (sides[0], scale?),
        },
        Term::Apply(Scalar::Div, sides) => (sides[0], 1.0 / number(sides[1])?),
        _ => return None,
    };
    let is_sum = *score.body.term(sum) == Term::Reduced(0) && score.body.dtype(sum) == DType::F32;
    is_sum.then(|| {
        let masked = |kept, [mask, other]: [TermId; 2]| {
            score.body.add(Term::Apply(Scalar::Select, vec![mask, kept, other]), DType::F32)
        };
        score.stored = masks.into_iter().rev().fold(sum, masked);
        scale
    })
}

/// What the region contracts with values: the softmax of its first argument, perhaps cast; and whether that is guarded.
fn weights_of(mix: &Graph) -> Option<(Value, bool)> {
    let reads = Reads { graph: mix };
    let score = mix.arguments().first()?.value;
    let [output] = mix.outputs() else { return None };
    let softmax = |weights: Value| {
        let mut value = weights;
        while let Some(wider) = reads.cast(value) {
            value = wider;
        }
        let found = softmax::find(&reads, value).filter(|softmax| softmax.scores == score)?;
        Some((weights, found.is_guarded))
    };
    let mut found = mix.operands(output.value.node).into_iter().filter_map(softmax);
    found.next().filter(|_| found.next().is_none() && depends_once(mix, output.value.node, score))
}

/// Only one operand of a node depends on a value.
fn depends_once(graph: &Graph, id: NodeId, value: Value) -> bool {
    let depends = |operand: &Value| {
        let (mut todo, mut seen) = (vec![operand.node], vec![false; operand.node.index() + 1]);
        while let Some(id) = todo.pop() {
            if id == value.node {
                return true;
            }
            if !std::mem::replace(&mut seen[id.index()], true) {
                todo.extend(graph.operands(id).into_iter().map(|value| value.node));
            }
        }
        false
    };
    graph.operands(id).iter().filter(|operand| depends(operand)).count() == 1
}

/// The axes along which the weights, the first operand, lie.
fn axes_of_weights(mix: &Part) -> Option<Vec<Option<usize>>> {
    let loads = mix.loops.body.loads(&[mix.loops.stages[0].element]);
    let mut of_weights = loads.into_iter().filter(|load| load.operand == 0);
    let load = of_weights.next().filter(|load| load.guards.is_empty())?;
    let axis_at = |position: &Position| match position {
        Position::Dim(dim) if dim.is(0) => Some(None),
        Position::Dim(dim) => (0..mix.loops.axes.len()).find(|&axis| *dim == Dim::from(&Loops::symbol(axis))).map(Some),
        Position::Term(_) => None,
    };
    let axes: Option<Vec<Option<usize>>> = load.index.iter().map(axis_at).collect();
    // The factor is the weights and nothing else.
    let mut factor = mix.plan.row_factor;
    while let Term::Cast(arg) = mix.loops.body.term(factor) {
        factor = *arg;
    }
    let is_load = matches!(mix.loops.body.term(factor), Term::Load(own) if own.operand == 0);
    axes.filter(|_| is_load && of_weights.next().is_none())
}

impl Attention<'_> {
    /// The parallel axes of the mixing but rows and columns; each is one of the scores.
    fn outer_axes(&self) -> Option<Vec<usize>> {
        let (row, column) = (self.mix.plan.row_axis?, self.mix.plan.column_axis);
        let outer: Vec<usize> = (0..self.mix.loops.n_parallel).filter(|&axis| axis != row && axis != column).collect();
        let is_one = |axis: usize| self.mix.loops.axes[axis].is(1);
        let is_all = outer.iter().all(|&axis| is_one(axis) || self.axes.contains(&Some(axis)))
            && !self.axes.contains(&Some(column));
        is_all.then_some(outer)
    }

    /// How scores become exponentials, their scale included.
    fn power(&self) -> Power {
        Power::of(self.score.plan.dtype, self.scale)
    }

    /// "No score yet": finite, so that differences of it are numbers, and no more than any score that is.
    fn lowest(&self) -> f64 {
        if self.score.plan.dtype == DType::F64 { f64::MIN } else { f32::MIN.into() }
    }

    fn kernel(&self, sizes: &Ranges) -> Kernel {
        let mut b = Builder::new("kernel");
        let (score, mix) = (&self.score.loops, &self.mix.loops);
        declare_sizes(&mut b, sizes, &|symbol| {
            is_used(score, &score.roots(), symbol) || is_used(mix, &mix.roots(), symbol)
        });
        let types: Vec<_> = score.operands.iter().chain(&mix.operands[1..]).collect();
        let operands = types.iter().enumerate();
        let operands: Vec<Memory> =
            operands.map(|(idx, ty)| b.buffer(format!("a{idx}"), ty.dtype, ty.shape.clone(), Rights::Read)).collect();
        let result = b.buffer("out", mix.result.dtype, mix.result.shape.clone(), Rights::Write);
        match staged::rows_of_tile(self) {
            Some(rows) => staged::kernel(self, b, &operands, result, rows),
            None => emit::kernel(self, b, &operands, result),
        }
    }

    /// The mixing as it is computed.
    fn mixed(&self) -> &Part {
        self.mix_pairs.as_ref().unwrap_or(&self.mix)
    }
}
