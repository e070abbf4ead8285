//! Values that go from one thread of a block to others, through shared memory.
//!
//! Invariant: `reduce` combines in the order that the tile level states, by stages of a fixed tree; the result does not
//! depend on which thread runs when. Barriers stand where `hazard` wants them.

use super::block::thread_symbol;
use super::hazard::Use;
use super::layout::{Tile, is_vector, parts, row_parts};
use super::shapes::neutral;
use super::{Lower, Truth};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::types::*;

/// How many elements a thread combines in one stage of a reduction.
const RADIX: u64 = 8;
/// Rows that are reduced at the same time.
const ROWS: usize = 16;

/// A shared memory that holds anything for a while.
pub(super) struct Exchange {
    pub memory: Memory,
    dtype: DType,
    len: u64,
    /// Which of several that are in use together.
    role: u32,
}

/// The elements of a tile in shared memory: part by part, each as long as the block has threads.
pub(super) struct Staged {
    memory: Memory,
    ty: Type,
    parts_per_row: u64,
}

impl Lower<'_> {
    fn exchange(&mut self, dtype: DType, len: u64, role: u32) -> Memory {
        let fits = |own: &&Exchange| own.dtype == dtype && own.role == role && own.len >= len;
        if let Some(found) = self.exchanges.iter().find(fits) {
            return found.memory;
        }
        let name = (0..).map(|n| format!("exchange{n}")).find(|name| !self.is_taken(name)).unwrap_or_default();
        let memory = self.b.memory(name, dtype, [len], Scope::Shared);
        self.exchanges.push(Exchange { memory, dtype, len, role });
        memory
    }

    /// Whether the kernel that is lowered knows nothing of it.
    pub(super) fn is_exchange(&self, memory: Memory) -> bool {
        matches!(memory, Memory::Local(at) if at as usize >= self.source.locals.len())
    }

    fn is_taken(&self, name: &str) -> bool {
        let kernel = self.b.kernel();
        kernel.buffers.iter().any(|buffer| buffer.name == name) || kernel.locals.iter().any(|local| local.name == name)
    }

    fn put(&mut self, memory: Memory, at: &Dim, value: Value, truth: Truth) {
        let (offset, plus) = self.offset(at);
        let place = Place { memory, offset, plus, mask: None, streams: false };
        self.when(truth, |lower| lower.b.store_at(place, value));
    }

    fn get(&mut self, memory: Memory, at: &Dim, ty: &Type) -> Value {
        let (offset, plus) = self.offset(at);
        self.load_place(Place { memory, offset, plus, mask: None, streams: false }, ty.clone())
    }

    /// What one thread has, for all.
    pub(super) fn tell_all(&mut self, part: Value, of: u32) -> Value {
        let ty = self.type_of(part).clone();
        let memory = self.exchange(ty.dtype, self.lanes.into(), 0);
        self.before_write(Use::of(memory));
        self.put(memory, &Dim::from(&thread_symbol()), part, Truth::Always);
        self.before_read(Use::of(memory));
        self.get(memory, &Dim::constant(of.into()), &ty)
    }

    /// Puts a tile where all threads see all of it.
    pub(super) fn stage(&mut self, tile: &Tile) -> Staged {
        let ty = Type::scalar(self.type_of(tile.parts[0]).dtype);
        let threads = u64::from(self.lanes);
        let is_spread = is_vector(&tile.shape, self.lanes);
        let width = if is_spread { threads } else { 1 };
        let memory = self.exchange(ty.dtype, tile.parts.len() as u64 * width, 1);
        self.before_write(Use::of(memory));
        let thread = Dim::from(&thread_symbol());
        let truth = if is_spread { Truth::Always } else { self.truth(&-&thread) };
        for (at, &part) in tile.parts.iter().enumerate() {
            let start = Dim::constant((at as u64 * width) as i64);
            let at = if is_spread { &start + &thread } else { start };
            self.put(memory, &at, part, truth);
        }
        self.before_read(Use::of(memory));
        Staged { memory, ty, parts_per_row: row_parts(&tile.shape, self.lanes) * width }
    }

    pub(super) fn staged_element(&mut self, staged: &Staged, row: usize, column: u64) -> Value {
        let at = Dim::constant((row as u64 * staged.parts_per_row + column) as i64);
        self.get(staged.memory, &at, &staged.ty)
    }

    /// Axes of extent 1 come or go, and lanes with them.
    pub(super) fn reshape_in_block(&mut self, source: &Tile, ty: &Type) -> Tile {
        let staged = self.stage(source);
        let width = source.shape.last().copied().unwrap_or(1);
        let mut flat = 0u64;
        let made = parts(&ty.shape, self.lanes).into_iter().map(|part| {
            let (row, column) = (flat / width, flat % width);
            flat += u64::from(part.valid);
            let first = Dim::constant((row * staged.parts_per_row + column) as i64);
            // Either the elements of a row become scalars, or scalars, one after the other, a row.
            let at = if part.vector { &first + &Dim::from(&thread_symbol()) } else { first };
            let (offset, plus) = self.offset(&at);
            let place = Place { memory: staged.memory, offset, plus, mask: None, streams: false };
            let truth = self.takes_part(&part);
            self.load_when(truth, place, &staged.ty, Literal::zero(ty.dtype))
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn reduce_in_block(&mut self, scalar: Scalar, value: Value, axis: usize, ty: &Type) -> Tile {
        let source = self.tile(value);
        let shape = &source.shape;
        if axis + 1 != shape.len() || !is_vector(shape, self.lanes) {
            return self.reduce(scalar, value, axis, ty);
        }
        let width = shape[axis];
        let per_row = row_parts(shape, self.lanes) as usize;
        let rows: Vec<Value> = source.parts.chunks(per_row).map(|row| self.combine_row(scalar, row, width)).collect();
        let parts = rows.chunks(ROWS).flat_map(|rows| self.reduce_rows(scalar, rows)).collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    /// The elements of a row that one thread has.
    fn combine_row(&mut self, scalar: Scalar, row: &[Value], width: u64) -> Value {
        let mut row = row.to_vec();
        let valid = width % u64::from(self.lanes);
        if let Some(last) = row.last_mut().filter(|_| valid != 0) {
            let ty = self.type_of(*last).clone();
            let neutral = self.literal(&ty, neutral(scalar, ty.dtype));
            let inside = &Dim::constant(valid as i64 - 1) - &Dim::from(&thread_symbol());
            if let Truth::If(inside) = self.truth(&inside) {
                *last = self.op(Scalar::Select, &[inside, *last, neutral]);
            }
        }
        self.pairwise(scalar, row)
    }

    /// Each value combined over all threads, for all of them: each stage leaves an eighth of the elements.
    fn reduce_rows(&mut self, scalar: Scalar, rows: &[Value]) -> Vec<Value> {
        let ty = self.type_of(rows[0]).clone();
        let thread = Dim::from(&thread_symbol());
        let (mut rows, mut left, mut role) = (rows.to_vec(), u64::from(self.lanes), 2);
        while left > 1 {
            let memory = self.exchange(ty.dtype, left * ROWS as u64, role);
            self.before_write(Use::of(memory));
            let has_one = self.truth(&(&Dim::constant(left as i64 - 1) - &thread));
            for (nth, &row) in rows.iter().enumerate() {
                let at = &thread + (nth as u64 * left) as i64;
                self.put(memory, &at, row, has_one);
            }
            self.before_read(Use::of(memory));
            let next = left / left.min(RADIX);
            let own = thread.modulo(&Dim::constant(next as i64));
            for (nth, row) in rows.iter_mut().enumerate() {
                let line = (0..left / next).map(|step| {
                    let at = &own + (nth as u64 * left + step * next) as i64;
                    self.get(memory, &at, &ty)
                });
                let line = line.collect();
                *row = self.pairwise(scalar, line);
            }
            (left, role) = (next, role + 1);
        }
        rows
    }
}
