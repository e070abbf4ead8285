//! Attention that never stores its scores: a sum of products, its softmax and the mixing of values become one node.
//!
//! ```text
//! s = f(contract(q, k), …);  y = contract(softmax(s), v)   =>   y = attend(q, pack(k), …, pack(v)) { f(…) } { … }
//! ```
//! The softmax goes along the last axis, over which the mixing sums. Scores and weights must be used nowhere else, else
//! they are stored. Keys and values are packed, so that the tiles of each are read from end to end; that costs as much as
//! a few rows of scores, so those of a node of few rows, such as a step of decoding over a long cache, are read as they lie.
//! Where threads share memory through which factors pass, nothing is packed, and scores of few rows are stored. Where the
//! number of rows is open, it is asked when the program runs:
//!
//! ```text
//! y = f(q, k, v)   =>   y = cond(rows >= 16, q, k, v) { attend(q, pack(k), pack(v)) … } { attend(q, k, v) … }
//! ```
//!
//! Both sides are equal: the node means its regions, which hold the very ops that were there. Where contractions read
//! bf16, so do these two if pairs of the first one's factors lie side by side: queries, keys and values are rounded before,
//! weights in between. Values that fall into no pairs are brought there by the kernel.

mod region;
mod score;

use std::collections::BTreeSet;

use super::panels::factors;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::reads::Reads;
use crate::graph::softmax::{self, Softmax};
use crate::graph::{Attrs, Builder, DType, Dim, Graph, Meaning, Nest, NodeId, OpError, Value};
use region::{Columns, Region};
use score::{Scores, column_factor};

pub static PASS: Pass =
    Pass { name: "attention", doc: "Makes one node of attention, whose kernel stores no scores.", run };

/// Rows of scores that are worth packing the keys for, where there are more keys than rows.
const ENOUGH_ROWS: i64 = 16;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    taken(graph, context, Rows::Asked)
}

/// What becomes of attention over a number of rows that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// The number is asked for at run time.
    Asked,
    /// There are enough to pack for.
    Enough,
    /// There are not.
    Few,
    /// It has been asked for: a branch stays as it is.
    Known,
}

fn taken(graph: &Graph, context: &Context, rows: Rows) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let origin = &graph.node(id).origin;
        match find(graph, id) {
            Some(Ok(found)) if found.has_enough || rows == Rows::Enough => {
                emit(&mut rebuild, &found, context, true).map_err(PassError::at(PASS.name, origin))?;
                continue;
            }
            Some(Ok(found)) if !context.staged && found.is_direct(rows) => {
                emit(&mut rebuild, &found, context, false).map_err(PassError::at(PASS.name, origin))?;
                continue;
            }
            Some(Ok(found)) if rows == Rows::Asked && found.rows.as_constant().is_none() => {
                branch(&mut rebuild, &found, context)?;
                continue;
            }
            Some(Ok(_)) => context.remark(PASS.name, origin, "the scores are stored: there are few rows of them"),
            Some(Err(reason)) => context.remark(PASS.name, origin, format!("the scores are stored: {reason}")),
            None => {}
        }
        // What is a group already stays as it is.
        if matches!(graph.node(id).op.meaning, Meaning::Group { .. }) {
            rebuild.keep(id);
            continue;
        }
        let inside = if graph.node(id).op.name == "cond" { Rows::Known } else { rows };
        rebuild.copy_with(id, |region| taken(region, context, inside))?;
    }
    (dce::PASS.run)(&rebuild.finish(), context)
}

pub struct Attention {
    /// The contraction that mixes values, and which of its operands they are.
    pub mix: NodeId,
    values: usize,
    pub softmax: Softmax,
    /// Casts of the weights, the first first.
    casts: Vec<NodeId>,
    scores: Scores,
    rows: Dim,
    /// Rows that are worth packing the keys for, whatever the sizes are.
    has_enough: bool,
    /// Otherwise keys may be read as they lie, from end to end.
    may_be_direct: bool,
}

impl Attention {
    /// All nodes of it.
    pub fn members(&self) -> BTreeSet<NodeId> {
        members(&self.scores, &self.softmax, &self.casts, self.mix)
    }

    /// Whether the rows are few, and keys are better read as they lie than packed.
    fn is_direct(&self, rows: Rows) -> bool {
        self.may_be_direct && (self.rows.as_constant().is_some() || rows == Rows::Few)
    }
}

/// The attention that ends with this node; if it is one, why it is not taken.
pub fn find(graph: &Graph, id: NodeId) -> Option<Result<Attention, &'static str>> {
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
    let keys = graph.type_of(softmax.scores).shape.last();
    let has_enough = graph.sizes.proves_le(&Dim::constant(ENOUGH_ROWS), &rows)
        || keys.is_some_and(|keys| graph.sizes.proves_le(keys, &rows));
    let judged = judge(&reads, &softmax, &casts, id);
    Some(judged.map(|scores| {
        let has_unit = |nest: &Nest| nest.axes[..nest.n_parallel - 1].iter().any(|extent| extent.is(1));
        let has_rows = |product: &Nest| !rows.is(1) || has_unit(&nest) && has_unit(product);
        let may_be_direct = !has_enough && product_along_keys(&reads, &scores).is_some_and(|nest| has_rows(&nest));
        Attention { mix: id, values, softmax, casts, scores, rows, has_enough, may_be_direct }
    }))
}

