//! The graph itself: nodes in static single assignment over petgraph, which stays private to this file.
//!
//! Invariant: a graph only grows; passes build a new one. So a `Value` stays valid as long as its graph, operands always
//! come before users, and node order is a topological order.

use std::cell::RefCell;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;

use super::{Attrs, Call, Dim, Gradient, Meaning, OpDef, OpError, Operands, Ranges, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NodeIndex);

impl NodeId {
    /// A dense number, for side tables.
    pub fn index(self) -> usize {
        self.0.index()
    }
}

/// One result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    pub node: NodeId,
    pub result: u32,
}

#[derive(Clone)]
pub struct Node {
    pub op: &'static OpDef,
    pub attrs: Attrs,
    pub types: Vec<Type>,
    pub regions: Vec<Graph>,
    pub origin: Origin,
}

/// Where a node comes from: a line of a spec, and the instance path of the module it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    pub file: Arc<str>,
    pub line: u32,
    pub path: Arc<str>,
}

/// The role of an argument or result of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Given or returned by the caller; also the arguments of a region.
    Data,
    Param,
    State,
}

impl Role {
    pub const ALL: [(Role, &'static str); 3] = [(Role::Data, "data"), (Role::Param, "param"), (Role::State, "state")];

    pub fn name(self) -> &'static str {
        Role::ALL[self as usize].1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub role: Role,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub name: String,
    pub role: Role,
    pub value: Value,
}

/// An assertion over sizes and over `i64[]` data arguments, which go by their names; checked when an entry is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Holds when this size is not negative.
    pub not_negative: super::Dim,
    pub message: String,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    result: u32,
    operand: u32,
}

#[derive(Clone, Default)]
pub struct Graph {
    pub name: String,
    /// What is declared about the symbolic sizes.
    pub sizes: Ranges,
    pub checks: Vec<Check>,
    nodes: StableDiGraph<Node, Edge>,
    arguments: Vec<Argument>,
    outputs: Vec<Output>,
}

impl Graph {
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The data arguments that checks may speak of: the `i64[]` ones.
    pub fn scalars(&self) -> impl Iterator<Item = &Argument> {
        let scalar = |argument: &&Argument| {
            let ty = self.type_of(argument.value);
            argument.role == Role::Data && ty.dtype == super::DType::I64 && ty.shape.is_empty()
        };
        self.arguments.iter().filter(scalar)
    }

    pub fn n_nodes(&self) -> usize {
        self.nodes.node_count()
    }

    /// The nodes that were made after the first `n_nodes`, operands before users.
    pub fn made_after(&self, n_nodes: usize) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (n_nodes..self.n_nodes()).map(|index| NodeId(NodeIndex::new(index)))
    }

