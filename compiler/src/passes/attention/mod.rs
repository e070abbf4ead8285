//! Attention that never stores its scores: a sum of products, its softmax and the mixing of values become one node.
//!
//! ```text
//! s = f(contract(q, k), …);  y = contract(softmax(s), v)   =>   y = attend(q, pack(k), …, pack(v)) { f(…) } { … }
//! ```
//! The softmax goes along the last axis, over which the mixing sums. Scores and weights must be used nowhere else, else
//! they are stored. Keys and values are packed, so that the tiles of each are read from end to end; that costs as much as
//! a few rows of scores, so a node of few rows, such as a step of decoding over a long cache, stays as it is.
//!
//! Both sides are equal: the node means its regions, which hold the very ops that were there.

mod score;

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::panels::{Panels, factors};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::reads::Reads;
use crate::graph::softmax::{self, Softmax};
use crate::graph::{Attrs, DType, Dim, Graph, Meaning, NodeId, OpError, Role, Value};
use score::{Scores, column_factor};

pub static PASS: Pass =
    Pass { name: "attention", doc: "Makes one node of attention, whose kernel stores no scores.", run };

/// Rows of scores that are worth packing the keys for, where there are more keys than rows.
const ENOUGH_ROWS: i64 = 16;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let origin = &graph.node(id).origin;
        match find(graph, id) {
            Some(Ok(found)) => {
                emit(&mut rebuild, &found, context).map_err(PassError::at(PASS.name, origin))?;
                continue;
            }
            Some(Err(reason)) => context.remark(PASS.name, origin, format!("the scores are stored: {reason}")),
            None => {}
        }
        // What is a group already stays as it is.
        if matches!(graph.node(id).op.meaning, Meaning::Group { .. }) {
            rebuild.copy(id, graph.node(id).regions.clone());
            continue;
        }
        let regions = graph.node(id).regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        rebuild.copy(id, regions);
    }
    (dce::PASS.run)(&rebuild.finish(), context)
}

struct Attention {
    /// The contraction that mixes values, and which of its operands they are.
    mix: NodeId,
    values: usize,
    softmax: Softmax,
    /// Casts of the weights, the first first.
    casts: Vec<NodeId>,
    scores: Scores,
}

/// The attention that ends with this node; if it is one, why it is not taken.
fn find(graph: &Graph, id: NodeId) -> Option<Result<Attention, &'static str>> {
    let reads = Reads { graph };
    let nest = reads.nest(Value { node: id, result: 0 })?;
    let both = factors(&nest)?;
    let column = nest.n_parallel.checked_sub(1)?;
    let values = column_factor(&both, column)?;
    let weights = both.iter().find(|factor| factor.operand != values)?;
    let mut value = graph.operands(id)[weights.operand];
    let mut casts = Vec::new();
    while let Some(wider) = reads.cast(value) {
        casts.insert(0, value.node);
        value = wider;
    }
    let softmax = softmax::find(&reads, value)?;
    let axes = weights.plain_axes(&nest)?;
    let sums_last_only = nest.axes.len() == nest.n_parallel + 1 && axes.last() == Some(&nest.n_parallel);
    if !sums_last_only {
        return Some(Err("the softmax does not go along the axis that is summed over, and that alone"));
    }
    let of_rows =
        |axis: &&usize| **axis < nest.n_parallel && !both.iter().any(|f| f.operand == values && f.mentions(**axis));
    let rows = Dim::product(axes.iter().filter(of_rows).map(|&axis| &nest.axes[axis]));
    let judged = judge(&reads, &softmax, &casts, id, &rows);
    Some(judged.map(|scores| Attention { mix: id, values, softmax, casts, scores }))
}

/// The scores, if they need not be stored.
fn judge(reads: &Reads, softmax: &Softmax, casts: &[NodeId], mix: NodeId, rows: &Dim) -> Result<Scores, &'static str> {
    let graph = reads.graph;
    let ty = graph.type_of(softmax.scores);
    let keys = ty.shape.last().ok_or("it has no keys")?;
    let has_enough = graph.sizes.proves_le(&Dim::constant(ENOUGH_ROWS), rows) || graph.sizes.proves_le(keys, rows);
    if !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Err("they are not of f32 or f64");
    }
    if !has_enough {
        return Err("there may be few rows of them");
    }
    let scores = score::find(reads, softmax.scores)?;
    let inside: BTreeSet<NodeId> = scores.members.union(&softmax.members).chain(casts).copied().chain([mix]).collect();
    let is_number = |id: NodeId| reads.number(Value { node: id, result: 0 }).is_some();
    let mut private = softmax.members.iter().copied().filter(|&id| !is_number(id));
    if !private.all(|id| is_private(graph, id, &inside)) {
        return Err("the weights are used elsewhere too");
    }
    if ![softmax.scores.node, scores.product].iter().all(|&id| is_private(graph, id, &inside)) {
        return Err("they are used elsewhere too");
    }
    Ok(scores)
}

