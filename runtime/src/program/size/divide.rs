//! Floor division and modulo of sizes, with the simplifications that hold for every value of the symbols.
//!
//! Invariant: both agree with the integer operations rounding towards minus infinity wherever the divisor is not zero.

use std::collections::BTreeMap;

use super::{Atom, Dim, Monomial, multiply};

/// Integer division rounding towards minus infinity.
pub fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let inexact = a.checked_rem(b)? != 0;
    Some(if inexact && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

/// The remainder of [`floor_div`]: it has the sign of the divisor.
pub fn modulo(a: i64, b: i64) -> Option<i64> {
    let remainder = a.checked_rem(b)?;
    Some(if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder })
}

/// The greatest number that divides both; zero is divided by everything.
pub fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

/// The same of a positive number and any other.
pub(super) fn common_divisor(a: i64, b: i64) -> i64 {
    greatest_divisor(a.unsigned_abs(), b.unsigned_abs()) as i64
}

impl Dim {
    /// `floor(self / divisor)`. Terms that the divisor divides leave the floor: `floor((b·q + r) / b) = q + floor(r / b)`.
    pub fn floor_div(&self, divisor: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_constant(), divisor.as_constant())
            && let Some(quotient) = floor_div(a, b)
        {
            return Dim::constant(quotient);
        }
        let Some((quotient, rest)) = self.split_by(divisor) else {
            return Dim::atom(Atom::FloorDiv(self.clone(), divisor.clone()));
        };
        &quotient + &nested_floor(&rest, divisor)
    }

    pub fn ceil_div(&self, divisor: &Dim) -> Dim {
        (&(self + divisor) - 1).floor_div(divisor)
    }

    /// `self mod divisor`, with the sign of the divisor. Terms that the divisor divides vanish, and a common factor leaves
    /// the remainder as it leaves the floor, so that the two find each other:
    /// `(c·a + r) mod (c·m) = c·((a + floor(r / c)) mod m) + (r mod c)`.
    pub fn modulo(&self, divisor: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_constant(), divisor.as_constant())
            && let Some(remainder) = modulo(a, b)
        {
            return Dim::constant(remainder);
        }
        let rest = match self.split_by(divisor) {
            Some((_, rest)) => rest,
            None => self.clone(),
        };
        if let (Some(a), Some(b)) = (rest.as_constant(), divisor.as_constant())
            && let Some(remainder) = modulo(a, b)
        {
            return Dim::constant(remainder);
        }
        if let Some((part, by)) = without_common_factor(&rest, divisor)
            && let Some(common) = divisor.exact_div(&by)
        {
            return &(&part.modulo(&by) * &common) + &Dim::constant(rest.constant_term()).modulo(&common);
        }
        match rest.single_atom() {
            Some(Atom::Mod(_, inner)) if inner == divisor => rest,
            _ if rest.is(0) => rest,
            _ => Dim::atom(Atom::Mod(rest, divisor.clone())),
        }
    }

    /// The quotient when `divisor` divides every term.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        if self == divisor && !divisor.is(0) {
            return Some(Dim::constant(1));
        }
        let (quotient, rest) = self.split_by(divisor)?;
        rest.is(0).then_some(quotient)
    }

    /// `(q, r)` with `self = q · divisor + r`, where no term of `r` is divisible; `None` for zero divisors and sums.
    fn split_by(&self, divisor: &Dim) -> Option<(Dim, Dim)> {
        if divisor.n_terms() != 1 {
            return self.split_by_sum(divisor);
        }
        let (divisor_monomial, divisor_coefficient) = divisor.terms().next()?;
        let (mut quotient, mut rest) = (Vec::new(), Vec::new());
        for (monomial, coefficient) in self.terms() {
            match divide_monomial(monomial, divisor_monomial) {
                Some(others) if others.is_empty() && divisor_monomial.is_empty() => {
                    quotient.push((others.clone(), floor_div(coefficient, divisor_coefficient)?));
                    rest.push((others, modulo(coefficient, divisor_coefficient)?));
                }
                Some(others) if coefficient.checked_rem(divisor_coefficient)? == 0 => {
                    quotient.push((others, coefficient / divisor_coefficient));
                }
                _ => rest.push((monomial.clone(), coefficient)),
            }
        }
        Some((Dim::from_terms(quotient), Dim::from_terms(rest)))
    }

    /// A sum divides only multiples of itself, which is found by trying the ratio of the leading terms.
    fn split_by_sum(&self, divisor: &Dim) -> Option<(Dim, Dim)> {
        let (lead, lead_coefficient) = divisor.terms().last()?;
        let (own, own_coefficient) = self.terms().last()?;
        let ratio = divide_monomial(own, lead)?;
        if own_coefficient.checked_rem(lead_coefficient)? != 0 {
            return None;
        }
        let quotient = Dim::from_terms([(ratio, own_coefficient / lead_coefficient)]);
        let rest = self - &(&quotient * divisor);
        rest.is(0).then_some((quotient, rest))
    }

    fn single_atom(&self) -> Option<&Atom> {
        match self.terms().next() {
            Some((monomial, 1)) if self.n_terms() == 1 && monomial.len() == 1 && monomial[0].1 == 1 => {
                Some(&monomial[0].0)
            }
            _ => None,
        }
    }
}

