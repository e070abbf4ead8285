//! Leaves out keys that a mask hides from every query, such as the places of a cache that a prompt does not reach.
//!
//! ```text
//! s = select(j <= f(i), x(q, k), -inf);  y = contract(softmax(s), v)      f(i) < n for all i, n < keys
//!   =>   s = select(j <= f(i), x(q, k[..n]), -inf);  y = contract(softmax(s), v[..n])
//! ```
//! Hidden keys have weight zero, so that this is exact but where a value behind the mask is infinite or NaN: it is no longer
//! multiplied by zero.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::attention::{Attention, find};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::reads::{Reads, placed};
use crate::graph::{
    Attrs, Dim, Graph, Meaning, Nest, NestIndex, NodeId, OpError, Ranges, Scalar, ScalarNode, Tensor, Value, axis,
};

pub static PASS: Pass = Pass { name: "hidden", doc: "Leaves out keys that a mask hides from every query.", run };

/// Larger numbers are no positions.
const FARTHEST: f64 = (1u64 << 40) as f64;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let origin = &graph.node(id).origin;
        let found = find(graph, id).and_then(Result::ok).filter(|found| sums_keys_only(graph, found));
        let seen = found.as_ref().and_then(|found| n_seen(&Reads { graph }, found.softmax.scores));
        if let Some((found, seen)) = found.zip(seen) {
            let y = narrowed(&mut rebuild, &found, seen).map_err(PassError::at(PASS.name, origin))?;
            rebuild.set(id, vec![y]);
            continue;
        }
        rebuild.copy_with(id, |region| run(region, context))?;
    }
    (dce::PASS.run)(&rebuild.finish(), context)
}

/// Whether no shift of the scores is made of those of other rows, all of which would have to be computed besides.
fn sums_keys_only(graph: &Graph, found: &Attention) -> bool {
    let keys = graph.type_of(found.softmax.scores).shape.last();
    found.softmax.members.iter().all(|&id| {
        let nest = Reads { graph }.nest(Value { node: id, result: 0 });
        nest.is_none_or(|nest| nest.reduce.is_none() || nest.axes[nest.n_parallel..].iter().eq(keys))
    })
}

/// How many keys, from the first on, some query may see, if that is less than all.
fn n_seen(reads: &Reads, scores: Value) -> Option<Dim> {
    let shape = &reads.graph.type_of(scores).shape;
    let (ranges, keys) = (reads.ranges(shape), shape.last()?);
    let [test, _, masked] = reads.applied(scores, Scalar::Select)?[..] else { return None };
    if reads.number(masked) != Some(f64::NEG_INFINITY) {
        return None;
    }
    let mut limits = Vec::new();
    conditions(reads, test, reads.here(shape), &ranges, &mut limits);
    let sizes = &reads.graph.sizes;
    let is_less = |n_seen: &Dim| n_seen != keys && sizes.proves_le(n_seen, keys);
    let mut n_seen = limits.iter().filter_map(|limit| Some(&last_seen(limit, shape)? + 1));
    n_seen.find(|n_seen| is_less(n_seen) && sizes.proves_lt(&Dim::constant(0), n_seen))
}

/// What is at least 0 wherever the test holds, as far as it compares positions.
fn conditions(reads: &Reads, test: Value, at: Vec<Dim>, ranges: &Ranges, limits: &mut Vec<Dim>) {
    let (test, at) = reads.source(test, at, ranges);
    if let Some(both) = reads.applied(test, Scalar::And) {
        both.into_iter().for_each(|one| conditions(reads, one, at.clone(), ranges, limits));
        return;
    }
    let node = reads.graph.node(test.node);
    if let (Meaning::Source, Some(_)) = (node.op.meaning, node.attrs.get("value")) {
        let table = node.attrs.tensor("value");
        let limit = |(idx, place): (usize, &Dim)| Some(&Dim::constant(last_true(&table, idx)?) - place);
        limits.extend(at.iter().enumerate().filter_map(limit));
        return;
    }
    for (comparison, is_swapped, gap) in
        [(Scalar::Le, true, 0), (Scalar::Lt, true, 1), (Scalar::Ge, false, 0), (Scalar::Gt, false, 1)]
    {
        let Some(sides) = reads.applied(test, comparison) else { continue };
        let sides: Option<Vec<Dim>> =
            sides.into_iter().map(|side| position_in(reads, side, at.clone(), ranges)).collect();
        if let Some([a, b]) = sides.as_deref() {
            limits.push(&(if is_swapped { b - a } else { a - b }) - gap);
        }
    }
}

