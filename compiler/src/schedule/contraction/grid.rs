//! In which order the items of a contraction's grid go by: the axes that are neither rows nor columns, panels of columns,
//! blocks of rows. What comes first is what threads share out; what comes last passes by while the rest stays in a cache.
//! Axes of open size come before all.
//!
//! Invariant: each panel meets each block of rows once.

use super::Plan;
use super::block::Lines;
use crate::graph::{Dim, Type};
use crate::kernel::Builder;
use crate::schedule::Loops;
use crate::schedule::body::TermId;
use crate::schedule::tiles::Machine;

/// Bytes of a factor that stays in the last cache, beside all else.
const CACHE_BYTES: i64 = 16 << 20;
/// A factor that one thread wrote and another reads costs as much as so many that were only read.
const WRITTEN: i64 = 2;

pub struct Grid<'a> {
    pub loops: &'a Loops,
    pub plan: &'a Plan,
    pub machine: &'a Machine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The weight is read once, each panel by one thread: it is much larger than the other factor.
    Panels,
    /// Each thread reads the rows that it, most likely, wrote itself.
    Rows,
    /// Rows that no cache holds are read once.
    RowsOnce,
}

/// Where an item lies, but for the axes that are neither rows nor columns.
pub struct Place {
    pub panel: Dim,
    pub block: Dim,
    /// The lines that pass by a panel before the next one is read.
    pub lines: Lines,
    /// The last panel is followed by the first.
    pub again: bool,
}

