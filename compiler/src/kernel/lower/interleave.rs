//! Vectors whose lanes take turns, and stores of what alternates in memory by them.
//!
//! Invariant: the same elements are stored; stores that follow each other touch none that another of them does.

use super::Lower;
use super::block::Spot;
use super::layout::{Part, parts};
use crate::graph::DType;
use crate::kernel::types::*;

/// So many stores at once.
const COUNTS: [usize; 2] = [4, 2];

impl Lower<'_> {
    /// Lowers the stores that a block begins with, if the elements of each lie between those of the others; how many these
    /// are.
    pub(super) fn store_interleaved(&mut self, stmts: &[Stmt]) -> usize {
        if self.lanes == 1 || self.is_block() {
            return 0;
        }
        let found = COUNTS.into_iter().find(|&count| stmts.len() >= count && self.alternates(&stmts[..count]));
        let Some(count) = found else { return 0 };
        let stores: Vec<(&Access, Value)> = stmts[..count].iter().filter_map(store_of).collect();
        let tiles: Vec<_> = stores.iter().map(|(_, value)| self.tile(*value)).collect();
        for (idx, part) in parts(&tiles[0].shape, self.lanes).iter().enumerate() {
            let (place, truth) = self.locate(stores[0].0, &Spot::One(&part.index), true);
            let vectors = self.in_turns(tiles.iter().map(|tile| tile.parts[idx]).collect());
            for (number, vector) in vectors.into_iter().enumerate() {
                let place = Place { plus: place.plus + number as i64 * i64::from(self.lanes), ..place.clone() };
                self.when(truth, |lower| lower.b.store_at(place, vector));
            }
        }
        count
    }

    /// Vectors whose lanes are those of the given ones in turns, of which there are a power of two: those of every other one
    /// take turns first.
    pub(super) fn in_turns(&mut self, vectors: Vec<Value>) -> Vec<Value> {
        if vectors.len() == 1 {
            return vectors;
        }
        let every_other = |start: usize| vectors.iter().copied().skip(start).step_by(2).collect();
        let (first, second) = (self.in_turns(every_other(0)), self.in_turns(every_other(1)));
        let ty = self.type_of(first[0]).clone();
        let pairs: Vec<(Value, Value)> = first.into_iter().zip(second).collect();
        let half = self.lanes / 2;
        let zip = |lower: &mut Self, (a, b), first: u32| {
            let lanes = (first..first + half).flat_map(|lane| [lane, lane + 2 * half]).collect();
            lower.pure(Op::Shuffle { a, b, lanes }, ty.clone())
        };
        pairs.into_iter().flat_map(|pair| [0, half].map(|first| zip(self, pair, first))).collect()
    }

    /// Vectors hold such elements, of which lanes are moved as fast as those of words.
    fn may_take_turns(&self, dtype: DType) -> bool {
        dtype != DType::Bool && (dtype.size_of() == 4 || dtype.size_of() == 2 && !self.target.only_words)
    }

    /// Whether these are stores of whole vectors, each one element after the one before, with the others between
    /// neighbours.
    fn alternates(&self, stmts: &[Stmt]) -> bool {
        let stores: Option<Vec<(&Access, Value)>> = stmts.iter().map(store_of).collect();
        let Some(stores) = stores else { return false };
        let (first, value) = stores[0];
        let ty = self.source.type_of(value);
        let parts = parts(&ty.shape, self.lanes);
        let is_whole = |part: &Part| {
            part.vector && part.valid == self.lanes && self.lane_slope(first, part) == Some(stmts.len() as i64)
        };
        let is_plain = self.may_take_turns(ty.dtype) && first.guards.is_empty() && parts.iter().all(is_whole);
        is_plain
            && stores.iter().enumerate().all(|(number, (access, value))| {
                let follows = |(idx, (at, from)): (usize, (&Index, &Index))| match (at, from) {
                    (Index::Dim(at), Index::Dim(from)) => {
                        let step = if idx + 1 == first.index.len() { number as i64 } else { 0 };
                        (at - from).as_constant() == Some(step)
                    }
                    _ => false,
                };
                access.memory == first.memory
                    && access.guards.is_empty()
                    && self.source.type_of(*value) == ty
                    && access.index.len() == first.index.len()
                    && access.index.iter().zip(&first.index).enumerate().all(follows)
            })
    }
}

fn store_of(stmt: &Stmt) -> Option<(&Access, Value)> {
    match &stmt.op {
        Op::Store(access, value) => Some((access, *value)),
        _ => None,
    }
}
