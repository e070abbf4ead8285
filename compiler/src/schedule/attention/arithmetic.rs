//! Cheaper arithmetic for scores, which become exponentials: constants are multiplied by where the spec divides by them,
//! numbers made of positions are summed as floats, so that what varies along one axis is converted for that axis alone, and
//! a small cap times tanh(x) is cap - 2 cap / (1 + exp(2x)), whose digits near zero are those that it has near the cap.
//!
//! Invariant: a score changes by a few roundings of its factors at most. What is compared, rounded or becomes an integer
//! keeps its value.

use std::f64::consts::LOG2_E;
use std::ops::RangeInclusive;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::graph::{DType, Dim, Scalar, round};
use crate::schedule::Loops;
use crate::schedule::body::{Body, Term, TermId};

/// Factors that lose no digits when they are inverted or multiplied by one another.
const FACTORS: RangeInclusive<f64> = 1e-18..=1e18;
/// Caps whose last digit no exponential shows.
const CAP: f64 = 64.0;
/// Each integer up to this is a number of f32.
const WHOLE: i64 = 1 << 24;

pub fn cheapen(loops: &mut Loops) {
    let mut roots = loops.roots();
    let decisive = decisive(loops, &roots);
    let mut cheaper = Cheaper { loops, sizes: FxHashMap::default(), floats: FxHashMap::default() };
    let mut body = Body::default();
    loops.body.map_to(&mut body, &mut roots, |body, id, term| {
        let dtype = loops.body.dtype(id);
        let made = match decisive.contains(&id) {
            true => body.add(term, dtype),
            false => cheaper.make(body, term, dtype),
        };
        cheaper.measure(body, made);
        made
    });
    loops.body = body;
    loops.set_roots(&roots);
}

/// The terms whose last digit may decide.
fn decisive(loops: &Loops, roots: &[TermId]) -> FxHashSet<TermId> {
    use Scalar::{Ceil, Eq, Floor, FloorDiv, Fract, Ge, Gt, Le, Lt, Modulo, Ne, Round, Sign, Trunc};
    let body = &loops.body;
    let decides = |id: &TermId| match body.term(*id) {
        Term::Apply(Eq | Ne | Lt | Le | Gt | Ge, _) => true,
        Term::Apply(Ceil | Floor | FloorDiv | Fract | Modulo | Round | Sign | Trunc, _) => true,
        Term::Cast(_) => !body.dtype(*id).is_float(),
        _ => false,
    };
    let decisions: Vec<TermId> = body.needed(roots).into_iter().filter(decides).collect();
    body.needed(&decisions).into_iter().collect()
}

struct Cheaper<'a> {
    loops: &'a Loops,
    /// The largest magnitude of integers made of positions.
    sizes: FxHashMap<TermId, i64>,
    /// Such integers as floats.
    floats: FxHashMap<(TermId, DType), TermId>,
}

