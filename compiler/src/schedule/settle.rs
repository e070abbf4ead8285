//! Choices that what is known of the axes decides.
//!
//! Invariant: a term that is settled has the value it had, wherever the axes lie within their ranges.

use super::body::{Body, Term, TermId};
use crate::graph::{Dim, Ranges, Scalar};

/// A term, or the side of it that its test leaves, where what is known of the axes decides that.
pub fn settle(body: &mut Body, of: &Body, id: TermId, term: Term, ranges: &Ranges) -> TermId {
    if let Term::Apply(Scalar::Select, args) = &term
        && let Some(holds) = holds(body, args[0], ranges)
    {
        return args[if holds { 1 } else { 2 }];
    }
    body.add(term, of.dtype(id))
}

fn holds(body: &Body, test: TermId, ranges: &Ranges) -> Option<bool> {
    let reaches = |dim: &Dim, least: &Dim| match ranges.proves_le(least, dim) {
        true => Some(true),
        false => ranges.proves_lt(dim, least).then_some(false),
    };
    match body.term(test) {
        Term::Const(number) => Some(number.value() != 0.0),
        Term::Test(dims) if dims.iter().all(|dim| reaches(dim, &Dim::constant(0)) == Some(true)) => Some(true),
        Term::Test(dims) if dims.iter().any(|dim| reaches(dim, &Dim::constant(0)) == Some(false)) => Some(false),
        Term::Apply(Scalar::Ge, sides) => match [sides[0], sides[1]].map(|side| body.term(side)) {
            [Term::Index(dim), Term::Index(least)] => reaches(dim, least),
            _ => None,
        },
        _ => None,
    }
}