impl Grid<'_> {
    /// Where an item lies; along the axes that are neither rows nor columns it is written into `at`. Blocks of rows that are
    /// `kept` stay in the second-level cache while all panels pass by.
    pub fn item(&self, b: &mut Builder, [panels, blocks]: [&Dim; 2], kept: bool, at: &mut [Dim]) -> Place {
        if let Some((axis, count)) = self.kept_lines() {
            return self.item_of_lines(b, [panels, blocks], (axis, count), at);
        }
        let (panel, block) = self.item_of_rows(b, [panels, blocks], kept, at);
        let lines = if blocks.is(1) { self.lines(at) } else { Lines::one() };
        Place { panel, block, lines, again: kept }
    }

    /// The same where a few lines stay in the second-level cache while all panels pass by.
    fn item_of_lines(
        &self,
        b: &mut Builder,
        [panels, blocks]: [&Dim; 2],
        (axis, count): (usize, i64),
        at: &mut [Dim],
    ) -> Place {
        let extent = &self.loops.axes[axis];
        let (open, known) = self.outer_axes();
        self.outer(b, open, at);
        self.outer(b, known.into_iter().filter(|&other| other != axis), at);
        let start = &b.grid("l", extent.floor_div(&Dim::constant(count))) * count;
        let panel = b.grid("n", panels.clone());
        let number = b.grid(&format!("g{axis}"), Dim::constant(count));
        at[axis] = &start + &number;
        let block = block(b, blocks);
        let lines = if blocks.is(1) { Lines { count, number } } else { Lines::one() };
        Place { panel, block, lines, again: true }
    }

    /// How many lines along which axis, where registers of matrices would wait for the weight, which no second-level cache
    /// holds, if each line read it anew.
    fn kept_lines(&self) -> Option<(usize, i64)> {
        let weight = self.bytes(self.plan.column_factor)?;
        if self.plan.matrices.is_none() || self.order() != Order::Rows || weight <= self.machine.kept_bytes {
            return None;
        }
        let (_, mut known) = self.outer_axes();
        let axis = known.pop().filter(|&axis| !self.loops.moves(self.plan.column_factor, axis))?;
        let extent = self.loops.axes[axis].as_constant()?;
        let others = Dim::product(known.iter().map(|&axis| &self.loops.axes[axis])).as_constant()?;
        let line = self.bytes(self.plan.row_factor)? / extent.checked_mul(others)?.max(1);
        let fits = |count: &i64| extent % count == 0 && count * line <= self.machine.kept_bytes;
        (2..=extent).rev().find(fits).map(|count| (axis, count))
    }

    fn item_of_rows(&self, b: &mut Builder, [panels, blocks]: [&Dim; 2], kept: bool, at: &mut [Dim]) -> (Dim, Dim) {
        let order = self.order();
        let panel = |b: &mut Builder| b.grid("n", panels.clone());
        let (open, known) = self.outer_axes();
        self.outer(b, open, at);
        let first = (order == Order::Panels).then(|| panel(b));
        self.outer(b, known, at);
        // Of an open number of blocks, each passes by all panels: there may be more rows than a cache holds.
        if order == Order::RowsOnce || order == Order::Rows && blocks.as_constant().is_none() {
            let block = block(b, blocks);
            return (panel(b), block);
        }
        let shares = self.shares();
        let per_share = blocks.as_constant().filter(|blocks| blocks % shares == 0 && (shares > 1 || kept));
        let Some(per_share) = per_share.map(|blocks| Dim::constant(blocks / shares)) else {
            let panel = first.unwrap_or_else(|| panel(b));
            return (panel, block(b, blocks));
        };
        let share = if shares > 1 { b.grid("h", Dim::constant(shares)) } else { Dim::constant(0) };
        let earlier = kept.then(|| block(b, &per_share));
        let panel = panel(b);
        let block = earlier.unwrap_or_else(|| block(b, &per_share));
        (panel, &(&share * &per_share) + &block)
    }

    /// Of open size, and others: what is said of one size holds for each member of a batch whose size is open.
    fn outer_axes(&self) -> (Vec<usize>, Vec<usize>) {
        self.plan.outer_axes(self.loops).partition(|&axis| self.is_open(axis))
    }

    fn outer(&self, b: &mut Builder, axes: impl IntoIterator<Item = usize>, at: &mut [Dim]) {
        for axis in axes {
            at[axis] = b.grid(&format!("g{axis}"), self.loops.axes[axis].clone());
        }
    }

    /// Rows of a block, where blocks are kept: the weight is read anew for each of them, but the rows once, not for each of
    /// so many panels.
    pub fn kept_rows(&self, n_panels: &Dim) -> Option<i64> {
        let (rows, n_panels) = (self.plan.rows(self.loops).as_constant()?, n_panels.as_constant()?);
        let (bytes, weight) = (self.bytes_of_rows()?, self.bytes(self.plan.column_factor)?);
        let is_kept = match self.order() {
            Order::Panels => false,
            Order::Rows => true,
            // Vectors multiply no faster than the last cache gives rows.
            Order::RowsOnce => self.plan.matrices.is_some(),
        };
        if !self.plan.is_packed || !is_kept {
            return None;
        }
        let of_share = self.shares() * self.machine.kept_bytes;
        let n_blocks = (bytes + of_share - 1) / of_share * self.shares();
        let is_better = bytes.checked_mul(n_panels - 1)? > weight.checked_mul(n_blocks - 1)?;
        (bytes > of_share && is_better).then(|| (rows + n_blocks - 1) / n_blocks)
    }

    /// Rows of a block where their number is open, and registers of matrices would wait for those that leave the cache.
    pub fn cached_rows(&self) -> Option<i64> {
        let is_open = self.plan.rows(self.loops).as_constant().is_none();
        let row = self.bytes_of_row().filter(|_| is_open && self.plan.matrices.is_some())?;
        let tile = self.plan.tile.rows as i64;
        Some((self.machine.kept_bytes / row.max(1) / tile).max(1) * tile)
    }

    /// The lines that pass by a panel before the next one is read.
    fn lines(&self, at: &[Dim]) -> Lines {
        let mut lines = Lines::one();
        let stays = |axis: &usize| !self.loops.moves(self.plan.column_factor, *axis);
        if self.order() != Order::Panels || !self.plan.outer_axes(self.loops).all(|axis| stays(&axis)) {
            return lines;
        }
        for axis in self.plan.outer_axes(self.loops) {
            // Of an open size panels come after it.
            if let Some(extent) = self.loops.axes[axis].as_constant() {
                lines = Lines { count: lines.count * extent, number: &(&lines.number * extent) + &at[axis] };
            }
        }
        lines
    }

    fn order(&self) -> Order {
        let rows = self.bytes(self.plan.row_factor);
        if self.bytes_of_rows().is_some_and(|bytes| bytes > CACHE_BYTES) {
            return Order::RowsOnce;
        }
        let is_weight = self.plan.is_packed
            && !self.plan.outer_axes(self.loops).any(|axis| self.loops.moves(self.plan.column_factor, axis));
        match rows.zip(self.bytes(self.plan.column_factor)).filter(|_| is_weight) {
            Some((rows, weight)) if weight > WRITTEN * rows => Order::Panels,
            _ => Order::Rows,
        }
    }

    /// Into how many shares the rows should fall, where nothing before them is shared out among threads.
    pub fn shares(&self) -> i64 {
        let known = self.plan.outer_axes(self.loops).filter(|&axis| !self.is_open(axis));
        let is_alone = Dim::product(known.map(|axis| &self.loops.axes[axis])).is(1)
            && self.plan.is_packed
            && !self.machine.is_block();
        if is_alone && self.order() == Order::Rows { self.machine.threads as i64 } else { 1 }
    }

    /// Bytes of the factor with the rows, if each of its elements has one row and one position of the sum.
    fn bytes_of_rows(&self) -> Option<i64> {
        self.bytes_of_row()?.checked_mul(self.plan.rows(self.loops).as_constant()?)
    }

    fn bytes_of_row(&self) -> Option<i64> {
        let depth = Dim::product(&self.loops.axes[self.loops.n_parallel..]).as_constant()?;
        depth.checked_mul(self.plan.dtype.size_of() as i64)
    }

    /// Bytes of what a factor is computed from, for one position along outer axes of open size.
    fn bytes(&self, factor: TermId) -> Option<i64> {
        let open = self.plan.outer_axes(self.loops).filter(|&axis| self.is_open(axis));
        let open: Vec<&Dim> = open.map(|axis| &self.loops.axes[axis]).collect();
        let bytes = |operand: &Type| {
            let shape = operand.shape.iter().filter(|extent| !open.contains(extent)).cloned().collect();
            operand.with_shape(shape).n_bytes()
        };
        let loads = self.loops.body.loads(&[factor]);
        loads.iter().try_fold(0, |most, load| Some(most.max(bytes(&self.loops.operands[load.operand])?)))
    }

    fn is_open(&self, axis: usize) -> bool {
        self.loops.axes[axis].as_constant().is_none()
    }
}

/// The number of a block of rows, of so many.
fn block(b: &mut Builder, count: &Dim) -> Dim {
    if count.is(1) { Dim::constant(0) } else { b.grid("m", count.clone()) }
}