    /// All nodes, operands before users.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        self.nodes.node_indices().map(NodeId)
    }

    pub fn type_of(&self, value: Value) -> &Type {
        &self.node(value.node).types[value.result as usize]
    }

    pub fn results(&self, id: NodeId) -> impl Iterator<Item = Value> + '_ {
        (0..self.node(id).types.len() as u32).map(move |result| Value { node: id, result })
    }

    pub fn operands(&self, id: NodeId) -> Vec<Value> {
        let mut edges: Vec<_> = self
            .nodes
            .edges_directed(id.0, Direction::Incoming)
            .map(|edge| (edge.weight().operand, Value { node: NodeId(edge.source()), result: edge.weight().result }))
            .collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, value)| value).collect()
    }

    /// The uses of a value by nodes, as (user, operand position); outputs are not among them.
    pub fn users(&self, value: Value) -> Vec<(NodeId, usize)> {
        let mut users: Vec<_> = self
            .nodes
            .edges_directed(value.node.0, Direction::Outgoing)
            .filter(|edge| edge.weight().result == value.result)
            .map(|edge| (NodeId(edge.target()), edge.weight().operand as usize))
            .collect();
        users.sort_unstable();
        users
    }

    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.iter().any(|output| output.value == value)
    }

    /// How often a value is used, outputs included.
    pub fn n_uses(&self, value: Value) -> usize {
        self.users(value).len() + self.outputs.iter().filter(|output| output.value == value).count()
    }

    pub fn add_argument(&mut self, name: impl Into<String>, role: Role, ty: Type) -> Value {
        let node = Node {
            op: &super::ARGUMENT,
            attrs: Attrs::none(),
            types: vec![ty],
            regions: Vec::new(),
            origin: Origin::default(),
        };
        let value = Value { node: NodeId(self.nodes.add_node(node)), result: 0 };
        self.arguments.push(Argument { name: name.into(), role, value });
        value
    }

    pub fn add_output(&mut self, name: impl Into<String>, role: Role, value: Value) {
        self.outputs.push(Output { name: name.into(), role, value });
    }

    /// Applies an op: completes its attributes, infers its types and appends the node.
    pub fn apply(
        &mut self,
        op: &'static OpDef,
        operands: &[Value],
        attrs: &Attrs,
        regions: Vec<Graph>,
        origin: &Origin,
    ) -> Result<NodeId, OpError> {
        let attrs = attrs.complete(op.attrs).map_err(OpError::new)?;
        check_count(op, operands.len())?;
        let types: Vec<Type> = operands.iter().map(|&value| self.type_of(value).clone()).collect();
        let open = &RefCell::default();
        let call = Call { op, attrs: &attrs, operands: &types, regions: &regions, sizes: &self.sizes, open };
        let results = (op.infer)(&call)?;
        Ok(self.push(Node { op, attrs, types: results, regions, origin: origin.clone() }, operands))
    }

    /// Appends a node that is known to be right: a copy of a verified one.
    pub fn push(&mut self, node: Node, operands: &[Value]) -> NodeId {
        let id = self.nodes.add_node(node);
        for (operand, value) in operands.iter().enumerate() {
            self.nodes.add_edge(value.node.0, id, Edge { result: value.result, operand: operand as u32 });
        }
        NodeId(id)
    }

    /// The call that a node is, for the functions of its record.
    pub fn with_call<T>(&self, id: NodeId, f: impl FnOnce(&Call) -> T) -> T {
        let node = self.node(id);
        let types: Vec<Type> = self.operands(id).into_iter().map(|value| self.type_of(value).clone()).collect();
        let open = &RefCell::default();
        f(&Call { op: node.op, attrs: &node.attrs, operands: &types, regions: &node.regions, sizes: &self.sizes, open })
    }

    /// What must not be negative for a node to mean something, as far as the sizes leave that open: extents of its results
    /// among it. An error where something always is.
    pub fn open_rooms(&self, id: NodeId) -> Result<Vec<Dim>, OpError> {
        let asked = self.with_call(id, |call| {
            // Types were inferred before; an op asks on the way.
            _ = (call.op.infer)(call);
            call.open.take()
        });
        let mut rooms = Vec::new();
        for (room, refusal) in asked {
            match refusal {
                Some(error) if self.sizes.upper_bound(&room).is_some_and(|bound| bound < 0) => return Err(error),
                _ => rooms.push(room),
            }
        }
        let is_open = |room: &Dim| self.sizes.lower_bound(room).is_none_or(|bound| bound < 0);
        for extent in self.node(id).types.iter().flat_map(|ty| ty.shape.iter().filter(|size| is_open(size))) {
            if !rooms.iter().any(|room| !is_open(&(extent - room))) {
                rooms.push(extent.clone());
            }
        }
        Ok(rooms)
    }

    /// Nodes in the canonical order: arguments, then depth first from the outputs, then whatever is dead.
    pub fn canonical_order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.n_nodes());
        let mut seen = vec![false; self.nodes.node_indices().map(|n| n.index() + 1).max().unwrap_or(0)];
        let roots = self.arguments.iter().map(|a| a.value.node).chain(self.outputs.iter().map(|o| o.value.node));
        for root in roots.chain(self.node_ids()) {
            self.visit_from(root, &mut seen, &mut order);
        }
        order
    }

    fn visit_from(&self, root: NodeId, seen: &mut [bool], order: &mut Vec<NodeId>) {
        if std::mem::replace(&mut seen[root.index()], true) {
            return;
        }
        let mut stack = vec![(root, self.operands(root), 0)];
        while let Some((id, operands, next)) = stack.last_mut() {
            match operands.get(*next).copied() {
                Some(operand) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[operand.node.index()], true) {
                        stack.push((operand.node, self.operands(operand.node), 0));
                    }
                }
                None => {
                    order.push(*id);
                    stack.pop();
                }
            }
        }
    }
}

fn check_count(op: &'static OpDef, found: usize) -> Result<(), OpError> {
    match op.operands {
        Operands::Fixed(names) if names.len() != found => {
            let wanted = names.join(", ");
            Err(OpError::new(format!("`{}` takes {} operands ({wanted}), found {found}", op.name, names.len())))
        }
        Operands::Variadic(names, rest) if found < names.len() => Err(OpError::new(format!(
            "`{}` takes {} and any number of {rest}, found {found}",
            op.name,
            names.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// The op of an argument; it stands for a value from outside.
pub static ARGUMENT: OpDef = OpDef {
    name: "argument",
    doc: "A value from outside the graph.",
    operands: Operands::Fixed(&[]),
    attrs: &[],
    infer: |_| Err(OpError::new("arguments are declared in the header of a graph")),
    meaning: Meaning::Source,
    gradient: Gradient::Zero,
    aliases: &[],
    sample: None,
};
