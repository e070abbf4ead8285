//! What ranges of symbols say about sizes.
//!
//! Invariant: bounds are sound: a bound that is returned holds for every value the ranges allow. They are not always
//! tight; `None` means that nothing could be shown. A nest of floors is bounded in time that grows with its size, not with
//! two to its depth, as each size is bounded once.

use std::cell::{OnceCell, RefCell};

use rustc_hash::FxHashMap;

use super::rewrite::{eliminate, factor_of_floors, has_floor, open_extremum, open_floors};
use super::{Atom, Dim, Monomial, Range, Ranges, Symbol};

/// What was found out about sizes under some ranges; of no use under others.
#[derive(Clone, Debug, Default)]
pub struct Found {
    lows: RefCell<FxHashMap<Dim, Option<i64>>>,
    /// The symbols that are factors of a number of iterations.
    counts: OnceCell<Vec<Symbol>>,
}

impl Found {
    /// More sizes than any natural kernel or graph asks about.
    const MOST: usize = 1 << 14;

    /// How many sizes were bounded.
    pub fn len(&self) -> usize {
        self.lows.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end of an interval.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Low,
    High,
}

/// How many ways there are to bound a size.
const WAYS: u32 = 3;

/// Questions about sizes under some ranges.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    ranges: &'a Ranges,
    found: &'a Found,
}

