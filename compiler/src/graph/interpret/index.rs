//! Index expressions, evaluated for many points of a nest at once.
//!
//! Invariant: a compiled index mentions axes only; sizes are folded into its coefficients. Arithmetic wraps, so whoever
//! reads memory by an index checks it first. Division by zero gives zero: a size that could do so is an error elsewhere.

use std::cell::OnceCell;

use super::super::scalar::{int_floor_div, int_modulo};
use super::super::{Atom, Dim, EvalError, Symbol};

/// Beyond this, powers only serve to exhaust time.
const MAX_POWER: u32 = 64;

/// A sum of products, over the axes of a nest.
#[derive(Clone, Debug)]
pub struct Index {
    pub constant: i64,
    /// Terms `coefficient * axis`.
    pub linear: Vec<(i64, usize)>,
    /// All other terms.
    products: Vec<(i64, Vec<Factor>)>,
}

#[derive(Clone, Debug)]
enum Factor {
    Axis(usize),
    Pair(fn(i64, i64) -> i64, Index, Index),
}

impl Index {
    pub fn compile(dim: &Dim, n_axes: usize, sizes: &dyn Fn(&Symbol) -> Option<i64>) -> Result<Index, EvalError> {
        let mut index = Index { constant: 0, linear: Vec::new(), products: Vec::new() };
        for (monomial, coefficient) in dim.terms() {
            let (mut coefficient, mut factors) = (coefficient, Vec::new());
            for (atom, power) in monomial {
                if *power > MAX_POWER {
                    return Err(EvalError::new(format!("the index {dim} has a power above {MAX_POWER}")));
                }
                for _ in 0..*power {
                    match Factor::compile(atom, n_axes, sizes)? {
                        Ok(value) => coefficient = coefficient.wrapping_mul(value),
                        Err(factor) => factors.push(factor),
                    }
                }
            }
            match factors.as_slice() {
                [] => index.constant = index.constant.wrapping_add(coefficient),
                [Factor::Axis(axis)] => index.linear.push((coefficient, *axis)),
                _ => index.products.push((coefficient, factors)),
            }
        }
        Ok(index)
    }

    pub fn constant(value: i64) -> Index {
        Index { constant: value, linear: Vec::new(), products: Vec::new() }
    }

    /// Adds `scale * other`, or says that `other` is not linear.
    pub fn add_scaled(&mut self, scale: i64, other: &Index) -> bool {
        self.constant = self.constant.wrapping_add(scale.wrapping_mul(other.constant));
        for &(coefficient, axis) in &other.linear {
            self.linear.push((scale.wrapping_mul(coefficient), axis));
        }
        other.products.is_empty()
    }

    /// The least and greatest value over a box of axes, if linear and small enough.
    pub fn bounds(&self, extents: &[usize]) -> Option<(i64, i64)> {
        if !self.products.is_empty() {
            return None;
        }
        let (mut low, mut high) = (self.constant, self.constant);
        for &(coefficient, axis) in &self.linear {
            let last = i64::try_from(extents[axis]).ok()?.checked_sub(1)?;
            let reach = coefficient.checked_mul(last)?;
            low = low.checked_add(reach.min(0))?;
            high = high.checked_add(reach.max(0))?;
        }
        Some((low, high))
    }

    pub fn is_axis(&self, axis: usize) -> bool {
        self.constant == 0 && self.products.is_empty() && self.linear == [(1, axis)]
    }

    pub fn eval(&self, points: &Points) -> Vec<i64> {
        let mut sum = vec![self.constant; points.len];
        for &(coefficient, axis) in &self.linear {
            for (sum, value) in sum.iter_mut().zip(points.axis(axis)) {
                *sum = sum.wrapping_add(coefficient.wrapping_mul(*value));
            }
        }
        for (coefficient, factors) in &self.products {
            let mut product = vec![*coefficient; points.len];
            for factor in factors {
                factor.multiply(points, &mut product);
            }
            sum.iter_mut().zip(product).for_each(|(sum, term)| *sum = sum.wrapping_add(term));
        }
        sum
    }
}

impl Factor {
    /// `Ok` with the value of an atom without axes.
    fn compile(
        atom: &Atom,
        n_axes: usize,
        sizes: &dyn Fn(&Symbol) -> Option<i64>,
    ) -> Result<Result<i64, Factor>, EvalError> {
        let (combine, a, b): (fn(i64, i64) -> i64, _, _) = match atom {
            Atom::Symbol(symbol) => {
                let axis = symbol.name().strip_prefix('i').and_then(|digits| digits.parse().ok());
                return match axis.filter(|&axis: &usize| axis < n_axes) {
                    Some(axis) => Ok(Err(Factor::Axis(axis))),
                    None => sizes(symbol)
                        .map(Ok)
                        .ok_or_else(|| EvalError::new(format!("the size {symbol} has no value here"))),
                };
            }
            Atom::FloorDiv(a, b) => (int_floor_div, a, b),
            Atom::Mod(a, b) => (int_modulo, a, b),
            Atom::Min(a, b) => (i64::min, a, b),
            Atom::Max(a, b) => (i64::max, a, b),
        };
        let (a, b) = (Index::compile(a, n_axes, sizes)?, Index::compile(b, n_axes, sizes)?);
        Ok(match a.is_constant() && b.is_constant() {
            true => Ok(combine(a.constant, b.constant)),
            false => Err(Factor::Pair(combine, a, b)),
        })
    }

    fn multiply(&self, points: &Points, product: &mut [i64]) {
        match self {
            Factor::Axis(axis) => {
                product.iter_mut().zip(points.axis(*axis)).for_each(|(p, value)| *p = p.wrapping_mul(*value));
            }
            Factor::Pair(combine, a, b) => {
                let (a, b) = (a.eval(points), b.eval(points));
                for ((p, a), b) in product.iter_mut().zip(a).zip(b) {
                    *p = p.wrapping_mul(combine(a, b));
                }
            }
        }
    }
}

impl Index {
    fn is_constant(&self) -> bool {
        self.linear.is_empty() && self.products.is_empty()
    }
}

/// Consecutive points of a nest in row-major order.
pub struct Points<'a> {
    pub start: usize,
    pub len: usize,
    extents: &'a [usize],
    axes: Vec<OnceCell<Vec<i64>>>,
}

impl<'a> Points<'a> {
    pub fn new(start: usize, len: usize, extents: &'a [usize]) -> Points<'a> {
        Points { start, len, extents, axes: vec![OnceCell::new(); extents.len()] }
    }

    /// The position of each point along an axis.
    pub fn axis(&self, axis: usize) -> &[i64] {
        self.axes[axis].get_or_init(|| {
            let inner: usize = self.extents[axis + 1..].iter().product();
            let extent = self.extents[axis] as i64;
            let mut values = Vec::with_capacity(self.len);
            let mut value = (self.start / inner) as i64 % extent;
            let mut run = inner - self.start % inner;
            while values.len() < self.len {
                let n = run.min(self.len - values.len());
                values.resize(values.len() + n, value);
                value = if value + 1 == extent { 0 } else { value + 1 };
                run = inner;
            }
            values
        })
    }
}