fn is_private(graph: &Graph, id: NodeId, inside: &BTreeSet<NodeId>) -> bool {
    graph
        .results(id)
        .all(|value| !graph.is_output(value) && graph.users(value).iter().all(|(user, _)| inside.contains(user)))
}

/// A region that is being built: what it captures, as values of the graph around it.
struct Region<'r, 'g> {
    graph: Graph,
    captures: Vec<Value>,
    inside: FxHashMap<Value, Value>,
    around: &'r mut Rebuild<'g>,
}

impl<'r, 'g> Region<'r, 'g> {
    fn new(name: &str, around: &'r mut Rebuild<'g>) -> Region<'r, 'g> {
        let mut graph = Graph::new(name);
        graph.sizes = around.old.sizes.clone();
        let (captures, inside) = Default::default();
        Region { graph, captures, inside, around }
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

    /// Copies a node; the operand `packed` comes in panels.
    fn copy(&mut self, id: NodeId, packed: Option<(usize, &Panels)>) -> Result<(), OpError> {
        let node = self.around.old.node(id).clone();
        let mut operands = Vec::new();
        for (idx, value) in self.around.old.operands(id).into_iter().enumerate() {
            operands.push(match packed {
                Some((operand, panels)) if operand == idx => {
                    let outer = self.around.get(value);
                    let cut = panels.cut(&mut self.around.new, outer, &node.origin)?;
                    let cut = self.capture(cut);
                    panels.whole(&mut self.graph, cut, &node.origin)?
                }
                _ => self.get(value),
            });
        }
        let copy = self.graph.push(node, &operands);
        self.inside.insert(Value { node: id, result: 0 }, Value { node: copy, result: 0 });
        Ok(())
    }

    fn finish(mut self, result: Value) -> (Graph, Vec<Value>) {
        let result = self.get(result);
        self.graph.add_output("y", Role::Data, result);
        (self.graph, self.captures)
    }
}

fn emit(rebuild: &mut Rebuild, found: &Attention, context: &Context) -> Result<(), OpError> {
    let graph = rebuild.old;
    let origin = graph.node(found.mix).origin.clone();
    let keys = panels(graph, found.scores.product, found.scores.keys, context);
    let values = panels(graph, found.mix, found.values, context);
    let mut score = Region::new("score", rebuild);
    for &id in &found.scores.members {
        let keys = keys.as_ref().filter(|_| id == found.scores.product);
        score.copy(id, keys.map(|panels| (found.scores.keys, panels)))?;
    }
    let (score, mut captures) = score.finish(found.softmax.scores);
    let mut mix = Region::new("mix", rebuild);
    let ty = graph.type_of(found.softmax.scores).clone();
    let argument = mix.graph.add_argument("score", Role::Data, ty);
    mix.inside.insert(found.softmax.scores, argument);
    for &id in found.softmax.members.iter().chain(&found.casts) {
        mix.copy(id, None)?;
    }
    mix.copy(found.mix, values.as_ref().map(|panels| (found.values, panels)))?;
    let (mix, mixed) = mix.finish(Value { node: found.mix, result: 0 });
    captures.extend(mixed);
    context.remark(PASS.name, &origin, "attention in one kernel: no scores are stored");
    let node = rebuild.new.apply(op("attend")?, &captures, &Attrs::none(), vec![score, mix], &origin)?;
    rebuild.set(found.mix, vec![Value { node, result: 0 }]);
    Ok(())
}

/// How the factor of a sum of products that has its columns is cut.
fn panels(graph: &Graph, id: NodeId, operand: usize, context: &Context) -> Option<Panels> {
    let panel = context.panel?;
    let reads = Reads { graph };
    let nest = reads.nest(Value { node: id, result: 0 })?;
    let factor = *factors(&nest)?.iter().find(|factor| factor.operand == operand)?;
    let column = nest.n_parallel - 1;
    let axes = factor.plain_axes(&nest)?;
    let columns = nest.axes[column].clone();
    let width = panel(&columns, factor.cast.unwrap_or(graph.type_of(graph.operands(id)[operand]).dtype));
    Some(Panels::new(&axes, column, columns, width))
}
