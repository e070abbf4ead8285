//! Index expressions and guards as explicit integer arithmetic.
//!
//! Invariant: a sum is built from the outside in, each term where its innermost symbol is defined, and the constant comes
//! last, so that loops keep one addition and accesses that differ by a constant share their offset.

use super::block::Spot;
use super::layout::{Tile, parts};
use super::{Binding, Lower};
use crate::graph::{Atom, DType, Dim, Scalar, Symbol};
use crate::kernel::types::*;
use crate::seeded::{Fault, is};

/// A condition under which something takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Always,
    Never,
    If(Value),
}

impl Lower<'_> {
    /// The expression without its constant term, and that term.
    pub(super) fn offset(&mut self, dim: &Dim) -> (Value, i64) {
        let dim = self.resolve(dim);
        let constant = dim.constant_term();
        (self.sum(&(&dim - &Dim::constant(constant))), constant)
    }

    pub(super) fn dim(&mut self, dim: &Dim) -> Value {
        let dim = self.resolve(dim);
        if let Some(value) = dim.as_constant() {
            return self.int(value);
        }
        let (sum, constant) = self.offset(&dim);
        self.plus(sum, constant)
    }

    pub(super) fn plus(&mut self, value: Value, constant: i64) -> Value {
        if constant == 0 {
            return value;
        }
        if let Some(literal) = self.as_literal(value) {
            return self.int(literal.as_i64().wrapping_add(constant));
        }
        let constant = self.int(constant);
        self.op(Scalar::Add, &[value, constant])
    }

    /// A sum of terms without a constant.
    fn sum(&mut self, dim: &Dim) -> Value {
        let mut terms: Vec<(usize, bool, Value)> = Vec::new();
        for (monomial, coefficient) in dim.terms() {
            let value = self.product(monomial, coefficient.saturating_abs());
            terms.push((self.home_of(value).depth, coefficient < 0, value));
        }
        terms.sort_by_key(|&(depth, negative, _)| (depth, negative));
        let mut sum = None;
        for (_, negative, value) in terms {
            sum = Some(match (sum, negative) {
                (None, false) => value,
                (None, true) => self.op(Scalar::Neg, &[value]),
                (Some(sum), false) => self.op(Scalar::Add, &[sum, value]),
                (Some(sum), true) => self.op(Scalar::Sub, &[sum, value]),
            });
        }
        sum.unwrap_or_else(|| self.int(0))
    }

    fn product(&mut self, monomial: &[(Atom, u32)], coefficient: i64) -> Value {
        let mut factors = Vec::new();
        for (atom, power) in monomial {
            let value = self.atom(atom);
            factors.extend((0..*power).map(|_| value));
        }
        factors.sort_by_key(|&value| (self.home_of(value).depth, value));
        let mut product = None;
        for value in factors {
            product = Some(match product {
                None if coefficient == 1 => value,
                None => {
                    let coefficient = self.int(coefficient);
                    self.op(Scalar::Mul, &[value, coefficient])
                }
                Some(product) => self.op(Scalar::Mul, &[product, value]),
            });
        }
        product.unwrap_or_else(|| self.int(coefficient))
    }

    fn atom(&mut self, atom: &Atom) -> Value {
        match atom {
            Atom::Symbol(symbol) => self.symbol(symbol),
            Atom::FloorDiv(a, b) => self.divide(a, b),
            Atom::Mod(a, b) => {
                let (quotient, a, b) = (self.divide(a, b), self.dim(a), self.dim(b));
                let product = self.op(Scalar::Mul, &[quotient, b]);
                self.op(Scalar::Sub, &[a, product])
            }
            Atom::Min(a, b) if self.is_idle(Scalar::Min, a) => self.dim(b),
            Atom::Min(a, b) if self.is_idle(Scalar::Min, b) => self.dim(a),
            Atom::Min(a, b) | Atom::Max(a, b) => {
                let scalar = if matches!(atom, Atom::Min(..)) { Scalar::Min } else { Scalar::Max };
                let (a, b) = (self.dim(a), self.dim(b));
                self.op(scalar, &[a, b])
            }
        }
    }

    fn symbol(&mut self, symbol: &Symbol) -> Value {
        match self.binding(symbol) {
            Some(Binding::Value(value)) => value,
            Some(Binding::Constant(value)) => self.int(value),
            None => {
                let at = self.source.sizes.iter().position(|size| size.symbol == *symbol);
                let argument = Op::Argument(Argument::Size(at.unwrap_or_default() as u32));
                self.pure(argument, Type::scalar(DType::I64))
            }
        }
    }

    /// The floor of a quotient; one machine division where nothing is negative.
    fn divide(&mut self, a: &Dim, b: &Dim) -> Value {
        if let Some(divisor) = b.as_constant().filter(|&divisor| divisor > i64::from(i32::MAX) && self.is_block()) {
            return self.divide_by_more_than_any(a, divisor);
        }
        let simple = self.proves(a) && self.proves(&(b - &Dim::constant(1)));
        let (a, b) = (self.dim(a), self.dim(b));
        if simple { self.quotient(a, b) } else { self.scalar(Scalar::FloorDiv, &[a, b]) }
    }

    /// `x + constant` over a divisor that is larger than any `x`, where numbers may have 32 bits only.
    fn divide_by_more_than_any(&mut self, dim: &Dim, divisor: i64) -> Value {
        let (x, constant) = self.offset(dim);
        let (quotient, rest) = (constant.div_euclid(divisor), constant.rem_euclid(divisor));
        let [zero, one] = [0, 1].map(|number| self.int(number));
        let mut sum = self.int(quotient);
        if let Ok(enough) = i32::try_from(divisor - rest) {
            let enough = self.int(enough.into());
            let reaches = self.op(Scalar::Ge, &[x, enough]);
            let more = self.op(Scalar::Select, &[reaches, one, zero]);
            sum = self.op(Scalar::Add, &[sum, more]);
        }
        if let Ok(least) = i32::try_from(-rest) {
            let least = self.int(least.into());
            let falls = self.op(Scalar::Lt, &[x, least]);
            let less = self.op(Scalar::Select, &[falls, one, zero]);
            sum = self.op(Scalar::Sub, &[sum, less]);
        }
        sum
    }

    pub(super) fn quotient(&mut self, a: Value, b: Value) -> Value {
        let ty = self.type_of(a).clone();
        self.pure(Op::Quotient(a, b), ty)
    }

    /// `dim >= 0` always.
    pub(super) fn proves(&mut self, dim: &Dim) -> bool {
        if let Some(value) = dim.as_constant() {
            return value >= 0;
        }
        let depth = self.depth();
        if let Some(&proved) = self.scopes[depth].proofs.get(dim) {
            return proved;
        }
        let proved = self.facts.proves(dim);
        self.scopes[depth].proofs.insert(dim.clone(), proved);
        proved
    }

    /// Forgets proofs, as there is more to prove with.
    pub(super) fn facts_changed(&mut self) {
        let depth = self.depth();
        self.scopes[depth].proofs.clear();
    }

    /// Whether `dim >= 0`, for a `dim` without lanes.
    pub(super) fn truth(&mut self, dim: &Dim) -> Truth {
        let dim = self.resolve(dim);
        if self.proves(&dim) {
            return Truth::Always;
        }
        if dim.as_constant().is_some() {
            return Truth::Never;
        }
        let (sum, constant) = self.offset(&dim);
        let bound = self.int(constant.saturating_neg());
        Truth::If(self.op(Scalar::Ge, &[sum, bound]))
    }

    /// Whether a bound says nothing: in a block numbers may have 32 bits, and none is beyond.
    pub(super) fn is_idle(&self, scalar: Scalar, bound: &Dim) -> bool {
        let is_beyond = |bound: i64| match scalar {
            Scalar::Min => bound > i32::MAX.into(),
            _ => bound < i32::MIN.into(),
        };
        self.is_block() && bound.as_constant().is_some_and(is_beyond)
    }

    pub(super) fn both(&mut self, a: Truth, b: Truth) -> Truth {
        match (a, b) {
            (Truth::Always, other) | (other, Truth::Always) => other,
            (Truth::Never, _) | (_, Truth::Never) => Truth::Never,
            (Truth::If(a), Truth::If(b)) if a == b => Truth::If(a),
            (Truth::If(a), Truth::If(b)) => Truth::If(self.op(Scalar::And, &[a, b])),
        }
    }

    /// The mask of the lanes below a constant.
    pub(super) fn first_lanes(&mut self, count: i64) -> Value {
        let lanes = self.lane_numbers(DType::I32);
        let count = self.int_like(lanes, count);
        self.op(Scalar::Lt, &[lanes, count])
    }

    /// The mask of the lanes at which `base + slope·lane >= 0`.
    pub(super) fn lanes_where(&mut self, base: &Dim, slope: i64) -> Value {
        let n_lanes = i64::from(self.lanes);
        let lanes = self.lane_numbers(DType::I32);
        // The first (or last) lane that passes is compared, in 32 bits once it is clamped.
        let base = self.dim(&base.floor_div(&Dim::constant(slope.saturating_abs().max(1))));
        let (scalar, bound) = match slope {
            ..0 if is(Fault::GuardLacksALane) => (Scalar::Lt, base),
            ..0 => (Scalar::Le, base),
            _ => (Scalar::Ge, self.op(Scalar::Neg, &[base])),
        };
        let (low, high) = (self.int(-1), self.int(n_lanes));
        let bound = self.op(Scalar::Max, &[bound, low]);
        let bound = self.op(Scalar::Min, &[bound, high]);
        let bound = self.cast(bound, DType::I32);
        let bound = self.splat(bound);
        self.op(scalar, &[lanes, bound])
    }

    /// `index`: an expression over lanes.
    pub(super) fn index(&mut self, dim: &Dim, ty: &Type) -> Tile {
        if self.is_block() {
            let parts = parts(&ty.shape, self.lanes);
            let parts = parts.iter().map(|part| self.dim(&Spot::of(part).at(dim))).collect();
            return Tile { shape: ty.shape.clone(), parts };
        }
        let made = parts(&ty.shape, self.lanes).into_iter().map(|part| match along_lanes(dim, &part.index) {
            Some((base, slope)) if part.vector => self.numbers(&base, slope),
            _ => {
                let lanes: Vec<Value> =
                    (0..part.valid).map(|lane| self.dim(&at_lane(dim, &part.index, lane))).collect();
                if part.vector { self.gather_lanes(&lanes) } else { lanes[0] }
            }
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    /// `base + slope·lane`, for each lane.
    pub(super) fn numbers(&mut self, base: &Dim, slope: i64) -> Value {
        let base = self.dim(base);
        let base = self.splat(base);
        if slope == 0 {
            return base;
        }
        let (lanes, slope) = (self.lane_numbers(DType::I64), self.int(slope));
        let slope = self.splat(slope);
        let steps = self.op(Scalar::Mul, &[lanes, slope]);
        self.op(Scalar::Add, &[base, steps])
    }
}

/// The expression at one element: the part's first, plus a lane along the last axis.
pub(super) fn at_lane(dim: &Dim, index: &[i64], lane: u32) -> Dim {
    let last = index.len().wrapping_sub(1);
    dim.substitute(&|symbol| {
        let axis = (0..index.len()).find(|&axis| lane_symbol(axis) == *symbol)?;
        let extra = if axis == last { i64::from(lane) } else { 0 };
        Some(Dim::constant(index[axis] + extra))
    })
}

/// The expression along a vector: `(base, slope)` with `base + slope·lane`, if it has that form with a constant slope.
pub(super) fn along_lanes(dim: &Dim, index: &[i64]) -> Option<(Dim, i64)> {
    let Some(last) = index.len().checked_sub(1) else { return Some((dim.clone(), 0)) };
    let symbol = lane_symbol(last);
    let others = dim.substitute(&|symbol| {
        let axis = (0..last).find(|&axis| lane_symbol(axis) == *symbol)?;
        Some(Dim::constant(index[axis]))
    });
    let (slope, _) = others.affine_in(&symbol)?;
    Some((at_lane(dim, index, 0), slope.as_constant()?))
}
