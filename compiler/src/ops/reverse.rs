//! The reverse sweep: cotangents of some values become those of earlier ones, written behind what is there already.
//!
//! Invariant: only float values carry cotangents, each in the type of its value; whatever is written is made of ops that
//! can be differentiated again. It lives beside the ops, because the rules of those with regions call it.

use std::cell::RefCell;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::graph::{Builder, Call, Cotangents, Expand, Gradient, Graph, Meaning, NodeId, OpError, Pull, Value};

/// Which values depend on some inputs in a way that has a slope, among the nodes made after the first `since`.
pub struct Activity {
    since: usize,
    nodes: Vec<bool>,
    inputs: FxHashSet<Value>,
}

impl Activity {
    pub fn of(graph: &Graph, since: usize, inputs: &[Value]) -> Activity {
        let mut activity = Activity { since, nodes: Vec::new(), inputs: inputs.iter().copied().collect() };
        for id in graph.made_after(since) {
            let passes = !matches!(graph.node(id).op.gradient, Gradient::Zero);
            let is_active = passes && graph.operands(id).into_iter().any(|operand| activity.reaches(graph, operand));
            activity.nodes.push(is_active);
        }
        activity
    }

    pub fn contains(&self, id: NodeId) -> bool {
        id.index().checked_sub(self.since).and_then(|index| self.nodes.get(index)).copied().unwrap_or(false)
    }

    /// Whether a value is an input or depends on one.
    pub fn reaches(&self, graph: &Graph, value: Value) -> bool {
        graph.type_of(value).dtype.is_float() && (self.inputs.contains(&value) || self.contains(value.node))
    }
}

/// The cotangents of `inputs`, given those of `outputs`. Nodes before the first `since` are constants, unless they are
/// inputs. `None` is zero.
pub fn pull_back(b: &mut Builder, since: usize, outputs: &[(Value, Value)], inputs: &[Value]) -> Cotangents {
    let activity = Activity::of(b.graph, since, inputs);
    let mut cotangents: FxHashMap<Value, Value> = FxHashMap::default();
    for (value, cotangent) in outputs {
        accumulate(b, &mut cotangents, *value, *cotangent)?;
    }
    let origin = b.origin.clone();
    for id in b.graph.made_after(since).rev().filter(|id| activity.contains(*id)) {
        let given: Vec<Option<Value>> = b.graph.results(id).map(|result| cotangents.get(&result).copied()).collect();
        if given.iter().all(Option::is_none) {
            continue;
        }
        let operands = b.graph.operands(id);
        let wanted: Vec<bool> = operands.iter().map(|operand| activity.reaches(b.graph, *operand)).collect();
        b.origin = b.graph.node(id).origin.clone();
        let found = of_node(b, id, &operands, &given, &wanted)?;
        for (operand, cotangent) in operands.into_iter().zip(found) {
            if let Some(cotangent) = cotangent.filter(|_| activity.reaches(b.graph, operand)) {
                accumulate(b, &mut cotangents, operand, cotangent)?;
            }
        }
    }
    b.origin = origin;
    Ok(inputs.iter().map(|input| cotangents.get(input).copied()).collect())
}

fn accumulate(
    b: &mut Builder,
    cotangents: &mut FxHashMap<Value, Value>,
    value: Value,
    cotangent: Value,
) -> Result<(), OpError> {
    if b.type_of(value) != b.type_of(cotangent) {
        let (own, found) = (b.type_of(value), b.type_of(cotangent));
        let op = b.graph.node(value.node).op.name;
        return Err(OpError::new(format!("a value of `{op}` is {own} and its cotangent {found}")));
    }
    let sum = match cotangents.get(&value) {
        Some(known) => b.add(*known, cotangent)?,
        None => cotangent,
    };
    cotangents.insert(value, sum);
    Ok(())
}

fn of_node(b: &mut Builder, id: NodeId, operands: &[Value], given: &[Option<Value>], wanted: &[bool]) -> Cotangents {
    let node = b.graph.node(id).clone();
    let (types, sizes) =
        (operands.iter().map(|value| b.type_of(*value).clone()).collect::<Vec<_>>(), b.graph.sizes.clone());
    let call = Call {
        op: node.op,
        attrs: &node.attrs,
        operands: &types,
        regions: &node.regions,
        sizes: &sizes,
        open: &RefCell::default(),
    };
    let results: Vec<Value> = b.graph.results(id).collect();
    let pull = Pull { call: &call, operands, results: &results, cotangents: given, wanted };
    match (node.op.gradient, node.op.meaning) {
        (Gradient::Rule(rule) | Gradient::Kept { rule, .. }, _) => rule(b, &pull),
        (Gradient::ThroughExpansion, Meaning::Expand(expand)) => through(b, &pull, expand),
        (Gradient::Zero, _) => Ok(vec![None; operands.len()]),
        (Gradient::None(reason), _) => Err(OpError::new(format!("`{}` {reason}", node.op.name))),
        (Gradient::ThroughExpansion, _) => Err(OpError::new(format!("`{}` has no expansion", node.op.name))),
    }
}

