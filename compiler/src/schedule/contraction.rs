//! Contractions: sums of products, as a register tile over packed panels.
//!
//! The axis that is last in the result lies along the lanes (N, columns); one that only the other factor has gives the
//! rows (M); all reduced axes together are K. An item of the grid packs the panel K × columns of one factor, with whatever
//! computes that factor, and then runs over its rows with the sums in registers. A factor that comes in panels (`pack`) is
//! read as it is.
//!
//! Invariant: each element is summed in the order of k, whatever the tile sizes and the number of threads.

mod ahead;
mod block;
mod bytes;
mod cuts;
pub mod depth;
mod grid;
mod joined;
pub mod matrices;
pub mod pairs;
mod run;
mod scaled;
mod staged;
pub mod stretches;
mod taps;

use self::block::{Block, Partial};
use self::cuts::Cuts;
use self::grid::Grid;
use self::run::Run;
use self::scaled::Scaled;
use super::body::{Load, Position, Term, TermId};
use super::emit::begin;
use super::order;
use super::reduction::accumulator;
use super::tiles::{Machine, RegisterTile};
use super::{Loops, Reduce};
use crate::graph::{Atom, DType, Dim, Scalar};
use crate::kernel::{Builder, Condition, Kernel, matrix};

/// As many rows keep the multipliers busy.
const ENOUGH_ROWS: i64 = 4;
/// So few rows are not worth packing a panel for: the factor is read where it lies.
const FEW_ROWS: i64 = 3;
/// Lines so many bytes apart fall into one set of the first-level cache, and so many of them stay there while those of a
/// panel pass by.
const WAY: i64 = 4 << 10;
const COLLIDING_ROWS: u64 = 8;
/// So few tiles of rows are not worth widening a panel for: its numbers are widened by each tile.
const FEW_TILES: i64 = 2;

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// None where there is a single row.
    pub row_axis: Option<usize>,
    pub column_axis: usize,
    pub row_factor: TermId,
    pub column_factor: TermId,
    pub tile: RegisterTile,
    pub dtype: DType,
    /// The column factor lies in panels as wide as the tile.
    pub is_packed: bool,
    /// Outer axes whose positions take turns at each stretch of a panel.
    taps: Vec<usize>,
    /// Both factors are integers with scales.
    scaled: Option<Scaled>,
    /// In what steps registers of matrices multiply, if they do.
    matrices: Option<matrices::Steps>,
    /// Lines that are rows, too, one behind the other.
    run: Option<Run>,
}

/// The kernel of a contraction whose factors are narrow numbers that lie in words.
pub fn kernel_of_words(loops: &Loops, machine: &Machine) -> Option<Kernel> {
    let (loops, scaled, has_words) = match (scaled::scaled(loops), pairs::paired(loops)) {
        (Some((loops, scaled)), _) => (loops, Some(scaled), true),
        (None, Some(loops)) => (loops, None, true),
        (None, None) => (pairs::paired_anyhow(loops).filter(|_| machine.mma)?, None, pairs::has_pairs(loops)),
    };
    if let Some((loops, plan)) = matrices::find(&loops, machine).filter(|_| has_words) {
        return Some(kernel(&loops, &loops.stages[0], &plan, machine));
    }
    if let Some(plan) = scaled.as_ref().and_then(|scaled| bytes::plan(&loops, scaled, machine)) {
        return Some(kernel(&loops, &loops.stages[0], &plan, machine));
    }
    let reduce = &loops.stages[0];
    let mut plan = find(&loops, reduce, machine)?;
    plan.is_packed &= has_words;
    if let Some(scaled) = scaled {
        plan.tile = machine.tile_of_width(plan.tile.vectors * machine.lanes, DType::I8)?;
        plan.scaled = Some(scaled);
    }
    let is_known = plan.is_packed || staged::rows_of_tile(&loops, &plan, machine).is_some();
    is_known.then(|| kernel(&loops, reduce, &plan, machine))
}

/// The kernel of a nest that is a contraction worth packing for.
pub fn kernel_of_sums(loops: &Loops, machine: &Machine) -> Option<Kernel> {
    let ([reduce], false) = (loops.stages.as_slice(), loops.stores_rows()) else { return None };
    let plan = find(loops, reduce, machine)?;
    Some(kernel(loops, reduce, &plan, machine))
}

