//! Writes gradients out.
//!
//! ```text
//! g = vjp(y, c, x)   =>   g = the reverse sweep from y, with cotangent c, to x        see `ops/reverse.rs`
//! ```
//! In reverse mode, by the rule of each op; an op without one is differentiated through its expansion. A loop on the way
//! is replaced by one that keeps what its gradient needs, and attention over many rows by one that is computed again
//! (`recompute`). `vjp` nodes are taken in order, so that one may differentiate
//! the result of another. It is exact, and runs first: other passes take values apart and together that `vjp` tells apart.

use std::cell::RefCell;

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, recompute};
use crate::graph::{Builder, Call, Expand, Gradient, Graph, NodeId, OpDef, OpError, Type, Value};
use crate::ops::reverse::{Activity, or_zeros, pull_back};
use crate::ops::vjp;

pub static PASS: Pass = Pass { name: "differentiate", doc: "Replaces gradients by their computation.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    if !mentions_gradients(graph) {
        return Ok(graph.clone());
    }
    let graph = &recompute::wrapped(graph, context)?;
    let live = Rebuild::live(graph);
    let kept = kept(graph, &live);
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let node = graph.node(id);
        let regions: Vec<Graph> = node.regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        let fault = PassError::at(PASS.name, &node.origin);
        match node.op.gradient {
            _ if is_gradient(node.op) => {
                let results = sweep(&mut rebuild, id).map_err(fault)?;
                rebuild.set(id, results);
            }
            Gradient::Kept { keep, .. } if kept[id.index()] => {
                let results = keeping(&mut rebuild, id, &regions, keep).map_err(fault)?;
                rebuild.set(id, results);
            }
            _ => {
                rebuild.copy(id, regions);
            }
        }
    }
    Ok(rebuild.finish())
}

fn is_gradient(op: &'static OpDef) -> bool {
    std::ptr::eq(op, &vjp::OP)
}

fn mentions_gradients(graph: &Graph) -> bool {
    let mut nodes = graph.node_ids().map(|id| graph.node(id));
    nodes.any(|node| is_gradient(node.op) || node.regions.iter().any(mentions_gradients))
}

/// By node index: whether a gradient goes through it.
fn kept(graph: &Graph, live: &[NodeId]) -> Vec<bool> {
    let mut kept = vec![false; graph.n_nodes()];
    for id in live.iter().filter(|id| is_gradient(graph.node(**id).op)) {
        let operands = graph.operands(*id);
        let activity = Activity::of(graph, 0, &operands[2..]);
        let mut wanted = vec![false; graph.n_nodes()];
        wanted[operands[0].node.index()] = true;
        for id in graph.made_after(0).rev().filter(|id| activity.contains(*id)) {
            if wanted[id.index()] {
                kept[id.index()] = true;
                graph.operands(id).iter().for_each(|operand| wanted[operand.node.index()] = true);
            }
        }
    }
    kept
}

fn sweep(rebuild: &mut Rebuild, id: NodeId) -> Result<Vec<Value>, OpError> {
    let operands = rebuild.operands(id);
    let (y, cotangent, inputs) = (operands[0], operands[1], &operands[2..]);
    let mut b = Builder::new(&mut rebuild.new, rebuild.old.node(id).origin.clone());
    let found = pull_back(&mut b, 0, &[(y, cotangent)], inputs)?;
    or_zeros(&mut b, &found, inputs)
}

fn keeping(rebuild: &mut Rebuild, id: NodeId, regions: &[Graph], keep: Expand) -> Result<Vec<Value>, OpError> {
    let node = rebuild.old.node(id);
    let operands = rebuild.operands(id);
    let types: Vec<Type> = operands.iter().map(|value| rebuild.new.type_of(*value).clone()).collect();
    let call = Call {
        op: node.op,
        attrs: &node.attrs,
        operands: &types,
        regions,
        sizes: &rebuild.old.sizes,
        open: &RefCell::default(),
    };
    let mut b = Builder::new(&mut rebuild.new, node.origin.clone());
    let mut results = keep(&mut b, &call, &operands)?;
    results.truncate(node.types.len());
    Ok(results)
}
