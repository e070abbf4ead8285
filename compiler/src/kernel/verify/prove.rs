//! Proofs that an index expression is never negative.
//!
//! Invariant: sound: a proof holds for every value that the bounds of the symbols and the known guards allow. The search
//! is bounded, so it may also give up on what is true; what an example refutes is not searched for.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use super::points::{self, Point};
use crate::graph::{Atom, Dim, Range, Ranges, Symbol};
use crate::kernel::types::Kernel;

/// Sizes that one proof looks at. Natural accesses take fewer than ten.
const MAX_STEPS: u32 = 100;
const MAX_DEPTH: u32 = 12;
/// Multiples of a size that facts are compared with: strides of convolutions.
const MAX_SCALE: i64 = 8;

/// Bounds of the symbols in scope, and expressions known to be at least 0.
#[derive(Clone, Debug)]
pub struct Facts {
    ranges: Ranges,
    known: Vec<Dim>,
    /// Examples of what the facts allow; found when first needed.
    points: OnceCell<Vec<Point>>,
}

impl Facts {
    pub fn new(ranges: Ranges) -> Facts {
        Facts { ranges, known: Vec::new(), points: OnceCell::new() }
    }

    /// What holds inside the body of a kernel: sizes and grid symbols are in their ranges, and there is an item.
    pub fn of_body(kernel: &Kernel) -> Facts {
        let mut facts = Facts::new(kernel.ranges());
        facts.assume(kernel.grid.iter().map(|axis| &axis.extent - &Dim::constant(1)));
        facts
    }

    pub fn declare(&mut self, symbol: Symbol, low: Dim, high: Option<Dim>) {
        self.ranges.declare(symbol, low, high);
        self.points.take();
    }

    /// Inside a loop: `symbol` runs over `start..end` in steps, which is not empty.
    pub fn declare_loop(&mut self, symbol: Symbol, start: &Dim, end: &Dim, step: i64) {
        let whole_steps = step > 0 && (end - start).modulo(&Dim::constant(step)).is(0);
        let last = end - &Dim::constant(if whole_steps { step } else { 1 });
        self.declare(symbol, start.clone(), Some(last));
        self.assume([&(end - start) - &Dim::constant(1)]);
    }

    pub fn assume(&mut self, guards: impl IntoIterator<Item = Dim>) {
        for guard in guards {
            let tight = tighten(&guard);
            self.known.extend(self.positive_factors(&tight));
            // A proof takes a fact as it is, and may need it at the scale of the index.
            if tight != guard {
                self.known.push(guard);
            }
            self.known.push(tight);
        }
        self.points.take();
    }

    /// A product that is at least 1, of factors that are at least 0, has no factor 0.
    fn positive_factors(&self, guard: &Dim) -> Vec<Dim> {
        let product = guard - &Dim::constant(guard.constant_term());
        let [(monomial, c)] = product.terms().collect::<Vec<_>>()[..] else { return Vec::new() };
        if c <= 0 || guard.constant_term() >= 0 || monomial.len() < 2 {
            return Vec::new();
        }
        let factors: Vec<Dim> = monomial.iter().map(|(atom, _)| Dim::atom(atom.clone())).collect();
        let all_known = factors.iter().all(|factor| self.ranges.lower_bound(factor).is_some_and(|low| low >= 0));
        if all_known { factors.iter().map(|factor| factor - &Dim::constant(1)).collect() } else { Vec::new() }
    }

    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// `dim >= 0` for all allowed values.
    pub fn proves(&self, dim: &Dim) -> bool {
        if self.plain(dim) {
            return true;
        }
        let points = self.points.get_or_init(|| points::allowed(&self.ranges, &self.known));
        if points.iter().any(|point| point.eval(dim).is_some_and(|value| value < 0)) {
            return false;
        }
        let search = Search { facts: self, steps: Cell::new(MAX_STEPS), tried: RefCell::default() };
        // Proofs are short: all that is near is tried before anything far.
        (0..=MAX_DEPTH).any(|depth| search.not_negative(dim, depth))
    }
}

impl Facts {
    /// A guard that never holds: whatever stands behind it does not happen.
    fn is_contradictory(&self) -> bool {
        self.known.iter().any(|known| known.as_constant().is_some_and(|value| value < 0))
    }

    /// A sum of what is not negative, or what is known up to a constant: most proofs are no more than this.
    fn plain(&self, dim: &Dim) -> bool {
        let not_negative = |symbol: &Symbol| {
            let low = self.ranges.get(symbol).map(|range| range.low.as_constant());
            low.flatten().is_some_and(|low| low >= 0)
        };
        let symbol = |atom: &Atom| matches!(atom, Atom::Symbol(symbol) if not_negative(symbol));
        dim.terms().all(|(monomial, c)| c >= 0 && monomial.iter().all(|(atom, _)| symbol(atom)))
            || self.is_contradictory()
            || self.known.iter().any(|known| (dim - known).as_constant().is_some_and(|rest| rest >= 0))
    }
}

