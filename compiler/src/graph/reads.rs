//! Reading a graph by what its nodes mean: scalar functions, numbers, and where a value that was only moved comes from.
//!
//! Invariant: nodes are judged by their nests, never by name.

use super::rows::{axis_of, declare, position};
use super::{Dim, Graph, Meaning, Nest, NestIndex, Ranges, Scalar, ScalarNode, Value, axis, reshape_index};

pub struct Reads<'g> {
    pub graph: &'g Graph,
}

impl<'g> Reads<'g> {
    pub fn nest(&self, value: Value) -> Option<Nest> {
        match self.graph.node(value.node).op.meaning {
            Meaning::Structured { nest, .. } => Some(self.graph.with_call(value.node, nest)),
            _ => None,
        }
    }

    /// The operands of a node that applies this scalar function element by element.
    pub fn applied(&self, value: Value, wanted: Scalar) -> Option<Vec<Value>> {
        let nest = self.nest(value)?;
        let (ScalarNode::Apply { scalar, args }, loads) = nest.body.split_last()? else { return None };
        let here: Vec<NestIndex> = (0..nest.n_parallel).map(|idx| NestIndex::Affine(axis(idx))).collect();
        let is_here = |node: &ScalarNode| matches!(node, ScalarNode::Load { index, guards, .. } if guards.is_empty() && *index == here);
        let is_straight = nest.reduce.is_none() && loads.iter().all(is_here) && args.iter().copied().eq(0..loads.len());
        (*scalar == wanted && is_straight).then(|| self.graph.operands(value.node))
    }

    /// The operand of a cast.
    pub fn cast(&self, value: Value) -> Option<Value> {
        match self.nest(value)?.body.as_slice() {
            [ScalarNode::Load { .. }, ScalarNode::Cast { arg: 0, .. }] => Some(self.graph.operands(value.node)[0]),
            _ => None,
        }
    }

    /// The number that every element is, where a float holds it exactly.
    pub fn number(&self, value: Value) -> Option<f64> {
        let node = self.graph.node(value.node);
        if let Meaning::Source = node.op.meaning {
            return node.attrs.iter().next().and_then(|_| node.attrs.tensor("value").uniform_float());
        }
        match self.nest(value)?.body.as_slice() {
            [ScalarNode::Const { value, .. }] => Some(*value),
            _ => None,
        }
    }

    /// Position `i0, i1, …` in a shape; 0 along axes of one element.
    pub fn here(&self, shape: &[Dim]) -> Vec<Dim> {
        shape.iter().enumerate().map(|(idx, size)| position(idx, size)).collect()
    }

    /// What is known of sizes and of positions in this shape.
    pub fn ranges(&self, shape: &[Dim]) -> Ranges {
        let mut ranges = self.graph.sizes.clone();
        declare(&mut ranges, 0, shape);
        ranges
    }

    /// From where an element was moved: the first value on the way that is not movement, and the position there.
    pub fn source(&self, value: Value, at: Vec<Dim>, ranges: &Ranges) -> (Value, Vec<Dim>) {
        let (mut value, mut at) = (value, at);
        while let Some((from, index)) = self.moved(value, &at) {
            value = from;
            at = index.iter().map(|dim| ranges.simplify(dim)).collect();
        }
        (value, at)
    }

    fn moved(&self, value: Value, at: &[Dim]) -> Option<(Value, Vec<Dim>)> {
        let operands = self.graph.operands(value.node);
        if let Meaning::View = self.graph.node(value.node).op.meaning {
            let (from, to) = (&self.graph.type_of(operands[0]).shape, &self.graph.type_of(value).shape);
            return Some((operands[0], reshape_index(from, to, at)));
        }
        let nest = self.nest(value).filter(|nest| nest.reduce.is_none())?;
        let [ScalarNode::Load { operand, index, guards, .. }] = nest.body.as_slice() else { return None };
        let index = guards.is_empty().then(|| placed(index, at))??;
        Some((operands[*operand], index))
    }

    /// The operand of a reduction by `combine` of its elements, and the position at which it is read, with `along` for
    /// the position along its only reduced axis.
    pub fn reduced(&self, value: Value, combine: Scalar, at: &[Dim], along: &Dim) -> Option<(Value, Vec<Dim>)> {
        let nest = self.nest(value)?;
        let is_meant = nest.reduce.is_some_and(|reduce| reduce.combine == combine);
        let [ScalarNode::Load { operand, index, guards, .. }] = nest.body.as_slice() else { return None };
        if !is_meant || !guards.is_empty() || nest.axes.len() != nest.n_parallel + 1 {
            return None;
        }
        let at: Vec<Dim> = at.iter().chain([along]).cloned().collect();
        Some((self.graph.operands(value.node)[*operand], placed(index, &at)?))
    }
}

/// Where a load of a nest reads at a position, if no data says that.
pub fn placed(index: &[NestIndex], at: &[Dim]) -> Option<Vec<Dim>> {
    let place = |entry: &NestIndex| match entry {
        NestIndex::Affine(dim) => Some(dim.substitute(&|symbol| at.get(axis_of(symbol)?).cloned())),
        NestIndex::Value(_) => None,
    };
    index.iter().map(place).collect()
}
