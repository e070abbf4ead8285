//! How the threads of a block share a product of tiles: which of its elements each thread has.
//!
//! Invariant: every element of the sums is one thread's; of the factors each thread has those that its sums take.

use super::block::thread_symbol;
use crate::graph::{DType, Dim};
use crate::kernel::types::mma::{LaneMap, MmaDef, WARP};

/// Fused multiply-adds of one thread that are written out for one product.
const MOST_STEPS: u64 = 1024;

/// A product `R×C += R×K · K×C` and how it is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Product {
    rows: u64,
    columns: u64,
    pub depth: u64,
    pub sharing: Sharing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// The threads lie in so many rows and columns; each has every so-manieth row and column.
    Threads { rows: u64, columns: u64 },
    /// The warps do, each with a part of its own, which falls into matrices of the instruction.
    Warps { rows: u64, columns: u64, def: &'static MmaDef },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sums,
    Left,
    Right,
}

impl Product {
    /// How `threads` threads share a product of these sizes, if each gets several results in both directions. `mma` says
    /// what the factors are where there is an instruction for it.
    pub fn find([rows, depth, columns]: [u64; 3], threads: u64, mma: Option<DType>) -> Option<Product> {
        let product = |sharing| Product { rows, columns, depth, sharing };
        if let Some(def) = mma.and_then(MmaDef::find).filter(|_| threads.is_multiple_of(WARP.into())) {
            let warps = threads / u64::from(WARP);
            // As high as can be: a warp that has few columns reads much of the other factor.
            let heights = (0..=warps.ilog2()).rev().map(|exponent| 1 << exponent);
            let fits = |&height: &u64| {
                let width = warps / height;
                rows.is_multiple_of(height * def.rows) && columns.is_multiple_of(width * def.columns)
            };
            if let Some(height) = heights.into_iter().find(fits).filter(|_| depth.is_multiple_of(def.words)) {
                return Some(product(Sharing::Warps { rows: height, columns: warps / height, def }));
            }
        }
        let (height, width) = (1 << (threads.ilog2() / 2), threads / (1 << (threads.ilog2() / 2)));
        let fits = rows.is_multiple_of(height) && columns.is_multiple_of(width);
        let is_worth_it = rows >= 2 * height && columns >= 2 * width && rows * columns / threads * depth <= MOST_STEPS;
        (fits && is_worth_it).then(|| product(Sharing::Threads { rows: height, columns: width }))
    }

    /// Whether their sums lie alike.
    pub fn has_sums_of(&self, other: &Product) -> bool {
        *self == Product { depth: self.depth, ..*other }
    }

    /// The elements of the thread: row and column, in the order of its parts. Those of the left factor go position by
    /// position of the summed axis, as those of the right one do.
    pub fn positions(&self, role: Role) -> Vec<[Dim; 2]> {
        match self.sharing {
            Sharing::Threads { rows, columns } => self.of_threads(role, rows, columns),
            Sharing::Warps { rows, columns, def } => self.of_warps(role, [rows, columns], def),
        }
    }

    fn of_threads(&self, role: Role, height: u64, width: u64) -> Vec<[Dim; 2]> {
        let thread = Dim::from(&thread_symbol());
        let width_dim = Dim::constant(width as i64);
        let rows = every(self.rows, height, &thread.floor_div(&width_dim));
        let columns = every(self.columns, width, &thread.modulo(&width_dim));
        let depth: Vec<Dim> = (0..self.depth).map(|k| Dim::constant(k as i64)).collect();
        match role {
            Role::Sums => pairs(&rows, &columns),
            Role::Left => pairs(&depth, &rows).into_iter().map(|[k, row]| [row, k]).collect(),
            Role::Right => pairs(&depth, &columns),
        }
    }

    fn of_warps(&self, role: Role, [height, width]: [u64; 2], def: &MmaDef) -> Vec<[Dim; 2]> {
        let thread = Dim::from(&thread_symbol());
        let warp = thread.floor_div(&Dim::constant(WARP.into()));
        let width_dim = Dim::constant(width as i64);
        let row = &warp.floor_div(&width_dim) * (self.rows / height) as i64;
        let column = &warp.modulo(&width_dim) * (self.columns / width) as i64;
        let rows = stretches(&row, self.rows / height, def.rows);
        let columns = stretches(&column, self.columns / width, def.columns);
        let depth = stretches(&Dim::constant(0), self.depth, def.words);
        let (outer, map) = match role {
            Role::Sums => (pairs(&rows, &columns), &def.acc),
            Role::Left => (pairs(&depth, &rows).into_iter().map(|[k, row]| [row, k]).collect(), &def.a),
            Role::Right => (pairs(&depth, &columns), &def.b),
        };
        outer.iter().flat_map(|first| in_registers(first, map)).collect()
    }
}

/// Elements of a matrix that starts at `first`, register by register.
fn in_registers([row, column]: &[Dim; 2], map: &LaneMap) -> Vec<[Dim; 2]> {
    let lane = Dim::from(&thread_symbol()).modulo(&Dim::constant(WARP.into()));
    let four = Dim::constant(4);
    let (quarter, rest) = (lane.floor_div(&four), lane.modulo(&four));
    let along = |axis: usize, first: &Dim, register: &[u32; 2]| {
        let own = &(&quarter * i64::from(map.quarter[axis])) + &(&rest * i64::from(map.rest[axis]));
        &(first + &own) + i64::from(register[axis])
    };
    map.registers.iter().map(|register| [along(0, row, register), along(1, column, register)]).collect()
}

/// `first`, and every `step`-th after it.
fn every(extent: u64, step: u64, first: &Dim) -> Vec<Dim> {
    (0..extent / step).map(|nth| first + (nth * step) as i64).collect()
}

/// Where stretches of a length start that cover an extent.
fn stretches(first: &Dim, extent: u64, length: u64) -> Vec<Dim> {
    (0..extent / length).map(|nth| first + (nth * length) as i64).collect()
}

fn pairs(outer: &[Dim], inner: &[Dim]) -> Vec<[Dim; 2]> {
    outer.iter().flat_map(|a| inner.iter().map(move |b| [a.clone(), b.clone()])).collect()
}
