//! Initial values: what params and states are before anyone has set them.
//!
//! Params are usually loaded, so the graph that makes them is a program of its own, compiled when it is needed. States
//! that do not start as zeros are made by an entry of the program itself.

use rustc_hash::FxHashMap;

use crate::graph::{Attr, DType, Graph, Model, OpError, Role, Type, Value};
use crate::ops::random_bits;
use crate::passes::part::Part;
use crate::passes::rebuild::Rebuild;

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

/// The same graph with the key of each draw as an input, and those keys by the names of the inputs: draws that differ by
/// nothing else are one kernel. An input takes its key, exclusive-or the seed.
pub fn with_given_keys(graph: &Graph) -> Result<(Graph, Vec<(String, i64)>), OpError> {
    let (mut rebuild, mut given) = (Rebuild::new(graph), FxHashMap::default());
    let mut keys = Vec::new();
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        if node.op.name != random_bits::OP.name {
            rebuild.keep(id);
            continue;
        }
        let key = node.attrs.int("key");
        let seed = *given.entry(key).or_insert_with(|| {
            keys.push((format!("key.{}", keys.len()), key));
            let (name, _) = &keys[keys.len() - 1];
            rebuild.new.add_argument(name.clone(), Role::Data, Type::scalar(DType::I64))
        });
        let stream = rebuild.operands(id)[1];
        let attrs = node.attrs.clone().with("key", 0);
        let node = rebuild.new.apply(&random_bits::OP, &[seed, stream], &attrs, Vec::new(), &node.origin)?;
        rebuild.set(id, vec![Value { node, result: 0 }]);
    }
    Ok((rebuild.finish(), keys))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse::{Library, parse};
    use crate::graph::{Precision, Tensor, interpret};

    #[test]
    fn given_keys_draw_the_same() {
        let text = r#"graph @init(%0 "seed": data i64[]) {
          %1: i64[] = constant() {value = i64[] 5}
          %2: u32[9] = random_bits(%0, %1) {shape = [9], key = 17}
          %3: u32[9] = random_bits(%0, %1) {shape = [9], key = -4, word = 2}
          %4: u32[9] = random_bits(%0, %1) {shape = [9], key = 17, word = 1}
          return %2 "a": data, %3 "b": data, %4 "c": data
        }"#;
        let graph = parse(text, Library::of_ops(&|name| crate::ops::find(name))).expect("a graph");
        let (given, keys) = with_given_keys(&graph).expect("a graph");
        assert_eq!(keys.len(), 2, "{given}");
        let run = |graph: &Graph, numbers: &[i64]| {
            let inputs: Vec<Tensor> =
                numbers.iter().map(|&number| Tensor::ints(DType::I64, Vec::new(), vec![number])).collect();
            let results = interpret(graph, &inputs, &|_| None, Precision::Declared).expect("values");
            format!("{results:?}")
        };
        for seed in [0, 1, -77] {
            let numbers: Vec<i64> = [seed].into_iter().chain(keys.iter().map(|(_, key)| key ^ seed)).collect();
            assert_eq!(run(&graph, &[seed]), run(&given, &numbers), "{given}");
        }
    }
}
