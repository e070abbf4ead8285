//! Two versions of a body: one for items (or iterations) that are whole, without guards, and one for the edges.
//!
//! Invariant: the first version runs only where every guard that it leaves out holds for all lanes and all inner
//! iterations. The worst case of a guard is found by putting the bounds of inner symbols in place of them.

use super::Lower;
use super::dims::Truth;
use crate::graph::{Dim, Symbol};
use crate::kernel::Facts;
use crate::kernel::types::*;

/// More distinct edges than this are checked where they are.
const MAX_CONDITIONS: usize = 8;

impl Lower<'_> {
    /// The body of an item.
    pub(super) fn versions(&mut self, body: &Block) {
        let mut conditions = Vec::new();
        let outer: Vec<Symbol> = self.facts.ranges().iter().map(|range| range.symbol.clone()).collect();
        let mut inner = Inner { outer: &outer, order: Vec::new() };
        self.collect(body, &self.facts.clone(), &mut inner, &mut conditions);
        if conditions.is_empty() || conditions.len() > MAX_CONDITIONS {
            self.block(body);
            return;
        }
        let mut truth = Truth::Always;
        for worst in &conditions {
            let holds = self.truth(worst);
            truth = self.both(truth, holds);
        }
        let Truth::If(condition) = truth else {
            self.block(body);
            return;
        };
        let whole = self.assuming(&conditions, body);
        self.peel = false;
        let edge = self.assuming(&[], body);
        self.peel = true;
        self.push_if(condition, whole, edge, &[]);
    }

    /// Worst cases of guards that are not proved: each implies its guards.
    fn collect(&self, block: &Block, facts: &Facts, inner: &mut Inner, found: &mut Vec<Dim>) {
        let mut facts = facts.clone();
        for stmt in &block.stmts {
            let shape = match &stmt.op {
                Op::Load(..) => &self.source.type_of(stmt.results[0]).shape,
                Op::Store(_, value) | Op::Accumulate(_, value) => &self.source.type_of(*value).shape,
                _ => &Vec::new(),
            };
            match &stmt.op {
                Op::Load(access, _) | Op::Store(access, _) | Op::Accumulate(access, _) => {
                    for guard in &access.guards {
                        self.worst_case(guard, shape, &facts, inner, found);
                    }
                }
                Op::For(own) => {
                    let mark = inner.order.len();
                    inner.order.push((own.symbol.clone(), own.start.clone(), &own.end - &Dim::constant(1)));
                    let mut facts = facts.clone();
                    facts.declare_loop(own.symbol.clone(), &own.start, &own.end, own.step);
                    self.collect(&own.body, &facts, inner, found);
                    inner.order.truncate(mark);
                }
                Op::If(own) => {
                    let mut then = facts.clone();
                    if let Condition::Guards(guards) = &own.condition {
                        then.assume(guards.iter().cloned());
                    }
                    self.collect(&own.then, &then, inner, found);
                    self.collect(&own.otherwise, &facts, inner, found);
                }
                Op::Symbol(def) => facts.declare(def.symbol.clone(), def.low.clone(), Some(def.high.clone())),
                _ => {}
            }
        }
    }

    fn worst_case(&self, guard: &Dim, shape: &[u64], facts: &Facts, inner: &Inner, found: &mut Vec<Dim>) {
        let mut facts = facts.clone();
        let mut order = inner.order.clone();
        for (lane, low, high) in lane_bounds(shape) {
            facts.declare(lane.clone(), low.clone(), Some(high.clone()));
            order.push((lane, low, high));
        }
        if facts.proves(guard) {
            return;
        }
        let Some(worst) = worst(guard, &order).filter(|worst| inner.is_outer(worst) && worst.as_constant().is_none())
        else {
            return;
        };
        if !found.contains(&worst) {
            found.push(worst);
        }
    }

    /// Whether a guard of the loop's body is proved once the loop stops at a whole step.
    pub(super) fn guards_vanish(&self, own: &For, start: &Dim, whole: &Dim) -> bool {
        let mut before = self.facts.clone();
        before.declare_loop(own.symbol.clone(), start, &own.end, own.step);
        let mut after = self.facts.clone();
        after.declare_loop(own.symbol.clone(), start, whole, own.step);
        self.any_vanishes(&own.body, &own.symbol, &before, &after)
    }

    fn any_vanishes(&self, block: &Block, symbol: &Symbol, before: &Facts, after: &Facts) -> bool {
        block.stmts.iter().any(|stmt| match &stmt.op {
            Op::Load(access, _) => {
                let shape = &self.source.type_of(stmt.results[0]).shape;
                self.one_vanishes(access, shape, symbol, before, after)
            }
            Op::Store(access, value) | Op::Accumulate(access, value) => {
                let shape = &self.source.type_of(*value).shape;
                self.one_vanishes(access, shape, symbol, before, after)
            }
            op => op.blocks().into_iter().any(|inner| self.any_vanishes(inner, symbol, before, after)),
        })
    }

    fn one_vanishes(&self, access: &Access, shape: &[u64], symbol: &Symbol, before: &Facts, after: &Facts) -> bool {
        let lanes = |facts: &Facts| {
            let mut facts = facts.clone();
            for (lane, low, high) in lane_bounds(shape) {
                facts.declare(lane, low, Some(high));
            }
            facts
        };
        access.guards.iter().any(|guard| {
            let guard = self.resolve(guard);
            guard.mentions(symbol) && !lanes(before).proves(&guard) && lanes(after).proves(&guard)
        })
    }
}

struct Inner<'a> {
    outer: &'a [Symbol],
    /// Symbols of the loops around, outermost first, with their bounds.
    order: Vec<(Symbol, Dim, Dim)>,
}

impl Inner<'_> {
    fn is_outer(&self, dim: &Dim) -> bool {
        let mut outer = true;
        dim.for_each_symbol(&mut |symbol| outer &= self.outer.contains(symbol));
        outer
    }
}

/// The guard with each inner symbol at the bound that makes it smallest, innermost first.
fn worst(guard: &Dim, order: &[(Symbol, Dim, Dim)]) -> Option<Dim> {
    let mut worst = guard.clone();
    for (symbol, low, high) in order.iter().rev() {
        if !worst.mentions(symbol) {
            continue;
        }
        let (slope, rest) = worst.affine_in(symbol)?;
        let bound = if slope.as_constant()? < 0 { high } else { low };
        worst = &rest + &(&slope * bound);
    }
    Some(worst)
}
