//! Lines of an image as one run of rows: a tile goes on from the last place of a line, over what lies between lines, to the
//! first place of the next. Short lines would fill a small part of it.
//!
//! Invariant: what is summed between lines is dropped; each place is summed as ever.

use super::Plan;
use super::matrices::even_rows;
use crate::graph::Dim;
use crate::kernel::matrix::SIDE;
use crate::schedule::body::{Load, Position, Term};
use crate::schedule::{Loops, collapse, order};

/// An image of more places has lines that are long enough.
const MOST_ROWS: i64 = 1 << 20;

/// Lines, of so many places each, whose first places are so many rows apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    pub lines: usize,
    pub n_places: i64,
    pub pitch: i64,
}

/// The nest with lines that lie behind each other in memory, and where they do, if that makes for better tiles.
pub fn find(loops: &Loops, plan: &Plan) -> Option<(Loops, Run)> {
    let Term::Load(load) = loops.body.term(plan.row_factor) else { return None };
    let (operand, places) = (load.operand, plan.row_axis?);
    let is_line = |axis: &usize| *axis < places && !loops.moves(plan.column_factor, *axis);
    let lines = plan.outer_axes(loops).filter(is_line).filter(|&axis| moves(load, axis)).last()?;
    let loops = collapse::flat(loops, operand, [lines, places])?;
    let step = |load: &Load, axis: usize| order::step(&loops, load, axis)?.as_constant().filter(|&step| step > 0);
    let of = |load: &Load| Some([step(load, lines)?, step(load, places)?]);
    let loads = loops.body.loads(&loops.roots());
    let mut steps = loads.into_iter().filter(|load| load.operand == operand).map(of);
    let first @ Some([of_lines, of_places]) = steps.next()? else { return None };
    let [n_lines, n_places] = [loops.axes[lines].as_constant()?, loops.axes[places].as_constant()?];
    let run = Run { lines, n_places, pitch: of_lines / of_places };
    let is_run = of_lines % of_places == 0 && run.pitch >= n_places && n_lines > 1 && steps.all(|step| step == first);
    (is_run && run.is_better(n_lines)?).then_some((loops, run))
}

fn moves(load: &Load, axis: usize) -> bool {
    let symbol = Loops::symbol(axis);
    load.index.iter().any(|position| matches!(position, Position::Dim(dim) if dim.mentions(&symbol)))
}

/// How long tiles of so many rows take: one register of rows leaves the units waiting for the other factor.
fn time(rows: i64) -> Option<i64> {
    let of_tile = even_rows(&Dim::constant(rows), 1)? as i64;
    Some((rows + of_tile - 1) / of_tile * if of_tile > SIDE as i64 { 4 } else { 3 })
}

impl Run {
    /// Whether tiles of the run take less than those of each line, by more than it takes to finish rows one by one.
    fn is_better(&self, n_lines: i64) -> Option<bool> {
        let rows = n_lines.checked_mul(self.pitch).filter(|&rows| rows < MOST_ROWS)? - (self.pitch - self.n_places);
        Some(10 * time(rows)? < 9 * n_lines * time(self.n_places)?)
    }

    /// Rows from the first place of the first line to the last of the last.
    pub fn rows(&self, n_lines: i64) -> i64 {
        (n_lines - 1) * self.pitch + self.n_places
    }

    /// The line of a row, and its place in it.
    pub fn place(&self, row: &Dim) -> [Dim; 2] {
        let pitch = Dim::constant(self.pitch);
        [row.floor_div(&pitch), row.modulo(&pitch)]
    }
}
