//! The grid, loops, conditions and declared symbols.
//!
//! Invariant: a loop that is split runs the same iterations in the same order: first those that are whole, whose guards
//! are proved away, then what remains.

use super::dims::Truth;
use super::{Binding, Lower};
use crate::graph::{DType, Dim, Scalar, Symbol};
use crate::kernel::types::*;

/// Iterations of a loop marked `unroll` that are written out.
const MAX_UNROLLED: i64 = 64;

impl Lower<'_> {
    /// The loop over the items, which finds the grid symbols from the item's number.
    pub(super) fn grid(&mut self) {
        let begin = self.pure(Op::Argument(Argument::Begin), Type::scalar(DType::I64));
        let end = self.pure(Op::Argument(Argument::End), Type::scalar(DType::I64));
        let source = self.source;
        let depth = self.depth() + 1;
        let item = self.fresh(Type::scalar(DType::I64), depth);
        self.before_products(&source.body);
        self.open(false);
        let mut rest = item;
        for (at, axis) in source.grid.iter().enumerate().rev() {
            let symbol = axis.symbol.clone();
            // An item exists only if no extent is zero, so the extent divides.
            let value = if at == 0 {
                rest
            } else {
                let extent = self.dim(&axis.extent);
                let quotient = self.item_quotient(rest, extent);
                let product = self.op(Scalar::Mul, &[quotient, extent]);
                let value = self.op(Scalar::Sub, &[rest, product]);
                rest = quotient;
                value
            };
            self.symbols.push((symbol, Binding::Value(value)));
        }
        self.enter_loop(&source.body);
        self.pending.start_item(source.sequential);
        match self.is_block() {
            true => _ = self.block(&source.body),
            false => self.versions(&source.body),
        }
        let body = self.close(Vec::new());
        self.b.push_stmt(Stmt {
            results: Vec::new(),
            op: Op::Loop(Box::new(Loop {
                index: item,
                start: begin,
                end,
                step: 1,
                unroll: false,
                inits: Vec::new(),
                params: Vec::new(),
                body,
            })),
        });
        self.end_matrices();
    }

    fn item_quotient(&mut self, item: Value, extent: Value) -> Value {
        if self.as_literal(extent).is_some_and(|literal| literal.as_i64() == 1) {
            return item;
        }
        self.quotient(item, extent)
    }

    pub(super) fn for_loop(&mut self, inner: &For, results: &[Value]) {
        let (start, end) = (self.resolve(&inner.start), self.resolve(&inner.end));
        let length = (&end - &start).as_constant();
        for (&param, &init) in inner.params.iter().zip(&inner.inits) {
            let parts = self.tile(init).parts;
            self.set_tile(param, parts);
        }
        let trips = length.map(|length| (length.max(0) as u64).div_ceil(inner.step as u64) as i64);
        match (trips, start.as_constant()) {
            (Some(trips), Some(first)) if trips <= 1 || inner.unroll && trips <= MAX_UNROLLED => {
                (0..trips).for_each(|trip| self.unrolled(inner, first + trip * inner.step));
            }
            _ => self.rolled(inner, &start, &end),
        }
        for (&result, &param) in results.iter().zip(&inner.params) {
            let parts = self.tile(param).parts;
            self.set_tile(result, parts);
        }
    }

    fn unrolled(&mut self, inner: &For, at: i64) {
        self.symbols.push((inner.symbol.clone(), Binding::Constant(at)));
        let yields = self.block(&inner.body);
        self.symbols.pop();
        self.set_params(inner, &yields);
    }

    fn set_params(&mut self, inner: &For, mut parts: &[Value]) {
        for &param in &inner.params {
            let (own, rest) = parts.split_at(self.n_parts_of(param));
            self.set_tile(param, own.to_vec());
            parts = rest;
        }
    }

    /// One loop, or a loop over the whole steps and one over what is left.
    fn rolled(&mut self, inner: &For, start: &Dim, end: &Dim) {
        let step = Dim::constant(inner.step);
        let length = end - start;
        let whole = start + &(&length.floor_div(&step) * inner.step);
        let splits = self.peel && !self.is_block() && inner.step > 1 && whole != *end && self.proves(&length);
        if !splits || !self.guards_vanish(inner, start, &whole) {
            let (first, last) = (self.dim(start), self.dim(end));
            return self.one_loop(inner, (start, end), (first, last));
        }
        let (first, middle, last) = (self.dim(start), self.dim(&whole), self.dim(end));
        self.one_loop(inner, (start, &whole), (first, middle));
        self.one_loop(inner, (start, end), (middle, last));
    }

    fn one_loop(&mut self, inner: &For, (start, end): (&Dim, &Dim), (first, last): (Value, Value)) {
        let inits: Vec<Value> = inner.params.iter().flat_map(|&param| self.tile(param).parts).collect();
        let types: Vec<Type> = inits.iter().map(|&value| self.type_of(value).clone()).collect();
        let depth = self.depth();
        let index = self.fresh(Type::scalar(DType::I64), depth + 1);
        let params: Vec<Value> = types.iter().map(|ty| self.fresh(ty.clone(), depth + 1)).collect();
        self.set_params(inner, &params);
        let before = self.enter_loop(&inner.body);
        self.before_products(&inner.body);
        let shaped = self.held.shaped();
        self.open(false);
        let body = self.loop_body(inner, (start, end), index);
        let body = self.close(body);
        self.meet_shapes(shaped);
        self.pending.join(before);
        let results: Vec<Value> = types.into_iter().map(|ty| self.fresh(ty, depth)).collect();
        let inner_loop = Loop { index, start: first, end: last, step: inner.step, unroll: false, inits, params, body };
        self.b.push_stmt(Stmt { results: results.clone(), op: Op::Loop(Box::new(inner_loop)) });
        self.set_params(inner, &results);
    }

    fn loop_body(&mut self, inner: &For, (start, end): (&Dim, &Dim), index: Value) -> Vec<Value> {
        let outer = self.facts.clone();
        self.facts.declare_loop(inner.symbol.clone(), start, end, inner.step);
        self.symbols.push((inner.symbol.clone(), Binding::Value(index)));
        let yields = self.block(&inner.body);
        self.symbols.pop();
        self.facts = outer;
        yields
    }

    pub(super) fn if_else(&mut self, inner: &If, results: &[Value]) {
        let mut truth = Truth::Always;
        let mut guards = Vec::new();
        match &inner.condition {
            Condition::Value(value) => truth = Truth::If(self.tile(*value).parts[0]),
            Condition::Guards(all) => {
                for guard in all {
                    let holds = self.truth(guard);
                    truth = self.both(truth, holds);
                    guards.push(self.resolve(guard));
                }
            }
        }
        let yields = match truth {
            Truth::Always => self.block(&inner.then),
            Truth::Never => self.block(&inner.otherwise),
            Truth::If(condition) => {
                let before = self.pending.clone();
                let then = self.assuming(&guards, &inner.then);
                let after = std::mem::replace(&mut self.pending, before);
                let refuted: Vec<Dim> = guards.iter().map(|guard| &-guard - &Dim::constant(1)).collect();
                let otherwise = self.assuming(if refuted.len() == 1 { &refuted } else { &[] }, &inner.otherwise);
                self.pending.join(after);
                let types: Vec<Type> = then.yields.iter().map(|&value| self.type_of(value).clone()).collect();
                self.push_if(condition, then, otherwise, &types)
            }
        };
        let mut rest = &yields[..];
        for &result in results {
            let (own, others) = rest.split_at(self.n_parts_of(result));
            self.set_tile(result, own.to_vec());
            rest = others;
        }
    }

    /// A conditional block in which the guards hold.
    pub(super) fn assuming(&mut self, guards: &[Dim], block: &Block) -> Block {
        let outer = self.facts.clone();
        self.facts.assume(guards.iter().cloned());
        let shaped = self.held.shaped();
        self.open(true);
        let yields = self.block(block);
        let block = self.close(yields);
        self.meet_shapes(shaped);
        self.facts = outer;
        block
    }

    pub(super) fn symbol_def(&mut self, def: &SymbolDef) {
        let value = self.tile(def.value).parts[0];
        let mut value = value;
        for (scalar, bound) in [(Scalar::Min, &def.high), (Scalar::Max, &def.low)] {
            if !self.is_idle(scalar, bound) {
                let bound = self.dim(bound);
                value = self.op(scalar, &[value, bound]);
            }
        }
        self.symbols.push((def.symbol.clone(), Binding::Value(value)));
        let (low, high) = (self.resolve(&def.low), self.resolve(&def.high));
        self.facts.declare(Symbol::clone(&def.symbol), low, Some(high));
        self.facts_changed();
    }
}