impl<'a> Bounds<'a> {
    pub fn new(ranges: &'a Ranges, found: &'a Found) -> Bounds<'a> {
        Bounds { ranges, found }
    }

    /// A constant that `dim` never falls below. Undeclared symbols are sizes: at least zero.
    pub fn lower_bound(self, dim: &Dim) -> Option<i64> {
        if let Some(value) = dim.as_constant() {
            return Some(value);
        }
        if let Some(&low) = self.found.lows.borrow().get(dim) {
            return low;
        }
        let low = (0..WAYS).filter_map(|way| self.lower_bound_by(way, dim)).max();
        let mut lows = self.found.lows.borrow_mut();
        if lows.len() < Found::MOST {
            lows.insert(dim.clone(), low);
        }
        low
    }

    pub fn upper_bound(self, dim: &Dim) -> Option<i64> {
        match dim.as_constant() {
            Some(value) => Some(value),
            None => self.lower_bound(&-dim).and_then(i64::checked_neg),
        }
    }

    /// `dim >= 0` for all allowed values.
    pub fn not_negative(self, dim: &Dim) -> bool {
        if let Some(value) = dim.as_constant() {
            return value >= 0;
        }
        let known = self.found.lows.borrow().get(dim).copied();
        match known {
            Some(low) => low.is_some_and(|low| low >= 0),
            None => (0..WAYS).any(|way| self.lower_bound_by(way, dim).is_some_and(|low| low >= 0)),
        }
    }

    /// One of the bounds that there are: a floor with a positive factor is bounded by itself or through what it divides,
    /// or through a multiple of the size in which all floors can be opened. None of them is always best.
    fn lower_bound_by(self, way: u32, dim: &Dim) -> Option<i64> {
        let n = self.ranges.iter().len();
        match way {
            0 => self.lower_bound_from(dim, n, true),
            1 if has_floor(dim) => self.lower_bound_from(dim, n, false),
            2 => {
                let factor = factor_of_floors(dim);
                let fits = dim.terms().all(|(_, coefficient)| coefficient.checked_mul(factor).is_some());
                if factor == 1 || !fits {
                    return None;
                }
                let bound = self.lower_bound_from(&(dim * factor), n, true)?;
                Some(-bound.checked_neg()?.div_euclid(factor))
            }
            _ => None,
        }
    }

    /// The bound, with the symbols declared at `n` and later already eliminated.
    fn lower_bound_from(self, dim: &Dim, mut n: usize, open_all: bool) -> Option<i64> {
        let mut dim = dim.clone();
        loop {
            // What is opened may bring up floors that were inside, so never more often than sizes nest.
            while let Some(opened) = open_floors(&dim, open_all) {
                dim = opened;
            }
            if let Some([a, b]) = open_extremum(&dim) {
                let (a, b) = (self.lower_bound_from(&a, n, open_all), self.lower_bound_from(&b, n, open_all));
                return a.max(b);
            }
            let inner = self.ranges.iter().take(n).enumerate().rev();
            let Some((at, smaller)) = inner.into_iter().find_map(|(at, range)| Some((at, eliminate(&dim, range)?)))
            else {
                return self.lower_bound_of_atoms(&self.open_remainders(&dim));
            };
            (n, dim) = (at, smaller);
        }
    }

    /// An equal size in which floors and remainders that the ranges decide are gone.
    pub fn simplify(self, dim: &Dim) -> Dim {
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
    fn is_remainder(self, a: &Dim, b: &Dim) -> bool {
        self.not_negative(a) && self.proves_le(&(a + 1), b)
    }

    /// `left <= right` for all allowed values.
    pub fn proves_le(self, left: &Dim, right: &Dim) -> bool {
        let gap = right - left;
        self.not_negative(&gap) || self.proves_floor_below(&gap)
    }

    /// `floor(a / c) + d - floor(b / c) >= 0` where `a + d·c >= b`, for a positive number c.
    pub fn proves_floors(self, gap: &Dim) -> bool {
        let floors = |sign: i64| {
            gap.terms().filter_map(move |(monomial, coefficient)| match monomial.as_slice() {
                [(Atom::FloorDiv(a, c), 1)] if coefficient == sign => Some((a, c.as_constant().filter(|&c| c > 0)?)),
                _ => None,
            })
        };
        let floor = |a: &Dim, c: i64| a.floor_div(&Dim::constant(c));
        floors(1).any(|(a, c)| {
            floors(-1).filter(|&(_, other)| other == c).any(|(b, _)| {
                let rest = &(gap - &floor(a, c)) + &floor(b, c);
                self.not_negative(&(&(a + &(&rest * c)) - b))
            })
        })
    }

    /// `d - floor(a / b) >= 0` exactly when `a < (d + 1)·b`, for a divisor that is positive but not a constant.
    fn proves_floor_below(self, gap: &Dim) -> bool {
        gap.terms().any(|(monomial, coefficient)| match monomial.as_slice() {
            [(Atom::FloorDiv(a, b), 1)] if coefficient == -1 && b.as_constant().is_none() => {
                let rest = gap + &Dim::from_terms([(monomial.clone(), 1)]);
                let room = &(&(&rest + 1) * b) - &(a + 1);
                self.is_positive(b) && self.not_negative(&room)
            }
            _ => false,
        })
    }

    fn is_positive(self, dim: &Dim) -> bool {
        self.lower_bound(dim).is_some_and(|low| low > 0)
    }

    /// The sum of the bounds of the terms.
    fn lower_bound_of_atoms(self, dim: &Dim) -> Option<i64> {
        let is_product = |monomial: &Monomial| monomial.len() > 1 || monomial.iter().any(|&(_, power)| power > 1);
        if dim.terms().any(|(monomial, _)| is_product(monomial))
            && let Some(low) = self.lower_bound_of_products(dim)
        {
            return Some(low);
        }
        dim.terms().try_fold(0i64, |total, (monomial, coefficient)| {
            let bound = match (monomial.as_slice(), coefficient > 0) {
                ([(atom, 1)], true) => self.bound_of_atom(atom, End::Low)?,
                ([(atom, 1)], false) => self.bound_of_atom(atom, End::High)?,
                (_, positive) => self.bound_of_product(monomial, if positive { End::Low } else { End::High })?,
            };
            total.checked_add(bound.checked_mul(coefficient)?)
        })
    }

    /// Writes every atom as its lower bound plus something that is not negative and multiplies out: if what is left has
    /// only non-negative terms, the constant is a bound.
    fn lower_bound_of_products(self, dim: &Dim) -> Option<i64> {
        let shifted = dim.map_atoms(&|atom| match self.bound_of_atom(atom, End::Low) {
            Some(low) => Dim::constant(low) + fresh(atom),
            None => Dim::atom(atom.clone()),
        });
        let not_negative = |monomial: &Monomial| monomial.iter().all(|(atom, _)| is_fresh(atom));
        let all_are = shifted.terms().all(|(monomial, c)| monomial.is_empty() || c >= 0 && not_negative(monomial));
        all_are.then(|| shifted.constant_term())
    }

    /// Of factors none of which is negative.
    fn bound_of_product(self, monomial: &Monomial, end: End) -> Option<i64> {
        monomial.iter().try_fold(1i64, |product, (atom, power)| {
            let low = self.bound_of_atom(atom, End::Low).filter(|&low| low >= 0)?;
            let bound = if end == End::Low { low } else { self.bound_of_atom(atom, End::High)? };
            product.checked_mul(bound.checked_pow(*power)?)
        })
    }

    /// Writes `-(a mod b)` as `-(b - 1)`, its least value, for a divisor that is positive but not a constant.
    fn open_remainders(self, dim: &Dim) -> Dim {
        let mut sum = dim.clone();
        for (monomial, coefficient) in dim.terms() {
            if let [(Atom::Mod(_, b), 1)] = monomial.as_slice()
                && coefficient < 0
                && b.as_constant().is_none()
                && self.is_positive(b)
            {
                let term = Dim::from_terms([(monomial.clone(), coefficient)]);
                sum = &(&sum - &term) + &(&(b - 1) * coefficient);
            }
        }
        sum
    }

    fn bound(self, dim: &Dim, end: End) -> Option<i64> {
        match end {
            End::Low => self.lower_bound(dim),
            End::High => self.upper_bound(dim),
        }
    }

    fn bound_of_atom(self, atom: &Atom, end: End) -> Option<i64> {
        match (atom, end) {
            (Atom::Symbol(symbol), end) => self.bound_of_symbol(symbol, end),
            (Atom::FloorDiv(a, b), end) => match b.as_constant().filter(|&by| by > 0) {
                Some(by) => self.bound(a, end).map(|bound| bound.div_euclid(by)),
                None if !self.is_positive(b) || !self.not_negative(a) => None,
                None if end == End::Low => Some(0),
                None => self.bound(a, end),
            },
            (Atom::Mod(_, b), _) if !self.is_positive(b) => None,
            (Atom::Mod(..), End::Low) => Some(0),
            (Atom::Mod(_, b), End::High) => self.upper_bound(b).map(|high| high - 1),
            (Atom::Min(a, b), End::Low) => Some(self.bound(a, end)?.min(self.bound(b, end)?)),
            (Atom::Max(a, b), End::High) => Some(self.bound(a, end)?.max(self.bound(b, end)?)),
            (Atom::Max(a, b), End::Low) => self.bound(a, end).max(self.bound(b, end)),
            (Atom::Min(a, b), End::High) => match (self.bound(a, end), self.bound(b, end)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    fn bound_of_symbol(self, symbol: &Symbol, end: End) -> Option<i64> {
        let range = self.ranges.get(symbol);
        match (end, range) {
            (End::High, range) => self.upper_bound(range?.high.as_ref()?),
            (End::Low, Some(range)) => match self.lower_bound(&range.low) {
                Some(0) => Some(i64::from(self.counts_iterations(symbol))),
                low => low,
            },
            (End::Low, None) => Some(i64::from(self.counts_iterations(symbol))),
        }
    }

    /// Whether a size cannot be zero because it is a factor of the number of times a loop around here runs.
    fn counts_iterations(self, symbol: &Symbol) -> bool {
        let counts = || self.ranges.iter().flat_map(factors_of_count).collect();
        self.found.counts.get_or_init(counts).contains(symbol)
    }
}

/// The symbols that are factors of how many values a symbol can have.
fn factors_of_count(range: &Range) -> Vec<Symbol> {
    let Some(high) = &range.high else { return Vec::new() };
    let count = &(high - &range.low) + 1;
    let mut factors = symbol_factors(&count);
    factors.extend(rounded_up(&count).iter().flat_map(symbol_factors));
    factors
}

/// Of a positive multiple of a product of symbols.
fn symbol_factors(dim: &Dim) -> Vec<Symbol> {
    let mut terms = dim.terms();
    match (terms.next(), terms.next()) {
        (Some((monomial, 1..)), None) => {
            let symbols = monomial.iter().map(|(atom, _)| match atom {
                Atom::Symbol(symbol) => Some(symbol.clone()),
                _ => None,
            });
            symbols.collect::<Option<Vec<Symbol>>>().unwrap_or_default()
        }
        _ => Vec::new(),
    }
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

/// A stand-in for `atom - low`, which is not negative.
fn fresh(atom: &Atom) -> Dim {
    Dim::symbol(format!("'{atom}"))
}

fn is_fresh(atom: &Atom) -> bool {
    matches!(atom, Atom::Symbol(symbol) if symbol.name().starts_with('\''))
}
