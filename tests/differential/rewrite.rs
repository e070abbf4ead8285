//! Copies of graphs with something changed: what the shrinking and the noise are made of.
//!
//! Invariant: the copy has the header of the original; nodes that no output needs are left out, arguments too where asked.

use std::collections::HashMap;

use tilewright::compiler::graph::{Graph, Node, NodeId, Role, Value};

/// What becomes of the results of a node.
pub enum Fate {
    /// The node is copied.
    Keep,
    /// Its results are arguments from now on, of this name and a number.
    Argument(String),
    /// Its first result is this value of the original.
    Replaced(Value),
}

/// The part of a graph that the chosen outputs need, with other fates for some nodes.
pub fn part(graph: &Graph, keep_output: &dyn Fn(usize) -> bool, fate: &dyn Fn(NodeId) -> Fate) -> Graph {
    let kept: Vec<_> =
        graph.outputs().iter().enumerate().filter(|(idx, _)| keep_output(*idx)).map(|(_, o)| o).collect();
    let mut needed: Vec<NodeId> = Vec::new();
    let mut stack: Vec<NodeId> = kept.iter().map(|output| output.value.node).collect();
    while let Some(id) = stack.pop() {
        if needed.contains(&id) {
            continue;
        }
        needed.push(id);
        match fate(id) {
            Fate::Keep => stack.extend(graph.operands(id).iter().map(|value| value.node)),
            Fate::Argument(_) => {}
            Fate::Replaced(value) => stack.push(value.node),
        }
    }
    let mut new = Graph::new(graph.name.clone());
    (new.sizes, new.checks) = (graph.sizes.clone(), graph.checks.clone());
    let mut map: HashMap<Value, Value> = HashMap::new();
    for argument in graph.arguments() {
        let states_are_written = kept.iter().any(|output| output.role == Role::State && output.name == argument.name);
        if needed.contains(&argument.value.node) || states_are_written {
            let ty = graph.type_of(argument.value).clone();
            map.insert(argument.value, new.add_argument(argument.name.clone(), argument.role, ty));
        }
    }
    for id in graph.node_ids().filter(|id| needed.contains(id)) {
        if graph.arguments().iter().any(|argument| argument.value.node == id) {
            continue;
        }
        match fate(id) {
            Fate::Keep => {
                let operands: Vec<Value> = graph.operands(id).iter().map(|value| map[value]).collect();
                let copy = new.push(graph.node(id).clone(), &operands);
                map.extend(graph.results(id).zip(new.results(copy).collect::<Vec<_>>()));
            }
            Fate::Argument(name) => {
                for value in graph.results(id) {
                    let ty = graph.type_of(value).clone();
                    let argument = new.add_argument(format!("{name}_{}", value.result), Role::Data, ty);
                    map.insert(value, argument);
                }
            }
            Fate::Replaced(value) => _ = map.insert(Value { node: id, result: 0 }, map[&value]),
        }
    }
    for output in kept {
        new.add_output(output.name.clone(), output.role, map[&output.value]);
    }
    new
}

/// The same graph, with something done after each node is copied: `after` gives what stands for a result.
pub fn each_node(graph: &Graph, after: &mut dyn FnMut(&mut Graph, &Node, Value) -> Value) -> Graph {
    let mut new = Graph::new(graph.name.clone());
    (new.sizes, new.checks) = (graph.sizes.clone(), graph.checks.clone());
    let mut map: HashMap<Value, Value> = HashMap::new();
    for argument in graph.arguments() {
        let ty = graph.type_of(argument.value).clone();
        map.insert(argument.value, new.add_argument(argument.name.clone(), argument.role, ty));
    }
    for id in graph.node_ids() {
        if graph.arguments().iter().any(|argument| argument.value.node == id) {
            continue;
        }
        let operands: Vec<Value> = graph.operands(id).iter().map(|value| map[value]).collect();
        let mut node = graph.node(id).clone();
        node.regions = node.regions.iter().map(|region| each_node(region, after)).collect();
        let copy = new.push(node.clone(), &operands);
        for (old, value) in graph.results(id).zip(new.results(copy).collect::<Vec<_>>()) {
            let value = after(&mut new, &node, value);
            map.insert(old, value);
        }
    }
    for output in graph.outputs() {
        new.add_output(output.name.clone(), output.role, map[&output.value]);
    }
    new
}
