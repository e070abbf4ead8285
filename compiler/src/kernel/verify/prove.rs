//! Proofs that an index expression is never negative.
//!
//! Invariant: sound: a proof holds for every value that the bounds of the symbols and the known guards allow. The search
//! is bounded, so it may also give up on what is true; what an example refutes is not searched for.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::points::{self, Point};
use crate::graph::{Atom, Bounds, Dim, Found, Range, Ranges, Symbol, greatest_divisor};
use crate::kernel::types::Kernel;

/// How deep a search goes, and of how many steps. Natural accesses take one or two, which a deep search may come to last.
const SHALLOW: (u32, u32) = (3, 40);
const DEEP: (u32, u32) = (12, 400);
/// Multiples of a size that facts are compared with: strides of convolutions.
const MAX_SCALE: i64 = 8;

/// Bounds of the symbols in scope, and expressions known to be at least 0.
#[derive(Clone, Debug)]
pub struct Facts {
    ranges: Ranges,
    /// What the ranges say, as far as it was asked.
    found: Rc<Found>,
    known: Vec<Dim>,
    /// Examples of what the facts allow; found when first needed.
    points: OnceCell<RefCell<Vec<Point>>>,
}

impl Facts {
    pub fn new(ranges: Ranges) -> Facts {
        Facts { ranges, found: Rc::default(), known: Vec::new(), points: OnceCell::new() }
    }

    /// What holds inside the body of a kernel: sizes and grid symbols are in their ranges, and there is an item.
    pub fn of_body(kernel: &Kernel) -> Facts {
        let mut facts = Facts::new(kernel.ranges());
        facts.assume(kernel.grid.iter().map(|axis| &axis.extent - &Dim::constant(1)));
        facts
    }

    /// What was known about an earlier symbol of this name, such as a lane of another tile, is forgotten.
    pub fn declare(&mut self, symbol: Symbol, low: Dim, high: Option<Dim>) {
        self.known.retain(|fact| !fact.mentions(&symbol));
        self.ranges.declare(symbol, low, high);
        self.found = Rc::default();
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
        let mut guards: Vec<Dim> = guards.into_iter().collect();
        while let Some(guard) = guards.pop() {
            let tight = tighten(&guard);
            guards.extend(opened(&tight));
            if let Some((symbol, sign)) = only_symbol(&tight) {
                match sign {
                    1 => self.ranges.raise(symbol, tight.constant_term().saturating_neg()),
                    _ => self.ranges.lower(symbol, tight.constant_term()),
                }
                self.found = Rc::default();
            }
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
        let all_known = factors.iter().all(|factor| self.bounds().not_negative(factor));
        if all_known { factors.iter().map(|factor| factor - &Dim::constant(1)).collect() } else { Vec::new() }
    }

    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds::new(&self.ranges, &self.found)
    }

    /// `dim >= 0` for all allowed values.
    pub fn proves(&self, dim: &Dim) -> bool {
        if self.plain(dim) || self.bounds().not_negative(dim) {
            return true;
        }
        let points = self.points.get_or_init(|| RefCell::new(points::allowed(&self.ranges, &self.known)));
        if points.borrow().iter().any(|point| point.eval(dim).is_some_and(|value| value < 0)) {
            return false;
        }
        if self.search(dim, SHALLOW) {
            return true;
        }
        if let Some(point) = points::refutation(&self.ranges, &self.known, dim) {
            points.borrow_mut().push(point);
            return false;
        }
        self.search(dim, DEEP)
    }