/// Recognises a contraction worth packing for; anything else is left to the general reduction.
pub fn find(loops: &Loops, reduce: &Reduce, machine: &Machine) -> Option<Plan> {
    let plan = plan(loops, reduce, machine)?;
    let at_least = |dim: &Dim, n: i64| dim.as_constant().is_none_or(|size| size >= n);
    let depth = Dim::product(&loops.axes[loops.n_parallel..]);
    let is_large = || {
        let rows = plan.row_axis.is_some_and(|axis| at_least(&loops.axes[axis], 4));
        rows && at_least(&loops.axes[plan.column_axis], 4) && at_least(&depth, 4)
    };
    (plan.is_packed || is_large()).then_some(plan)
}

/// The same, whether it is worth packing for or not.
pub fn plan(loops: &Loops, reduce: &Reduce, machine: &Machine) -> Option<Plan> {
    let factors = match loops.body.term(reduce.element) {
        Term::Apply(Scalar::Mul, factors) => factors.as_slice(),
        Term::Dot(_, factors) => factors.as_slice(),
        _ => return None,
    };
    let dtype = accumulator(loops.body.dtype(reduce.element));
    if reduce.combine != Scalar::Add || !dtype.is_float() || loops.n_parallel == 0 {
        return None;
    }
    let column_axis = loops.n_parallel - 1;
    let has = |factor: usize, axis: usize| loops.moves(factors[factor], axis);
    let column = match (has(0, column_axis), has(1, column_axis)) {
        (true, false) => 0,
        (false, true) => 1,
        _ => return None,
    };
    let rows = (0..column_axis).filter(|&axis| has(1 - column, axis) && !has(column, axis));
    let row_axis = row_axis(loops, rows);
    let plan = |tile: RegisterTile, is_packed: bool| {
        let (row_factor, column_factor) = (factors[1 - column], factors[column]);
        let (taps, scaled, matrices, run) = (Vec::new(), None, None, None);
        Plan { row_axis, column_axis, row_factor, column_factor, tile, dtype, is_packed, taps, scaled, matrices, run }
    };
    if let Some(tile) = panel_width(loops, factors[column], column_axis).and_then(|w| machine.tile_of_width(w, dtype)) {
        return Some(plan(tile, true));
    }
    let tile = machine.contraction_tile(&loops.axes[column_axis], dtype);
    Some(plan(tile, is_narrow_panel(loops, factors[column], column_axis, tile.vectors * machine.lanes)))
}

/// The innermost axis that is known to fill a tile, or else one that may, or else the longest: rows that lie close
/// together share what is read.
fn row_axis(loops: &Loops, rows: impl DoubleEndedIterator<Item = usize> + Clone) -> Option<usize> {
    let extent = |axis: usize| loops.axes[axis].as_constant();
    let known = rows.clone().rev().find(|&axis| extent(axis).is_some_and(|extent| extent >= ENOUGH_ROWS));
    let open = rows.clone().rev().find(|&axis| extent(axis).is_none());
    known.or(open).or_else(|| rows.max_by_key(|&axis| extent(axis)))
}

/// The width of the panels in which a factor lies, if it is one load of `[n / width, ..., n mod width]`.
fn panel_width(loops: &Loops, factor: TermId, column_axis: usize) -> Option<u64> {
    let column = Dim::from(&Loops::symbol(column_axis));
    let loads = loops.body.loads(&[factor]);
    let [load] = loads.as_slice() else { return None };
    let (mut index, mut shape) = (load.index.as_slice(), loops.operands[load.operand].shape.as_slice());
    if loops.body.dtype(factor) == DType::U32 {
        // A word is a pair of the last axis.
        (index, shape) = (index.split_last()?.1, shape.split_last()?.1);
    }
    let moves =
        |position: &Position| matches!(position, Position::Dim(dim) if dim.mentions(&Loops::symbol(column_axis)));
    let [.., Position::Dim(row), Position::Dim(within)] = index else { return None };
    if *within == column && row.mentions(&Loops::symbol(loops.axes.len() - 1)) {
        // All columns lie in one panel, whose own axis is gone.
        let width = shape.last()?.as_constant()?;
        let is_bounded = loops.axes[loops.n_parallel..].iter().all(|extent| extent.as_constant().is_some());
        let fits =
            at_most(&loops.axes[column_axis], width) && !index[..index.len() - 1].iter().any(moves) && is_bounded;
        return (fits && load.guards.is_empty()).then_some(width as u64);
    }
    let [Position::Dim(panel), rest @ .., Position::Dim(within)] = index else { return None };
    let width = match within.terms().next()?.0.as_slice() {
        [(Atom::Mod(_, width), 1)] => width.as_constant()?,
        // All columns lie in one panel.
        _ => shape.last()?.as_constant()?,
    };
    let size = Dim::constant(width);
    let simplified = |dim: &Dim| loops.ranges.simplify(dim);
    // The panels of a group are some of all.
    let follows = |dim: &Dim, own: Dim| !(dim - &simplified(&own)).mentions(&Loops::symbol(column_axis));
    let is_panel = follows(panel, column.floor_div(&size)) && *within == simplified(&column.modulo(&size));
    (is_panel && load.guards.is_empty() && !rest.iter().any(moves)).then_some(width as u64)
}

