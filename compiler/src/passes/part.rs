//! Copying a part of a graph: some values and what they are made of.
//!
//! Invariant: what has been copied is not copied again, and arguments of one name are one argument.

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId, Value};

pub struct Part<'a> {
    from: &'a Graph,
    to: &'a mut Graph,
    known: FxHashMap<Value, Value>,
}

impl<'a> Part<'a> {
    pub fn new(from: &'a Graph, to: &'a mut Graph) -> Part<'a> {
        Part { from, to, known: FxHashMap::default() }
    }

    /// What stands for these values in the other graph.
    pub fn copies(mut self, values: &[Value]) -> Vec<Value> {
        let mut needed = vec![false; self.from.node_ids().map(|id| id.index() + 1).max().unwrap_or(0)];
        values.iter().for_each(|value| needed[value.node.index()] = true);
        for id in self.from.node_ids().rev() {
            if needed[id.index()] {
                self.from.operands(id).iter().for_each(|operand| needed[operand.node.index()] = true);
            }
        }
        for argument in self.from.arguments().iter().filter(|argument| needed[argument.value.node.index()]) {
            let same = self.to.arguments().iter().find(|other| other.name == argument.name).map(|other| other.value);
            let ty = self.from.type_of(argument.value).clone();
            let value = same.unwrap_or_else(|| self.to.add_argument(argument.name.clone(), argument.role, ty));
            self.known.insert(argument.value, value);
        }
        for id in self.from.node_ids().filter(|id| needed[id.index()]) {
            self.node(id);
        }
        values.iter().map(|value| self.known[value]).collect()
    }

    fn node(&mut self, id: NodeId) {
        if self.from.results(id).all(|result| self.known.contains_key(&result)) {
            return;
        }
        let operands: Vec<Value> = self.from.operands(id).iter().map(|value| self.known[value]).collect();
        let copy = self.to.push(self.from.node(id).clone(), &operands);
        let copies: Vec<Value> = self.to.results(copy).collect();
        self.known.extend(self.from.results(id).zip(copies));
    }
}
