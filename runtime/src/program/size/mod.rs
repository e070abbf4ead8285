//! Sizes: integer polynomials over symbolic sizes, kept in one normal form.
//!
//! Invariant: two `Dim`s built from equal polynomials are equal as data: terms are sorted by monomial, no coefficient is
//! zero, and factors inside a term are sorted. Floor division, modulo, minimum and maximum are atoms of the polynomial,
//! simplified on construction. Coefficients and powers saturate instead of wrapping, coefficients at `±i64::MAX`, so a hostile
//! size can only become too large, and has its opposite.

mod bound;
mod divide;
mod range;
mod rewrite;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Mul, Neg, Sub};
use std::sync::Arc;

pub use bound::{Bounds, Found};
pub use divide::{floor_div, greatest_divisor, modulo};
pub use range::{Range, Ranges};
pub use text::{DimParser, ParseDimError, ParseError};

/// The name of a symbolic size, such as `B`; in kernels also a loop variable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

impl Symbol {
    pub fn new(name: impl AsRef<str>) -> Symbol {
        Symbol(Arc::from(name.as_ref()))
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An indivisible factor of a term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    Symbol(Symbol),
    /// `floor(a / b)`
    FloorDiv(Dim, Dim),
    /// `a - b * floor(a / b)`
    Mod(Dim, Dim),
    Min(Dim, Dim),
    Max(Dim, Dim),
}

/// The most that the powers of a term may come to in a size that somebody wrote: a product of so many sizes above one is
/// larger than any number of 64 bits.
pub const MAX_DEGREE: u32 = 63;

/// A product of atoms, each with its power; the empty product is one.
pub type Monomial = Vec<(Atom, u32)>;

/// An integer polynomial in normal form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dim(Arc<BTreeMap<Monomial, i64>>);

impl Dim {
    pub fn constant(value: i64) -> Dim {
        Dim::term(Monomial::new(), value)
    }

    pub fn symbol(name: impl AsRef<str>) -> Dim {
        Dim::atom(Atom::Symbol(Symbol::new(name)))
    }

    pub fn atom(atom: Atom) -> Dim {
        Dim::term(vec![(atom, 1)], 1)
    }

    /// One term is in normal form by itself.
    fn term(monomial: Monomial, coefficient: i64) -> Dim {
        let term = (coefficient != 0).then(|| (monomial, coefficient.max(-i64::MAX)));
        Dim(Arc::new(term.into_iter().collect()))
    }

    /// Sums the terms; the result is in normal form whatever the order and repetition of the input.
    pub fn from_terms(terms: impl IntoIterator<Item = (Monomial, i64)>) -> Dim {
        let mut sum: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (monomial, coefficient) in terms {
            let entry = sum.entry(monomial).or_insert(0);
            *entry = entry.saturating_add(coefficient);
        }
        sum.retain(|_, coefficient| *coefficient != 0);
        divide::join_remainders(&mut sum);
        sum.values_mut().for_each(|coefficient| *coefficient = (*coefficient).max(-i64::MAX));
        Dim(Arc::new(sum))
    }

    pub fn terms(&self) -> impl Iterator<Item = (&Monomial, i64)> {
        self.0.iter().map(|(monomial, &coefficient)| (monomial, coefficient))
    }

    pub fn n_terms(&self) -> usize {
        self.0.len()
    }

    /// The most that the powers of a term come to.
    pub fn degree(&self) -> u32 {
        let of_term = |monomial: &Monomial| monomial.iter().fold(0u32, |sum, (_, power)| sum.saturating_add(*power));
        self.0.keys().map(of_term).max().unwrap_or(0)
    }

    /// Whether it is written with at most so many atoms and constants, those inside of atoms counted wherever they stand.
    /// Takes no longer than so many steps.
    pub fn is_written_in(&self, most: usize) -> bool {
        let mut left = most;
        self.count_down(&mut left).is_some()
    }

    fn count_down(&self, left: &mut usize) -> Option<()> {
        for monomial in self.0.keys() {
            *left = left.checked_sub(monomial.len().max(1))?;
            let inner = monomial.iter().filter_map(|(atom, _)| atom.operands()).flatten();
            inner.into_iter().try_for_each(|dim| dim.count_down(left))?;
        }
        Some(())
    }

    /// The value, if no symbol is left.
    pub fn as_constant(&self) -> Option<i64> {
        match self.0.len() {
            0 => Some(0),
            1 => self.0.get(&Monomial::new()).copied(),
            _ => None,
        }
    }

