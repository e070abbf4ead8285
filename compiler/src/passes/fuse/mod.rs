//! Groups nodes into `fused` regions, each of which becomes one kernel.
//!
//! ```text
//! c = g(x); y = f(c, z)   =>   y = fused(x, z) { f(g(x), z) }
//! ```
//! A group has one result, its root, and grows from there towards its operands. `grow` has the rules; in short: pointwise
//! work and movement join where that repeats nothing; cheap work joins although it is repeated; one reduction joins, of
//! which everything after it takes element by element. Then `join` makes one group of those that reduce along the same
//! rows, `several` one of those that read the same memory element by element, which keep a result each, and `bands` puts
//! a group before one that takes its result window by window. Nodes are judged by their nests, never by name.
//!
//! **The graph of groups has no cycle**: in a group of one result each member but the root is a private copy, or has all
//! its users inside; a group that joins another, or is put before it, has no other reader. A path that leaves the group
//! therefore leaves from the root; were it to return, it would enter a member, from which the root is reached again: a
//! cycle through the root in a graph that has none. Groups with several results are made of such groups, where both can
//! run at one moment.
//!
//! Reshapes are views. One stays outside unless what it reshapes is inside; a lone one costs nothing. Dense constants and
//! arguments are captured; constants of one element that a float holds are copied inside. Control stays outside; its regions are fused apart.

mod bands;
mod grow;
mod join;
mod several;

use super::facts::{Facts, only_splits};
use super::panels::is_whole;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::reads::Reads;
use crate::graph::{Attrs, Graph, Meaning, NodeId, OpError, Role, Value};
pub use grow::CHEAP;
use grow::{Group, Growth};
use rustc_hash::{FxHashMap, FxHashSet};

pub static PASS: Pass = Pass { name: "fuse", doc: "Groups nodes that become one kernel.", run };

/// The op of a group.
const FUSED: &str = "fused";

/// What a node can be in a group.
pub enum Kind {
    /// Computes its elements one by one, or moves them.
    Pointwise(Facts),
    Reduction(Facts),
    /// A view whose positions stay affine.
    Split,
    /// A constant of one element, which a float holds exactly.
    Number,
    /// Never in a group.
    Alone,
}

/// The graph with what the rules ask about it.
pub struct Survey<'g> {
    pub graph: &'g Graph,
    kinds: FxHashMap<NodeId, Kind>,
    uses: FxHashMap<NodeId, usize>,
}

