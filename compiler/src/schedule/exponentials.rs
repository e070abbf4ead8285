//! Exponentials of what is below the largest of its row, as powers of two: with base 2 the argument is taken apart exactly
//! by one instruction.
//!
//! Invariant: no result is off by more than the rounding of one that is near 1. The product with 1 / ln 2 is rounded, which
//! errs the more in relation to a result the further the argument is from zero; below zero results shrink faster.

use super::Loops;
use super::body::{Body, Term, TermId};
use crate::graph::{DType, Scalar};
use crate::kernel::{Builder, Value};

const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// exp(scale · x) of tiles on a CPU, as a power whose exponent is `factor · x`.
#[derive(Clone, Copy)]
pub struct Power {
    scalar: Scalar,
    pub factor: f64,
}

impl Power {
    /// The scale is positive.
    pub fn of(dtype: DType, scale: f64) -> Power {
        match dtype {
            DType::F32 => Power { scalar: Scalar::Exp2, factor: scale * LOG2_E },
            _ => Power { scalar: Scalar::Exp, factor: scale },
        }
    }

    pub fn raise(self, b: &mut Builder, exponent: Value) -> Value {
        b.scalar(self.scalar, &[exponent])
    }
}

/// The same in the body of loops.
pub fn by_powers_of_two(mut loops: Loops) -> Loops {
    let mut roots = loops.roots();
    if !loops.body.needed(&roots).into_iter().any(|id| is_below_largest(&loops, id)) {
        return loops;
    }
    let mut body = Body::default();
    loops.body.map_to(&mut body, &mut roots, |body, id, term| match &term {
        Term::Apply(_, args) if is_below_largest(&loops, id) => {
            let factor = body.constant(DType::F32, LOG2_E);
            let exponent = body.apply(Scalar::Mul, &[args[0], factor]);
            body.apply(Scalar::Exp2, &[exponent])
        }
        _ => body.add(term, loops.body.dtype(id)),
    });
    loops.body = body;
    loops.set_roots(&roots);
    loops
}

/// `exp(x - y)` where y is made of the largest x.
fn is_below_largest(loops: &Loops, id: TermId) -> bool {
    let body = &loops.body;
    let Term::Apply(Scalar::Exp, args) = body.term(id) else { return false };
    let Term::Apply(Scalar::Sub, sides) = body.term(args[0]) else { return false };
    let is_largest = |id: &TermId| match *body.term(*id) {
        Term::Reduced(stage) => {
            let stage = &loops.stages[stage];
            stage.combine == Scalar::Max && stage.element == sides[0]
        }
        _ => false,
    };
    body.dtype(id) == DType::F32 && body.needed(&sides[1..]).iter().any(is_largest)
}
