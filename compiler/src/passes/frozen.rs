//! What is frozen: values made of weights and constants alone, the same at every call.

use super::hoist::n_captures;
use super::rebuild::Rebuild;
use crate::graph::{Graph, Meaning, NodeId, Role};

/// By node index: whether its results depend on params and constants only, and have constant sizes. Nothing is frozen in
/// a graph that writes a param.
pub fn frozen(graph: &Graph, live: &[NodeId]) -> Vec<bool> {
    frozen_with(graph, live, &|idx| graph.arguments()[idx].role == Role::Param)
}

/// The same in a region, some of whose arguments stand for frozen values.
fn frozen_with(graph: &Graph, live: &[NodeId], is_given: &dyn Fn(usize) -> bool) -> Vec<bool> {
    let mut frozen = vec![false; graph.node_ids().map(|id| id.index() + 1).max().unwrap_or(0)];
    if graph.outputs().iter().any(|output| output.role == Role::Param) {
        return frozen;
    }
    for (_, argument) in graph.arguments().iter().enumerate().filter(|(idx, _)| is_given(*idx)) {
        frozen[argument.value.node.index()] = has_constant_sizes(graph, argument.value.node);
    }
    for &id in live {
        let is_computed = match graph.node(id).op.meaning {
            Meaning::Source => graph.operands(id).is_empty(),
            Meaning::Structured { .. } | Meaning::View => !graph.operands(id).is_empty(),
            _ => false,
        };
        let operands_are = graph.operands(id).iter().all(|value| frozen[value.node.index()]);
        frozen[id.index()] = is_computed && operands_are && has_constant_sizes(graph, id);
    }
    frozen
}

/// What is frozen in a region of a node: it sees frozen values through its captures.
pub fn frozen_in_region(graph: &Graph, id: NodeId, region: &Graph, frozen: &[bool]) -> Vec<bool> {
    let operands = graph.operands(id);
    let n_captures = n_captures(graph.node(id), operands.len()).unwrap_or(0);
    let captures = &operands[operands.len() - n_captures..];
    let first = region.arguments().len() - n_captures;
    let is_given = |idx: usize| idx >= first && frozen[captures[idx - first].node.index()];
    frozen_with(region, &Rebuild::live(region), &is_given)
}

fn has_constant_sizes(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let mentions_size = node.attrs.iter().any(|(_, attr)| attr.mentions_symbols());
    !mentions_size && node.types.iter().flat_map(|ty| &ty.shape).all(|dim| dim.as_constant().is_some())
}

/// Panels that were put in one piece again, perhaps as floats: what a contraction takes into its kernel.
pub fn is_unpacked(graph: &Graph, id: NodeId) -> bool {
    unpacked(graph, id).is_some()
}

/// The same where narrow numbers lie side by side in the panels.
pub fn lies_in_words(graph: &Graph, id: NodeId) -> bool {
    unpacked(graph, id).is_some_and(|unpack| graph.node(unpack).attrs.get("depth").is_some())
}

/// The `unpack` that a value comes from.
fn unpacked(graph: &Graph, id: NodeId) -> Option<NodeId> {
    match graph.node(id).op.name {
        "unpack" => Some(id),
        "permute" | "dequantize" => unpacked(graph, graph.operands(id)[0].node),
        _ => None,
    }
}