    fn search(&self, dim: &Dim, (depth, steps): (u32, u32)) -> bool {
        let search = Search { facts: self, steps: Cell::new(steps), failed: RefCell::default() };
        search.not_negative(dim, depth)
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
    let common = coefficients.fold(0u64, |common, (_, c)| greatest_divisor(common, c.unsigned_abs()));
    match i64::try_from(common) {
        Ok(common) if common > 1 => {
            Dim::from_terms(guard.terms().map(|(monomial, c)| (monomial.clone(), c.div_euclid(common))))
        }
        _ => guard.clone(),
    }
}

/// `floor(a / b) + rest >= 0` says that `a + b·rest >= 0`, for a positive constant b.
fn opened(guard: &Dim) -> Option<Dim> {
    guard.terms().find_map(|(monomial, coefficient)| match (monomial.as_slice(), coefficient) {
        ([(Atom::FloorDiv(a, b), 1)], 1) if b.as_constant().is_some_and(|by| by > 0) => {
            let rest = guard - &Dim::from_terms([(monomial.clone(), 1)]);
            Some(a + &(&rest * b))
        }
        _ => None,
    })
}

/// The symbol of a guard about one symbol alone, and its sign.
fn only_symbol(guard: &Dim) -> Option<(&Symbol, i64)> {
    let mut terms = guard.terms().filter(|(monomial, _)| !monomial.is_empty());
    match (terms.next()?, terms.next()) {
        ((monomial, sign @ (1 | -1)), None) => match monomial.as_slice() {
            [(Atom::Symbol(symbol), 1)] => Some((symbol, sign)),
            _ => None,
        },
        _ => None,
    }
}

struct Search<'a> {
    facts: &'a Facts,
    steps: Cell<u32>,
    /// What was not shown, and how deep the search for it was.
    failed: RefCell<FxHashMap<Dim, u32>>,
}

