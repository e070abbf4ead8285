//! What is known about symbols, and what follows from it about sizes.
//!
//! Invariant: bounds are sound: a bound that is returned holds for every value the ranges allow. They are not always
//! tight; `None` means that nothing could be shown.

use std::cell::RefCell;
use std::collections::HashMap;

use super::{Atom, Dim, Monomial, Symbol};

/// Bounds of the atoms met so far, below and above: nested floors ask for the same ones again and again.
type Memo = RefCell<HashMap<Atom, (Option<i64>, Option<i64>)>>;

/// `low <= symbol <= high`; the bounds may mention symbols declared earlier (loop variables do).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub symbol: Symbol,
    pub low: Dim,
    pub high: Option<Dim>,
}

/// Ranges in order of declaration: outer symbols first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<Range>,
}

impl Ranges {
    /// Bounds that would refer back to the symbol, directly or through others, are dropped: nothing is known then. (The least
    /// number that reads back when printed stands for no lower bound.)
    pub fn declare(&mut self, symbol: Symbol, low: Dim, high: Option<Dim>) {
        self.ranges.retain(|range| range.symbol != symbol);
        let low = if self.reaches(&low, &symbol) { Dim::constant(-i64::MAX) } else { low };
        let high = high.filter(|high| !self.reaches(high, &symbol));
        self.ranges.push(Range { symbol, low, high });
    }

    /// Whether a size mentions a symbol, or one whose bounds do, and so on.
    fn reaches(&self, dim: &Dim, target: &Symbol) -> bool {
        let mut mentioned = Vec::new();
        dim.for_each_symbol(&mut |symbol| mentioned.push(symbol.clone()));
        let mut at = 0;
        while let Some(symbol) = mentioned.get(at).cloned() {
            if symbol == *target {
                return true;
            }
            let bounds =
                self.get(&symbol).into_iter().flat_map(|range| [Some(&range.low), range.high.as_ref()]).flatten();
            for bound in bounds {
                bound.for_each_symbol(&mut |next| {
                    if !mentioned.contains(next) {
                        mentioned.push(next.clone());
                    }
                });
            }
            at += 1;
        }
        false
    }

    pub fn remove(&mut self, symbol: &Symbol) {
        self.ranges.retain(|range| range.symbol != *symbol);
    }

