//! Asking for the next row while one is worked on, so that memory rests less.
//!
//! Invariant: what is asked for is a hint; no line of a row is asked for by two of the passes over the row before.

use super::Rows;
use crate::graph::Dim;
use crate::graph::rows::axis_of;
use crate::kernel::{Builder, Condition};
use crate::schedule::body::{Load, Position, TermId};
use crate::schedule::tiles::LINE;
use crate::schedule::{Loops, keep, order, stream};

/// Lines that some cores take together: asked for by two passes, they come twice.
const NEIGHBOURS: usize = 2;
/// The work of storing an element, in additions.
const STORE: u32 = 12;

impl Rows<'_> {
    /// Asks for the part of the next row that lies where this tile does, as far as it is for this pass to do.
    pub(super) fn prefetch(&self, b: &mut Builder, pass: usize, lanes: usize, base: &Dim, width: u64) {
        let Some((row, loads)) = self.next_row(lanes) else { return };
        let next = &self.at[row] + 1;
        let room = Builder::below(&next, &self.loops.axes[row]);
        let mut places = Vec::new();
        for load in &loads {
            let bytes = self.loops.operands[load.operand].dtype.size_of() as u64;
            for line in self.lines_of(pass, (width * bytes).div_ceil(LINE)) {
                let mut at = self.at.clone();
                (at[row], at[lanes]) = (next.clone(), base + (line * LINE / bytes) as i64);
                let place = |position: &Position| match position {
                    Position::Dim(dim) => Some(dim.substitute(&|symbol| at.get(axis_of(symbol)?).cloned())),
                    Position::Term(_) => None,
                };
                let index = load.index.iter().map(place).collect::<Option<Vec<Dim>>>();
                places.extend(index.map(|index| (load.operand, index)));
            }
        }
        if places.is_empty() {
            return;
        }
        let ask = |b: &mut Builder| {
            places.into_iter().for_each(|(operand, index)| b.prefetch(self.operands[operand], index));
            Vec::new()
        };
        b.if_else(Condition::Guards(vec![room]), ask, |_| Vec::new());
    }

    /// Which lines of a tile a pass asks for: passes that take longer ask for more. Where memory is busy with a result that
    /// streams, the longest of those before does it all.
    fn lines_of(&self, pass: usize, n_lines: u64) -> Vec<u64> {
        let work: Vec<u32> = (0..self.n_passes()).map(|pass| self.work(pass)).collect();
        if self.machine.streams_alone && self.loops.stores_rows() && stream::is_worthwhile(self.loops, self.machine) {
            let longest = (0..self.loops.stages.len()).max_by_key(|&pass| work[pass]);
            return if longest == Some(pass) { (0..n_lines).collect() } else { Vec::new() };
        }
        let mut asked = vec![0u32; work.len()];
        let lines: Vec<u64> = (0..n_lines).collect();
        let mut own = Vec::new();
        for lines in lines.chunks(NEIGHBOURS) {
            let busy = |pass: &usize| f64::from(asked[*pass] + 1) / f64::from(work[*pass]);
            let Some(least) = (0..work.len()).min_by(|a, b| busy(a).total_cmp(&busy(b))) else { break };
            asked[least] += 1;
            if least == pass {
                own.extend(lines);
            }
        }
        own
    }

    /// The work of a pass at a point, with what earlier ones kept at hand.
    fn work(&self, pass: usize) -> u32 {
        let root = self.loops.roots()[pass];
        let kept = |id: TermId| self.keeps.iter().any(|(keep, _)| keep.term == id && keep.stage < pass);
        let stores = self.loops.stores_rows() && pass == self.loops.stages.len();
        1 + keep::work(self.loops, root, &kept) + if stores { STORE } else { 0 }
    }

    /// Asks for what the row will be written to, in the pass before: a line is read before it is written.
    pub(super) fn prefetch_result(&self, b: &mut Builder, pass: usize, lanes: usize, base: &Dim, width: u64) {
        let is_streamed = stream::is_worthwhile(self.loops, self.machine);
        if pass == 0 || pass + 1 != self.loops.stages.len() || !self.loops.stores_rows() || is_streamed {
            return;
        }
        let per_line = LINE / self.loops.result.dtype.size_of() as u64;
        for first in (0..width).step_by(per_line as usize) {
            let mut at = self.at.clone();
            at[lanes] = base + first as i64;
            b.prefetch(self.result, self.loops.place(&at));
        }
    }

    fn n_passes(&self) -> usize {
        self.loops.stages.len() + usize::from(self.loops.stores_rows())
    }

    /// The outer axis along which items follow each other, and what the first pass reads one after the other that is
    /// different in the next row.
    fn next_row(&self, lanes: usize) -> Option<(usize, Vec<&Load>)> {
        let is_outer = |axis: &usize| !self.loops.inner.contains(axis);
        let row = (0..self.loops.axes.len()).rev().find(is_outer)?;
        let is_read = |load: &&Load| {
            load.guards.is_empty()
                && load.mentions(&Loops::symbol(row))
                && order::stride(self.loops, load, lanes) == order::Stride::One
        };
        let loads = self.loops.body.loads(&[self.loops.stages.first()?.element]);
        let loads: Vec<&Load> = loads.into_iter().filter(is_read).collect();
        (self.n_passes() > 1 && !loads.is_empty()).then_some((row, loads))
    }
}