impl<'g> Survey<'g> {
    fn of(graph: &'g Graph, live: &[NodeId]) -> Survey<'g> {
        let mut uses: FxHashMap<NodeId, usize> = FxHashMap::default();
        for value in live.iter().flat_map(|&id| graph.operands(id)) {
            *uses.entry(value.node).or_default() += 1;
        }
        Survey { graph, kinds: live.iter().map(|&id| (id, kind(graph, id))).collect(), uses }
    }

    pub fn kind(&self, id: NodeId) -> &Kind {
        self.kinds.get(&id).unwrap_or(&Kind::Alone)
    }

    /// Uses by live nodes.
    pub fn n_uses(&self, id: NodeId) -> usize {
        self.uses.get(&id).copied().unwrap_or(0)
    }

    pub fn is_shared(&self, id: NodeId) -> bool {
        matches!(self.kind(id), Kind::Pointwise(facts) if facts.is_shared())
    }

    pub fn is_output(&self, id: NodeId) -> bool {
        self.graph.outputs().iter().any(|output| output.value.node == id)
    }
}

fn kind(graph: &Graph, id: NodeId) -> Kind {
    let node = graph.node(id);
    let result = &node.types[0];
    match node.op.meaning {
        Meaning::View => {
            let from = &graph.type_of(graph.operands(id)[0]).shape;
            if only_splits(from, &result.shape) { Kind::Split } else { Kind::Alone }
        }
        // The only source inside a kernel is a number, and bodies of kernels write it as a float.
        Meaning::Source if result.n_elements().is(1) && is_number(graph, id) => Kind::Number,
        _ => match Facts::of(graph, id) {
            // An op that may be written over its operand, and reads other places of it than it writes, keeps its own
            // node: the memory plan sees the alias there, and writes only what changes.
            Some(facts) if !node.op.aliases.is_empty() && !facts.is_elementwise() => Kind::Alone,
            Some(facts) if facts.reduces => Kind::Reduction(facts),
            Some(facts) => Kind::Pointwise(facts),
            None => Kind::Alone,
        },
    }
}

fn is_number(graph: &Graph, id: NodeId) -> bool {
    Reads { graph }.number(Value { node: id, result: 0 }).is_some()
}

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let survey = Survey::of(graph, &live);
    let mut groups: FxHashMap<NodeId, Group> = FxHashMap::default();
    // A node is computed for itself when an output, a group or a lone node asks for its value.
    let mut asked: Vec<bool> = vec![false; live.last().map_or(0, |id| id.index() + 1)];
    let ask = |asked: &mut Vec<bool>, id: NodeId| {
        if let Some(slot) = asked.get_mut(id.index()) {
            *slot = true;
        }
    };
    graph.outputs().iter().for_each(|output| ask(&mut asked, output.value.node));
    for &id in live.iter().rev() {
        if !asked[id.index()] {
            continue;
        }
        let group = match survey.kind(id) {
            Kind::Pointwise(_) | Kind::Reduction(_) => Growth::new(&survey, id, &asked).grow(),
            Kind::Split | Kind::Number | Kind::Alone => Group::alone(id),
        };
        group.captures(graph).into_iter().for_each(|value| ask(&mut asked, value.node));
        groups.insert(id, group);
    }
    join::join(&survey, &mut groups);
    several::join(&survey, &mut groups);
    bands::join(&survey, &mut groups, context);
    remark_refusals(graph, &groups, context);
    let mut rebuild = Rebuild::new(graph);
    for group in in_order(graph, &groups) {
        let id = group.root;
        match group.members.len() {
            _ if group.before.is_some() => emit_in_bands(&mut rebuild, group, context)?,
            2.. => emit(&mut rebuild, group, context)?,
            // What is a group already stays as it is.
            _ if matches!(graph.node(id).op.meaning, Meaning::Group { .. }) => {
                rebuild.keep(id);
            }
            _ if is_whole(graph, id) => {
                reshaped(&mut rebuild, id).map_err(PassError::at(PASS.name, &graph.node(id).origin))?
            }
            _ => rebuild.copy_with(id, |region| run(region, context))?,
        }
    }
    Ok(rebuild.finish())
}

/// A copy that moves nothing, as a view.
fn reshaped(rebuild: &mut Rebuild, id: NodeId) -> Result<(), OpError> {
    let node = rebuild.old.node(id);
    let shape = Attrs::none().with("shape", node.types[0].shape.clone());
    let node = rebuild.new.apply(op("reshape")?, &rebuild.operands(id), &shape, Vec::new(), &node.origin)?;
    rebuild.set(id, vec![Value { node, result: 0 }]);
    Ok(())
}

/// Groups after those whose results they read, else in the order of the graph.
fn in_order<'g>(graph: &Graph, groups: &'g FxHashMap<NodeId, Group>) -> Vec<&'g Group> {
    let makers: FxHashMap<NodeId, &Group> =
        groups.values().flat_map(|group| group.results().map(move |result| (result, group))).collect();
    let mut results: Vec<&NodeId> = makers.keys().collect();
    results.sort_unstable_by(|a, b| b.cmp(a));
    let mut todo: Vec<(&Group, bool)> = results.into_iter().map(|result| (makers[result], false)).collect();
    let (mut begun, mut order) = (FxHashSet::default(), Vec::new());
    while let Some((group, is_ready)) = todo.pop() {
        if is_ready {
            order.push(group);
        } else if begun.insert(group.root) {
            todo.push((group, true));
            let before = group.captures(graph).into_iter().filter_map(|value| makers.get(&value.node));
            todo.extend(before.map(|&maker| (maker, false)));
        }
    }
    order
}

