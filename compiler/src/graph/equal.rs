//! Equality and hashing of graphs: by structure in the canonical order, never by the order of construction.
//!
//! Invariant: equal graphs compute the same under the same names. Origins do not count.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::{Graph, NodeId, Value};

/// Each node's place in the canonical order.
struct Places {
    order: Vec<NodeId>,
    place: HashMap<NodeId, usize>,
}

impl Places {
    fn of(graph: &Graph) -> Places {
        let order = graph.canonical_order();
        let place = order.iter().enumerate().map(|(idx, &id)| (id, idx)).collect();
        Places { order, place }
    }

    fn get(&self, value: Value) -> (Option<usize>, u32) {
        (self.place.get(&value.node).copied(), value.result)
    }

    fn operands(&self, graph: &Graph, id: NodeId) -> Vec<(Option<usize>, u32)> {
        graph.operands(id).into_iter().map(|value| self.get(value)).collect()
    }
}

impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        let counts = |graph: &Graph| (graph.n_nodes(), graph.arguments().len(), graph.outputs().len());
        if self.name != other.name
            || self.sizes != other.sizes
            || self.checks != other.checks
            || counts(self) != counts(other)
        {
            return false;
        }
        let (left, right) = (Places::of(self), Places::of(other));
        let arguments = self
            .arguments()
            .iter()
            .zip(other.arguments())
            .all(|(a, b)| a.name == b.name && a.role == b.role && self.type_of(a.value) == other.type_of(b.value));
        let outputs = self
            .outputs()
            .iter()
            .zip(other.outputs())
            .all(|(a, b)| a.name == b.name && a.role == b.role && left.get(a.value) == right.get(b.value));
        arguments
            && outputs
            && left.order.iter().zip(&right.order).all(|(&a, &b)| {
                let (x, y) = (self.node(a), other.node(b));
                std::ptr::eq(x.op, y.op)
                    && x.attrs == y.attrs
                    && x.types == y.types
                    && left.operands(self, a) == right.operands(other, b)
                    && x.regions == y.regions
            })
    }
}

impl Eq for Graph {}

impl Hash for Graph {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

impl Graph {
    /// A hash of what the graph computes, the same on every machine and in every run.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(self.text_without_origins().as_bytes()).as_bytes()
    }
}