    /// `c * symbol`, for a positive c.
    pub fn as_multiple(&self) -> Option<(i64, &Symbol)> {
        let mut terms = self.terms();
        match (terms.next(), terms.next()) {
            (Some((monomial, c)), None) if c > 0 => match monomial.as_slice() {
                [(Atom::Symbol(symbol), 1)] => Some((c, symbol)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The symbol, if that is all there is: the place where a size binds.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        let (monomial, coefficient) = self.0.iter().next()?;
        match (self.0.len(), coefficient, monomial.as_slice()) {
            (1, 1, [(Atom::Symbol(symbol), 1)]) => Some(symbol),
            _ => None,
        }
    }

    pub fn is(&self, value: i64) -> bool {
        self.as_constant() == Some(value)
    }

    /// The term without symbols.
    pub fn constant_term(&self) -> i64 {
        self.0.get(&Monomial::new()).copied().unwrap_or(0)
    }

    pub fn pow(&self, exponent: u32) -> Dim {
        (0..exponent).fold(Dim::constant(1), |product, _| &product * self)
    }

    pub fn least(&self, other: &Dim) -> Dim {
        match (self - other).as_constant() {
            Some(difference) if difference <= 0 => self.clone(),
            Some(_) => other.clone(),
            None => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                Dim::atom(Atom::Min(a.clone(), b.clone()))
            }
        }
    }

    pub fn greatest(&self, other: &Dim) -> Dim {
        match (self - other).as_constant() {
            Some(difference) if difference >= 0 => self.clone(),
            Some(_) => other.clone(),
            None => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                Dim::atom(Atom::Max(a.clone(), b.clone()))
            }
        }
    }

    /// The value under a binding of the symbols; `None` when one is unbound, a divisor is zero or the value overflows.
    pub fn eval(&self, lookup: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let mut sum = 0i64;
        for (monomial, &coefficient) in self.0.iter() {
            let mut product = coefficient;
            for (atom, power) in monomial {
                let value = atom.eval(lookup)?;
                if product != 0 {
                    product = product.checked_mul(value.checked_pow(*power)?)?;
                }
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// Replaces symbols by sizes; symbols for which `replace` has nothing stay.
    pub fn substitute(&self, replace: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        let mut replaces = false;
        self.for_each_symbol(&mut |symbol| replaces |= replace(symbol).is_some());
        if !replaces {
            return self.clone();
        }
        self.map_atoms(&|atom| match atom {
            Atom::Symbol(symbol) => replace(symbol).unwrap_or_else(|| Dim::atom(atom.clone())),
            Atom::FloorDiv(a, b) => a.substitute(replace).floor_div(&b.substitute(replace)),
            Atom::Mod(a, b) => a.substitute(replace).modulo(&b.substitute(replace)),
            Atom::Min(a, b) => a.substitute(replace).least(&b.substitute(replace)),
            Atom::Max(a, b) => a.substitute(replace).greatest(&b.substitute(replace)),
        })
    }

    /// Replaces each outermost atom and multiplies the polynomial out again.
    pub fn map_atoms(&self, replace: &dyn Fn(&Atom) -> Dim) -> Dim {
        Dim::from_terms(self.0.iter().flat_map(|(monomial, &coefficient)| {
            let product = monomial.iter().fold(Dim::constant(coefficient), |product, (atom, power)| {
                let factor = replace(atom);
                if *power == 1 { &product * &factor } else { &product * &factor.pow(*power) }
            });
            product.terms().map(|(monomial, coefficient)| (monomial.clone(), coefficient)).collect::<Vec<_>>()
        }))
    }

    /// Calls `visit` for each symbol, those inside atoms too.
    pub fn for_each_symbol(&self, visit: &mut dyn FnMut(&Symbol)) {
        for (atom, _) in self.0.keys().flatten() {
            match atom {
                Atom::Symbol(symbol) => visit(symbol),
                _ => atom.operands().into_iter().flatten().for_each(|dim| dim.for_each_symbol(visit)),
            }
        }
    }

    pub fn mentions(&self, symbol: &Symbol) -> bool {
        let mut found = false;
        self.for_each_symbol(&mut |s| found |= s == symbol);
        found
    }

    /// `self = slope * symbol + rest` with neither side mentioning the symbol, or `None` when it is not of that form.
    pub fn affine_in(&self, symbol: &Symbol) -> Option<(Dim, Dim)> {
        let (mut slope, mut rest) = (Vec::new(), Vec::new());
        for (monomial, coefficient) in self.terms() {
            let place = monomial.iter().position(|(atom, _)| matches!(atom, Atom::Symbol(s) if s == symbol));
            match place {
                Some(at) if monomial[at].1 == 1 => {
                    let mut others = monomial.clone();
                    others.remove(at);
                    slope.push((others, coefficient));
                }
                Some(_) => return None,
                None => rest.push((monomial.clone(), coefficient)),
            }
        }
        let (slope, rest) = (Dim::from_terms(slope), Dim::from_terms(rest));
        (!slope.mentions(symbol) && !rest.mentions(symbol)).then_some((slope, rest))
    }

    /// The product of sizes, as of a shape.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Dim {
        dims.into_iter().fold(Dim::constant(1), |product, dim| &product * dim)
    }
}

/// A shape in numbers; `None` when a size is negative, or unknown to `lookup`.
pub fn shape_under(shape: &[Dim], lookup: &dyn Fn(&Symbol) -> Option<i64>) -> Option<Vec<usize>> {
    shape.iter().map(|dim| dim.eval(lookup).and_then(|size| usize::try_from(size).ok())).collect()
}

/// A shape in numbers, if no symbol is left.
pub fn constant_shape(shape: &[Dim]) -> Option<Vec<usize>> {
    shape_under(shape, &|_| None)
}

impl Atom {
    /// The sizes that it is made of.
    fn operands(&self) -> Option<[&Dim; 2]> {
        match self {
            Atom::Symbol(_) => None,
            Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => Some([a, b]),
        }
    }

    fn eval(&self, lookup: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let both = |a: &Dim, b: &Dim| Some((a.eval(lookup)?, b.eval(lookup)?));
        match self {
            Atom::Symbol(symbol) => lookup(symbol),
            Atom::FloorDiv(a, b) => both(a, b).and_then(|(a, b)| divide::floor_div(a, b)),
            Atom::Mod(a, b) => both(a, b).and_then(|(a, b)| divide::modulo(a, b)),
            Atom::Min(a, b) => both(a, b).map(|(a, b)| a.min(b)),
            Atom::Max(a, b) => both(a, b).map(|(a, b)| a.max(b)),
        }
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        Dim::constant(value)
    }
}

impl From<&Symbol> for Dim {
    fn from(symbol: &Symbol) -> Dim {
        Dim::atom(Atom::Symbol(symbol.clone()))
    }
}

impl<'a> Add<&'a Dim> for &Dim {
    type Output = Dim;
    fn add(self, other: &'a Dim) -> Dim {
        match (self.as_constant(), other.as_constant()) {
            (Some(a), Some(b)) => return Dim::constant(a.saturating_add(b)),
            (Some(0), None) => return other.clone(),
            (None, Some(0)) => return self.clone(),
            _ => {}
        }
        Dim::from_terms(self.terms().chain(other.terms()).map(|(m, c)| (m.clone(), c)))
    }
}

impl<'a> Sub<&'a Dim> for &Dim {
    type Output = Dim;
    fn sub(self, other: &'a Dim) -> Dim {
        self + &-other
    }
}

impl Neg for &Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        Dim::from_terms(self.terms().map(|(m, c)| (m.clone(), c.saturating_neg())))
    }
}

impl<'a> Mul<&'a Dim> for &Dim {
    type Output = Dim;
    fn mul(self, other: &'a Dim) -> Dim {
        match (self.as_constant(), other.as_constant()) {
            (Some(a), Some(b)) => return Dim::constant(a.saturating_mul(b)),
            (Some(1), None) => return other.clone(),
            (None, Some(1)) => return self.clone(),
            _ => {}
        }
        let mut terms = Vec::with_capacity(self.n_terms() * other.n_terms());
        for (left, a) in self.terms() {
            for (right, b) in other.terms() {
                terms.push((multiply(left, right), a.saturating_mul(b)));
            }
        }
        Dim::from_terms(terms)
    }
}

/// Operators between owned sizes and integers, all by way of the borrowed ones.
macro_rules! owned_operators {
    ($($op:ident $method:ident),*) => {$(
        impl $op<Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim { (&self).$method(&other) }
        }
        impl $op<i64> for Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim { (&self).$method(&Dim::constant(other)) }
        }
        impl $op<i64> for &Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim { self.$method(&Dim::constant(other)) }
        }
    )*};
}
owned_operators!(Add add, Sub sub, Mul mul);

fn multiply(left: &Monomial, right: &Monomial) -> Monomial {
    if left.is_empty() || right.is_empty() {
        return if left.is_empty() { right.clone() } else { left.clone() };
    }
    let mut powers: BTreeMap<Atom, u32> = left.iter().cloned().collect();
    for (atom, power) in right {
        let own = powers.entry(atom.clone()).or_insert(0);
        *own = own.saturating_add(*power);
    }
    powers.into_iter().collect()
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
