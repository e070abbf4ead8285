//! The regions of attention, and the two sums of products in them: how their factors come in.
//!
//! Invariant: what a region captures is a value of the graph around it. A factor that is rounded is rounded there, so that
//! it is stored narrow; but for the weights, which only the region knows.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::graph::reads::Reads;
use crate::graph::{DType, Dim, Graph, NodeId, OpError, Role, Value};
use crate::passes::narrow::{RESULT, cast, is_wide};
use crate::passes::panels::{Panels, factors};
use crate::passes::rebuild::Rebuild;
use crate::passes::{Context, Narrowing};

/// So many columns are cut into panels of the greatest width.
const MANY: i64 = 1 << 16;

/// The factor of a sum of products that has its columns.
pub struct Columns {
    operand: usize,
    panels: Option<Panels>,
    /// What both factors are rounded to.
    pub narrow: Option<DType>,
}

impl Columns {
    /// Neither cut nor rounded.
    pub fn as_they_lie(operand: usize) -> Columns {
        Columns { operand, panels: None, narrow: None }
    }

    /// The values, of which the kernel makes pairs, where keys come in panels of pairs.
    pub fn of_values(keys: &Columns, operand: usize) -> Option<Columns> {
        let is_deep = keys.panels.as_ref().is_some_and(|panels| panels.depth.is_some());
        is_deep.then_some(Columns { operand, panels: None, narrow: keys.narrow })
    }

    /// How the factor is cut, and whether both are narrow. Where all keys take part, the kernel multiplies no more of
    /// the last panel than there is, so that panels are as wide as they get; a mask leaves less to multiply of narrow ones.
    pub fn of(graph: &Graph, id: NodeId, operand: usize, takes_all: bool, context: &Context) -> Columns {
        let is_open = is_wide(graph, id) && graph.node(id).attrs.get(RESULT).is_some();
        let narrow = match context.narrowing {
            Narrowing::Factors(dtype) if dtype == DType::BF16 || context.staged => Some(dtype),
            _ => None,
        };
        let narrow = narrow.filter(|_| is_open && context.narrow_products);
        let cut = || {
            let panel = context.panel?;
            let reads = Reads { graph };
            let nest = reads.nest(Value { node: id, result: 0 })?;
            let both = factors(&nest)?;
            let factor = *both.iter().find(|factor| factor.operand == operand)?;
            let other = *both.iter().find(|factor| factor.operand != operand)?;
            let column = nest.n_parallel - 1;
            let axes = factor.plain_axes(&nest)?;
            let columns = nest.axes[column].clone();
            let dtype = factor.cast.unwrap_or(graph.type_of(graph.operands(id)[operand]).dtype);
            let is_single = nest.axes.len() == nest.n_parallel + 1;
            let has_pairs = is_single && other.falls_into_pairs(&nest);
            let narrow = narrow.filter(|_| has_pairs || context.staged);
            let width = |columns: &Dim| panel(columns, narrow.unwrap_or(dtype), None);
            let widest = width(&Dim::constant(MANY));
            let fills_one = columns.as_constant().is_some_and(|columns| columns >= widest as i64);
            let width = if takes_all && fills_one { widest } else { width(&columns) };
            Some((Panels::new(&axes, column, columns, width), narrow))
        };
        let Some((panels, narrow)) = cut() else { return Columns { operand, panels: None, narrow: None } };
        let panels = Panels { depth: narrow.map(|_| 2), ..panels };
        Columns { operand, panels: Some(panels).filter(|_| !context.staged), narrow }
    }
}

/// A region that is being built: what it captures, as values of the graph around it.
pub struct Region<'r, 'g> {
    graph: Graph,
    captures: Vec<Value>,
    inside: FxHashMap<Value, Value>,
    around: &'r mut Rebuild<'g>,
}

