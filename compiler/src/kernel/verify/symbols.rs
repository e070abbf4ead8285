//! Statements that bring symbols and facts into scope: loops, ifs, declared symbols.

use super::{Facts, Verifier};
use crate::graph::Dim;
use crate::kernel::types::matrix::Matrix;
use crate::kernel::types::*;

impl Verifier<'_> {
    /// What typing leaves: scopes of symbols, proofs, and the blocks inside.
    pub(super) fn memory_and_symbols(&mut self, place: &str, stmt: &Stmt, facts: &mut Facts) {
        match &stmt.op {
            Op::Load(access, _) => {
                let ty = self.kernel.type_of(stmt.results[0]);
                let n_neighbours = self.kernel.neighbours(access.memory, ty).unwrap_or(1);
                self.access(place, access, (&ty.shape, n_neighbours), facts);
                self.readable(place, access.memory);
            }
            Op::Store(access, value) | Op::Accumulate(access, value) => {
                let shape = self.kernel.type_of(*value).shape.clone();
                self.access(place, access, (&shape, 1), facts);
                self.writable(place, access.memory);
                if matches!(stmt.op, Op::Accumulate(..)) {
                    self.readable(place, access.memory);
                    self.alone(place, access);
                }
            }
            // A hint may speak of memory that will be written, whose lines are read first, or lie beyond any.
            Op::Prefetch(access) => self.hint(place, access),
            Op::PrefetchAt(_) => {}
            Op::Matrix(Matrix::Load(_, at, _)) => self.readable(place, at.memory),
            Op::Matrix(Matrix::Store(_, at, _)) => self.writable(place, at.memory),
            Op::LoadAt(at) => self.readable(place, at.memory),
            Op::StoreAt(at, _) => self.writable(place, at.memory),
            Op::Index(dim) => {
                let rank = self.kernel.type_of(stmt.results[0]).shape.len();
                self.in_scope(place, dim, rank);
            }
            Op::RandomBits(bits) => {
                if let Index::Dim(dim) = &bits.index {
                    let rank = self.kernel.type_of(stmt.results[0]).shape.len();
                    self.in_scope(place, dim, rank);
                }
            }
            Op::Symbol(def) => {
                self.in_scope(place, &def.low, 0);
                self.in_scope(place, &def.high, 0);
                let holds = facts.proves(&(&def.high - &def.low));
                self.check(place, holds, || format!("the range {}..={} may be empty", def.low, def.high));
                self.declare(&def.symbol);
                facts.declare(def.symbol.clone(), def.low.clone(), Some(def.high.clone()));
            }
            Op::For(inner) => self.for_loop(place, inner, facts),
            Op::Loop(inner) => {
                let mark = self.scopes.mark();
                self.define(place, inner.index);
                inner.params.iter().for_each(|&param| self.define(place, param));
                self.block(&inner.body, facts);
                self.scopes.close(mark);
            }
            Op::If(inner) => self.if_else(place, inner, facts),
            _ => {}
        }
    }

    fn for_loop(&mut self, place: &str, inner: &For, facts: &Facts) {
        self.in_scope(place, &inner.start, 0);
        self.in_scope(place, &inner.end, 0);
        let mark = self.scopes.mark();
        self.declare(&inner.symbol);
        inner.params.iter().for_each(|&param| self.define(place, param));
        let mut facts = facts.clone();
        facts.declare_loop(inner.symbol.clone(), &inner.start, &inner.end, inner.step);
        self.block(&inner.body, &facts);
        self.scopes.close(mark);
    }

    fn if_else(&mut self, place: &str, inner: &If, facts: &Facts) {
        let (mut then, mut otherwise) = (facts.clone(), facts.clone());
        if let Condition::Guards(guards) = &inner.condition {
            guards.iter().for_each(|guard| self.in_scope(place, guard, 0));
            then.assume(guards.iter().cloned());
            if let [guard] = &guards[..] {
                otherwise.assume([&-guard - &Dim::constant(1)]);
            }
        }
        self.block(&inner.then, &then);
        self.block(&inner.otherwise, &otherwise);
    }
}