impl Cheaper<'_> {
    fn make(&mut self, body: &mut Body, term: Term, dtype: DType) -> TermId {
        let is_wide = matches!(dtype, DType::F32 | DType::F64);
        match &term {
            Term::Apply(Scalar::Div, sides) if is_wide => {
                if let Some(divisor) = factor(body, sides[1]) {
                    return multiply(body, sides[0], 1.0 / divisor, dtype);
                }
            }
            Term::Apply(Scalar::Mul, sides) if is_wide => {
                for (side, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
                    if let Some(factor) = factor(body, side) {
                        return multiply(body, other, factor, dtype);
                    }
                }
            }
            Term::Cast(arg) if is_wide && self.sizes.contains_key(arg) => return self.float(body, *arg, dtype),
            _ => {}
        }
        body.add(term, dtype)
    }

    /// Notes how large an integer becomes, if each step that leads to it is exact in floats, too.
    fn measure(&mut self, body: &Body, id: TermId) {
        use Scalar::{Abs, Add, Max, Min, Mul, Neg, Sub};
        let size = match body.term(id) {
            Term::Index(dim) => self.largest(dim),
            Term::Const(number) if body.dtype(id) == DType::I64 => Some(number.value().abs().ceil() as i64),
            Term::Apply(scalar, args) if body.dtype(id) == DType::I64 => {
                let sizes: Option<Vec<i64>> = args.iter().map(|arg| self.sizes.get(arg).copied()).collect();
                sizes.and_then(|sizes| match (scalar, sizes.as_slice()) {
                    (Add | Sub, [a, b]) => a.checked_add(*b),
                    (Mul, [a, b]) => a.checked_mul(*b),
                    (Min | Max, [a, b]) => Some(*a.max(b)),
                    (Neg | Abs, [a]) => Some(*a),
                    _ => None,
                })
            }
            _ => None,
        };
        if let Some(size) = size.filter(|&size| size <= WHOLE) {
            self.sizes.insert(id, size);
        }
    }

    fn largest(&self, dim: &Dim) -> Option<i64> {
        let ranges = &self.loops.ranges;
        Some(ranges.lower_bound(dim)?.checked_abs()?.max(ranges.upper_bound(dim)?.checked_abs()?))
    }

    /// An integer that was measured, as a float.
    fn float(&mut self, body: &mut Body, id: TermId, dtype: DType) -> TermId {
        use Scalar::{Abs, Add, Max, Min, Neg, Sub};
        if let Some(&float) = self.floats.get(&(id, dtype)) {
            return float;
        }
        let float = match body.term(id).clone() {
            Term::Apply(scalar @ (Add | Sub | Abs | Min | Max), args) => {
                let args = args.iter().map(|&arg| self.float(body, arg, dtype)).collect();
                body.add(Term::Apply(scalar, args), dtype)
            }
            // Of zero the opposite, and a product with what is negative, would be another zero.
            Term::Apply(Neg, args) => {
                let (zero, arg) = (body.constant(dtype, 0.0), self.float(body, args[0], dtype));
                body.add(Term::Apply(Sub, vec![zero, arg]), dtype)
            }
            Term::Const(number) => body.constant(dtype, number.value()),
            _ => body.add(Term::Cast(id), dtype),
        };
        self.floats.insert((id, dtype), float);
        float
    }
}

/// A constant that may be multiplied by another, or inverted.
fn factor(body: &Body, id: TermId) -> Option<f64> {
    let Term::Const(number) = body.term(id) else { return None };
    Some(number.value()).filter(|value| FACTORS.contains(&value.abs()))
}

/// A product with a constant, into which one before it goes.
fn multiply(body: &mut Body, x: TermId, by: f64, dtype: DType) -> TermId {
    if let Some(argument) = argument_of_tanh(body, x).filter(|_| dtype == DType::F32 && by.abs() <= CAP) {
        return capped(body, argument, by);
    }
    let before = match body.term(x) {
        Term::Apply(Scalar::Mul, sides) => factor(body, sides[1]).map(|factor| (sides[0], factor * by)),
        _ => None,
    };
    let (x, by) = before.filter(|(_, by)| FACTORS.contains(&by.abs())).unwrap_or((x, by));
    let by = body.constant(dtype, round(dtype, by));
    body.apply(Scalar::Mul, &[x, by])
}

fn argument_of_tanh(body: &Body, id: TermId) -> Option<TermId> {
    match body.term(id) {
        Term::Apply(Scalar::Tanh, args) => Some(args[0]),
        _ => None,
    }
}

fn capped(body: &mut Body, x: TermId, cap: f64) -> TermId {
    let exponent = multiply(body, x, 2.0 * LOG2_E, DType::F32);
    let power = body.apply(Scalar::Exp2, &[exponent]);
    let [one, cap, span] = [1.0, cap, 2.0 * cap].map(|number| body.constant(DType::F32, round(DType::F32, number)));
    let sum = body.apply(Scalar::Add, &[power, one]);
    let below = body.apply(Scalar::Div, &[span, sum]);
    body.apply(Scalar::Sub, &[cap, below])
}
