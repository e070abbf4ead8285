//! How a contraction is cut up: its columns into panels, its sum into stretches of a panel, its rows into blocks.
//!
//! Invariant: the cuts follow from sizes, plan and machine alone. Blocks of rows are equal, but for a lower last one.

use super::depth::Depth;
use super::grid::Grid;
use super::{ENOUGH_ROWS, FEW_TILES, Plan, at_most, taps};
use crate::graph::{Dim, greatest_divisor};
use crate::schedule::Loops;
use crate::schedule::tiles::Machine;

/// Bytes of one packed panel: it should stay in the second-level cache while the rows pass by.
const PANEL_BYTES: u64 = 256 << 10;
/// Rows that one item of the grid handles at most: a panel is packed once for all of them.
const ROW_BLOCK: i64 = 1024;
/// The same where their number is not known, or their sums are kept between panels.
const SMALL_ROW_BLOCK: i64 = 256;
/// The same for a block of threads, of which there should be many.
const THREADS_ROW_BLOCK: i64 = 64;
/// So many items for each thread share the work out evenly enough.
const MANY_ITEMS: i64 = 8;
/// The same as a share of the time in which threads work.
const BUSY: f64 = 0.9;

pub struct Cuts {
    /// Columns of a panel.
    pub width: u64,
    pub n_panels: Dim,
    /// A panel is packed, or widened, before rows pass by it.
    pub fills_panel: bool,
    pub depth: Depth,
    pub rows: Dim,
    pub block_rows: i64,
    pub n_blocks: Dim,
    /// Blocks stay in the second-level cache while all panels pass by.
    pub keeps_rows: bool,
}

impl Cuts {
    pub fn of(grid: &Grid) -> Cuts {
        let Grid { loops, plan, machine } = *grid;
        let width = plan.tile.vectors * machine.lanes;
        let rows = plan.rows(loops);
        let n_panels = loops.axes[plan.column_axis].ceil_div(&Dim::constant(width as i64));
        let has_few_tiles = at_most(&rows, FEW_TILES * plan.tile.rows as i64);
        let widens_panel = !machine.is_block() && plan.widened(loops).is_some() && !has_few_tiles;
        let fills_panel = !plan.is_packed || widens_panel;
        let depth = depth(grid, &rows, width);
        let is_kept = depth.is_one_stretch() && !fills_panel && !machine.is_block();
        let kept_rows = grid.kept_rows(&n_panels).filter(|_| is_kept);
        let n_taps = plan.n_taps(loops);
        let most = match depth.is_one_stretch() {
            _ if machine.is_block() => THREADS_ROW_BLOCK,
            true => kept_rows.or_else(|| grid.cached_rows()).unwrap_or(ROW_BLOCK),
            false if n_taps > 1 => (taps::ROW_BLOCK / n_taps).max(ENOUGH_ROWS),
            false => SMALL_ROW_BLOCK,
        };
        // A panel that has to be filled must serve many rows.
        let n_tiles = if fills_panel { (8 / n_taps).max(1) } else { 2 };
        let least = n_tiles * plan.tile.rows as i64;
        let wanted = |limit: i64| wanted_blocks(loops, plan, width, machine, limit).max(grid.shares().min(limit));
        let block_rows = row_block(&rows, plan, [least, most], &wanted);
        let n_blocks = rows.ceil_div(&Dim::constant(block_rows));
        Cuts { width, n_panels, fills_panel, depth, rows, block_rows, n_blocks, keeps_rows: kept_rows.is_some() }
    }

    /// Rows of the last block, where their number is known.
    fn last_rows(&self) -> Option<i64> {
        let rows = self.rows.as_constant().filter(|&rows| rows > 0)?;
        Some(rows - (rows - 1) / self.block_rows * self.block_rows)
    }

    /// Rows of the block that starts here, if it is not a lower last one.
    pub fn rows_from(&self, start: &Dim) -> Dim {
        match self.last_rows() {
            Some(last) if self.n_blocks.is(1) => Dim::constant(last),
            Some(_) => Dim::constant(self.block_rows),
            None if common_factor(&self.rows) % self.block_rows == 0 => Dim::constant(self.block_rows),
            None => (&self.rows - start).least(&Dim::constant(self.block_rows)),
        }
    }

    /// Rows of the last block, where that is lower than those before it.
    pub fn lower_block(&self) -> Option<i64> {
        self.last_rows().filter(|&last| !self.n_blocks.is(1) && last != self.block_rows)
    }
}

/// Stretches that a panel holds; where one register tile has all rows nothing is read again, and the sums stay in it.
fn depth(grid: &Grid, rows: &Dim, width: u64) -> Depth {
    let Grid { loops, plan, .. } = *grid;
    let n_taps = plan.n_taps(loops);
    if plan.matrices.is_some() || plan.is_packed && at_most(rows, plan.tile.rows as i64) && n_taps == 1 {
        return Depth::whole(loops);
    }
    let panel_bytes = if n_taps > 1 { taps::PANEL_BYTES } else { PANEL_BYTES };
    Depth::new(loops, (panel_bytes / (width * plan.dtype.size_of() as u64)) as i64)
}

/// Rows of one item: all of them if they are few, else blocks of equal size. `wanted` says how many blocks there should be
/// for the sake of threads, up to a limit.
fn row_block(rows: &Dim, plan: &Plan, [least, most]: [i64; 2], wanted: &dyn Fn(i64) -> i64) -> i64 {
    let tile_rows = plan.tile.rows as i64;
    let n_blocks = |rows: i64| ((rows + most - 1) / most).max(wanted(rows / least)).max(1);
    match rows.as_constant() {
        Some(rows) => {
            let n_blocks = n_blocks(rows);
            let even = (rows + n_blocks - 1) / n_blocks;
            ((even + tile_rows - 1) / tile_rows * tile_rows).max(tile_rows)
        }
        // Rows that come in blocks of a known size, such as the patches of each image.
        None if common_factor(rows) >= 4 * tile_rows => {
            let factor = common_factor(rows);
            let least = n_blocks(factor);
            let n_blocks = (least..2 * least + 2).find(|n_blocks| factor % n_blocks == 0);
            let n_blocks = n_blocks.unwrap_or((factor + most - 1) / most);
            (factor + n_blocks - 1) / n_blocks
        }
        None => most.min(SMALL_ROW_BLOCK),
    }
}

/// Into how many blocks the rows should fall, `limit` at most, so that threads have about the same to do.
fn wanted_blocks(loops: &Loops, plan: &Plan, width: u64, machine: &Machine, limit: i64) -> i64 {
    let threads = machine.threads as i64;
    let items: i64 = plan.outer_axes(loops).filter_map(|axis| loops.axes[axis].as_constant()).product();
    let panels = loops.axes[plan.column_axis].as_constant().map_or(1, |n| (n as u64).div_ceil(width) as i64);
    let items = items.saturating_mul(panels).max(1);
    if threads < 2 || items >= MANY_ITEMS * threads {
        return 1;
    }
    // The share of the time in which a thread works, where each item takes as long as any other.
    let busy = |blocks: i64| {
        let items = items * blocks;
        items as f64 / ((items + threads - 1) / threads * threads) as f64
    };
    (1..=limit.min(2 * threads)).find(|&blocks| busy(blocks) > BUSY).unwrap_or(1)
}

/// The greatest number that is known to divide a size; zero divides by everything.
fn common_factor(dim: &Dim) -> i64 {
    dim.terms().fold(0, |common, (_, c)| greatest_divisor(common, c.unsigned_abs())).min(1 << 40) as i64
}
