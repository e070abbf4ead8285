//! Cuts the weights of contractions into the panels that their kernels read.
//!
//! ```text
//! y = contract(x, w)   =>   y = contract(x, unpack(pack(w)))
//! ```
//! `w` is the frozen factor that has the last axis of the result; as many of its neighbours lie in a panel as the register
//! tile is wide, or all of them if both factors have that axis. Both sides are equal, and `unpack` is movement, which joins the kernel of the contraction.
//! `pack` depends on weights alone, so it is computed once, when the weights are loaded (`prepare`). Without a machine in
//! the context nothing is packed.

use super::frozen::{frozen, is_unpacked};
use super::panels::{Panels, factors};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::{DType, Dim, Graph, Meaning, NodeId, OpError};

pub static PASS: Pass =
    Pass { name: "pack", doc: "Cuts weights of contractions into the panels that their kernels read.", run };

/// Elements of a weight below which packing is not worth a kernel of its own.
const SMALL: i64 = 64;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let Some(panel) = context.panel else { return Ok(graph.clone()) };
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let regions = graph.node(id).regions.clone();
        match weight(graph, id, &is_frozen, panel) {
            Some(weight) => {
                repack(&mut rebuild, id, &weight).map_err(PassError::at(PASS.name, &graph.node(id).origin))?;
            }
            None => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

/// A factor of a contraction that has the last axis of the result.
struct Weight {
    operand: usize,
    panels: Panels,
}

fn weight(graph: &Graph, id: NodeId, frozen: &[bool], panel: &dyn Fn(&Dim, DType) -> u64) -> Option<Weight> {
    let is_frozen = |operand: usize| frozen[graph.operands(id)[operand].node.index()];
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return None };
    let nest = graph.with_call(id, |call| nest(call));
    let column = nest.n_parallel.checked_sub(1)?;
    let [a, b] = factors(&nest)?;
    let (weight, is_shared) = match (a.mentions(column), b.mentions(column)) {
        (true, false) => (a, false),
        (false, true) => (b, false),
        // One column of each factor at a time, as in depthwise convolutions.
        (true, true) if is_frozen(b.operand) => (b, true),
        (true, true) => (a, true),
        (false, false) => return None,
    };
    let axes = weight.plain_axes(&nest)?;
    // Read twice, or packed already: as it is.
    let value = graph.operands(id)[weight.operand];
    if a.operand == b.operand || !is_frozen(weight.operand) || is_unpacked(graph, value.node) {
        return None;
    }
    let ty = graph.type_of(value);
    let dtype = weight.cast.unwrap_or(ty.dtype);
    let is_large = ty.n_elements().as_constant().is_some_and(|size| size >= SMALL);
    let columns = nest.axes[column].clone();
    let width = if is_shared { columns.as_constant()? as u64 } else { panel(&columns, dtype) };
    let panels = Panels::new(&axes, column, columns, width);
    // Only the order of the axes matters where both factors have the columns.
    let is_idle = is_shared && panels.order.is_sorted();
    (is_large && dtype.is_float() && !is_idle).then_some(Weight { operand: weight.operand, panels })
}

/// The node again, with its weight packed and unpacked.
fn repack(rebuild: &mut Rebuild, id: NodeId, weight: &Weight) -> Result<(), OpError> {
    let mut operands = rebuild.operands(id);
    let node = rebuild.old.node(id).clone();
    let packed = weight.panels.cut(&mut rebuild.new, operands[weight.operand], &node.origin)?;
    operands[weight.operand] = weight.panels.whole(&mut rebuild.new, packed, &node.origin)?;
    let new = rebuild.new.push(node, &operands);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
    Ok(())
}
