//! Tiles on the threads of a block: the lanes of a vector are threads.
//!
//! Invariant: of a part of a tile thread t has the t-th element; what is the same in all lanes, each thread has for itself.
//! So all control flow of the tile level is the same for all threads, and a barrier may stand between any two of its
//! statements. An element that all threads have is stored by the first of them.

use super::dims::{Truth, at_lane};
use super::layout::{Part, Tile, parts};
use super::{Binding, Lower};
use crate::graph::{Dim, Scalar, Symbol};
use crate::kernel::types::*;

/// The number of the thread in index expressions. No name in a kernel's text has this sign.
pub(super) fn thread_symbol() -> Symbol {
    Symbol::new("%thread")
}

/// Elements of a tile.
pub(super) enum Spot<'a> {
    One(&'a [i64]),
    /// One for each thread, neighbours along the last axis from here on.
    Row(&'a [i64]),
    /// One for each thread, at positions that say which.
    Each(&'a [Dim]),
}

impl<'a> Spot<'a> {
    pub fn of(part: &'a Part) -> Spot<'a> {
        if part.vector { Spot::Row(&part.index) } else { Spot::One(&part.index) }
    }

    /// An expression over lanes at this place.
    pub fn at(&self, dim: &Dim) -> Dim {
        match *self {
            Spot::One(index) => at_lane(dim, index, 0),
            Spot::Row(index) => {
                let last = index.len().wrapping_sub(1);
                dim.substitute(&|symbol| {
                    let axis = (0..index.len()).find(|&axis| lane_symbol(axis) == *symbol)?;
                    let first = Dim::constant(index[axis]);
                    Some(if axis == last { &first + &Dim::from(&thread_symbol()) } else { first })
                })
            }
            Spot::Each(positions) => dim.substitute(&|symbol| {
                let axis = (0..positions.len()).find(|&axis| lane_symbol(axis) == *symbol)?;
                Some(positions[axis].clone())
            }),
        }
    }
}

impl Lower<'_> {
    pub(super) fn is_block(&self) -> bool {
        self.target.threads > 1
    }

    pub(super) fn begin_block(&mut self) {
        self.b.threads(self.target.threads);
        let thread = self.pure(Op::Argument(Argument::Thread), Type::scalar(crate::graph::DType::I64));
        self.symbols.push((thread_symbol(), Binding::Value(thread)));
        let last = Dim::constant(i64::from(self.lanes) - 1);
        self.facts.declare(thread_symbol(), Dim::constant(0), Some(last));
        self.find_shares();
        self.find_owners();
    }

    /// Which threads have an element of the part that counts.
    pub(super) fn takes_part(&mut self, part: &Part) -> Truth {
        let thread = Dim::from(&thread_symbol());
        match part.vector {
            true => self.truth(&(&Dim::constant(i64::from(part.valid) - 1) - &thread)),
            false => Truth::Always,
        }
    }

    fn is_first(&mut self) -> Truth {
        self.truth(&-&Dim::from(&thread_symbol()))
    }

    pub(super) fn load_in_block(&mut self, access: &Access, otherwise: Literal, ty: &Type) -> Tile {
        let access = &self.without_proved_guards(access, &ty.shape);
        self.before_read(self.use_of(access, &ty.shape));
        let scalar = Type::scalar(ty.dtype);
        let made = parts(&ty.shape, self.lanes).into_iter().map(|part| {
            let (place, truth) = self.locate(access, &Spot::of(&part), true);
            let takes_part = self.takes_part(&part);
            let truth = self.both(takes_part, truth);
            self.load_when(truth, place, &scalar, otherwise)
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn store_in_block(&mut self, access: &Access, value: Value, accumulate: bool) {
        if let Some(share) = self.shares.of(value).copied() {
            return self.store_share(access, value, &share);
        }
        let tile = self.tile(value);
        let access = &self.without_proved_guards(access, &tile.shape);
        self.before_write(self.use_of(access, &tile.shape));
        let may_meet = self.is_scattered(access);
        let all_have_it = self.is_private(access.memory);
        for (part, &value) in parts(&tile.shape, self.lanes).iter().zip(&tile.parts) {
            let (place, truth) = self.locate(access, &Spot::of(part), true);
            let takes_part = match part.vector || all_have_it {
                true => self.takes_part(part),
                false => self.is_first(),
            };
            let truth = self.both(takes_part, truth);
            match may_meet && part.vector {
                true => self.one_by_one(access.memory, truth, place, value, accumulate),
                false => self.when(truth, |lower| lower.write(place, value, accumulate)),
            }
        }
    }

    /// Threads may mean the same element, so they take turns, in the order of the lanes.
    fn one_by_one(&mut self, memory: Memory, truth: Truth, place: Place, value: Value, accumulate: bool) {
        let (first, last) = (self.int(0), self.int(i64::from(self.lanes)));
        let depth = self.depth() + 1;
        let turn = self.fresh(Type::scalar(crate::graph::DType::I64), depth);
        self.open(false);
        let thread = self.dim(&Dim::from(&thread_symbol()));
        let is_turn = self.op(Scalar::Eq, &[thread, turn]);
        let truth = self.both(truth, Truth::If(is_turn));
        self.when(truth, |lower| lower.write(place, value, accumulate));
        self.b.barrier();
        let body = self.close(Vec::new());
        let (inits, params) = Default::default();
        let turns = Loop { index: turn, start: first, end: last, step: 1, unroll: false, inits, params, body };
        self.b.push_stmt(Stmt { results: Vec::new(), op: Op::Loop(Box::new(turns)) });
        self.pending.forget(memory);
    }

    /// Where the lanes go is known from data only.
    fn is_scattered(&self, access: &Access) -> bool {
        access.index.iter().any(|index| match index {
            Index::Value(value) => self.source.type_of(*value).shape.last().is_some_and(|&extent| extent > 1),
            Index::Dim(_) => false,
        })
    }
}
