//! The tensors of a graph that are alive while it is interpreted.
//!
//! Invariant: a tensor is kept exactly as long as a use of it that leads to an output is to come.

use super::super::{EvalError, Graph, NodeId, Tensor, Value};

/// The tensors alive, with how many uses of each are to come.
pub struct Values {
    tensors: Vec<Vec<Option<Tensor>>>,
    n_uses: Vec<Vec<usize>>,
}

impl Values {
    /// Counts the uses that lead to an output.
    pub fn new(graph: &Graph) -> Values {
        let n = graph.node_ids().map(|id| id.index() + 1).max().unwrap_or(0);
        let mut n_uses: Vec<Vec<usize>> = vec![Vec::new(); n];
        for id in graph.node_ids() {
            n_uses[id.index()] = vec![0; graph.node(id).types.len()];
        }
        for output in graph.outputs() {
            count(&mut n_uses, output.value);
        }
        for id in graph.node_ids().rev() {
            if n_uses[id.index()].iter().any(|&n| n > 0) {
                for value in graph.operands(id) {
                    count(&mut n_uses, value);
                }
            }
        }
        Values { tensors: vec![Vec::new(); n], n_uses }
    }

    pub fn is_awaited(&self, id: NodeId) -> bool {
        self.n_uses[id.index()].iter().any(|&n| n > 0)
    }

    pub fn is_known(&self, id: NodeId) -> bool {
        !self.tensors[id.index()].is_empty()
    }

    pub fn get(&self, value: Value) -> Result<Tensor, EvalError> {
        let tensor = self.tensors[value.node.index()].get(value.result as usize).cloned().flatten();
        tensor.ok_or_else(|| EvalError::new("a value is used before it is known"))
    }

    /// Keeps the results that are awaited; gives the number of their elements.
    pub fn put(&mut self, id: NodeId, results: Vec<Tensor>) -> usize {
        let awaited = results.into_iter().zip(&self.n_uses[id.index()]).map(|(tensor, &n)| (n > 0).then_some(tensor));
        self.tensors[id.index()] = awaited.collect();
        self.tensors[id.index()].iter().flatten().map(Tensor::n_elements).sum()
    }

    /// Counts one use; gives the number of elements freed by it.
    pub fn used(&mut self, value: Value) -> usize {
        let (node, result) = (value.node.index(), value.result as usize);
        let Some(n_uses) = self.n_uses[node].get_mut(result) else { return 0 };
        *n_uses = n_uses.saturating_sub(1);
        match (*n_uses, self.tensors[node].get_mut(result)) {
            (0, Some(tensor)) => tensor.take().map_or(0, |tensor| tensor.n_elements()),
            _ => 0,
        }
    }

    pub fn n_elements(&self) -> usize {
        self.tensors.iter().flatten().flatten().map(Tensor::n_elements).sum()
    }
}

/// A result that the node does not have is missed when it is read.
fn count(n_uses: &mut [Vec<usize>], value: Value) {
    if let Some(n) = n_uses[value.node.index()].get_mut(value.result as usize) {
        *n += 1;
    }
}
