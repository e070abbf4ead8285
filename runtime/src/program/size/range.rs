//! What is known about symbols.
//!
//! Invariant: no bound of a symbol refers back to the symbol, so whoever follows bounds comes to an end.

use super::bound::{Bounds, Found};
use super::{Dim, Symbol};

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
    pub fn reaches(&self, dim: &Dim, target: &Symbol) -> bool {
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

    /// Says that a declared symbol is at least this, if its constant lower bound is less.
    pub fn raise(&mut self, symbol: &Symbol, low: i64) {
        if let Some(range) = self.ranges.iter_mut().find(|range| range.symbol == *symbol)
            && range.low.as_constant().is_some_and(|known| known < low)
        {
            range.low = Dim::constant(low);
        }
    }

    /// Says that a declared symbol is at most this, if its constant upper bound is more.
    pub fn lower(&mut self, symbol: &Symbol, high: i64) {
        if let Some(range) = self.ranges.iter_mut().find(|range| range.symbol == *symbol)
            && range.high.as_ref().is_some_and(|known| known.as_constant().is_some_and(|known| known > high))
        {
            range.high = Some(Dim::constant(high));
        }
    }

    pub fn remove(&mut self, symbol: &Symbol) {
        self.ranges.retain(|range| range.symbol != *symbol);
    }

    pub fn get(&self, symbol: &Symbol) -> Option<&Range> {
        self.ranges.iter().find(|range| range.symbol == *symbol)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Range> + ExactSizeIterator {
        self.ranges.iter()
    }

    /// A constant that `dim` never falls below. Undeclared symbols are sizes: at least zero.
    pub fn lower_bound(&self, dim: &Dim) -> Option<i64> {
        Bounds::new(self, &Found::default()).lower_bound(dim)
    }

    pub fn upper_bound(&self, dim: &Dim) -> Option<i64> {
        Bounds::new(self, &Found::default()).upper_bound(dim)
    }

    /// `left <= right` for all allowed values.
    pub fn proves_le(&self, left: &Dim, right: &Dim) -> bool {
        Bounds::new(self, &Found::default()).proves_le(left, right)
    }

    /// `dim >= 0`, as a difference of two floors. Not a part of the other proofs: what a guard says is dropped where it is
    /// known that nobody has to prove it again.
    pub fn proves_floors(&self, dim: &Dim) -> bool {
        Bounds::new(self, &Found::default()).proves_floors(dim)
    }

    pub fn proves_lt(&self, left: &Dim, right: &Dim) -> bool {
        self.proves_le(&(left + 1), right)
    }

    /// An equal size in which floors and remainders that the ranges decide are gone.
    pub fn simplify(&self, dim: &Dim) -> Dim {
        Bounds::new(self, &Found::default()).simplify(dim)
    }
}