/// The last position along an axis of a table that is true anywhere.
fn last_true(table: &Tensor, axis: usize) -> Option<i64> {
    let inner: usize = table.shape[axis + 1..].iter().product();
    let place = |idx: usize| (idx / inner % table.shape[axis]) as i64;
    (0..table.n_elements()).filter(|&idx| table.int_at(idx) != 0).map(place).max()
}

/// An integer as an expression of the position at which it is read.
fn position_in(reads: &Reads, value: Value, at: Vec<Dim>, ranges: &Ranges) -> Option<Dim> {
    let (value, at) = reads.source(value, at, ranges);
    let whole = |number: f64| (number.abs() < FARTHEST).then(|| Dim::constant(number as i64));
    if !reads.graph.type_of(value).dtype.is_int() {
        return None;
    }
    if let Some(number) = reads.number(value) {
        return whole(number);
    }
    let nest = reads.nest(value).filter(|nest| nest.reduce.is_none())?;
    let operands = reads.graph.operands(value.node);
    let mut known: Vec<Dim> = Vec::new();
    for node in &nest.body {
        known.push(match node {
            ScalarNode::Index(dim) => placed(&[NestIndex::Affine(dim.clone())], &at)?.pop()?,
            ScalarNode::Const { value, .. } => whole(*value)?,
            ScalarNode::Load { operand, index, guards, .. } if guards.is_empty() => {
                position_in(reads, operands[*operand], placed(index, &at)?, ranges)?
            }
            ScalarNode::Apply { scalar, args } => match (scalar, &args[..]) {
                (Scalar::Add, &[a, b]) => &known[a] + &known[b],
                (Scalar::Sub, &[a, b]) => &known[a] - &known[b],
                (Scalar::Neg, &[a]) => -&known[a],
                _ => return None,
            },
            _ => return None,
        });
    }
    known.pop()
}

/// The last key for which a limit holds at any of the other positions, if it holds for all keys before that one.
fn last_seen(limit: &Dim, shape: &[Dim]) -> Option<Dim> {
    let symbol = |idx: usize| axis(idx).as_symbol().cloned();
    let keys = shape.len() - 1;
    let (slope, mut last) = limit.affine_in(&symbol(keys)?).filter(|(slope, _)| slope.is(-1))?;
    for (idx, extent) in shape[..keys].iter().enumerate() {
        let (of_axis, rest) = last.affine_in(&symbol(idx)?)?;
        last = match of_axis.as_constant()? {
            steps if steps > 0 => &rest + &(&(extent - 1) * steps),
            _ => rest,
        };
    }
    let is_left = |idx: usize| symbol(idx).is_none_or(|symbol| last.mentions(&symbol) || slope.mentions(&symbol));
    (!(0..=keys).any(is_left)).then_some(last)
}

/// The result of attention over the first `n` keys.
fn narrowed(rebuild: &mut Rebuild, found: &Attention, n: Dim) -> Result<Value, OpError> {
    let graph = rebuild.old;
    let nest = Reads { graph }.nest(Value { node: found.mix, result: 0 });
    let nest = nest.ok_or_else(|| OpError::new("a mixing of values has no nest"))?;
    let inside = found.members();
    let mut narrow = Narrow { rebuild, inside, sums: &found.softmax.members, n, known: FxHashMap::default() };
    let operands = narrow.operands(found.mix, &nest, Some(&axis(nest.n_parallel)))?;
    let operands = operands.ok_or_else(|| OpError::new("a mixing of values does not sum over the keys"))?;
    narrow.apply(found.mix, &operands, graph.node(found.mix).attrs.clone())
}

struct Narrow<'r, 'g> {
    rebuild: &'r mut Rebuild<'g>,
    /// All of the attention; what it reads from outside is cut.
    inside: BTreeSet<NodeId>,
    /// What sums over the keys.
    sums: &'r BTreeSet<NodeId>,
    n: Dim,
    known: FxHashMap<(Value, Option<usize>), Value>,
}

impl Narrow<'_, '_> {
    /// A value with fewer keys along this axis, or one that has no keys, computed from such.
    fn value(&mut self, value: Value, keys: Option<usize>) -> Result<Value, OpError> {
        if let Some(&known) = self.known.get(&(value, keys)) {
            return Ok(known);
        }
        let narrow = match (self.again(value, keys)?, keys) {
            (Some(narrow), _) => narrow,
            (None, Some(keys)) => self.cut(value, keys)?,
            (None, None) => self.rebuild.get(value),
        };
        self.known.insert((value, keys), narrow);
        Ok(narrow)
    }