/// Differentiates what computes the same results as an op, and leaves it behind for those that are equal to meet.
pub fn through(b: &mut Builder, pull: &Pull, expand: Expand) -> Cotangents {
    let since = b.graph.n_nodes();
    let results = expand(b, pull.call, pull.operands)?;
    let given = results.iter().zip(pull.cotangents);
    let outputs: Vec<(Value, Value)> = given.filter_map(|(result, given)| Some((*result, (*given)?))).collect();
    let inputs: Vec<Value> = wanted(pull).map(|idx| pull.operands[idx]).collect();
    let found = pull_back(b, since, &outputs, &inputs)?;
    let mut cotangents = vec![None; pull.operands.len()];
    // An operand that stands twice has its whole cotangent at its first place.
    for (nth, (idx, found)) in wanted(pull).zip(found).enumerate() {
        if !inputs[..nth].contains(&inputs[nth]) {
            cotangents[idx] = found;
        }
    }
    Ok(cotangents)
}

fn wanted(pull: &Pull) -> impl Iterator<Item = usize> {
    pull.wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(idx, _)| idx)
}

/// The results that have a cotangent, with it.
pub fn given(graph: &Graph, pull: &Pull) -> Vec<(usize, Value)> {
    let floats = pull.cotangents.iter().enumerate().filter_map(|(idx, given)| Some((idx, (*given)?)));
    floats.filter(|(_, given)| graph.type_of(*given).dtype.is_float()).collect()
}

/// Zeros of the type of a value where there is no cotangent of it.
pub fn or_zeros(b: &mut Builder, found: &[Option<Value>], values: &[Value]) -> Result<Vec<Value>, OpError> {
    found.iter().zip(values).map(|(found, value)| found.map_or_else(|| b.number(0.0, *value), Ok)).collect()
}

/// Why `y` cannot be differentiated by `inputs`, and the node at which it fails.
pub fn obstacle(graph: &Graph, y: Value, inputs: &[Value]) -> Option<(NodeId, String)> {
    let activity = Activity::of(graph, 0, inputs);
    let mut wanted = vec![false; graph.n_nodes()];
    wanted[y.node.index()] = true;
    for id in graph.node_ids().rev() {
        if !wanted[id.index()] || !activity.contains(id) {
            continue;
        }
        if let Some(reason) = own_obstacle(graph, id) {
            return Some((id, reason));
        }
        graph.operands(id).iter().for_each(|operand| wanted[operand.node.index()] = true);
    }
    None
}

fn own_obstacle(graph: &Graph, id: NodeId) -> Option<String> {
    let node = graph.node(id);
    if let Gradient::None(reason) = node.op.gradient {
        // A gradient itself is written out before what is made of it is differentiated.
        return (!std::ptr::eq(node.op, &super::vjp::OP)).then(|| format!("`{}` {reason}", node.op.name));
    }
    if let Gradient::Kept { keep, .. } = node.op.gradient {
        return graph.with_call(id, |call| tried(call, keep)).err().map(|error| error.message);
    }
    if !std::ptr::eq(node.op, &super::cond::OP) {
        return None;
    }
    let within = |region: &Graph| {
        let inputs: Vec<Value> = region.arguments().iter().map(|argument| argument.value).collect();
        region.outputs().iter().find_map(|output| obstacle(region, output.value, &inputs))
    };
    node.regions.iter().find_map(within).map(|(_, reason)| reason)
}

/// The kept form of an op, in a graph of its own, and what stands in its way within.
fn tried(call: &Call, keep: Expand) -> Result<(), OpError> {
    let graph = crate::graph::interpret::expand_call(call, keep)?;
    let nested = graph.node_ids().flat_map(|id| graph.node(id).regions.iter());
    for region in nested {
        let arguments: Vec<Value> = region.arguments().iter().map(|argument| argument.value).collect();
        for output in region.outputs() {
            if let Some((_, reason)) = obstacle(region, output.value, &arguments) {
                return Err(OpError::new(reason));
            }
        }
    }
    Ok(())
}

/// Whether `y` is computed from `x`, with a slope or without.
pub fn depends(graph: &Graph, y: Value, x: Value) -> bool {
    let mut wanted = vec![false; y.node.index() + 1];
    wanted[y.node.index()] = true;
    for id in graph.node_ids().take(y.node.index() + 1).collect::<Vec<_>>().into_iter().rev() {
        if wanted[id.index()] {
            for operand in graph.operands(id) {
                if operand == x {
                    return true;
                }
                wanted[operand.node.index()] = true;
            }
        }
    }
    y == x
}