/// `floor((floor(a / b) + k) / c) = floor((a + k·b) / (b·c))` for constants, b and c positive.
fn nested_floor(rest: &Dim, divisor: &Dim) -> Dim {
    if let (Some(value), Some(by)) = (rest.as_constant(), divisor.as_constant())
        && let Some(quotient) = floor_div(value, by)
    {
        return Dim::constant(quotient);
    }
    if let Some((part, by)) = without_common_factor(rest, divisor) {
        return part.floor_div(&by);
    }
    let added = rest.constant_term();
    if let (Some(Atom::FloorDiv(a, b)), Some(outer)) = ((rest - added).single_atom(), divisor.as_constant())
        && let Some(inner) = b.as_constant()
        && inner > 0
        && outer > 0
        && let (Some(both), Some(added)) = (inner.checked_mul(outer), inner.checked_mul(added))
    {
        return (a + added).floor_div(&Dim::constant(both));
    }
    if let (Some(Atom::Mod(_, b)), Some(outer)) = (rest.single_atom(), divisor.as_constant())
        && b.as_constant().is_some_and(|inner| inner > 0 && inner <= outer)
    {
        return Dim::constant(0);
    }
    if rest.is(0) { rest.clone() } else { Dim::atom(Atom::FloorDiv(rest.clone(), divisor.clone())) }
}

/// `floor((c·a + r) / (c·m)) = floor((a + floor(r / c)) / m)` for constants c, m and r, c and m positive.
fn without_common_factor(dim: &Dim, divisor: &Dim) -> Option<(Dim, Dim)> {
    let by = divisor.as_constant().filter(|by| *by > 0)?;
    let varying = dim.terms().filter(|(monomial, _)| !monomial.is_empty());
    let common = varying.fold(by, |common, (_, coefficient)| common_divisor(common, coefficient));
    if common == 1 {
        return None;
    }
    // All other coefficients are multiples, so only the constant is rounded.
    let part =
        dim.terms().filter_map(|(monomial, coefficient)| Some((monomial.clone(), floor_div(coefficient, common)?)));
    Some((Dim::from_terms(part), Dim::constant(by / common)))
}

fn divide_monomial(monomial: &Monomial, divisor: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<_, u32> = monomial.iter().cloned().collect();
    for (atom, power) in divisor {
        let own = powers.get_mut(atom)?;
        *own = own.checked_sub(*power)?;
    }
    powers.retain(|_, power| *power > 0);
    Some(powers.into_iter().collect())
}

/// Puts `b·floor(a / b) + (a mod b)` back together as `a`, whatever common factor the two terms have.
pub(super) fn join_remainders(terms: &mut BTreeMap<Monomial, i64>) {
    while let Some((remainder_term, quotient_term, whole)) = find_split(terms) {
        terms.remove(&remainder_term);
        terms.remove(&quotient_term);
        for (monomial, coefficient) in whole.terms() {
            let entry = terms.entry(monomial.clone()).or_insert(0);
            *entry = entry.saturating_add(coefficient);
        }
        terms.retain(|_, coefficient| *coefficient != 0);
    }
}

fn find_split(terms: &BTreeMap<Monomial, i64>) -> Option<(Monomial, Monomial, Dim)> {
    let has_floor = |monomial: &Monomial| monomial.iter().any(|(atom, _)| matches!(atom, Atom::FloorDiv(..)));
    for (monomial, &coefficient) in terms {
        for (at, (atom, power)) in monomial.iter().enumerate() {
            let Atom::Mod(a, b) = atom else { continue };
            if *power != 1 || b.n_terms() != 1 {
                continue;
            }
            let (divisor, scale) = b.terms().next()?;
            // Dividing takes apart what is inside, so only where a term may be the quotient.
            let wanted = coefficient.saturating_mul(scale);
            if !terms.iter().any(|(other, &c)| c == wanted && has_floor(other)) {
                continue;
            }
            let mut common = monomial.clone();
            common.remove(at);
            // The floor as it would be written, which may have merged with one inside `a`.
            let floor = a.floor_div(b);
            let Some((floor, 1)) = floor.terms().next().filter(|_| floor.n_terms() == 1) else { continue };
            let quotient = multiply(&multiply(&common, divisor), floor);
            if terms.get(&quotient) == Some(&wanted) {
                let whole = &Dim::from_terms([(common, coefficient)]) * a;
                return Some((monomial.clone(), quotient, whole));
            }
        }
    }
    None
}
