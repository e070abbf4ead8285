//! Which keys a mask leaves: `select(test, s, -inf)` where the test compares positions.
//!
//! Invariant: a key outside of the bounds of a row has the score -inf; where all conditions are understood, a key inside of
//! them has the score `inner`.

use crate::graph::{DType, Dim, Scalar, Symbol};
use crate::kernel::{Builder, Memory};
use crate::schedule::Loops;
use crate::schedule::body::{Body, Position, Term, TermId};

/// Numbers that are known only at run time are cut to this; they are positions.
const FARTHEST: i64 = 1 << 40;

#[derive(Clone, Debug)]
pub struct Bounds {
    /// The scores where no mask applies.
    pub inner: TermId,
    /// Every condition of the mask is among the limits.
    pub is_complete: bool,
    /// At least 0 for every key that is left: affine in the axes, with ±1 for the keys.
    limits: Vec<Dim>,
    /// Scalars that limits speak of, by symbol.
    scalars: Vec<(Symbol, usize)>,
}

impl Bounds {
    pub fn of(loops: &Loops) -> Bounds {
        let mut bounds = Bounds { inner: loops.stored, is_complete: true, limits: Vec::new(), scalars: Vec::new() };
        while let Term::Apply(Scalar::Select, args) = loops.body.term(bounds.inner) {
            let &[test, kept, masked] = args.as_slice() else { break };
            let is_mask = matches!(loops.body.term(masked), Term::Const(number) if number.value() == f64::NEG_INFINITY);
            if !is_mask {
                break;
            }
            bounds.condition(loops, test);
            bounds.inner = kept;
        }
        bounds.is_complete &= !bounds.limits.is_empty();
        bounds
    }

    fn condition(&mut self, loops: &Loops, test: TermId) {
        match loops.body.term(test) {
            Term::Apply(Scalar::And, args) => args.iter().for_each(|&arg| self.condition(loops, arg)),
            Term::Test(dims) => dims.iter().for_each(|dim| self.limit(loops, Some(dim.clone()))),
            Term::Apply(scalar, args) if args.len() == 2 => {
                let (a, b) = (self.position(&loops.body, args[0]), self.position(&loops.body, args[1]));
                let limit = a.zip(b).and_then(|(a, b)| match scalar {
                    Scalar::Ge => Some(&a - &b),
                    Scalar::Gt => Some(&(&a - &b) - 1),
                    Scalar::Le => Some(&b - &a),
                    Scalar::Lt => Some(&(&b - &a) - 1),
                    _ => None,
                });
                self.limit(loops, limit);
            }
            _ => self.is_complete = false,
        }
    }

    /// Takes a limit that has the keys once, and is affine in the other axes.
    fn limit(&mut self, loops: &Loops, limit: Option<Dim>) {
        let keys = loops.n_parallel - 1;
        let slope = |dim: &Dim, axis: usize| {
            let symbol = Loops::symbol(axis);
            let (slope, rest) = dim.affine_in(&symbol)?;
            slope.as_constant().filter(|_| !rest.mentions(&symbol))
        };
        // Two numbers that were cut would no longer have the right difference.
        let n_scalars = |dim: &Dim| self.scalars.iter().filter(|(symbol, _)| dim.mentions(symbol)).count();
        let is_affine = |dim: &Dim| {
            (0..loops.n_parallel).all(|axis| slope(dim, axis).is_some())
                && slope(dim, keys).is_some_and(|slope| slope.abs() == 1)
                && n_scalars(dim) <= 1
        };
        match limit.filter(is_affine) {
            Some(limit) => self.limits.push(limit),
            None => self.is_complete = false,
        }
    }

    /// An integer term as an index expression.
    fn position(&mut self, body: &Body, id: TermId) -> Option<Dim> {
        if !body.dtype(id).is_int() {
            return None;
        }
        match body.term(id) {
            Term::Index(dim) => Some(dim.clone()),
            Term::Const(number) => Some(Dim::constant(number.value() as i64))
                .filter(|dim| dim.as_constant().is_some_and(|c| c as f64 == number.value() && c.abs() < FARTHEST)),
            Term::Cast(arg) if body.dtype(id) == DType::I64 => self.position(body, *arg),
            Term::Apply(scalar, args) => {
                let args = args.iter().map(|&arg| self.position(body, arg)).collect::<Option<Vec<_>>>()?;
                match (scalar, args.as_slice()) {
                    (Scalar::Add, [a, b]) => Some(a + b),
                    (Scalar::Sub, [a, b]) => Some(a - b),
                    (Scalar::Neg, [a]) => Some(-a),
                    (Scalar::Mul, [a, b]) if a.as_constant().is_some() || b.as_constant().is_some() => Some(a * b),
                    _ => None,
                }
            }
            Term::Load(load) if body.dtype(id) == DType::I64 => {
                let is_scalar = load.guards.is_empty()
                    && load.index.iter().all(|position| matches!(position, Position::Dim(dim) if dim.is(0)));
                is_scalar.then(|| self.scalar(load.operand))
            }
            _ => None,
        }
    }

    fn scalar(&mut self, operand: usize) -> Dim {
        let symbol = Symbol::new(format!("s{operand}"));
        if !self.scalars.iter().any(|(known, _)| *known == symbol) {
            self.scalars.push((symbol.clone(), operand));
        }
        Dim::from(&symbol)
    }

    /// Makes the scalars known to index expressions.
    pub fn declare(&self, b: &mut Builder, loops: &Loops, operands: &[Memory]) {
        for (symbol, operand) in &self.scalars {
            let index = vec![Dim::constant(0); loops.operands[*operand].shape.len()];
            let value = b.load(operands[*operand], [], index, [], 0.0);
            b.symbol(symbol.name(), value, -FARTHEST, FARTHEST);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// For rows `first..=last` at `at`: the keys that any of them keeps, `low..high`, and those that all keep.
    pub fn keys(&self, loops: &Loops, at: &[Dim], row: usize, (first, last): (&Dim, &Dim)) -> [Keys; 2] {
        let keys = loops.n_parallel - 1;
        let mut ranges = [Keys::default(), Keys::default()];
        for limit in &self.limits {
            let (Some((slope, rest)), Some((row_slope, _))) =
                (limit.affine_in(&Loops::symbol(keys)), limit.affine_in(&Loops::symbol(row)))
            else {
                continue;
            };
            let place = |row_at: &Dim| {
                rest.substitute(&|symbol| {
                    let axis = crate::graph::rows::axis_of(symbol)?;
                    if axis == row { Some(row_at.clone()) } else { at.get(axis).cloned() }
                })
            };
            // A limit that grows with the row is loosest for the last one.
            let (loose, tight) =
                if row_slope.as_constant().is_some_and(|slope| slope >= 0) { (last, first) } else { (first, last) };
            for (range, row_at) in ranges.iter_mut().zip([loose, tight]) {
                match slope.is(-1) {
                    true => range.high.push(&place(row_at) + 1),
                    false => range.low.push(-&place(row_at)),
                }
            }
        }
        ranges
    }
}

/// Keys from the greatest of `low` to the least of `high`, which is not included.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub low: Vec<Dim>,
    pub high: Vec<Dim>,
}