/// Says what stayed apart, and why: the last reason is the one that counted.
fn remark_refusals(graph: &Graph, groups: &FxHashMap<NodeId, Group>, context: &Context) {
    let mut roots: Vec<&NodeId> = groups.keys().collect();
    roots.sort_unstable_by(|a, b| b.cmp(a));
    for group in roots.into_iter().map(|root| &groups[root]) {
        for (idx, (id, reason)) in group.refused.iter().enumerate() {
            let is_last = group.refused[idx + 1..].iter().all(|(later, _)| later != id);
            if is_last && !group.members.contains(id) {
                let (node, user) = (graph.node(*id), graph.node(group.root));
                let message =
                    format!("`{}` is not fused into the kernel of `{}`: {reason}", node.op.name, user.op.name);
                context.remark(PASS.name, &node.origin, message);
            }
        }
    }
}

/// The op of two groups, one before the other.
const BANDED: &str = "banded";

/// Builds the region of a group and the node around it.
fn emit(rebuild: &mut Rebuild, group: &Group, context: &Context) -> Result<(), PassError> {
    let origin = &rebuild.old.node(group.root).origin;
    context.remark(PASS.name, origin, format!("one kernel: {}", names(rebuild.old, group).join(", ")));
    let region = region(rebuild.old, group, &group.operands(rebuild.old));
    around(rebuild, group, FUSED, &Attrs::none(), vec![region])
}

/// The same of a group and the one before it.
fn emit_in_bands(rebuild: &mut Rebuild, group: &Group, context: &Context) -> Result<(), PassError> {
    let Some(before) = &group.before else { return emit(rebuild, group, context) };
    let graph = rebuild.old;
    let origin = &graph.node(group.root).origin;
    let (first, second) = (names(graph, &before.group).join(", "), names(graph, group).join(", "));
    let message = format!("one kernel, in tiles of {:?}: {first}, and what takes it by windows: {second}", before.tile);
    context.remark(PASS.name, origin, message);
    let passed = Value { node: before.group.root, result: 0 };
    let mut operands = group.operands(graph);
    operands.retain(|&value| value != passed);
    operands.insert(0, passed);
    let regions = vec![region(graph, &before.group, &before.group.operands(graph)), region(graph, group, &operands)];
    around(rebuild, group, BANDED, &Attrs::none().with("tile", before.tile.clone()), regions)
}

fn names<'g>(graph: &'g Graph, group: &Group) -> Vec<&'g str> {
    group.members.iter().map(|&member| graph.node(member).op.name).collect()
}

/// What a group computes, given what it takes from outside.
fn region(graph: &Graph, group: &Group, captures: &[Value]) -> Graph {
    let mut region = Graph::new("fused");
    region.sizes = graph.sizes.clone();
    let mut inside: FxHashMap<Value, Value> = FxHashMap::default();
    for (idx, &value) in captures.iter().enumerate() {
        inside.insert(value, region.add_argument(format!("x{idx}"), Role::Data, graph.type_of(value).clone()));
    }
    for &member in &group.members {
        let operands: Vec<Value> = graph.operands(member).iter().map(|value| inside[value]).collect();
        let node = region.push(graph.node(member).clone(), &operands);
        inside.insert(Value { node: member, result: 0 }, Value { node, result: 0 });
    }
    for (idx, node) in group.results().enumerate() {
        let name = if idx == 0 { "y".to_string() } else { format!("y{idx}") };
        region.add_output(name, Role::Data, inside[&Value { node, result: 0 }]);
    }
    region
}

/// The node of a group around its regions.
fn around(
    rebuild: &mut Rebuild,
    group: &Group,
    name: &str,
    attrs: &Attrs,
    regions: Vec<Graph>,
) -> Result<(), PassError> {
    let origin = &rebuild.old.node(group.root).origin;
    let captures = group.captures(rebuild.old);
    let operands: Vec<Value> = captures.iter().map(|&value| rebuild.get(value)).collect();
    let node = op(name).and_then(|op| rebuild.new.apply(op, &operands, attrs, regions, origin));
    let node = node.map_err(PassError::at(PASS.name, origin))?;
    for (idx, result) in group.results().enumerate() {
        rebuild.set(result, vec![Value { node, result: idx as u32 }]);
    }
    Ok(())
}
