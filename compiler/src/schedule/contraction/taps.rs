//! Sums of products over positions of an image, one for each tap of a window, as in the gradient of a convolution's weight:
//! each tap reads nearly the same of one factor and the same of the other. They take turns at each stretch of both, while
//! it is in the first caches.
//!
//! Invariant: each element is summed in the order of k.

use super::{FEW_ROWS, Plan};
use crate::graph::Dim;
use crate::schedule::Loops;
use crate::schedule::body::Position;
use crate::schedule::tiles::Machine;

/// Positions that take turns at most.
const MAX_TAPS: i64 = 32;
/// Bytes of a stretch of a panel: with that of the rows it lies in the first-level cache, or nearly so.
pub const PANEL_BYTES: u64 = 32 << 10;
/// Rows of an item over all taps: their sums so far lie in the second-level cache.
pub const ROW_BLOCK: i64 = 1024;

impl Plan {
    /// Where the factor with the rows is read at positions that overlap, such as those of the taps of a window along an
    /// image, each takes its turn while a stretch of both factors is in the first caches.
    pub(super) fn with_taps(&self, loops: &Loops, machine: &Machine) -> Plan {
        let has_rows = self.rows(loops).as_constant().is_some_and(|rows| rows > FEW_ROWS);
        let summed = &loops.axes[loops.n_parallel..];
        let is_known = has_rows && summed.iter().all(|extent| extent.as_constant().is_some_and(|n| n > 0));
        let is_tap = |axis: &usize| !loops.moves(self.column_factor, *axis) && self.slides(loops, *axis);
        let taps = self.outer_axes(loops).filter(is_tap).collect();
        let plan = Plan { taps, ..self.clone() };
        match is_known && !machine.is_block() && plan.n_taps(loops) <= MAX_TAPS {
            true => plan,
            false => self.clone(),
        }
    }

    /// Whether positions along an axis shift what the factor with the rows reads along a longer summed one.
    fn slides(&self, loops: &Loops, axis: usize) -> bool {
        let extent = |axis: usize| loops.axes[axis].as_constant();
        let has = |dim: &Dim, axis: usize| dim.mentions(&Loops::symbol(axis));
        let is_longer = |summed: &usize| extent(axis) > Some(1) && extent(*summed) > extent(axis);
        let longer: Vec<usize> = (loops.n_parallel..loops.axes.len()).filter(is_longer).collect();
        let loads = loops.body.loads(&[self.row_factor]);
        loads.iter().flat_map(|load| &load.index).any(|position| match position {
            Position::Dim(dim) => has(dim, axis) && longer.iter().any(|&summed| has(dim, summed)),
            Position::Term(_) => false,
        })
    }

    /// How many positions take turns.
    pub(super) fn n_taps(&self, loops: &Loops) -> i64 {
        self.taps.iter().filter_map(|&axis| loops.axes[axis].as_constant()).fold(1, i64::saturating_mul)
    }
}
