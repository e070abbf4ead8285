//! Softmax along the last axis, as primitives.
//!
//! ```text
//! e = exp(s - m),  p = e / Σ e      m the same along the axis, whatever it is; or no m
//! ```
//! The sum may be replaced by one where it is zero.
//!
//! Invariant: what is found equals the softmax of its scores, but for overflow where something else than the largest score
//! is subtracted, or nothing.

use std::collections::BTreeSet;

use super::reads::Reads;
use super::{Dim, NodeId, Scalar, Value, axis};

pub struct Softmax {
    pub scores: Value,
    /// A row that is -inf as a whole gives zeros, instead of NaN.
    pub is_guarded: bool,
    /// What computes the weights from the scores, and numbers.
    pub members: BTreeSet<NodeId>,
}

/// The softmax whose result is `weights`.
pub fn find(reads: &Reads, weights: Value) -> Option<Softmax> {
    let shape = reads.graph.type_of(weights).shape.clone();
    let last = shape.len().checked_sub(1)?;
    let (here, ranges) = (reads.here(&shape), reads.ranges(&shape));
    let [e, divisor] = reads.applied(weights, Scalar::Div)?[..] else { return None };
    let [x] = reads.applied(e, Scalar::Exp)?[..] else { return None };
    let (divisor, at) = reads.source(divisor, here.clone(), &ranges);
    let guarded = sum_in(reads, divisor);
    let sum = guarded.unwrap_or(divisor);
    let along = if shape[last].is(1) { here[last].clone() } else { axis(last) };
    let (summed, place) = reads.reduced(sum, Scalar::Add, &at, &along)?;
    if summed != e || place != here {
        return None;
    }
    let scores = shifted(reads, x, &here).unwrap_or(x);
    Some(Softmax { scores, is_guarded: guarded.is_some(), members: between(reads, scores, weights) })
}

/// `s` of `sum == 0 ? 1 : sum`.
fn sum_in(reads: &Reads, value: Value) -> Option<Value> {
    let [test, one, sum] = reads.applied(value, Scalar::Select)?[..] else { return None };
    let [tested, zero] = reads.applied(test, Scalar::Eq)?[..] else { return None };
    (tested == sum && reads.number(one) == Some(1.0) && reads.number(zero) == Some(0.0)).then_some(sum)
}

/// `s` of `s - m`, where m is the same along the last axis.
fn shifted(reads: &Reads, value: Value, here: &[Dim]) -> Option<Value> {
    let [scores, shift] = reads.applied(value, Scalar::Sub)?[..] else { return None };
    let (_, at) = reads.source(shift, here.to_vec(), &reads.ranges(&reads.graph.type_of(value).shape));
    let moves = here.last()?.as_symbol().is_none_or(|symbol| at.iter().any(|dim| dim.mentions(symbol)));
    (!moves).then_some(scores)
}

/// The nodes on the ways from one value to another, and the numbers that they use.
fn between(reads: &Reads, from: Value, to: Value) -> BTreeSet<NodeId> {
    let mut behind = BTreeSet::from([to.node]);
    let mut todo = vec![to.node];
    while let Some(id) = todo.pop() {
        for operand in reads.graph.operands(id) {
            if operand != from && operand.node > from.node && behind.insert(operand.node) {
                todo.push(operand.node);
            }
        }
    }
    let mut ahead = BTreeSet::from([from.node]);
    for &id in &behind {
        if reads.graph.operands(id).iter().any(|operand| ahead.contains(&operand.node)) {
            ahead.insert(id);
        }
    }
    ahead.remove(&from.node);
    let numbers = ahead.iter().flat_map(|&id| reads.graph.operands(id));
    let numbers: Vec<NodeId> = numbers.filter(|&value| reads.number(value).is_some()).map(|value| value.node).collect();
    ahead.extend(numbers);
    ahead
}
