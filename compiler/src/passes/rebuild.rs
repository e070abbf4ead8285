//! Building the next graph from the last one, node by node.
//!
//! Invariant: the new graph has the header of the old one, and each old value that has been visited stands for one new
//! value; values that are never asked for need not be visited.

use crate::graph::{Attrs, Graph, Node, NodeId, OpError, Role, Type, Value};

pub struct Rebuild<'g> {
    pub old: &'g Graph,
    pub new: Graph,
    map: Vec<Vec<Value>>,
}

impl<'g> Rebuild<'g> {
    pub fn new(old: &'g Graph) -> Rebuild<'g> {
        Rebuild::with_types(old, Type::clone)
    }

    /// With other types for the arguments.
    pub fn with_types(old: &'g Graph, ty: impl Fn(&Type) -> Type) -> Rebuild<'g> {
        Rebuild::with_arguments(old, ty, &|_| true)
    }

    /// Without the arguments of these numbers, which nothing may read.
    pub fn without_arguments(old: &'g Graph, is_gone: &dyn Fn(usize) -> bool) -> Rebuild<'g> {
        Rebuild::with_arguments(old, Type::clone, &|idx| !is_gone(idx))
    }

    fn with_arguments(old: &'g Graph, ty: impl Fn(&Type) -> Type, stays: &dyn Fn(usize) -> bool) -> Rebuild<'g> {
        let mut new = Graph::new(old.name.clone());
        new.sizes = old.sizes.clone();
        new.checks = old.checks.clone();
        let n_ids = old.node_ids().map(|id| id.index() + 1).max().unwrap_or(0);
        let mut map = vec![Vec::new(); n_ids];
        for (_, argument) in old.arguments().iter().enumerate().filter(|(idx, _)| stays(*idx)) {
            let value = new.add_argument(argument.name.clone(), argument.role, ty(old.type_of(argument.value)));
            map[argument.value.node.index()] = vec![value];
        }
        Rebuild { old, new, map }
    }

    /// The nodes to visit: those that outputs depend on, without the arguments.
    pub fn live(old: &Graph) -> Vec<NodeId> {
        let mut is_live = vec![false; old.node_ids().map(|id| id.index() + 1).max().unwrap_or(0)];
        let mut stack: Vec<NodeId> = old.outputs().iter().map(|output| output.value.node).collect();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut is_live[id.index()], true) {
                stack.extend(old.operands(id).into_iter().map(|value| value.node));
            }
        }
        old.arguments().iter().for_each(|argument| is_live[argument.value.node.index()] = false);
        old.node_ids().filter(|id| is_live[id.index()]).collect()
    }

    /// A new last argument of a region, under a name that none has.
    pub fn add_capture(&mut self, ty: Type) -> Value {
        let is_taken = |name: &String| self.new.arguments().iter().any(|argument| argument.name == *name);
        let mut names = (self.new.arguments().len()..).map(|number| format!("a{number}"));
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        self.new.add_argument(name, Role::Data, ty)
    }

    pub fn get(&self, value: Value) -> Value {
        self.map[value.node.index()][value.result as usize]
    }

    /// Nothing stands for the results of this old node yet.
    pub fn is_unset(&self, id: NodeId) -> bool {
        self.map[id.index()].is_empty()
    }

    pub fn operands(&self, id: NodeId) -> Vec<Value> {
        self.old.operands(id).into_iter().map(|value| self.get(value)).collect()
    }

    /// Says what stands for the results of an old node.
    pub fn set(&mut self, id: NodeId, values: Vec<Value>) {
        self.map[id.index()] = values;
    }

    /// The same node, with these regions; operands keep their types.
    pub fn copy(&mut self, id: NodeId, regions: Vec<Graph>) -> NodeId {
        let operands = self.operands(id);
        let new = self.new.push(Node { regions, ..self.old.node(id).clone() }, &operands);
        let values = self.new.results(new).collect();
        self.set(id, values);
        new
    }

    /// The same node, as it is.
    pub fn keep(&mut self, id: NodeId) -> NodeId {
        self.copy(id, self.old.node(id).regions.clone())
    }

    /// The same node, with its regions rewritten.
    pub fn copy_with<E>(&mut self, id: NodeId, rewrite: impl Fn(&Graph) -> Result<Graph, E>) -> Result<(), E> {
        let regions = self.old.node(id).regions.iter().map(rewrite).collect::<Result<_, _>>()?;
        self.copy(id, regions);
        Ok(())
    }

    /// The same op on operands whose types may differ: types are inferred anew.
    pub fn reapply(&mut self, id: NodeId, attrs: &Attrs, regions: Vec<Graph>) -> Result<(), OpError> {
        let node = self.old.node(id);
        let operands = self.operands(id);
        let new = self.new.apply(node.op, &operands, attrs, regions, &node.origin)?;
        let values = self.new.results(new).collect();
        self.set(id, values);
        Ok(())
    }

    pub fn finish(mut self) -> Graph {
        for output in self.old.outputs() {
            let value = self.get(output.value);
            self.new.add_output(output.name.clone(), output.role, value);
        }
        self.new
    }
}
