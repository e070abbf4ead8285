//! Cuts the weights of contractions into the panels that their kernels read.
//!
//! ```text
//! y = contract(x, w)   =>   y = contract(x, unpack(pack(w)))
//! ```
//! `w` is the frozen factor that has the last axis of the result; as many of its neighbours lie in a panel as the register
//! tile is wide, or all of them if both factors have that axis. Numbers of bf16 lie in pairs along the last summed axis,
//! where the other factor is read along it. Both sides are equal, and `unpack` is movement, which joins the kernel of the
//! contraction.
//! `pack` depends on weights alone, so it is computed once, when the weights are loaded (`prepare`). Without a machine in
//! the context nothing is packed.

use super::frozen::{frozen, is_unpacked};
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
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let regions = graph.node(id).regions.clone();
        match weight(graph, id, &is_frozen, panel) {
            Ok(weight) => {
                repack(&mut rebuild, id, &weight).map_err(PassError::at(PASS.name, &graph.node(id).origin))?;
            }
            Err(_) => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

/// A factor of a contraction that has the last axis of the result.
pub struct Weight {
    pub operand: usize,
    /// Both factors have the columns, as in depthwise convolutions.
    pub is_shared: bool,
    /// Neighbours along the last summed axis lie side by side in the other factor, and fall into pairs.
    pub pairs: bool,
    dtype: DType,
    /// Its axes, those of the batch first, then the summed ones, the columns last.
    pub order: Vec<usize>,
    pub columns: Dim,
    /// Of a panel.
    pub width: u64,
}

/// The weight of a contraction that is worth packing; or why there is none, where the node is a contraction.
pub fn weight(
    graph: &Graph,
    id: NodeId,
    frozen: &[bool],
    panel: &dyn Fn(&Dim, DType) -> u64,
) -> Result<Weight, Option<&'static str>> {
    let is_frozen = |operand: usize| frozen[graph.operands(id)[operand].node.index()];
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return Err(None) };
    let nest = graph.with_call(id, |call| nest(call));
    let [a, b] = factors(&nest).ok_or(None)?;
    let column = nest.n_parallel.checked_sub(1).ok_or("it has a single result")?;
    let (weight, other, is_shared) = match (a.mentions(column), b.mentions(column)) {
        (true, false) => (a, b, false),
        (false, true) => (b, a, false),
        // One column of each factor at a time, as in depthwise convolutions.
        (true, true) if is_frozen(b.operand) => (b, a, true),
        (true, true) => (a, b, true),
        (false, false) => return Err(Some("neither factor has its columns")),
    };
    // Read twice, or packed already: as it is.
    let value = graph.operands(id)[weight.operand];
    if a.operand == b.operand || !is_frozen(weight.operand) {
        return Err(Some("the factor with its columns is no weight"));
    }
    if is_unpacked(graph, value.node) {
        return Err(None);
    }
    let axes = weight.plain_axes(&nest).ok_or("its weight is not read axis by axis")?;
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by_key(|&axis| (axes[axis] == column, axes[axis]));
    let ty = graph.type_of(value);
    let dtype = weight.cast.unwrap_or(ty.dtype);
    if !ty.n_elements().as_constant().is_some_and(|size| size >= SMALL) || !dtype.is_float() {
        return Err(Some("its weight is small"));
    }
    let columns = nest.axes[column].clone();
    let width = match is_shared {
        // Only the order of the axes matters then.
        true if order.is_sorted() => return Err(Some("its weight lies in the right order")),
        true => columns.as_constant().ok_or("its columns have no fixed number")? as u64,
        false => panel(&columns, dtype),
    };
    let last = nest.axes.len() - 1;
    let is_before_columns = order.len() > 1 && axes[order[order.len() - 2]] == last;
    let pairs = !is_shared && is_before_columns && last > column && other.runs_along(last) && is_even(&nest.axes[last]);
    Ok(Weight { operand: weight.operand, is_shared, pairs, dtype: ty.dtype, order, columns, width })
}

fn is_even(dim: &Dim) -> bool {
    dim.as_constant().is_some_and(|extent| extent % 2 == 0)
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

    /// Along this axis of the nest it is read element after element.
    fn runs_along(&self, axis: usize) -> bool {
        let Some((NestIndex::Affine(last), before)) = self.index.split_last() else { return false };
        let own = graph::axis(axis);
        let mentions = |dim: &Dim| axis_symbol(axis).is_some_and(|symbol| dim.mentions(&symbol));
        !before.iter().any(|at| matches!(at, NestIndex::Affine(dim) if mentions(dim))) && !mentions(&(last - &own))
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
    let deep = |attrs: Attrs| if weight.pairs && weight.dtype == DType::BF16 { attrs.with("depth", 2) } else { attrs };
    value = apply("pack", value, deep(Attrs::none().with("width", weight.width as i64)))?;
    value = apply("unpack", value, deep(Attrs::none().with("extent", weight.columns.clone())))?;
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
