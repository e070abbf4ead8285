//! Proofs that an index expression is never negative.
//!
//! Invariant: sound: a proof holds for every value that the bounds of the symbols and the known guards allow. The search
//! is bounded, so it may also give up on what is true.

use std::cell::Cell;

use crate::graph::{Atom, Dim, Range, Ranges, Symbol};

/// Steps of one proof. Natural accesses take fewer than twenty.
const MAX_STEPS: u32 = 400;
const MAX_DEPTH: u32 = 12;

/// Bounds of the symbols in scope, and expressions known to be at least 0.
#[derive(Clone, Debug)]
pub struct Facts {
    ranges: Ranges,
    known: Vec<Dim>,
}

impl Facts {
    pub fn new(ranges: Ranges) -> Facts {
        Facts { ranges, known: Vec::new() }
    }

    pub fn declare(&mut self, symbol: Symbol, low: Dim, high: Option<Dim>) {
        self.ranges.declare(symbol, low, high);
    }

    /// `symbol` runs over `start..end` in steps.
    pub fn declare_loop(&mut self, symbol: Symbol, start: &Dim, end: &Dim, step: i64) {
        let whole_steps = step > 0 && (end - start).modulo(&Dim::constant(step)).is(0);
        let last = end - &Dim::constant(if whole_steps { step } else { 1 });
        self.declare(symbol, start.clone(), Some(last));
    }

    pub fn assume(&mut self, guards: impl IntoIterator<Item = Dim>) {
        self.known.extend(guards);
    }

    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// `dim >= 0` for all allowed values.
    pub fn proves(&self, dim: &Dim) -> bool {
        let search = Search { facts: self, steps: Cell::new(MAX_STEPS) };
        search.not_negative(dim, MAX_DEPTH)
    }
}

struct Search<'a> {
    facts: &'a Facts,
    steps: Cell<u32>,
}

impl Search<'_> {
    fn not_negative(&self, dim: &Dim, depth: u32) -> bool {
        if self.facts.ranges.lower_bound(dim).is_some_and(|bound| bound >= 0) {
            return true;
        }
        if depth == 0 || self.steps.get() == 0 {
            return false;
        }
        self.steps.set(self.steps.get() - 1);
        self.by_known(dim, depth - 1) || self.by_atom(dim, depth - 1) || self.by_bound(dim, depth - 1)
    }

    /// `dim = fact + rest`, for facts that share a term with it.
    fn by_known(&self, dim: &Dim, depth: u32) -> bool {
        self.facts.known.iter().any(|fact| {
            let shares = fact.terms().any(|(monomial, c)| {
                !monomial.is_empty() && dim.terms().any(|(other, d)| other == monomial && (c > 0) == (d > 0))
            });
            shares && self.not_negative(&(dim - fact), depth)
        })
    }

    /// Replaces one quotient, remainder, minimum or maximum by what bounds it.
    fn by_atom(&self, dim: &Dim, depth: u32) -> bool {
        dim.terms().any(|(monomial, coefficient)| {
            let [(atom, 1)] = monomial.as_slice() else { return false };
            let whole = Dim::atom(atom.clone());
            let rest = dim - &(&whole * coefficient);
            let with = |bound: &Dim| self.not_negative(&(&rest + &(bound * coefficient)), depth);
            match atom {
                Atom::Symbol(_) => false,
                Atom::Min(a, b) if coefficient < 0 => with(a) || with(b),
                Atom::Max(a, b) if coefficient > 0 => with(a) || with(b),
                Atom::Min(a, b) | Atom::Max(a, b) => with(a) && with(b),
                Atom::Mod(_, b) if !self.positive(b, depth) => false,
                Atom::Mod(_, b) => with(&if coefficient < 0 { b - &Dim::constant(1) } else { Dim::constant(0) }),
                Atom::FloorDiv(_, b) if !self.positive(b, depth) => false,
                // rest - floor(a / b) >= 0 exactly when a <= rest·b + b - 1, and floor(a / b) + rest >= 0 when a >= -rest·b.
                Atom::FloorDiv(a, b) if coefficient == -1 => {
                    self.not_negative(&(&(&(&rest * b) + b) - &(a + &Dim::constant(1))), depth)
                }
                Atom::FloorDiv(a, b) if coefficient == 1 => self.not_negative(&(&(&rest * b) + a), depth),
                Atom::FloorDiv(..) => false,
            }
        })
    }

    fn positive(&self, dim: &Dim, depth: u32) -> bool {
        self.not_negative(&(dim - &Dim::constant(1)), depth)
    }

    /// Replaces the innermost symbol in which `dim` is affine by the bound that makes it smallest.
    fn by_bound(&self, dim: &Dim, depth: u32) -> bool {
        let ranges: Vec<&Range> = self.facts.ranges.iter().collect();
        let found = ranges.iter().rev().find_map(|range| {
            let (slope, rest) = dim.affine_in(&range.symbol).filter(|_| dim.mentions(&range.symbol))?;
            if self.facts.ranges.lower_bound(&slope).is_some_and(|low| low >= 0) {
                Some(&rest + &(&slope * &range.low))
            } else if self.facts.ranges.upper_bound(&slope).is_some_and(|high| high <= 0) {
                Some(&rest + &(&slope * range.high.as_ref()?))
            } else {
                None
            }
        });
        found.is_some_and(|smaller| self.not_negative(&smaller, depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> Dim {
        text.parse().expect("a size")
    }

    fn facts(symbols: &[(&str, &str, &str)]) -> Facts {
        let mut facts = Facts::new(Ranges::default());
        for (symbol, low, high) in symbols {
            let high = (!high.is_empty()).then(|| dim(high));
            facts.declare(Symbol::new(symbol), dim(low), high);
        }
        facts
    }

    #[test]
    fn natural_indices_are_proved() {
        let f = facts(&[("N", "1", ""), ("M", "1", ""), ("k0", "0", "N - 1"), ("k", "k0", "min(k0 + 64, N) - 1")]);
        assert!(f.proves(&dim("N - 1 - k")));
        assert!(f.proves(&dim("k0 + 63 - k")));
        assert!(!f.proves(&dim("N - 2 - k")));
        let f = facts(&[("N", "1", ""), ("M", "1", ""), ("i", "0", "N*M - 1")]);
        assert!(f.proves(&dim("N - 1 - floordiv(i, M)")), "row of a flat index");
        assert!(f.proves(&dim("M - 1 - mod(i, M)")), "column of a flat index");
        assert!(!f.proves(&dim("N - 2 - floordiv(i, M)")));
    }

    #[test]
    fn guards_are_facts() {
        let mut f = facts(&[("H", "1", ""), ("y", "0", "H - 1"), ("dy", "0", "2")]);
        assert!(!f.proves(&dim("y + dy - 1")));
        f.assume([dim("y + dy - 1"), dim("H - y - dy")]);
        assert!(f.proves(&dim("y + dy - 1")));
        assert!(f.proves(&dim("H - 1 - (y + dy - 1)")));
    }

    #[test]
    fn whole_steps_reach_the_last_block() {
        let mut f = facts(&[("N", "0", "")]);
        f.declare_loop(Symbol::new("k"), &dim("0"), &dim("64*floordiv(N, 64)"), 64);
        f.declare(Symbol::new("l0"), dim("0"), Some(dim("63")));
        assert!(f.proves(&dim("N - 1 - k - l0")));
    }
}
