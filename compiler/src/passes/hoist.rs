//! Takes out of loops what is the same in every round.
//!
//! ```text
//! scan(c…, w) { …g(f(w))… }   =>   scan(c…, w, f(w)) { …g(v)… }        so for `loop` and `while`
//! cond(p, w) { …g(pack(w))… } =>   cond(p, w, pack(w)) { …g(v)… }
//! ```
//! Taken is work on captures alone, with the movement that it reads through, if its result is no larger than what it is
//! made of: arithmetic, sums, and `pack`, whose panels can then be made when weights are loaded. Movement alone stays,
//! where it joins a kernel. Of branches only `pack` of weights is taken: else work might be done that nobody asked for.
//! This is exact: every op is a function of its operands, and none can fail.

use rustc_hash::FxHashMap;

use super::facts::Facts;
use super::frozen::{frozen, frozen_in_region};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce};
use crate::graph::{ARGUMENT, Graph, Meaning, Node, NodeId, Value};

pub static PASS: Pass = Pass { name: "hoist", doc: "Takes out of loops what is the same in every round.", run };

/// Elements that a result may have more than what it is made of.
const FEW: i64 = 64;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    hoisted(graph, live, &is_frozen, context)
}

fn hoisted(graph: &Graph, live: Vec<NodeId>, is_frozen: &[bool], context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let node = graph.node(id);
        let inside = |region: &Graph| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            hoisted(region, Rebuild::live(region), &is_frozen, context)
        };
        let regions: Vec<Graph> = node.regions.iter().map(inside).collect::<Result<_, _>>()?;
        match n_captures(node, graph.operands(id).len()) {
            Some(n_captures) => hoist(&mut rebuild, id, regions, n_captures, is_frozen, context)?,
            None => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

/// How many of its last operands a control node passes to all its regions unchanged, as their last arguments.
pub fn n_captures(node: &Node, n_operands: usize) -> Option<usize> {
    match node.op.name {
        "scan" => n_operands.checked_sub(node.attrs.int("carries") as usize),
        "loop" => n_operands.checked_sub(2 + node.types.len()),
        "while" => n_operands.checked_sub(node.types.len()),
        "cond" => n_operands.checked_sub(1),
        _ => None,
    }
}

/// Rebuilds a control node with what its regions need not compute themselves.
fn hoist(
    rebuild: &mut Rebuild,
    id: NodeId,
    regions: Vec<Graph>,
    n_captures: usize,
    is_frozen: &[bool],
    context: &Context,
) -> Result<(), PassError> {
    let node = rebuild.old.node(id);
    let before = rebuild.old.operands(id);
    let is_frozen = |capture: usize| is_frozen[before[before.len() - n_captures + capture].node.index()];
    let mut operands = rebuild.operands(id);
    let captured = operands[operands.len() - n_captures..].to_vec();
    let taken: Vec<Vec<Value>> =
        regions.iter().map(|region| taken(region, n_captures, node.op.name, &is_frozen)).collect();
    for (region, values) in regions.iter().zip(&taken) {
        let inside = region.arguments()[region.arguments().len() - n_captures..].iter();
        let mut known = inside.map(|argument| argument.value).zip(captured.iter().copied()).collect();
        operands.extend(outside(rebuild, region, values, &mut known));
        for value in values {
            let work = region.node(value.node);
            context.remark(
                PASS.name,
                &work.origin,
                format!("`{}` leaves `{}`: it is the same in every round", work.op.name, node.op.name),
            );
        }
    }
    let mut first = 0;
    let mut smaller = Vec::new();
    for (number, region) in regions.iter().enumerate() {
        smaller.push((dce::PASS.run)(&without(region, &regions, &taken, number, first), context)?);
        first += taken[number].len();
    }
    let new = rebuild.new.push(Node { regions: smaller, ..node.clone() }, &operands);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
    Ok(())
}

/// Values of a region that are worth taking out, and that what stays reads.
fn taken(region: &Graph, n_captures: usize, op: &str, is_frozen: &dyn Fn(usize) -> bool) -> Vec<Value> {
    let arguments = region.arguments();
    let captures: Vec<Value> =
        arguments[arguments.len() - n_captures..].iter().map(|argument| argument.value).collect();
    // Elements of the captures that a value is made of; none if it is made of anything else.
    let mut made_of: FxHashMap<NodeId, i64> = FxHashMap::default();
    for (_, capture) in captures.iter().enumerate().filter(|(idx, _)| op != "cond" || is_frozen(*idx)) {
        made_of.insert(capture.node, n_elements(region, *capture));
    }
    let live = Rebuild::live(region);
    let mut worth: Vec<NodeId> = Vec::new();
    for &id in &live {
        let node = region.node(id);
        let operands = region.operands(id);
        let is_computed = match node.op.meaning {
            Meaning::Source => node.op.name != ARGUMENT.name && operands.is_empty(),
            Meaning::Structured { .. } | Meaning::View | Meaning::Opaque { .. } => true,
            _ => false,
        };
        let parts: Option<Vec<i64>> = operands.iter().map(|operand| made_of.get(&operand.node).copied()).collect();
        let Some(parts) = parts.filter(|_| is_computed) else { continue };
        let parts = parts.into_iter().fold(0, i64::saturating_add);
        made_of.insert(id, parts);
        let fits = n_elements(region, Value { node: id, result: 0 }) <= parts.saturating_add(FEW);
        if parts > 0 && fits && node.types.len() == 1 && is_work(region, id, op) {
            worth.push(id);
        }
    }
    let stays = |id: &NodeId| !worth.contains(id);
    let is_read = |value: &Value| {
        let users = region.users(*value).into_iter().map(|(user, _)| user);
        region.is_output(*value) || users.filter(|user| live.contains(user)).any(|user| stays(&user))
    };
    worth.iter().map(|&node| Value { node, result: 0 }).filter(is_read).collect()
}

/// A size that is open counts as a large one.
fn n_elements(graph: &Graph, value: Value) -> i64 {
    graph.type_of(value).n_elements().as_constant().unwrap_or(1 << 40)
}

fn is_work(graph: &Graph, id: NodeId, op: &str) -> bool {
    let is_pack = graph.node(id).op.name == "pack";
    let facts = || Facts::of(graph, id).is_some_and(|facts| facts.reduces || facts.arithmetic > 0);
    is_pack || op != "cond" && facts()
}

/// These values of a region, computed around it, given what is known outside: captures, and what was computed before.
pub fn outside(
    rebuild: &mut Rebuild,
    region: &Graph,
    values: &[Value],
    known: &mut FxHashMap<Value, Value>,
) -> Vec<Value> {
    let mut needed: Vec<NodeId> = values.iter().map(|value| value.node).collect();
    for id in region.node_ids().rev() {
        if needed.contains(&id) {
            needed.extend(region.operands(id).into_iter().map(|operand| operand.node));
        }
    }
    for id in region.node_ids().filter(|id| needed.contains(id)) {
        if region.results(id).all(|result| known.contains_key(&result)) {
            continue;
        }
        let operands: Vec<Value> = region.operands(id).iter().map(|operand| known[operand]).collect();
        let copy = rebuild.new.push(region.node(id).clone(), &operands);
        let results: Vec<Value> = rebuild.new.results(copy).collect();
        known.extend(region.results(id).zip(results));
    }
    values.iter().map(|value| known[value]).collect()
}

/// The region with what all regions take as new arguments, of which its own begin at `first`.
fn without(region: &Graph, regions: &[Graph], taken: &[Vec<Value>], number: usize, first: usize) -> Graph {
    let mut rebuild = Rebuild::new(region);
    let all =
        regions.iter().zip(taken).flat_map(|(from, values)| values.iter().map(|&value| from.type_of(value).clone()));
    let added: Vec<Value> = all.map(|ty| rebuild.add_capture(ty)).collect();
    for (value, &argument) in taken[number].iter().zip(&added[first..]) {
        rebuild.set(value.node, vec![argument]);
    }
    for id in Rebuild::live(region) {
        if !taken[number].iter().any(|value| value.node == id) {
            rebuild.keep(id);
        }
    }
    rebuild.finish()
}
