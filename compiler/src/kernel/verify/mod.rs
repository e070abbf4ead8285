//! Checks that a kernel is well formed. A kernel that passes touches no memory but its own.
//!
//! Interface
//! * names are identifiers, memories have distinct names, symbols are declared once and are not lane symbols;
//! * shapes of buffers and extents of the grid are over sizes alone; a size is never negative. An extent may be: then there
//!   is no item, and no index lies within such an axis;
//! * locals take at most [`MAX_LOCAL_BYTES`] together, those of one thread among several [`MAX_THREAD_BYTES`].
//!
//! Threads (GPU kernels)
//! * only they have several threads, a power of two up to [`MAX_THREADS`], one lane, shared memories, barriers, numbers of
//!   threads and, where the threads are whole warps, `mma`;
//! * every thread reaches the same barriers and the same `mma`: see `uniform`.
//!
//! Values
//! * each is defined once, before its uses, in the block of the use or one around it;
//! * types follow from the statement: see `typing`; extents are at least 1, and tiles have at most [`MAX_ELEMENTS`];
//! * at the loop level shapes are `<>` and `<L>`; f16 and bf16 are not computed with;
//! * a statement is legal at the kernel's level;
//! * bodies of loops yield what they carry, both blocks of an `if` yield its results.
//!
//! Memory (tile level; the loop level comes after the proof)
//! * nothing is stored to a buffer that may only be read, nor loaded from one that may only be written;
//! * an access has one index per axis; data-dependent ones are i64 and broadcast to the tile;
//! * every other index is proved to lie within its axis, from the bounds of symbols, the access's guards and the guards
//!   of the `if`s around it;
//! * `accumulate` through data-dependent indices needs a sequential grid, unless the memory is local;
//! * a declared symbol has a range that is never empty; the step of a loop is positive.

mod access;
mod points;
mod prove;
mod scope;
mod symbols;
mod typing;
mod uniform;

pub use prove::Facts;
pub use typing::is_primitive;

use std::fmt;

use rustc_hash::FxHashMap;

use super::parse::is_name;
use super::types::*;
use crate::graph::{Dim, Symbol};
use scope::Scopes;

pub const MAX_ELEMENTS: u64 = 1 << 20;
/// Scratch memory beyond this would not fit the stack of a thread.
pub const MAX_LOCAL_BYTES: u64 = 1 << 20;
/// The same of one thread among several.
pub const MAX_THREAD_BYTES: u64 = 1 << 16;
pub const MAX_THREADS: u32 = 1024;
const MAX_RANK: usize = 8;

/// What is wrong, and with which statement (as text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    pub place: String,
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for VerifyError {}

/// All that is wrong with a kernel, in textual order.
pub fn verify(kernel: &Kernel) -> Result<(), Vec<VerifyError>> {
    let errors = Verifier::of(kernel).errors;
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The kernel with guards where no proof was found that an index lies within its axis, if that is all that it lacks: lanes
/// outside do not take part, and the search for proofs gives up on some that are all inside.
pub fn guarded(kernel: &Kernel) -> Option<Kernel> {
    let unproved = Verifier::of(kernel).unproved;
    let mut guarded = kernel.clone();
    guarded.body.for_each_access(&mut |access| {
        let guards = unproved.get(access).into_iter().flatten().cloned();
        access.guards.extend(guards);
    });
    (!unproved.is_empty() && verify(&guarded).is_ok()).then_some(guarded)
}

struct Verifier<'a> {
    kernel: &'a Kernel,
    scopes: Scopes,
    errors: Vec<VerifyError>,
    /// What has to hold for an access to lie inside, where that was not proved.
    unproved: FxHashMap<Access, Vec<Dim>>,
}