/// Whether all columns fit a tile of this width and lie side by side, position after position of the sum: a panel that is not
/// filled up, as that of a small group.
fn is_narrow_panel(loops: &Loops, factor: TermId, column_axis: usize, width: u64) -> bool {
    let Term::Load(load) = loops.body.term(factor) else { return false };
    let [before @ .., Position::Dim(row), Position::Dim(within)] = load.index.as_slice() else { return false };
    let (column, extent) = (Loops::symbol(column_axis), &loops.axes[column_axis]);
    at_most(extent, width as i64)
        && load.guards.is_empty()
        && within.as_symbol() == Some(&column)
        && loops.operands[load.operand].shape.last() == Some(extent)
        && row.mentions(&Loops::symbol(loops.axes.len() - 1))
        && !row.mentions(&column)
        && !before.iter().any(|position| matches!(position, Position::Dim(dim) if dim.mentions(&column)))
}

pub fn kernel(loops: &Loops, reduce: &Reduce, plan: &Plan, machine: &Machine) -> Kernel {
    let plan = &plan.with_taps(loops, machine).with_even_rows(loops, Grid { loops, plan, machine }.shares());
    if let Some(rows) = staged::rows_of_tile(loops, plan, machine) {
        return staged::kernel(loops, reduce, plan, machine, rows);
    }
    let (mut b, operands, result) = begin(loops);
    let grid = Grid { loops, plan, machine };
    let cuts = Cuts::of(&grid);
    let mut at = vec![Dim::constant(0); loops.axes.len()];
    let place = grid.item(&mut b, [&cuts.n_panels, &cuts.n_blocks], cuts.keeps_rows, &mut at);
    let (width, block_rows) = (cuts.width, cuts.block_rows);
    let row_start = &place.block * block_rows;
    let panel = cuts.fills_panel.then(|| b.local("panel", plan.dtype, [cuts.depth.n_rows as u64, width]));
    let partial = (!cuts.depth.is_one_stretch()).then(|| Partial {
        memory: b.local("partial", plan.dtype, [(plan.n_taps(loops) * block_rows) as u64, width]),
        block_rows,
        start: Dim::constant(0),
    });
    let start = &place.panel * width as i64;
    let sums = plan.matrices.map(|_| b.local("sums", plan.dtype, [plan.tile.rows, width]));
    let products = plan.matrices.and(plan.scaled.as_ref());
    let products = products.map(|_| b.local("products", DType::I32, [plan.tile.rows, width]));
    let last_words = plan.matrices.filter(|steps| steps.rest > 0).map(|_| {
        let taps = Dim::product(&loops.axes[loops.n_parallel..loops.axes.len() - 1]).as_constant().unwrap_or(1);
        b.local("last", DType::U32, [taps as u64 * matrix::SIDE, width])
    });
    let block = Block {
        loops,
        reduce,
        plan,
        machine,
        operands: &operands,
        result,
        width,
        n_rows: cuts.rows_from(&row_start),
        row_start,
        panel,
        lines: place.lines,
        at,
        next_panel: next_panel(&cuts.n_panels, &place.panel, place.again).map(|next| &next * width as i64),
        partial,
        sums,
        products,
        last_words,
        depth: cuts.depth.clone(),
    };
    match cuts.lower_block() {
        None => block.columns(&mut b, &start),
        Some(last) => whole_or_last(&mut b, &block, &cuts.rows, last, &start),
    }
    b.finish()
}

