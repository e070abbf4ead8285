//! Panels: the factors of a sum of products, and how one of them is cut into panels and put together again.
//!
//! Invariant: `whole` after `cut` is the value itself; both are movement.

use super::facts::runs_along;
use super::op;
use crate::graph::rows::divisor;
use crate::graph::{
    self, Attrs, DType, Dim, Graph, Nest, NestIndex, NodeId, OpError, Origin, Scalar, ScalarNode, Symbol, Value,
};

/// A factor of the summed product.
#[derive(Clone, Copy)]
pub struct Factor<'n> {
    pub operand: usize,
    index: &'n [NestIndex],
    is_guarded: bool,
    pub cast: Option<DType>,
}

/// Both factors, if the nest is a sum of products of two loads.
pub fn factors(nest: &Nest) -> Option<[Factor<'_>; 2]> {
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
    pub fn mentions(&self, axis: usize) -> bool {
        let moves = |dim: &Dim| axis_symbol(axis).is_some_and(|symbol| dim.mentions(&symbol));
        self.index.iter().any(|at| matches!(at, NestIndex::Affine(dim) if moves(dim)))
    }

    /// Of how many columns each group is, if it is read by the number of the group along this axis.
    pub fn columns_of_group(&self, axis: usize) -> Option<i64> {
        let dims = self.index.iter().filter_map(|at| if let NestIndex::Affine(dim) = at { Some(dim) } else { None });
        divisor(dims, &axis_symbol(axis)?)
    }

    /// Along this axis of the nest it is read element after element.
    pub fn runs_along(&self, axis: usize) -> bool {
        runs_along(self.index, &graph::axis(axis))
    }

    /// Neighbours along the last axis of the nest lie side by side in it, and their number is even.
    pub fn falls_into_pairs(&self, nest: &Nest) -> bool {
        let last = nest.axes.len() - 1;
        self.runs_along(last) && nest.axes[last].as_constant().is_some_and(|extent| extent % 2 == 0)
    }

    /// The axis of the nest that each axis of the factor follows, if it follows one, each another.
    pub fn plain_axes(&self, nest: &Nest) -> Option<Vec<usize>> {
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

/// Whether a node cuts a value into one panel, which is the value itself and need not be copied.
pub fn is_whole(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    node.op.name == "pack" && node.types[0].shape[1..] == graph.type_of(graph.operands(id)[0]).shape
}

fn axis_symbol(axis: usize) -> Option<Symbol> {
    graph::axis(axis).as_symbol().cloned()
}

/// How a factor is cut.
pub struct Panels {
    /// The axes of the factor: those of the batch first, then the summed ones, the columns last.
    pub order: Vec<usize>,
    pub columns: Dim,
    /// Columns of a panel.
    pub width: u64,
    /// How many neighbours along the axis before the columns lie side by side, if not one.
    pub depth: Option<i64>,
}

impl Panels {
    /// `axes` are those of the nest that the axes of the factor follow.
    pub fn new(axes: &[usize], column: usize, columns: Dim, width: u64) -> Panels {
        let mut order: Vec<usize> = (0..axes.len()).collect();
        order.sort_by_key(|&axis| (axes[axis] == column, axes[axis]));
        Panels { order, columns, width, depth: None }
    }

    /// Whether all columns lie in one.
    pub fn is_one(&self) -> bool {
        self.columns.is(self.width as i64)
    }

    pub fn cut(&self, graph: &mut Graph, value: Value, origin: &Origin) -> Result<Value, OpError> {
        let value = self.in_order(graph, value, origin)?;
        let attrs = self.deep(Attrs::none().with("width", self.width as i64));
        apply(graph, "pack", value, attrs, origin)
    }

    pub fn whole(&self, graph: &mut Graph, value: Value, origin: &Origin) -> Result<Value, OpError> {
        let attrs = self.deep(Attrs::none().with("extent", self.columns.clone()));
        let value = apply(graph, "unpack", value, attrs, origin)?;
        self.in_old_order(graph, value, origin)
    }

    fn deep(&self, attrs: Attrs) -> Attrs {
        match self.depth {
            Some(depth) => attrs.with("depth", depth),
            None => attrs,
        }
    }

    /// The factor with its axes in the order of panels.
    pub fn in_order(&self, graph: &mut Graph, value: Value, origin: &Origin) -> Result<Value, OpError> {
        permuted(graph, value, &self.order, origin)
    }

    pub fn in_old_order(&self, graph: &mut Graph, value: Value, origin: &Origin) -> Result<Value, OpError> {
        let mut back = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        permuted(graph, value, &back, origin)
    }
}

fn permuted(graph: &mut Graph, value: Value, order: &[usize], origin: &Origin) -> Result<Value, OpError> {
    if order.is_sorted() {
        return Ok(value);
    }
    let axes: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
    apply(graph, "permute", value, Attrs::none().with("axes", axes), origin)
}

fn apply(graph: &mut Graph, name: &str, value: Value, attrs: Attrs, origin: &Origin) -> Result<Value, OpError> {
    let node = graph.apply(op(name)?, &[value], &attrs, Vec::new(), origin)?;
    Ok(Value { node, result: 0 })
}