impl<'r, 'g> Region<'r, 'g> {
    pub fn new(name: &str, around: &'r mut Rebuild<'g>) -> Region<'r, 'g> {
        let mut graph = Graph::new(name);
        graph.sizes = around.old.sizes.clone();
        let (captures, inside) = Default::default();
        Region { graph, captures, inside, around }
    }

    /// An argument that stands for an old value and is no capture.
    pub fn add_argument(&mut self, name: &str, value: Value) {
        let ty = self.around.old.type_of(value).clone();
        let argument = self.graph.add_argument(name, Role::Data, ty);
        self.inside.insert(value, argument);
    }

    fn capture(&mut self, value: Value) -> Value {
        let ty = self.around.new.type_of(value).clone();
        self.captures.push(value);
        self.graph.add_argument(format!("x{}", self.captures.len() - 1), Role::Data, ty)
    }

    /// An old value, captured when it is first asked for.
    fn get(&mut self, value: Value) -> Value {
        if let Some(&known) = self.inside.get(&value) {
            return known;
        }
        let captured = self.capture(self.around.get(value));
        self.inside.insert(value, captured);
        captured
    }

    pub fn copy(&mut self, id: NodeId) -> Result<(), OpError> {
        let operands: Vec<Value> = self.around.old.operands(id).into_iter().map(|value| self.get(value)).collect();
        self.push(id, &operands);
        Ok(())
    }

    fn push(&mut self, id: NodeId, operands: &[Value]) {
        let node = self.around.old.node(id).clone();
        let copy = self.graph.push(node, operands);
        self.inside.insert(Value { node: id, result: 0 }, Value { node: copy, result: 0 });
    }

    /// Copies a sum of products; `before` are the nodes that move the other factor.
    pub fn product(&mut self, id: NodeId, columns: &Columns, before: &BTreeSet<NodeId>) -> Result<(), OpError> {
        let origin = self.around.old.node(id).origin.clone();
        let mut operands = Vec::new();
        for (idx, value) in self.around.old.operands(id).into_iter().enumerate() {
            operands.push(match (&columns.panels, columns.narrow) {
                (Some(panels), narrow) if columns.operand == idx => {
                    let mut outer = self.around.get(value);
                    if let Some(dtype) = narrow {
                        outer = cast(&mut self.around.new, outer, dtype, &origin)?;
                    }
                    let cut = panels.cut(&mut self.around.new, outer, &origin)?;
                    let cut = self.capture(cut);
                    panels.whole(&mut self.graph, cut, &origin)?
                }
                (_, Some(dtype)) => self.rounded(value, dtype, before)?,
                (_, None) => self.get(value),
            });
        }
        self.push(id, &operands);
        Ok(())
    }

    /// An old value, rounded before it is moved; in the region if it is computed there.
    fn rounded(&mut self, value: Value, dtype: DType, before: &BTreeSet<NodeId>) -> Result<Value, OpError> {
        let node = self.around.old.node(value.node).clone();
        let sources = self.around.old.operands(value.node);
        // A number has nothing before it that could be rounded.
        if before.contains(&value.node) && !sources.is_empty() {
            let mut operands = Vec::new();
            for operand in sources {
                operands.push(match self.around.old.type_of(operand).dtype {
                    DType::F32 => self.rounded(operand, dtype, before)?,
                    _ => self.get(operand),
                });
            }
            let moved = self.graph.apply(node.op, &operands, &node.attrs, Vec::new(), &node.origin)?;
            return Ok(Value { node: moved, result: value.result });
        }
        match self.inside.get(&value) {
            Some(&inside) => cast(&mut self.graph, inside, dtype, &node.origin),
            None => {
                let outer = self.around.get(value);
                let outer = cast(&mut self.around.new, outer, dtype, &node.origin)?;
                Ok(self.capture(outer))
            }
        }
    }

    pub fn finish(mut self, result: Value) -> (Graph, Vec<Value>) {
        let result = self.get(result);
        self.graph.add_output("y", Role::Data, result);
        (self.graph, self.captures)
    }
}
