//! Smaller cases that fail in the same stage: fewer outputs, fewer sizes, fewer nodes.

use std::time::{Duration, Instant};

use tilewright::compiler::codegen::Backend;
use tilewright::compiler::graph::{Graph, NodeId, Precision, Role, Tensor, Value, interpret};

use super::check::{Failure, check};
use super::coverage::Coverage;
use super::generate::domain_of;
use super::rewrite::{Fate, part};
use super::{Case, size_lookup, values};

/// Shrinks until nothing helps any more or the time is over.
pub fn shrink(case: &Case, failure: &Failure, backends: &[Backend], time: Duration) -> (Case, Failure) {
    let deadline = Instant::now() + time;
    let (mut best, mut reason) = (case.clone(), failure.clone());
    let mut improved = true;
    while improved && Instant::now() < deadline {
        improved = false;
        for candidate in candidates(&best) {
            if Instant::now() > deadline {
                break;
            }
            if weight(&candidate) >= weight(&best) {
                continue;
            }
            match check(&candidate, backends, &mut Coverage::default()) {
                Err(other) if other.stage == failure.stage => {
                    (best, reason, improved) = (candidate, other, true);
                    break;
                }
                _ => {}
            }
        }
    }
    (best, reason)
}

fn weight(case: &Case) -> usize {
    let arguments = case.graph.arguments().len();
    4 * (case.graph.n_nodes() - arguments) + arguments + 2 * case.graph.outputs().len() + case.sizes.len()
}

fn candidates(case: &Case) -> Vec<Case> {
    let graph = &case.graph;
    let with = |graph: Graph| Case { graph, ..case.clone() };
    let mut all = Vec::new();
    if graph.outputs().len() > 1 {
        all.extend((0..graph.outputs().len()).map(|kept| with(part(graph, &|idx| idx == kept, &|_| Fate::Keep))));
        all.extend((0..graph.outputs().len()).map(|lost| with(part(graph, &|idx| idx != lost, &|_| Fate::Keep))));
    }
    for at in 0..case.sizes.len() {
        if case.sizes.len() > 1 {
            all.push(Case { sizes: vec![case.sizes[at]], ..case.clone() });
        }
    }
    let ids: Vec<NodeId> = graph.node_ids().filter(|&id| !is_argument(graph, id)).collect();
    all.extend(ids.iter().filter_map(|&id| cut(case, id)));
    all.extend(ids.iter().flat_map(|&id| bypasses(case, id)));
    all
}

fn is_argument(graph: &Graph, id: NodeId) -> bool {
    graph.arguments().iter().any(|argument| argument.value.node == id)
}

/// The node's results become arguments, drawn from where the values were.
fn cut(case: &Case, id: NodeId) -> Option<Case> {
    let prefix = format!("v{}", id.index());
    let fate = |other: NodeId| if other == id { Fate::Argument(prefix.clone()) } else { Fate::Keep };
    let mut cut = Case { graph: part(&case.graph, &|_| true, &fate), ..case.clone() };
    for value in case.graph.results(id) {
        cut.domains.push((format!("{prefix}_{}", value.result), domain_of(&seen(case, value)?)));
    }
    Some(cut)
}

/// What a value is at the first size.
fn seen(case: &Case, value: Value) -> Option<Tensor> {
    let mut graph = case.graph.clone();
    graph.add_output("seen", Role::Data, value);
    let &sizes = case.sizes.first()?;
    interpret(&graph, &values::arguments(case, sizes)?, &size_lookup(sizes), Precision::Wide).ok()?.pop()
}

/// The node is replaced by one of its operands of the same type.
fn bypasses(case: &Case, id: NodeId) -> Vec<Case> {
    let graph = &case.graph;
    let [ty] = graph.node(id).types.as_slice() else { return Vec::new() };
    let same: Vec<Value> = graph.operands(id).into_iter().filter(|&value| graph.type_of(value) == ty).collect();
    let without = |operand: Value| {
        let fate = |other: NodeId| if other == id { Fate::Replaced(operand) } else { Fate::Keep };
        Case { graph: part(graph, &|_| true, &fate), ..case.clone() }
    };
    let is_state = |value: Value| graph.arguments().iter().any(|a| a.value == value && a.role == Role::State);
    same.into_iter().filter(|&value| !is_state(value)).map(without).collect()
}
