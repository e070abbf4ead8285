//! Convolutions that read their image as it lies: there lanes may as well run along its lines, and turning it twice would
//! take as long as the sums.
//!
//! Invariant: what such convolutions are joined to, by ops that move with images, has its axes permuted nowhere. They
//! sum over few channels at a time, or there is a single one of one position at a time, a product of matrices.

use rustc_hash::FxHashSet;

use super::MOVES;
use crate::graph::rows::SHORT_WINDOW;
use crate::graph::{Dim, Graph, NodeId, Value};
use crate::passes::facts::is_elementwise;
use crate::passes::narrow::RESULT;

/// Fewer positions leave products of matrices few columns.
const MANY_POSITIONS: i64 = 256;

/// Groups that give more channels are products of matrices of their own.
const FEW_CHANNELS: i64 = 8;

/// The convolutions that stay as they are.
pub fn lone(graph: &Graph, live: &[NodeId]) -> FxHashSet<NodeId> {
    let (mut seen, mut lone) = (FxHashSet::default(), FxHashSet::default());
    for &id in live.iter().filter(|&&id| is_apart(graph, id) || is_product(graph, id)) {
        if seen.contains(&id) {
            continue;
        }
        let Some(group) = joined(graph, id) else { continue };
        let convolutions: Vec<NodeId> = group.iter().copied().filter(|&id| is_convolution(graph, id)).collect();
        if convolutions.len() == 1 || convolutions.iter().all(|&id| is_apart(graph, id)) {
            lone.extend(convolutions);
        }
        seen.extend(group);
    }
    lone
}

fn is_convolution(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).op.name == "convolve"
}

/// Of an image with its channels second.
fn is_of_image(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    is_convolution(graph, id) && node.types[0].rank() > 2 && node.attrs.get("channels_last").is_none()
}

/// Each position of the image gives one of the result, of which there are many. Narrow numbers want their channels last.
fn is_product(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    if !is_of_image(graph, id) || node.attrs.int("groups") != 1 || node.attrs.get(RESULT).is_some() {
        return false;
    }
    let operands = graph.operands(id);
    let (positions, taps) = (&node.types[0].shape[2..], &graph.type_of(operands[1]).shape[2..]);
    positions == &graph.type_of(operands[0]).shape[2..]
        && taps.iter().all(|dim| dim.is(1))
        && Dim::product(positions).as_constant().is_some_and(|n| n >= MANY_POSITIONS)
}

/// Each result is a sum over a short window of few channels, and few have the same channels.
fn is_apart(graph: &Graph, id: NodeId) -> bool {
    if !is_of_image(graph, id) || graph.node(id).attrs.int("groups") == 1 {
        return false;
    }
    let kernel = &graph.type_of(graph.operands(id)[1]).shape;
    let results = kernel[0].floor_div(&Dim::constant(graph.node(id).attrs.int("groups")));
    let at_most = |dim: &Dim, most: i64| dim.as_constant().is_some_and(|n| n <= most);
    at_most(&results, FEW_CHANNELS) && at_most(&Dim::product(&kernel[1..]), SHORT_WINDOW)
}

/// What is joined to a convolution, if nothing of it turns images or mixes channels of several positions.
fn joined(graph: &Graph, start: NodeId) -> Option<FxHashSet<NodeId>> {
    let rank = graph.node(start).types[0].rank();
    let (mut group, mut open) = (FxHashSet::default(), vec![start]);
    while let Some(id) = open.pop() {
        let node = graph.node(id);
        let is_convolution = is_convolution(graph, id);
        if node.op.name == "permute" || is_convolution && !is_apart(graph, id) && !is_product(graph, id) {
            return None;
        }
        let moves = MOVES.iter().any(|(name, _)| *name == node.op.name) || is_elementwise(graph, id);
        if !moves || !group.insert(id) {
            continue;
        }
        let n_images = if is_convolution { 1 } else { usize::MAX };
        let images = graph.operands(id).into_iter().take(n_images);
        open.extend(images.filter(|&value| graph.type_of(value).rank() == rank).map(|value| value.node));
        // A kernel is no image.
        let as_image = |&(user, place): &(NodeId, usize)| place == 0 || graph.node(user).op.name != "convolve";
        open.extend(graph.users(Value { node: id, result: 0 }).into_iter().filter(as_image).map(|(user, _)| user));
    }
    Some(group)
}
