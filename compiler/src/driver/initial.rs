//! Initial values: what params and states are before anyone has set them.
//!
//! Params are usually loaded, so the graph that makes them is a program of its own, compiled when it is needed. States
//! that do not start as zeros are made by an entry of the program itself.

use crate::graph::{Attr, Graph, Model, Role, Value};
use crate::passes::part::Part;

/// The entry that makes initial states. No function of a spec can have this name.
pub const STATES: &str = "initial.states";
/// The one entry of the program that makes initial params.
pub const PARAMS: &str = "initial.params";

/// The graph that makes the states that are not zeros, if there are any.
pub fn initial_states(model: &Model) -> Option<Graph> {
    let is_state = |name: &str| model.states.iter().any(|member| member.path == name);
    let kept = part(&model.init, STATES, &|name, value| is_state(name) && !is_zero(&model.init, value));
    (!kept.outputs().is_empty()).then_some(kept)
}

/// A model whose only entry makes the params: takes the seed, gives one output per param.
pub fn initial_params(model: &Model) -> Model {
    let is_param = |name: &str| model.params.iter().any(|member| member.path == name);
    let entry = part(&model.init, PARAMS, &|name, _| is_param(name));
    Model {
        name: format!("{}.init", model.name),
        params: Vec::new(),
        states: Vec::new(),
        entries: vec![entry],
        init: Graph::new("init"),
        ..model.clone()
    }
}

/// The part of a graph that makes these outputs.
pub fn outputs_named(graph: &Graph, names: &[String]) -> Graph {
    part(graph, &graph.name, &|name, _| names.iter().any(|wanted| wanted == name))
}

/// The outputs of a graph that `keep` wants, and what they are computed from.
fn part(graph: &Graph, name: &str, keep: &dyn Fn(&str, Value) -> bool) -> Graph {
    let mut part = Graph::new(name);
    part.sizes = graph.sizes.clone();
    let kept: Vec<_> = graph.outputs().iter().filter(|output| keep(&output.name, output.value)).collect();
    let values: Vec<Value> = kept.iter().map(|output| output.value).collect();
    let copies = Part::new(graph, &mut part).copies(&values);
    for (output, value) in kept.into_iter().zip(copies) {
        part.add_output(output.name.clone(), Role::Data, value);
    }
    part
}

/// Whether a value is zero everywhere, as far as its making shows.
fn is_zero(graph: &Graph, value: Value) -> bool {
    let node = graph.node(value.node);
    match node.op.name {
        "fill" => matches!(node.attrs.get("value"), Some(Attr::Float(value)) if *value == 0.0),
        "constant" => {
            let tensor = node.attrs.tensor("value");
            tensor.n_elements() > 0 && tensor.is_uniform() && tensor.float_at(0) == 0.0
        }
        "broadcast" | "reshape" | "cast" => is_zero(graph, graph.operands(value.node)[0]),
        _ => false,
    }
}