/// The nest of the products that scores are made of, if each key lies along the one axis that is summed.
fn product_along_keys(reads: &Reads, scores: &Scores) -> Option<Nest> {
    let nest = reads.nest(Value { node: scores.product, result: 0 })?;
    let keys = factors(&nest)?.into_iter().find(|factor| factor.operand == scores.keys)?;
    let is_along = nest.axes.len() == nest.n_parallel + 1 && keys.runs_along(nest.n_parallel);
    is_along.then_some(nest)
}

/// The scores, if they need not be stored.
fn judge(reads: &Reads, softmax: &Softmax, casts: &[NodeId], mix: NodeId) -> Result<Scores, &'static str> {
    let graph = reads.graph;
    if !matches!(graph.type_of(softmax.scores).dtype, DType::F32 | DType::F64) {
        return Err("they are not of f32 or f64");
    }
    let scores = score::find(reads, softmax.scores)?;
    let inside = members(&scores, softmax, casts, mix);
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

fn members(scores: &Scores, softmax: &Softmax, casts: &[NodeId], mix: NodeId) -> BTreeSet<NodeId> {
    scores.members.union(&softmax.members).chain(casts).copied().chain([mix]).collect()
}

fn is_private(graph: &Graph, id: NodeId, inside: &BTreeSet<NodeId>) -> bool {
    graph
        .results(id)
        .all(|value| !graph.is_output(value) && graph.users(value).iter().all(|(user, _)| inside.contains(user)))
}

fn emit(rebuild: &mut Rebuild, found: &Attention, context: &Context, packs: bool) -> Result<(), OpError> {
    let graph = rebuild.old;
    let origin = graph.node(found.mix).origin.clone();
    let is_masked = found.scores.members.iter().any(|&id| graph.node(id).op.name == "select");
    let columns = |id: NodeId, operand: usize| match packs {
        true => Columns::of(graph, id, operand, id == found.scores.product && !is_masked, context),
        false => Columns::as_they_lie(operand),
    };
    let keys = columns(found.scores.product, found.scores.keys);
    let values = columns(found.mix, found.values);
    // Of values that fall into no pairs, as of an odd or open number of keys, the kernel makes pairs.
    let is_kept = packs && (context.matrices || values.narrow.is_none());
    let values = Columns::of_values(&keys, found.values).filter(|_| is_kept).unwrap_or(values);
    let mut score = Region::new("score", rebuild);
    let before = if keys.narrow.is_some() { only_for_rows(graph, &found.scores) } else { BTreeSet::new() };
    for &id in found.scores.members.iter().filter(|id| !before.contains(id)) {
        match id == found.scores.product {
            true => score.product(id, &keys, &before)?,
            false => score.copy(id)?,
        }
    }
    let (score, mut captures) = score.finish(found.softmax.scores);
    let mut mix = Region::new("mix", rebuild);
    mix.add_argument("score", found.softmax.scores);
    for &id in found.softmax.members.iter().chain(&found.casts) {
        mix.copy(id)?;
    }
    mix.product(found.mix, &values, &BTreeSet::new())?;
    let (mix, mixed) = mix.finish(Value { node: found.mix, result: 0 });
    captures.extend(mixed);
    context.remark(PASS.name, &origin, "attention in one kernel: no scores are stored");
    let node = rebuild.new.apply(op("attend")?, &captures, &Attrs::none(), vec![score, mix], &origin)?;
    rebuild.set(found.mix, vec![Value { node, result: 0 }]);
    Ok(())
}

/// Both ways to compute it, of which the number of rows chooses one.
fn branch(rebuild: &mut Rebuild, found: &Attention, context: &Context) -> Result<(), PassError> {
    let origin = rebuild.old.node(found.mix).origin.clone();
    let (stored, captures) = copied(rebuild, found).map_err(PassError::at(PASS.name, &origin))?;
    let tiled = taken(&stored, context, Rows::Enough)?;
    let stored = taken(&stored, context, Rows::Few)?;
    let mut b = Builder::new(&mut rebuild.new, origin.clone());
    let results = chosen(&mut b, &found.rows, captures, [tiled, stored]).map_err(PassError::at(PASS.name, &origin))?;
    rebuild.set(found.mix, results);
    Ok(())
}

/// Everything of an attention as it is, in a region.
fn copied(rebuild: &mut Rebuild, found: &Attention) -> Result<(Graph, Vec<Value>), OpError> {
    let mut region = Region::new("attention", rebuild);
    for id in found.members() {
        region.copy(id)?;
    }
    Ok(region.finish(Value { node: found.mix, result: 0 }))
}

fn chosen(b: &mut Builder, rows: &Dim, captures: Vec<Value>, regions: [Graph; 2]) -> Result<Vec<Value>, OpError> {
    let rows = b.apply(op("dim")?, &[], Attrs::none().with("size", rows.clone()))?;
    let enough = b.number(ENOUGH_ROWS as f64, rows)?;
    let test = b.ge(rows, enough)?;
    let operands: Vec<Value> = [test].into_iter().chain(captures).collect();
    b.apply_with(op("cond")?, &operands, Attrs::none(), regions.into())
}

/// Members that only move the factor with the rows on its way to the product.
fn only_for_rows(graph: &Graph, scores: &Scores) -> BTreeSet<NodeId> {
    let mut before: BTreeSet<NodeId> = BTreeSet::new();
    for &id in scores.members.iter().rev().filter(|&&id| id != scores.product) {
        let goes_there =
            |value: Value| graph.users(value).iter().all(|(user, _)| *user == scores.product || before.contains(user));
        if graph.results(id).all(goes_there) {
            before.insert(id);
        }
    }
    before
}
