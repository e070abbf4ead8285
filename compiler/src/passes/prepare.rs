//! Splits off what depends on weights alone: one graph computes it once, when the weights are loaded.
//!
//! Not a pass, since all entries share what is split off: equal computations of different entries are done once. Taken are
//! packed weights, and whatever else costs work that is more than reading its result.
//!
//! Invariant: an entry computes what it did, given that the params `prepared.N` are the outputs `N` of the prepared graph.

use super::facts::Facts;
use super::frozen::{frozen, is_unpacked};
use super::part::Part;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, cse, run_pipeline};
use crate::graph::{Graph, NodeId, Role, Value};

/// The entry that computes prepared values. No function of a spec can have this name.
pub const ENTRY: &str = "prepared.weights";

/// Work, in additions an element, below which a value is computed at each call.
const WORTH: u32 = 8;
/// Elements above which a value that is not a weight in another form is not kept.
const LARGEST: i64 = 1 << 24;

/// The name of the param that stands for a prepared value.
pub fn name(index: usize) -> String {
    format!("prepared.{index}")
}

pub struct Split {
    pub entries: Vec<Graph>,
    /// Its outputs are the prepared values; `None` if there are none.
    pub prepared: Option<Graph>,
}

pub fn split(entries: Vec<Graph>, context: &Context) -> Result<Split, PassError> {
    let mut all = Graph::new(ENTRY);
    let mut taken: Vec<Vec<Value>> = Vec::new();
    for graph in &entries {
        let values = worthwhile(graph);
        let copies = Part::new(graph, &mut all).copies(&values);
        for value in copies {
            let number = all.outputs().len();
            all.add_output(number.to_string(), Role::Data, value);
        }
        taken.push(values);
    }
    if all.outputs().is_empty() {
        return Ok(Split { entries, prepared: None });
    }
    let merged = run_pipeline(&all, &[&cse::PASS as &Pass], context)?;
    let mut prepared = Graph::new(ENTRY);
    let mut distinct: Vec<Value> = Vec::new();
    let mut numbers = Vec::new();
    for output in merged.outputs() {
        let number = distinct.iter().position(|&value| value == output.value).unwrap_or_else(|| {
            distinct.push(output.value);
            distinct.len() - 1
        });
        numbers.push(number);
    }
    let outputs = Part::new(&merged, &mut prepared).copies(&distinct);
    for (number, value) in outputs.into_iter().enumerate() {
        prepared.add_output(name(number), Role::Data, value);
    }
    let mut numbers = numbers.into_iter();
    let entries = entries.iter().zip(taken).map(|(graph, values)| {
        let numbered: Vec<(Value, usize)> = values.into_iter().zip(&mut numbers).collect();
        without(graph, &numbered)
    });
    Ok(Split { entries: entries.collect(), prepared: Some(prepared) })
}

/// Frozen values that others use, and that are worth keeping.
fn worthwhile(graph: &Graph) -> Vec<Value> {
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    let mut work = vec![0; is_frozen.len()];
    for &id in live.iter().filter(|id| is_frozen[id.index()]) {
        let before = graph.operands(id).iter().map(|value| work[value.node.index()]).max().unwrap_or(0);
        work[id.index()] = before + work_of(graph, id);
    }
    let users = live.iter().filter(|id| !is_frozen[id.index()] || is_unpacked(graph, **id));
    let mut used: Vec<Value> = users.flat_map(|&id| graph.operands(id)).collect();
    used.extend(graph.outputs().iter().filter(|output| output.role == Role::Data).map(|output| output.value));
    used.sort_unstable();
    used.dedup();
    let fits = |value: &Value| graph.type_of(*value).n_elements().as_constant().is_some_and(|n| n <= LARGEST);
    used.retain(|value| {
        let id = value.node;
        let is_kept = is_packed(graph, id) || work[id.index()] >= WORTH && fits(value);
        is_frozen[id.index()] && is_kept && !is_unpacked(graph, id)
    });
    used
}

fn work_of(graph: &Graph, id: NodeId) -> u32 {
    match Facts::of(graph, id) {
        Some(facts) if facts.reduces => WORTH,
        Some(facts) => facts.arithmetic,
        None => 0,
    }
}

fn is_packed(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).op.name == "pack"
}

/// The graph in which these values are params.
fn without(graph: &Graph, numbered: &[(Value, usize)]) -> Graph {
    let mut rebuild = Rebuild::new(graph);
    for &(value, number) in numbered {
        let known = rebuild.new.arguments().iter().find(|argument| argument.name == name(number));
        let param = known
            .map(|argument| argument.value)
            .unwrap_or_else(|| rebuild.new.add_argument(name(number), Role::Param, graph.type_of(value).clone()));
        rebuild.set(value.node, vec![param]);
    }
    for id in Rebuild::live(graph) {
        if !numbered.iter().any(|(value, _)| value.node == id) {
            rebuild.keep(id);
        }
    }
    rebuild.finish()
}