    pub fn get(&self, symbol: &Symbol) -> Option<&Range> {
        self.ranges.iter().find(|range| range.symbol == *symbol)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Range> {
        self.ranges.iter()
    }

    /// A constant that `dim` never falls below. Undeclared symbols are sizes: at least zero.
    pub fn lower_bound(&self, dim: &Dim) -> Option<i64> {
        self.lower_bound_with(dim, &Memo::default())
    }

    fn lower_bound_with(&self, dim: &Dim, memo: &Memo) -> Option<i64> {
        if let Some(value) = dim.as_constant() {
            return Some(value);
        }
        // A floor with a positive factor is bounded by itself or through what it divides: neither is always better.
        let through = self.lower_bound_from(dim, self.ranges.len(), true, memo);
        let bound = match has_floor(dim) {
            true => through.max(self.lower_bound_from(dim, self.ranges.len(), false, memo)),
            false => through,
        };
        match factor_of_floors(dim) {
            1 => bound,
            factor => bound.max(self.lower_bound_of_multiple(dim, factor, memo)),
        }
    }

    /// From a bound of a multiple, in which all floors can be opened.
    fn lower_bound_of_multiple(&self, dim: &Dim, factor: i64, memo: &Memo) -> Option<i64> {
        if dim.terms().any(|(_, coefficient)| coefficient.checked_mul(factor).is_none()) {
            return None;
        }
        let bound = self.lower_bound_from(&(dim * factor), self.ranges.len(), true, memo)?;
        Some(-bound.checked_neg()?.div_euclid(factor))
    }

    /// The bound, with the symbols declared at `n` and later already eliminated.
    fn lower_bound_from(&self, dim: &Dim, n: usize, open_all: bool, memo: &Memo) -> Option<i64> {
        let work = open_floors(dim, open_all);
        if let Some([a, b]) = open_extremum(&work) {
            let (a, b) = (self.lower_bound_from(&a, n, open_all, memo), self.lower_bound_from(&b, n, open_all, memo));
            return a.max(b);
        }
        match n.checked_sub(1) {
            Some(last) if work.mentions(&self.ranges[last].symbol) => {
                self.lower_bound_from(&eliminate(&work, &self.ranges[last])?, last, open_all, memo)
            }
            Some(last) => self.lower_bound_from(&work, last, open_all, memo),
            None => self.lower_bound_of_atoms(&self.open_remainders(&work, memo), memo),
        }
    }

    /// An equal size in which floors and remainders that the ranges decide are gone.
    pub fn simplify(&self, dim: &Dim) -> Dim {
        dim.map_atoms(&|atom| match atom {
            Atom::Symbol(_) => Dim::atom(atom.clone()),
            Atom::FloorDiv(a, b) => match (self.simplify(a), self.simplify(b)) {
                (a, b) if self.is_remainder(&a, &b) => Dim::constant(0),
                (a, b) => a.floor_div(&b),
            },
            Atom::Mod(a, b) => match (self.simplify(a), self.simplify(b)) {
                (a, b) if self.is_remainder(&a, &b) => a,
                (a, b) => a.modulo(&b),
            },
            Atom::Min(a, b) => match (self.simplify(a), self.simplify(b)) {
                (a, b) if self.proves_le(&a, &b) => a,
                (a, b) if self.proves_le(&b, &a) => b,
                (a, b) => a.least(&b),
            },
            Atom::Max(a, b) => match (self.simplify(a), self.simplify(b)) {
                (a, b) if self.proves_le(&a, &b) => b,
                (a, b) if self.proves_le(&b, &a) => a,
                (a, b) => a.greatest(&b),
            },
        })
    }

    /// `0 <= a < b`
    fn is_remainder(&self, a: &Dim, b: &Dim) -> bool {
        self.proves_le(&Dim::constant(0), a) && self.proves_lt(a, b)
    }

    pub fn upper_bound(&self, dim: &Dim) -> Option<i64> {
        self.lower_bound(&-dim).and_then(i64::checked_neg)
    }

    /// `left <= right` for all allowed values.
    pub fn proves_le(&self, left: &Dim, right: &Dim) -> bool {
        let gap = right - left;
        self.lower_bound(&gap).is_some_and(|bound| bound >= 0) || self.proves_floor_below(&gap)
    }

    /// `d - floor(a / b) >= 0` exactly when `a < (d + 1)·b`, for a divisor that is positive but not a constant.
    fn proves_floor_below(&self, gap: &Dim) -> bool {
        gap.terms().any(|(monomial, coefficient)| match monomial.as_slice() {
            [(Atom::FloorDiv(a, b), 1)] if coefficient == -1 && b.as_constant().is_none() => {
                let rest = gap + &Dim::from_terms([(monomial.clone(), 1)]);
                let room = &(&(&rest + 1) * b) - &(a + 1);
                self.lower_bound(b).is_some_and(|low| low > 0) && self.lower_bound(&room).is_some_and(|low| low >= 0)
            }
            _ => false,
        })
    }

    pub fn proves_lt(&self, left: &Dim, right: &Dim) -> bool {
        self.proves_le(&(left + 1), right)
    }

    /// Writes every atom as its lower bound plus something that is not negative (or its upper bound minus that, where
    /// the atom's coefficient is negative) and sums up: if what is left has only non-negative terms, the constant is a bound.
    fn lower_bound_of_atoms(&self, dim: &Dim, memo: &Memo) -> Option<i64> {
        let mut total = dim.constant_term();
        let shifted = dim.map_atoms(&|atom| match self.bounds_of_atom(atom, memo).0 {
            Some(low) => Dim::constant(low) + fresh(atom),
            None => Dim::atom(atom.clone()),
        });
        if shifted
            .terms()
            .all(|(monomial, c)| monomial.is_empty() || (c >= 0 && monomial.iter().all(|(a, _)| is_fresh(a))))
        {
            return Some(shifted.constant_term());
        }
        for (monomial, coefficient) in dim.terms().filter(|(monomial, _)| !monomial.is_empty()) {
            let (mut low, mut high) = (Some(1i64), Some(1i64));
            for (atom, power) in monomial {
                let (atom_low, atom_high) = self.bounds_of_atom(atom, memo);
                if atom_low.is_none_or(|bound| bound < 0) {
                    return None;
                }
                for _ in 0..*power {
                    low = low.zip(atom_low).and_then(|(a, b)| a.checked_mul(b));
                    high = high.zip(atom_high).and_then(|(a, b)| a.checked_mul(b));
                }
            }
            let bound = if coefficient > 0 { low } else { high };
            total = total.checked_add(bound?.checked_mul(coefficient)?)?;
        }
        Some(total)
    }

    /// Writes `-(a mod b)` as `-(b - 1)`, its least value, for a divisor that is positive but not a constant.
    fn open_remainders(&self, dim: &Dim, memo: &Memo) -> Dim {
        let mut sum = dim.clone();
        for (monomial, coefficient) in dim.terms() {
            if let [(Atom::Mod(_, b), 1)] = monomial.as_slice()
                && coefficient < 0
                && b.as_constant().is_none()
                && self.lower_bound_with(b, memo).is_some_and(|low| low > 0)
            {
                let term = Dim::from_terms([(monomial.clone(), coefficient)]);
                sum = &(&sum - &term) + &(&(b - 1) * coefficient);
            }
        }
        sum
    }

    /// Whether a size cannot be zero because it is a factor of the number of times a loop around here runs.
    fn counts_iterations(&self, symbol: &Symbol) -> bool {
        self.ranges.iter().any(|range| {
            let Some(high) = &range.high else { return false };
            let count = &(high - &range.low) + 1;
            is_product_with(&count, symbol) || rounded_up(&count).is_some_and(|dim| is_product_with(&dim, symbol))
        })
    }

    fn bounds_of_atom(&self, atom: &Atom, memo: &Memo) -> (Option<i64>, Option<i64>) {
        if let Some(&known) = memo.borrow().get(atom) {
            return known;
        }
        let found = self.new_bounds_of_atom(atom, memo);
        memo.borrow_mut().insert(atom.clone(), found);
        found
    }

    fn new_bounds_of_atom(&self, atom: &Atom, memo: &Memo) -> (Option<i64>, Option<i64>) {
        let lower = |dim: &Dim| self.lower_bound_with(dim, memo);
        let upper = |dim: &Dim| lower(&-dim).and_then(i64::checked_neg);
        let bounds = |dim: &Dim| (lower(dim), upper(dim));
        match atom {
            Atom::Symbol(symbol) => match self.get(symbol) {
                Some(range) => {
                    let low = match lower(&range.low) {
                        Some(0) => Some(i64::from(self.counts_iterations(symbol))),
                        low => low,
                    };
                    (low, range.high.as_ref().and_then(|high| upper(high)))
                }
                None => (Some(i64::from(self.counts_iterations(symbol))), None),
            },
            Atom::FloorDiv(a, b) => {
                let Some(divisor) = b.as_constant().filter(|&value| value > 0) else {
                    let positive = lower(b).is_some_and(|low| low > 0);
                    let (low, high) = bounds(a);
                    let not_negative = positive && low.is_some_and(|low| low >= 0);
                    return if not_negative { (Some(0), high) } else { (None, None) };
                };
                let (low, high) = bounds(a);
                (low.map(|value| value.div_euclid(divisor)), high.map(|value| value.div_euclid(divisor)))
            }
            Atom::Mod(_, b) => match bounds(b) {
                (Some(low), high) if low > 0 => (Some(0), high.map(|value| value - 1)),
                _ => (None, None),
            },
            Atom::Min(a, b) => {
                let ((low_a, high_a), (low_b, high_b)) = (bounds(a), bounds(b));
                (low_a.zip(low_b).map(|(a, b)| a.min(b)), least(high_a, high_b))
            }
            Atom::Max(a, b) => {
                let ((low_a, high_a), (low_b, high_b)) = (bounds(a), bounds(b));
                (least(low_a.map(|v| -v), low_b.map(|v| -v)).map(|v| -v), high_a.zip(high_b).map(|(a, b)| a.max(b)))
            }
        }
    }
}

/// A positive multiple of a product of symbols, this one among them.
fn is_product_with(dim: &Dim, symbol: &Symbol) -> bool {
    let mut terms = dim.terms();
    let (Some((monomial, coefficient)), None) = (terms.next(), terms.next()) else { return false };
    coefficient > 0
        && monomial.iter().all(|(atom, _)| matches!(atom, Atom::Symbol(_)))
        && monomial.iter().any(|(atom, _)| matches!(atom, Atom::Symbol(s) if s == symbol))
}

/// The dividend of `floor((dim + c - 1) / c)`.
fn rounded_up(dim: &Dim) -> Option<Dim> {
    let mut terms = dim.terms();
    match (terms.next()?, terms.next()) {
        ((monomial, 1), None) => match monomial.as_slice() {
            [(Atom::FloorDiv(a, c), 1)] => Some(&(a - c) + 1),
            _ => None,
        },
        _ => None,
    }
}

/// Since `-min(a, b) >= -a` and `max(a, b) >= a`, and likewise for b, such a term may be replaced by either side.
fn open_extremum(dim: &Dim) -> Option<[Dim; 2]> {
    // Each one doubles the work, so a size with many of them (no natural one has) is not worth the try.
    let is_extremum =
        |monomial: &Monomial| monomial.iter().any(|(atom, _)| matches!(atom, Atom::Min(..) | Atom::Max(..)));
    if dim.terms().filter(|(monomial, _)| is_extremum(monomial)).count() > 6 {
        return None;
    }
    dim.terms().find_map(|(monomial, coefficient)| {
        let (a, b) = match monomial.as_slice() {
            [(Atom::Min(a, b), 1)] if coefficient < 0 => (a, b),
            [(Atom::Max(a, b), 1)] if coefficient > 0 => (a, b),
            _ => return None,
        };
        let rest = dim - &Dim::from_terms([(monomial.clone(), coefficient)]);
        Some([&rest + &(a * coefficient), &rest + &(b * coefficient)])
    })
}

fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A stand-in for `atom - low`, which is not negative.
fn fresh(atom: &Atom) -> Dim {
    Dim::symbol(format!("'{atom}"))
}

fn is_fresh(atom: &Atom) -> bool {
    matches!(atom, Atom::Symbol(symbol) if symbol.name().starts_with('\''))
}

/// Replaces a symbol with non-constant bounds by the bound that makes `dim` smallest, where `dim` is affine in it and the
/// sign of its slope is a known constant. Symbols with constant bounds wait for the last step.
fn eliminate(dim: &Dim, range: &Range) -> Option<Dim> {
    if !dim.mentions(&range.symbol) {
        return Some(dim.clone());
    }
    let Some((slope, rest)) = dim.affine_in(&range.symbol) else { return Some(dim.clone()) };
    let not_negative = slope.terms().all(|(_, coefficient)| coefficient >= 0);
    let not_positive = slope.terms().all(|(_, coefficient)| coefficient <= 0);
    // Sizes are not negative, so a slope whose coefficients share a sign has that sign.
    let symbols_only =
        slope.terms().all(|(monomial, _)| monomial.iter().all(|(atom, _)| matches!(atom, Atom::Symbol(_))));
    let constant_low = range.low.as_constant().is_some();
    match &range.high {
        _ if !symbols_only => Some(dim.clone()),
        _ if not_negative && !constant_low => Some(&rest + &(&slope * &range.low)),
        Some(high) if not_positive && high.as_constant().is_none() => Some(&rest + &(&slope * high)),
        _ => Some(dim.clone()),
    }
}

fn has_floor(dim: &Dim) -> bool {
    dim.terms().any(|(monomial, _)| matches!(monomial.as_slice(), [(Atom::FloorDiv(..), 1)]))
}

/// The least factor that makes the coefficient of each floor a multiple of its divisor; 1 if that would be large.
fn factor_of_floors(dim: &Dim) -> i64 {
    const LARGEST: i64 = 1 << 16;
    dim.terms().fold(1i64, |factor, (monomial, coefficient)| match monomial.as_slice() {
        [(Atom::FloorDiv(_, b), 1)] => {
            let by = b.as_constant().filter(|by| (2..=LARGEST).contains(by)).unwrap_or(1);
            let missing = by / greatest_divisor(by, coefficient.saturating_mul(factor).rem_euclid(by));
            factor.checked_mul(missing).filter(|&factor| factor <= LARGEST).unwrap_or(1)
        }
        _ => factor,
    })
}

fn greatest_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

/// Writes `k·b·floor(a / b)` as `k·(a - (a mod b))`, where k is negative or all are asked for: the remainder has tight
/// bounds, and what is divided may cancel.
fn open_floors(dim: &Dim, all: bool) -> Dim {
    let mut sum = Vec::new();
    let mut extra = Dim::constant(0);
    for (monomial, coefficient) in dim.terms() {
        match monomial.as_slice() {
            [(Atom::FloorDiv(a, b), 1)]
                if (all || coefficient < 0) && b.as_constant().is_some_and(|by| by > 1 && coefficient % by == 0) =>
            {
                let times = coefficient / b.as_constant().unwrap_or(1);
                let remainder = a.modulo(b);
                extra = &extra + &(&(a - &remainder) * times);
            }
            _ => sum.push((monomial.clone(), coefficient)),
        }
    }
    &Dim::from_terms(sum) + &extra
}