impl Search<'_> {
    fn not_negative(&self, dim: &Dim, depth: u32) -> bool {
        if self.failed.borrow().get(dim).is_some_and(|&tried| tried >= depth) {
            return false;
        }
        if self.facts.bounds().not_negative(dim) {
            return true;
        }
        if depth == 0 || self.steps.get() == 0 {
            return false;
        }
        self.steps.set(self.steps.get() - 1);
        let tight = tighten(dim);
        let shown = tight != *dim && self.not_negative(&tight, depth)
            || self.by_limit(dim)
            || self.by_known(dim, depth - 1)
            || self.by_atom(dim, depth - 1)
            || self.by_bound(dim, depth - 1);
        if !shown {
            self.failed.borrow_mut().insert(dim.clone(), depth);
        }
        shown
    }

    /// `dim = fact + rest`, where the fact limits a product of symbols that stand in quotients and remainders of `dim`.
    fn by_limit(&self, dim: &Dim) -> bool {
        let limits = |fact: &&Dim| {
            let mut terms = fact.terms().filter(|(monomial, _)| !monomial.is_empty());
            let Some((monomial, ..0)) = terms.next() else { return false };
            let is_met = |atom: &Atom| matches!(atom, Atom::Symbol(symbol) if dim.mentions(symbol));
            terms.next().is_none() && monomial.iter().all(|(atom, _)| is_met(atom))
        };
        let ranges = &self.facts.ranges;
        self.facts.known.iter().filter(limits).any(|fact| ranges.lower_bound(&(dim - fact)).is_some_and(|low| low >= 0))
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
                // rest - n·floor(a / b) >= 0 if n·a <= rest·b + b - 1 (n = 1: exactly then), and floor(a / b) + rest >= 0
                // when a >= -rest·b. Of several quotients, all but one are at least the least.
                Atom::FloorDiv(a, b) if coefficient < 0 && coefficient != i64::MIN => {
                    let most = &(&rest * b) + b;
                    self.not_negative(&(&most - &(&(a * -coefficient) + &Dim::constant(1))), depth)
                }
                Atom::FloorDiv(a, b) if coefficient == 1 => self.not_negative(&(&(&rest * b) + a), depth),
                Atom::FloorDiv(a, _) if coefficient > 0 => {
                    let least = self.facts.bounds().lower_bound(&whole);
                    let once = |least: i64| &(&rest + &whole) + &Dim::constant((coefficient - 1).saturating_mul(least));
                    self.not_negative(a, depth) && with(&Dim::constant(0))
                        || least.is_some_and(|least| self.not_negative(&once(least), depth))
                }
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
            if self.facts.bounds().not_negative(&slope) {
                Some(&rest + &(&slope * &range.low))
            } else if self.facts.bounds().not_negative(&-&slope) {
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
    fn facts_about_the_lanes_of_one_tile_say_nothing_of_another() {
        let mut f = facts(&[("g", "0", "3"), ("l0", "0", "3")]);
        f.assume([dim("g - l0")]);
        assert!(f.proves(&dim("3 - l0")));
        f.declare(Symbol::new("l0"), dim("0"), Some(dim("15")));
        assert!(!f.proves(&dim("3 - l0")));
    }

    #[test]
    fn false_claims_are_refuted_where_guards_only_just_hold() {
        let mut f = facts(&[("W", "1", ""), ("n", "0", "floordiv(W + 1023, 1024) - 1"), ("l0", "0", "15")]);
        f.assume([dim("floordiv(W + 15, 16) - 64*n - 64")]);
        let ranges = f.ranges();
        assert!(points::refutation(ranges, &f.known, &dim("floordiv(W + 7, 8) - 128*n - 2*l0 - 98")).is_some());
        assert!(points::refutation(ranges, &f.known, &dim("floordiv(W + 7, 8) - 128*n - 2*l0 - 97")).is_none());
    }

    #[test]
    fn guards_bound_what_is_rounded_down() {
        let mut f = facts(&[("N", "1", ""), ("k", "0", "floordiv(N, 64) - 1"), ("l0", "0", "63")]);
        f.assume([dim("4096 - N")]);
        assert!(f.proves(&dim("4095 - l0 - 64*k")));
        assert!(!f.proves(&dim("4094 - l0 - 64*k")));
        f.declare(Symbol::new("q"), dim("0"), Some(dim("floordiv(mod(N, 64), 4) - 1")));
        f.declare(Symbol::new("l0"), dim("0"), Some(dim("3")));
        assert!(f.proves(&dim("4095 - 64*floordiv(N, 64) - 4*q - l0")));
        assert!(!f.proves(&dim("4094 - 64*floordiv(N, 64) - 4*q - l0")));
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
    fn a_quotient_of_what_a_guard_keeps_positive_is_not_negative() {
        let mut f = facts(&[("N", "1", "64"), ("j", "0", ""), ("l0", "0", "15")]);
        let steps = "64*floordiv(2*N*floordiv(N + 2, 3) - 4*floordiv(N + 2, 3), 64)";
        assert!(!f.proves(&dim(&format!("{steps} + l0 + 16*j"))));
        f.assume([dim("floordiv(2*N*floordiv(N + 2, 3) - 4*floordiv(N + 2, 3) + 1048575, 1048576) - 1")]);
        assert!(f.proves(&dim(&format!("{steps} + l0 + 16*j"))));
        assert!(!f.proves(&dim(&format!("{steps} + l0 + 16*j - 1"))));
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
    fn of_several_quotients_one_meets_what_is_taken_away() {
        let f = facts(&[("T", "1", ""), ("p", "0", "floordiv(T + 3, 256) - 1"), ("l1", "0", "63")]);
        assert!(f.proves(&dim("2*floordiv(T + 3, 4) - 2 - 64*p - l1")));
        assert!(!f.proves(&dim("2*floordiv(T + 3, 4) - 130 - 64*p - l1")));
    }

    #[test]
    fn whole_steps_reach_the_last_block() {
        let mut f = facts(&[("N", "0", "")]);
        f.declare_loop(Symbol::new("k"), &dim("0"), &dim("64*floordiv(N, 64)"), 64);
        f.declare(Symbol::new("l0"), dim("0"), Some(dim("63")));
        assert!(f.proves(&dim("N - 1 - k - l0")));
    }
}