/// Blocks of rows are equal, but for a last one that is lower.
fn whole_or_last(b: &mut Builder, block: &Block, rows: &Dim, last: i64, start: &Dim) {
    let last_start = rows - last;
    let is_whole = &(&last_start - 1) - &block.row_start;
    let lower = Block { n_rows: Dim::constant(last), row_start: last_start, ..block.clone() };
    b.if_else(
        Condition::Guards(vec![is_whole]),
        |b| {
            block.columns(b, start);
            Vec::new()
        },
        |b| {
            lower.columns(b, start);
            Vec::new()
        },
    );
}

impl Plan {
    fn rows(&self, loops: &Loops) -> Dim {
        let of_line = self.row_axis.map_or(Dim::constant(1), |axis| loops.axes[axis].clone());
        let of_run = self.run.and_then(|run| Some(run.rows(loops.axes[run.lines].as_constant()?)));
        of_run.map_or(of_line, Dim::constant)
    }

    /// The narrow numbers that are widened to the column factor, where those lie in panels.
    fn widened(&self, loops: &Loops) -> Option<TermId> {
        let Term::Cast(arg) = *loops.body.term(self.column_factor) else { return None };
        (self.is_packed && loops.body.dtype(arg).size_of() < self.dtype.size_of()).then_some(arg)
    }

    /// The same, or words of several numbers.
    fn narrow_panels(&self, loops: &Loops) -> Option<TermId> {
        let has_words = self.is_packed && loops.body.dtype(self.column_factor) == DType::U32;
        self.widened(loops).or(has_words.then_some(self.column_factor))
    }

    /// Register tiles that fill each of so many shares of the rows: a tile takes as long as it is high, even if it is the
    /// last and has few rows, and half a row longer.
    fn with_even_rows(&self, loops: &Loops, shares: i64) -> Plan {
        if self.matrices.is_some() {
            return self.clone().with_even_matrices(&self.rows(loops), shares.max(1));
        }
        let mut plan = self.clone();
        if self.rows_collide(loops) {
            plan.tile.rows = plan.tile.rows.min(COLLIDING_ROWS);
        }
        if let Some(rows) = self.rows(loops).as_constant().filter(|&rows| rows > 0) {
            let rows = (rows as u64).div_ceil(shares.max(1) as u64);
            let most = plan.tile.rows.min(rows);
            let time = |height: &u64| rows.div_ceil(*height) * (2 * height + 1);
            plan.tile.rows = (most / 2 + 1..=most).rev().min_by_key(time).unwrap_or(most);
        }
        plan
    }

    /// Whether rows lie so that all of a tile take the same few places of the first-level cache.
    fn rows_collide(&self, loops: &Loops) -> bool {
        let Some(axis) = self.row_axis else { return false };
        let bytes = |load: &&Load| {
            let step = order::step(loops, load, axis)?.as_constant()?;
            step.checked_mul(loops.operands[load.operand].dtype.size_of() as i64)
        };
        let loads = loops.body.loads(&[self.row_factor]);
        loads.iter().filter_map(bytes).any(|bytes| bytes != 0 && bytes % WAY == 0)
    }

    /// Parallel axes that are neither rows, nor lines of them, nor columns, and do not take turns.
    fn outer_axes<'a>(&'a self, loops: &Loops) -> impl Iterator<Item = usize> + 'a {
        let is_outer = |axis: &usize| Some(*axis) != self.row_axis && *axis != self.column_axis;
        let is_in_run = |axis: usize| self.run.is_some_and(|run| run.lines == axis);
        (0..loops.n_parallel).filter(is_outer).filter(move |&axis| !self.taps.contains(&axis) && !is_in_run(axis))
    }
}

fn at_most(dim: &Dim, limit: i64) -> bool {
    dim.as_constant().is_some_and(|size| size <= limit)
}

/// The panel after this one, if there are several. The last is followed by the first, if they pass by once more, or is its
/// own next.
fn next_panel(n_panels: &Dim, panel: &Dim, again: bool) -> Option<Dim> {
    let last = n_panels.as_constant().filter(|&n| n > 1)? - 1;
    let next = panel + 1;
    Some(if again { next.modulo(n_panels) } else { next.least(&Dim::constant(last)) })
}