impl<'a> Verifier<'a> {
    /// All that is found out about a kernel.
    fn of(kernel: &'a Kernel) -> Verifier<'a> {
        let scopes = Scopes::new(kernel.values.len());
        let mut verifier = Verifier { kernel, scopes, errors: Vec::new(), unproved: FxHashMap::default() };
        verifier.interface();
        // The statements are judged against the interface, so a broken one would only repeat itself.
        if verifier.errors.is_empty() {
            let facts = Facts::of_body(kernel);
            verifier.block(&kernel.body, &facts);
            let yields = kernel.body.yields.len();
            verifier.check("the body", yields == 0, || "it yields values, and nothing takes them".into());
        }
        if verifier.errors.is_empty() {
            verifier.errors = uniform::check(kernel);
        }
        verifier
    }
}

impl Verifier<'_> {
    fn check(&mut self, place: &str, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.errors.push(VerifyError { place: place.to_string(), message: message() });
        }
    }

    fn interface(&mut self) {
        let kernel = self.kernel;
        self.check("the kernel", is_name(&kernel.name), || format!("`{}` is no name", kernel.name));
        let lanes_fit =
            kernel.lanes.is_power_of_two() && kernel.lanes <= 64 && (kernel.level == Level::Loop || kernel.lanes == 1);
        self.check("the kernel", lanes_fit, || format!("it cannot have {} lanes", kernel.lanes));
        let threads_fit = kernel.threads == 1
            || kernel.threads.is_power_of_two()
                && kernel.threads <= MAX_THREADS
                && (kernel.level, kernel.lanes) == (Level::Loop, 1);
        self.check("the kernel", threads_fit, || format!("it cannot have {} threads", kernel.threads));
        let names = kernel.buffers.iter().map(|b| &b.name).chain(kernel.locals.iter().map(|l| &l.name));
        let mut seen = Vec::new();
        for name in names {
            self.check(name, is_name(name), || "this is no name".into());
            self.check(name, !seen.contains(&name), || "two memories have this name".into());
            seen.push(name);
        }
        self.symbols_of_interface();
        let mut bytes = 0u64;
        let mut own = 0u64;
        for local in &kernel.locals {
            let ty = Type::new(local.dtype, local.shape.clone());
            bytes = bytes.saturating_add(ty.n_elements().saturating_mul(local.dtype.size_of() as u64));
            if kernel.threads > 1 && local.scope == Scope::Local {
                own = own.saturating_add(ty.n_elements().saturating_mul(local.dtype.size_of() as u64));
            }
            let seen = local.scope == Scope::Local || kernel.threads > 1;
            self.check(&local.name, seen, || "only threads of one block share memory".into());
        }
        self.check("the kernel", bytes <= MAX_LOCAL_BYTES, || format!("its locals take {bytes} bytes"));
        self.check("the kernel", own <= MAX_THREAD_BYTES, || format!("the locals of a thread take {own} bytes"));
    }

    fn symbols_of_interface(&mut self) {
        let kernel = self.kernel;
        for size in &kernel.sizes {
            self.declare(&size.symbol);
            let bounds = size.low >= 0 && size.high.is_none_or(|high| high >= size.low);
            self.check(size.symbol.name(), bounds, || "its range is empty or negative".into());
        }
        let extents = kernel.buffers.iter().flat_map(|b| b.shape.iter().map(move |dim| (b.name.as_str(), dim)));
        let grid = kernel.grid.iter().map(|axis| (axis.symbol.name(), &axis.extent));
        for (place, extent) in extents.chain(grid) {
            self.in_scope(place, extent, 0);
        }
        for axis in &kernel.grid {
            self.declare(&axis.symbol);
        }
    }

    fn declare(&mut self, symbol: &Symbol) {
        let fresh = !self.scopes.knows(symbol);
        self.check(symbol.name(), fresh, || "this symbol is declared twice".into());
        let lane = is_lane(symbol);
        self.check(symbol.name(), !lane, || "this is the name of a lane symbol".into());
        self.scopes.declare(symbol.clone());
    }

    /// Each symbol is declared, or is the lane symbol of one of `rank` axes.
    fn in_scope(&mut self, place: &str, dim: &Dim, rank: usize) {
        let mut missing = None;
        dim.for_each_symbol(&mut |symbol| {
            let is_lane = (0..rank).any(|axis| lane_symbol(axis) == *symbol);
            if !is_lane && !self.scopes.knows(symbol) {
                missing = Some(symbol.clone());
            }
        });
        if let Some(symbol) = missing {
            self.check(place, false, || format!("`{symbol}` is not declared here"));
        }
    }

    fn block(&mut self, block: &Block, facts: &Facts) {
        let mark = self.scopes.mark();
        let mut facts = facts.clone();
        for stmt in &block.stmts {
            self.stmt(stmt, &mut facts);
        }
        for &value in &block.yields {
            let defined = self.scopes.defined(value);
            self.check("yield", defined, || format!("{value} is not defined here"));
        }
        self.scopes.close(mark);
    }

    fn stmt(&mut self, stmt: &Stmt, facts: &mut Facts) {
        let place = super::print::statement(self.kernel, stmt);
        for value in stmt.op.operands() {
            let known = (value.0 as usize) < self.kernel.values.len();
            let defined = known && self.scopes.defined(value);
            self.check(&place, defined, || format!("{value} is not defined here"));
            if !known {
                return;
            }
        }
        if let Err(message) = typing::check(self.kernel, stmt) {
            self.check(&place, false, || message);
        } else {
            self.memory_and_symbols(&place, stmt, facts);
        }
        for &value in &stmt.results {
            self.define(&place, value);
        }
    }

    fn define(&mut self, place: &str, value: Value) {
        let fresh = self.scopes.define(value);
        self.check(place, fresh, || format!("{value} is defined twice"));
        let ty = self.kernel.type_of(value);
        let shape_fits = match self.kernel.level {
            Level::Loop => ty.is_scalar() || ty.shape == [u64::from(self.kernel.lanes)] && self.kernel.lanes > 1,
            Level::Tile => ty.shape.len() <= MAX_RANK && !ty.shape.contains(&0) && ty.n_elements() <= MAX_ELEMENTS,
        };
        self.check(place, shape_fits, || format!("a value cannot have the type {ty} here"));
    }
}

fn is_lane(symbol: &Symbol) -> bool {
    (0..MAX_RANK).any(|axis| lane_symbol(axis) == *symbol)
}