/// Divides by what all terms but the constant have in common; the constant rounds down, as sizes are integers.
fn tighten(guard: &Dim) -> Dim {
    let coefficients = guard.terms().filter(|(monomial, _)| !monomial.is_empty());
    let common = coefficients.fold(0u64, |common, (_, c)| gcd(common, c.unsigned_abs()));
    match i64::try_from(common) {
        Ok(common) if common > 1 => {
            Dim::from_terms(guard.terms().map(|(monomial, c)| (monomial.clone(), c.div_euclid(common))))
        }
        _ => guard.clone(),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

struct Search<'a> {
    facts: &'a Facts,
    steps: Cell<u32>,
    /// What has no bound by itself, and how deep it was tried: facts taken in another order lead to the same sizes.
    tried: RefCell<HashMap<Dim, u32>>,
}

impl Search<'_> {
    fn not_negative(&self, dim: &Dim, depth: u32) -> bool {
        let tried = self.tried.borrow().get(dim).copied();
        match tried {
            Some(tried) if tried >= depth => return false,
            Some(_) => {}
            None if self.steps.get() == 0 => return false,
            None => {
                self.steps.set(self.steps.get() - 1);
                if self.facts.ranges.lower_bound(dim).is_some_and(|bound| bound >= 0) {
                    return true;
                }
            }
        }
        self.tried.borrow_mut().insert(dim.clone(), depth);
        if depth == 0 {
            return false;
        }
        self.by_known(dim, depth - 1) || self.by_atom(dim, depth - 1) || self.by_bound(dim, depth - 1)
    }

    /// `dim = n·fact + rest`, for facts that share a term with it, with n such that the term goes away; or
    /// `k·dim = fact + rest`, where the fact has k times the term: sizes are integers, so `k·dim >= 1 - k` is enough.
    fn by_known(&self, dim: &Dim, depth: u32) -> bool {
        self.facts.known.iter().any(|fact| {
            let shared: Vec<(i64, i64)> = fact
                .terms()
                .filter(|(monomial, _)| !monomial.is_empty())
                .filter_map(|(monomial, c)| {
                    let (_, d) = dim.terms().find(|(other, _)| *other == monomial)?;
                    ((c > 0) == (d > 0)).then_some((c, d))
                })
                .collect();
            let Some(&(c, d)) = shared.first() else { return false };
            let times = d.checked_div(c).unwrap_or(1);
            let scale =
                shared.iter().map(|&(c, d)| if c.checked_rem(d) == Some(0) { c / d } else { 1 }).max().unwrap_or(1);
            times > 1 && self.not_negative(&(dim - &(fact * times)), depth)
                || self.not_negative(&(dim - fact), depth)
                || (2..=MAX_SCALE).contains(&scale)
                    && self.not_negative(&(&(&(dim * scale) - fact) + &Dim::constant(scale - 1)), depth)
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
    fn behind_a_guard_that_never_holds_everything_is_in_range() {
        let mut f = facts(&[("l", "0", "4")]);
        assert!(!f.proves(&dim("l - 3")));
        f.assume([dim("-2")]);
        assert!(f.proves(&dim("l - 3")));
    }

    #[test]
    fn facts_about_multiples_count() {
        let mut f = facts(&[("r", "0", "2"), ("l", "0", "4")]);
        f.assume([dim("r + 2*l - 2"), dim("-r")]);
        assert!(f.proves(&dim("l - 1")));
        assert!(!f.proves(&dim("l - 2")));
    }

    #[test]
    fn guards_bound_their_multiples() {
        let mut f = facts(&[("n", "0", ""), ("l0", "0", "15"), ("p", "0", "767")]);
        f.assume([dim("13 - 16*n - l0")]);
        assert!(f.proves(&dim("223 - mod(p, 16) - 256*n - 16*l0")));
        assert!(!f.proves(&dim("222 - mod(p, 16) - 256*n - 16*l0")));
    }

    #[test]
    fn a_short_proof_is_found_among_many_facts() {
        let mut f = facts(&[("H", "1", ""), ("W", "1", ""), ("j1", "0", ""), ("l0", "0", "3")]);
        f.assume([
            dim("2*g1 - 1"),
            dim("r3 + 2*g1 - 1"),
            dim("floordiv(H + 1, 2) - r3 - 2*g1"),
            dim("-32*floordiv(W + 3, 64) + floordiv(W + 1, 2)"),
            dim("floordiv(W + 1, 2) - r4 - 2*l0 - 32*j0"),
            dim("32*floordiv(W + 3, 64) + r4 + 2*l0 + 8*j1 - 1"),
            dim("-8*floordiv(mod(floordiv(W + 3, 4), 16) + 3, 4) - 32*floordiv(W + 3, 64) + floordiv(W + 1, 2)"),
            dim("-32*floordiv(W + 3, 64) + floordiv(W + 1, 2) - r4 - 2*l0 - 8*j1"),
            dim("-16*floordiv(W + 3, 64) + floordiv(W + 3, 4) - l0 - 4*j1 - 1"),
        ]);
        assert!(f.proves(&dim("-32*floordiv(W + 3, 64) + floordiv(W + 1, 2) - 2*l0 - 8*j1")));
        assert!(!f.proves(&dim("-32*floordiv(W + 3, 64) + floordiv(W + 1, 2) - 2*l0 - 8*j1 - 5")));
    }

    #[test]
    fn what_runs_is_not_empty() {
        let mut f = facts(&[("H", "0", ""), ("W", "0", "")]);
        assert!(!f.proves(&dim("H - 1")));
        f.declare_loop(Symbol::new("r"), &dim("0"), &dim("2*H*W"), 1);
        assert!(f.proves(&dim("H - 1")) && f.proves(&dim("W - 1")));
        assert!(f.proves(&dim("2*H - 1 - floordiv(r, W)")));
    }

    #[test]
    fn whole_steps_reach_the_last_block() {
        let mut f = facts(&[("N", "0", "")]);
        f.declare_loop(Symbol::new("k"), &dim("0"), &dim("64*floordiv(N, 64)"), 64);
        f.declare(Symbol::new("l0"), dim("0"), Some(dim("63")));
        assert!(f.proves(&dim("N - 1 - k - l0")));
    }
}
