//! Takes reductions with few results and many elements in two steps, so that threads share them.
//!
//! ```text
//! reduce(x) {axes = [.., a, ..]}   =>   reduce(reduce(x) {axes = the others, and a within its parts}) {the axis of parts}
//! ```
//! where at least `MANY` elements are combined in fewer than `FEW` items of work, no tensor as large as x depends on the
//! result element by element (one kernel takes each row through both), and an axis that is reduced has from two to `MAX_PARTS`
//! parts of one length, each with `LONG` elements for every result. Narrow floats stay in f32 between the steps.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{Attrs, DType, Dim, Graph, Meaning, NodeId, OpError, Value};
use crate::ops::reduction;

pub static PASS: Pass =
    Pass { name: "split", doc: "Takes reductions with few results and many elements in two steps.", run };

/// Elements that take longer than handing out work, many times over.
const MANY: i64 = 128 << 10;
/// So many items keep the threads of most machines busy.
const FEW: i64 = 8;
/// Results side by side that one item computes.
const SIDE_BY_SIDE: i64 = 512;
/// The second step is one item.
const MAX_PARTS: i64 = 64;
const LONG: i64 = 16;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        match parts(graph, id) {
            Some(parts) => {
                let reduced = reduce(&mut rebuild, id, &parts).map_err(PassError::at(PASS.name, &node.origin))?;
                rebuild.set(id, vec![reduced]);
            }
            None => rebuild.copy_with(id, |region| run(region, context))?,
        }
    }
    Ok(rebuild.finish())
}

/// The axis that is cut, and into how many parts.
struct Parts {
    axes: Vec<usize>,
    cut: usize,
    n_parts: i64,
}

fn parts(graph: &Graph, id: NodeId) -> Option<Parts> {
    let node = graph.node(id);
    if !reduction::is(node.op) {
        return None;
    }
    let x = graph.type_of(graph.operands(id)[0]);
    let axes = graph.with_call(id, |call| call.axes("axes", x.rank())).ok()?;
    let shape: Vec<i64> = x.shape.iter().map(Dim::as_constant).collect::<Option<_>>()?;
    let n_elements = shape.iter().try_fold(1i64, |product, &extent| product.checked_mul(extent))?;
    if n_elements < MANY || n_items(&shape, &axes) >= FEW || is_spread(graph, id, n_elements) {
        return None;
    }
    let most = MAX_PARTS.min(axes.iter().map(|&axis| shape[axis]).product::<i64>() / LONG);
    let cuts = axes.iter().map(|&axis| (axis, (2..=most).rev().find(|parts| shape[axis] % parts == 0)));
    let enough = |(_, n_parts): &(usize, Option<i64>)| n_parts.is_some_and(|n_parts| n_parts >= FEW);
    let (cut, n_parts) = cuts.clone().find(enough).or_else(|| cuts.clone().max_by_key(|(_, n_parts)| *n_parts))?;
    Some(Parts { cut, n_parts: n_parts?, axes })
}

/// Whether something of so many elements is computed from the result, without another reduction between.
fn is_spread(graph: &Graph, id: NodeId, n_elements: i64) -> bool {
    let (mut found, mut next) = (BTreeSet::from([id]), vec![id]);
    while let Some(from) = next.pop() {
        for (user, _) in graph.results(from).flat_map(|value| graph.users(value)) {
            let goes_on = match graph.node(user).op.meaning {
                Meaning::View => true,
                _ => Facts::of(graph, user).is_some_and(|facts| !facts.reduces),
            };
            let size = graph.node(user).types[0].n_elements().as_constant();
            if goes_on && size.is_none_or(|size| size >= n_elements) {
                return true;
            }
            if goes_on && found.insert(user) {
                next.push(user);
            }
        }
    }
    false
}

/// The items of work in which a kernel would reduce: one for each row along the last axis, or for many columns.
fn n_items(shape: &[i64], axes: &[usize]) -> i64 {
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis) && shape[*axis] != 1);
    let mut kept: Vec<usize> = kept.collect();
    let last = (0..shape.len()).rfind(|&axis| shape[axis] != 1);
    let columns = kept.pop_if(|axis| Some(*axis) == last).map_or(1, |axis| shape[axis]);
    kept.into_iter().map(|axis| shape[axis]).product::<i64>() * ((columns + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE)
}

fn reduce(rebuild: &mut Rebuild, id: NodeId, parts: &Parts) -> Result<Value, OpError> {
    let node = rebuild.old.node(id);
    let Parts { axes, cut, n_parts } = parts;
    let ty = node.types[0].clone();
    let mut value = rebuild.operands(id)[0];
    let graph = &mut rebuild.new;
    let mut apply = |name: &str, value: Value, attrs: Attrs| {
        let node = graph.apply(op(name)?, &[value], &attrs, Vec::new(), &node.origin)?;
        Ok::<Value, OpError>(Value { node, result: 0 })
    };
    let is_narrow = matches!(ty.dtype, DType::F16 | DType::BF16);
    if is_narrow {
        value = apply("cast", value, Attrs::none().with("to", DType::F32))?;
    }
    let mut shape = rebuild.old.type_of(rebuild.old.operands(id)[0]).shape.clone();
    let length = shape[*cut].as_constant().unwrap_or(*n_parts) / n_parts;
    let mut first: Vec<i64> = axes.iter().filter(|axis| *axis != cut).map(|&axis| axis as i64).collect();
    if length > 1 {
        // The parts have an axis before that of their elements, which goes with the first step.
        first.iter_mut().filter(|axis| **axis > *cut as i64).for_each(|axis| *axis += 1);
        first.push(*cut as i64 + 1);
        shape.splice(cut..=cut, [Dim::constant(*n_parts), Dim::constant(length)]);
        value = apply("reshape", value, Attrs::none().with("shape", shape))?;
    }
    value = apply(node.op.name, value, Attrs::none().with("axes", first))?;
    let before = axes.iter().filter(|axis| *axis < cut).count();
    value = apply(node.op.name, value, Attrs::none().with("axes", vec![(cut - before) as i64]))?;
    if is_narrow {
        value = apply("cast", value, Attrs::none().with("to", ty.dtype))?;
    }
    match node.attrs.bool("keep") {
        true => apply("reshape", value, Attrs::none().with("shape", ty.shape)),
        false => Ok(value),
    }
}