    /// The same op on less, where it is known how.
    fn again(&mut self, value: Value, keys: Option<usize>) -> Result<Option<Value>, OpError> {
        let graph = self.rebuild.old;
        let node = graph.node(value.node);
        let shape = &graph.type_of(value).shape;
        let mut attrs = node.attrs.clone();
        if let (Some(mut shape), Some(keys)) = (attrs.get("shape").map(|_| attrs.dims("shape")), keys) {
            shape[keys] = self.n.clone();
            attrs.set("shape", shape.into());
        }
        if keys == Some(0) && attrs.get("size").is_some() {
            attrs.set("size", self.n.clone().into());
        }
        let operands = match (node.op.meaning, keys) {
            (Meaning::View, Some(keys)) => {
                let from = &graph.type_of(graph.operands(value.node)[0]).shape;
                let is_last = keys + 1 == shape.len() && from.last() == shape.last();
                let (true, true) = (is_last, self.inside.contains(&value.node)) else { return Ok(None) };
                vec![self.value(graph.operands(value.node)[0], Some(from.len() - 1))?]
            }
            (Meaning::Structured { nest, .. }, _) if self.goes_through(value.node) => {
                let nest = graph.with_call(value.node, nest);
                let sums = self.sums.contains(&value.node) && nest.axes.len() > nest.n_parallel;
                let along = keys.map(axis).or(sums.then(|| axis(nest.n_parallel)));
                let Some(operands) = self.operands(value.node, &nest, along.as_ref())? else { return Ok(None) };
                operands
            }
            _ => return Ok(None),
        };
        if keys.is_none() && operands == self.rebuild.operands(value.node) {
            return Ok(None);
        }
        let narrow = self.apply(value.node, &operands, attrs)?;
        let mut wanted = shape.clone();
        keys.into_iter().for_each(|keys| wanted[keys] = self.n.clone());
        Ok((self.rebuild.new.type_of(narrow).shape == wanted).then_some(narrow))
    }

    /// Whether an op is done anew: those of the attention, and what only moves the keys and the values.
    fn goes_through(&self, id: NodeId) -> bool {
        self.inside.contains(&id) || ["permute", "broadcast"].contains(&self.rebuild.old.node(id).op.name)
    }

    /// The operands with fewer keys where the nest moves along this axis; none if an operand is read in another way there.
    fn operands(&mut self, id: NodeId, nest: &Nest, along: Option<&Dim>) -> Result<Option<Vec<Value>>, OpError> {
        let olds = self.rebuild.old.operands(id);
        let mut places: Vec<Option<usize>> = vec![None; olds.len()];
        for node in &nest.body {
            let (ScalarNode::Load { operand, index, guards, .. }, Some(along)) = (node, along) else { continue };
            let moves = |dim: &Dim| along.as_symbol().is_some_and(|symbol| dim.mentions(symbol));
            let touched: Vec<usize> =
                (0..index.len()).filter(|&at| !matches!(&index[at], NestIndex::Affine(dim) if !moves(dim))).collect();
            match touched[..] {
                [] => {}
                [at] if index[at] == NestIndex::Affine(along.clone()) && guards.is_empty() => {
                    places[*operand] = Some(at);
                }
                _ => return Ok(None),
            }
        }
        olds.into_iter().zip(places).map(|(old, keys)| self.value(old, keys)).collect::<Result<_, _>>().map(Some)
    }

    fn apply(&mut self, id: NodeId, operands: &[Value], attrs: Attrs) -> Result<Value, OpError> {
        let node = self.rebuild.old.node(id);
        let new = self.rebuild.new.apply(node.op, operands, &attrs, Vec::new(), &node.origin)?;
        Ok(Value { node: new, result: 0 })
    }

    fn cut(&mut self, value: Value, keys: usize) -> Result<Value, OpError> {
        let new = self.rebuild.get(value);
        let mut stops = self.rebuild.new.type_of(new).shape.clone();
        let starts = vec![Dim::constant(0); stops.len()];
        stops[keys] = self.n.clone();
        let attrs = Attrs::none().with("starts", starts).with("stops", stops);
        let origin = self.rebuild.old.node(value.node).origin.clone();
        let cut = self.rebuild.new.apply(op("slice")?, &[new], &attrs, Vec::new(), &origin)?;
        Ok(Value { node: cut, result: 0 })
    }
}
