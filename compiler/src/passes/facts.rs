//! What passes know of a node, read from its record and its nest, never from its name.

use crate::graph::rows::divides;
use crate::graph::{DType, Dim, Graph, Meaning, Nest, NestIndex, NodeId, ScalarNode, Type, Value, axes, axis};

const RANDOM_BITS: u32 = 32;
const MANY: usize = 8;

/// One place where a nest reads an operand.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub operand: usize,
    /// Of the shape of the result, at the very position that is computed.
    pub is_identity: bool,
    /// At a position that is affine in the axes, always within the operand.
    pub is_plain: bool,
    /// Neighbours along the last axis are read elsewhere than side by side.
    pub is_turned: bool,
    /// Neighbours along some axis are read at one place.
    pub is_tiled: bool,
    /// What is read for one window is read for its neighbours, too.
    pub is_window: bool,
}

/// A nest in short.
#[derive(Clone, Debug)]
pub struct Facts {
    pub reduces: bool,
    /// Points at which the body is computed.
    pub domain: Dim,
    pub reads: Vec<Read>,
    /// Scalar work of one point, without casts.
    pub arithmetic: u32,
    pub casts: u32,
    /// The element depends on its position, not only on what is read.
    pub uses_position: bool,
    /// A cast to fewer bytes than are read.
    pub narrows: bool,
    /// Floats made of bytes, and of little else.
    pub widens: bool,
}

impl Facts {
    pub fn of(graph: &Graph, id: NodeId) -> Option<Facts> {
        match graph.node(id).op.meaning {
            Meaning::Structured { nest, .. } => {
                let mut facts = graph.with_call(id, |call| Facts::of_nest(&nest(call), call.operands));
                let (operands, result) = (graph.operands(id), &graph.node(id).types[0]);
                let is_less = |value: &Value| {
                    let from = graph.type_of(*value).dtype;
                    from.is_float() && result.dtype.is_float() && result.dtype.size_of() < from.size_of()
                };
                facts.narrows = facts.casts > 0 && facts.arithmetic == 0 && operands.iter().any(is_less);
                facts.widens = result.dtype.is_float() && widens(graph, &operands, result);
                Some(facts)
            }
            _ => None,
        }
    }

    fn of_nest(nest: &Nest, operands: &[Type]) -> Facts {
        let mut facts = Facts {
            reduces: nest.reduce.is_some(),
            domain: Dim::product(&nest.axes),
            reads: Vec::new(),
            arithmetic: 0,
            casts: 0,
            uses_position: false,
            narrows: false,
            widens: false,
        };
        let here: Vec<NestIndex> = axes(nest.n_parallel).into_iter().map(NestIndex::Affine).collect();
        for node in &nest.body {
            match node {
                ScalarNode::Const { .. } => {}
                ScalarNode::Index(_) => facts.uses_position = true,
                ScalarNode::Load { operand, index, guards, .. } => facts.reads.push(Read {
                    operand: *operand,
                    is_identity: guards.is_empty() && *index == here && operands[*operand].shape == nest.axes,
                    is_plain: guards.is_empty() && index.iter().all(|at| matches!(at, NestIndex::Affine(_))),
                    is_tiled: index.iter().any(|at| matches!(at, NestIndex::Affine(dim) if divides(dim))),
                    is_turned: nest.n_parallel > 0 && !runs_along(index, &axis(nest.n_parallel - 1)),
                    is_window: nest.reduce.is_some() && index.iter().any(|at| is_window(at, nest.axes.len())),
                }),
                ScalarNode::Apply { scalar, .. } => facts.arithmetic += scalar.work(),
                ScalarNode::Cast { .. } => facts.casts += 1,
                ScalarNode::RandomBits { .. } => {
                    facts.arithmetic += RANDOM_BITS;
                    facts.uses_position = true;
                }
            }
        }
        facts
    }

    /// Of a view: no work, read once.
    pub fn movement() -> Facts {
        let reads = vec![Read {
            operand: 0,
            is_identity: false,
            is_plain: true,
            is_turned: false,
            is_tiled: false,
            is_window: false,
        }];
        let domain = Dim::constant(0);
        let (narrows, widens) = (false, false);
        Facts { reduces: false, domain, reads, arithmetic: 0, casts: 0, uses_position: false, narrows, widens }
    }

    /// Each element is made of many, and its neighbours of the same: they are computed together where nothing is reduced.
    pub fn is_shared(&self) -> bool {
        let n_reads = |of: &Read| self.reads.iter().filter(|read| read.operand == of.operand).count();
        !self.reduces && self.reads.iter().any(|read| n_reads(read) > MANY)
    }

    pub fn is_elementwise(&self) -> bool {
        !self.reduces && self.reads.iter().all(|read| read.is_identity)
    }
}

/// Neighbours along an axis lie side by side.
pub fn runs_along(index: &[NestIndex], own: &Dim) -> bool {
    let Some((NestIndex::Affine(last), before)) = index.split_last() else { return false };
    let mentions = |dim: &Dim| own.as_symbol().is_some_and(|symbol| dim.mentions(symbol));
    !before.iter().any(|at| matches!(at, NestIndex::Affine(dim) if mentions(dim))) && !mentions(&(last - own))
}

/// A position that moves along several axes.
fn is_window(at: &NestIndex, n_axes: usize) -> bool {
    let NestIndex::Affine(dim) = at else { return false };
    let moves = |number: &usize| axis(*number).as_symbol().is_some_and(|symbol| dim.mentions(symbol));
    (0..n_axes).filter(moves).count() > 1
}

/// Bytes are read at each place, and besides only what is known to have fewer elements than the result.
fn widens(graph: &Graph, operands: &[Value], result: &Type) -> bool {
    let is_bytes = |value: &Value| matches!(graph.type_of(*value).dtype, DType::I8 | DType::U8);
    let n_elements = result.n_elements();
    let is_small = |value: &Value| {
        let n = graph.type_of(*value).n_elements();
        n != n_elements && graph.sizes.proves_le(&n, &n_elements)
    };
    operands.iter().any(is_bytes) && operands.iter().all(|value| is_bytes(value) || is_small(value))
}

/// The node computes each element from the elements of its operands at the same place, and from nothing else.
pub fn is_elementwise(graph: &Graph, id: NodeId) -> bool {
    Facts::of(graph, id).is_some_and(|facts| facts.is_elementwise() && !facts.uses_position && !facts.reads.is_empty())
}

/// A reshape that only splits axes and moves ones: positions in the old shape are affine in those of the new one.
pub fn only_splits(from: &[Dim], to: &[Dim]) -> bool {
    let mut to = to.iter().filter(|dim| !dim.is(1));
    let from = from.iter().filter(|dim| !dim.is(1));
    for whole in from {
        let mut product = Dim::constant(1);
        while product != *whole {
            match to.next() {
                Some(part) => product = &product * part,
                None => return false,
            }
        }
    }
    to.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_is_told_from_merging() {
        let shape = |text: &str| text.split(' ').map(|dim| dim.parse().unwrap()).collect::<Vec<Dim>>();
        for (from, to, expected) in [
            ("B 6*d", "B 6 d", true),
            ("B N", "B 1 N", true),
            ("B 1 N", "B N", true),
            ("B H W", "B H*W", false),
            ("4 6", "2 12", false),
            ("12", "2 3 2", true),
            ("B N C", "B N C", true),
        ] {
            assert_eq!(only_splits(&shape(from), &shape(to)), expected, "{from} -> {to}");
        }
    }
}
