//! Rewrites of a size into one that is never larger and easier to bound from below.
//!
//! Invariant: for every value that the ranges allow, the new size is at most the old one.

use super::divide::common_divisor;
use super::{Atom, Dim, Monomial, Range};

/// Since `-min(a, b) >= -a` and `max(a, b) >= a`, and likewise for b, such a term may be replaced by either side.
pub(super) fn open_extremum(dim: &Dim) -> Option<[Dim; 2]> {
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

/// Replaces a symbol by the bound, itself not a constant, that makes `dim` smallest, where `dim` is affine in the symbol
/// and the sign of its slope is known. Symbols with constant bounds wait for the last step.
pub(super) fn eliminate(dim: &Dim, range: &Range) -> Option<Dim> {
    let low = Some(&range.low).filter(|low| low.as_constant().is_none());
    let high = range.high.as_ref().filter(|high| high.as_constant().is_none());
    if low.is_none() && high.is_none() || !dim.mentions(&range.symbol) {
        return None;
    }
    let (slope, rest) = dim.affine_in(&range.symbol)?;
    // Sizes are not negative, so a slope whose coefficients share a sign has that sign.
    if !slope.terms().all(|(monomial, _)| monomial.iter().all(|(atom, _)| matches!(atom, Atom::Symbol(_)))) {
        return None;
    }
    let not_negative = slope.terms().all(|(_, coefficient)| coefficient >= 0);
    let not_positive = slope.terms().all(|(_, coefficient)| coefficient <= 0);
    let bound = if not_negative { low } else { high.filter(|_| not_positive) };
    bound.map(|bound| &rest + &(&slope * bound))
}

pub(super) fn has_floor(dim: &Dim) -> bool {
    dim.terms().any(|(monomial, _)| matches!(monomial.as_slice(), [(Atom::FloorDiv(..), 1)]))
}

/// The least factor that makes the coefficient of each floor a multiple of its divisor; 1 if that would be large.
pub(super) fn factor_of_floors(dim: &Dim) -> i64 {
    const LARGEST: i64 = 1 << 16;
    dim.terms().fold(1i64, |factor, (monomial, coefficient)| match monomial.as_slice() {
        [(Atom::FloorDiv(_, b), 1)] => {
            let by = b.as_constant().filter(|by| (2..=LARGEST).contains(by)).unwrap_or(1);
            let missing = by / common_divisor(by, coefficient.saturating_mul(factor));
            factor.checked_mul(missing).filter(|&factor| factor <= LARGEST).unwrap_or(1)
        }
        _ => factor,
    })
}

/// Writes `k·b·floor(a / b)` as `k·(a - (a mod b))`, where k is negative or all are asked for: the remainder has tight
/// bounds, and what is divided may cancel. `None` where there is nothing to write so.
pub(super) fn open_floors(dim: &Dim, all: bool) -> Option<Dim> {
    let opens = |monomial: &Monomial, coefficient: i64| match monomial.as_slice() {
        [(Atom::FloorDiv(a, b), 1)] if all || coefficient < 0 => {
            let by = b.as_constant().filter(|&by| by > 1 && coefficient % by == 0)?;
            Some(&(a - &a.modulo(b)) * (coefficient / by))
        }
        _ => None,
    };
    let mut kept = Vec::new();
    let mut opened = Dim::constant(0);
    for (monomial, coefficient) in dim.terms() {
        match opens(monomial, coefficient) {
            Some(part) => opened = &opened + &part,
            None => kept.push((monomial.clone(), coefficient)),
        }
    }
    (kept.len() < dim.n_terms()).then(|| &Dim::from_terms(kept) + &opened)
}
