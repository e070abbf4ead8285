//! Cuts the weights of contractions into the panels that their kernels read.
//!
//! ```text
//! y = contract(x, w)   =>   y = contract(x, unpack(pack(w)))
//! ```
//! `w` is the frozen factor that has the last axis of the result; as many of its neighbours lie in a panel as the register
//! tile is wide, or all of them if both factors have that axis. Both sides are equal, and `unpack` is movement, which joins the kernel of the contraction.
//! `pack` depends on weights alone, so it is computed once, when the weights are loaded (`prepare`). Without a machine in
//! the context nothing is packed. In a loop the weight is a capture; `hoist` takes its `pack` out.

use super::frozen::{frozen, frozen_with, is_unpacked};
use super::hoist::n_captures;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{
    self, Attrs, DType, Dim, Graph, Meaning, Nest, NestIndex, NodeId, OpError, Scalar, ScalarNode, Symbol, Value,
};

pub static PASS: Pass =
    Pass { name: "pack", doc: "Cuts weights of contractions into the panels that their kernels read.", run };

/// Elements of a weight below which packing is not worth a kernel of its own.
const SMALL: i64 = 64;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let Some(panel) = context.panel else { return Ok(graph.clone()) };
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    packed(graph, live, is_frozen, panel)
}

/// How wide panels are, given how many columns there are and what is summed in.
type Width<'a> = dyn Fn(&Dim, DType) -> u64 + 'a;

fn packed(graph: &Graph, live: Vec<NodeId>, is_frozen: Vec<bool>, panel: &Width) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let regions = graph.node(id).regions.iter().map(|region| region_packed(graph, id, region, &is_frozen, panel));
        let regions = regions.collect::<Result<Vec<Graph>, _>>()?;
        match weight(graph, id, &is_frozen, panel) {
            Some(weight) => {
                repack(&mut rebuild, id, &weight).map_err(PassError::at(PASS.name, &graph.node(id).origin))?;
            }
            None => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

/// A region sees frozen values through its captures.
fn region_packed(
    graph: &Graph,
    id: NodeId,
    region: &Graph,
    is_frozen: &[bool],
    panel: &Width,
) -> Result<Graph, PassError> {
    let operands = graph.operands(id);
    let Some(n_captures) = n_captures(graph.node(id), operands.len()) else { return Ok(region.clone()) };
    let captures = &operands[operands.len() - n_captures..];
    let first = region.arguments().len() - n_captures;
    let is_given = |idx: usize| idx >= first && is_frozen[captures[idx - first].node.index()];
    let live = Rebuild::live(region);
    let is_frozen = frozen_with(region, &live, &is_given);
    packed(region, live, is_frozen, panel)
}

/// A factor of a contraction that has the last axis of the result.
struct Weight {
    operand: usize,
    /// Its axes, those of the batch first, then the summed ones, the columns last.
    order: Vec<usize>,
    columns: Dim,
    /// Of a panel.
    width: u64,
}

fn weight(graph: &Graph, id: NodeId, frozen: &[bool], panel: &Width) -> Option<Weight> {
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
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by_key(|&axis| (axes[axis] == column, axes[axis]));
    let ty = graph.type_of(value);
    let dtype = weight.cast.unwrap_or(ty.dtype);
    let is_large = ty.n_elements().as_constant().is_some_and(|size| size >= SMALL);
    let columns = nest.axes[column].clone();
    let width = match is_shared {
        // Only the order of the axes matters then.
        true if order.is_sorted() => return None,
        true => columns.as_constant()? as u64,
        false => panel(&columns, dtype),
    };
    (is_large && dtype.is_float()).then_some(Weight { operand: weight.operand, order, columns, width })
}

/// A factor of the summed product.
#[derive(Clone, Copy)]
struct Factor<'n> {
    operand: usize,
    index: &'n [NestIndex],
    is_guarded: bool,
    cast: Option<DType>,
}

/// Both factors, if the nest is a sum of products of two loads.
fn factors(nest: &Nest) -> Option<[Factor<'_>; 2]> {
    nest.reduce.filter(|reduce| reduce.combine == Scalar::Add)?;
    let ScalarNode::Apply { scalar: Scalar::Mul, args } = nest.body.last()? else { return None };
    let factor = |&arg: &usize| {
        let (arg, cast) = match nest.body.get(arg)? {
            ScalarNode::Cast { dtype, arg } => (*arg, Some(*dtype)),
            _ => (arg, None),
        };
        let ScalarNode::Load { operand, index, guards, .. } = nest.body.get(arg)? else { return None };
        Some(Factor { operand: *operand, index, is_guarded: !guards.is_empty(), cast })
    };
    match args.as_slice() {
        [a, b] => Some([factor(a)?, factor(b)?]),
        _ => None,
    }
}

impl Factor<'_> {
    fn mentions(&self, axis: usize) -> bool {
        let moves = |dim: &Dim| axis_symbol(axis).is_some_and(|symbol| dim.mentions(&symbol));
        self.index.iter().any(|at| matches!(at, NestIndex::Affine(dim) if moves(dim)))
    }

    /// The axis of the nest that each axis of the factor follows, if it follows one, each another.
    fn plain_axes(&self, nest: &Nest) -> Option<Vec<usize>> {
        let mut axes = Vec::with_capacity(self.index.len());
        for at in self.index {
            let NestIndex::Affine(dim) = at else { return None };
            let axis = (0..nest.axes.len()).find(|&axis| *dim == graph::axis(axis))?;
            if axes.contains(&axis) {
                return None;
            }
            axes.push(axis);
        }
        (!self.is_guarded && axes.len() > 1).then_some(axes)
    }
}

fn axis_symbol(axis: usize) -> Option<Symbol> {
    graph::axis(axis).as_symbol().cloned()
}

/// The node again, with its weight packed and unpacked.
fn repack(rebuild: &mut Rebuild, id: NodeId, weight: &Weight) -> Result<(), OpError> {
    let mut operands = rebuild.operands(id);
    let origin = rebuild.old.node(id).origin.clone();
    let mut value = operands[weight.operand];
    let mut apply = |name: &str, value: Value, attrs: Attrs| -> Result<Value, OpError> {
        let node = rebuild.new.apply(op(name)?, &[value], &attrs, Vec::new(), &origin)?;
        Ok(Value { node, result: 0 })
    };
    let is_in_order = weight.order.iter().copied().eq(0..weight.order.len());
    let axes = |order: &[usize]| Attrs::none().with("axes", order.iter().map(|&axis| axis as i64).collect::<Vec<_>>());
    if !is_in_order {
        value = apply("permute", value, axes(&weight.order))?;
    }
    value = apply("pack", value, Attrs::none().with("width", weight.width as i64))?;
    value = apply("unpack", value, Attrs::none().with("extent", weight.columns.clone()))?;
    if !is_in_order {
        let mut back = vec![0; weight.order.len()];
        weight.order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        value = apply("permute", value, axes(&back))?;
    }
    operands[weight.operand] = value;
    let node = rebuild.old.node(id).clone();
    let new = rebuild.new.push(node, &operands);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
    Ok(())
}
