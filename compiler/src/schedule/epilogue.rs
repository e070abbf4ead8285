//! What follows a sum, such as its normalisation: a product and an addition are one operation.
//!
//! Invariant: results are rounded once instead of twice.

use super::Loops;
use super::body::{Body, Term, TermId};
use crate::graph::{DType, Scalar};

/// The nest with `sum · a + b` as one term for each sum that it reduces to.
pub fn with_one_rounding(mut loops: Loops) -> Loops {
    if loops.stages.is_empty() {
        return loops;
    }
    let (mut body, mut roots) = (Body::default(), loops.roots());
    loops.body.map_to(&mut body, &mut roots, |body, id, term| match multiplied_and_added(body, &term) {
        Some(terms) if loops.body.dtype(id) == DType::F32 => body.apply(Scalar::Fma, &terms),
        _ => body.add(term, loops.body.dtype(id)),
    });
    loops.body = body;
    loops.set_roots(&roots);
    loops
}

fn multiplied_and_added(body: &Body, term: &Term) -> Option<[TermId; 3]> {
    let Term::Apply(Scalar::Add, sides) = term else { return None };
    let product = |side: TermId, other: TermId| match body.term(side) {
        Term::Apply(Scalar::Mul, factors) if factors.iter().any(|&id| matches!(body.term(id), Term::Reduced(_))) => {
            Some([factors[0], factors[1], other])
        }
        _ => None,
    };
    product(sides[0], sides[1]).or_else(|| product(sides[1], sides[0]))
}
