//! Wraps attention that a gradient goes through, so that the way back computes its scores again, some rows at a time.
//!
//! ```text
//! y = contract(f(softmax(g(contract(q, k)))), v)   =>   y = recomputed(q, k, v, …) { … } { the same for some rows }
//! ```
//! Taken are many rows only: of few, storing the scores is faster. What has as many rows and keys as the scores joins, so
//! masks do, back to what is smaller. Each row of the result must be made of one row of each capture, or of all of it.
//! Exact but for the order of sums.

use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

use super::rebuild::Rebuild;
use super::{Context, PassError, differentiate, expand, op};
use crate::graph::{
    Attrs, DType, Dim, Graph, Meaning, NestIndex, NodeId, OpError, Role, ScalarNode, Symbol, Type, Value, axis,
};
use crate::ops::{slice_at, softmax};

/// Rows from which on the scores are not stored.
const MANY_ROWS: i64 = 512;
/// Rows at a time, at most.
const CHUNK: i64 = 128;
/// What is larger is no attention.
const MAX_MEMBERS: usize = 64;

/// The graph with its attention wrapped.
pub fn wrapped(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    let live = Rebuild::live(graph);
    let ends: FxHashMap<NodeId, NodeId> = live.iter().filter_map(|&id| Some((end(graph, id)?, id))).collect();
    for id in live {
        let wrapped = ends.get(&id).and_then(|&softmax| Attention::of(graph, softmax, id, context));
        match wrapped {
            Some(found) => {
                let captures: Vec<Value> = found.captures.iter().map(|&value| rebuild.get(value)).collect();
                let origin = &graph.node(id).origin;
                let attrs = Attrs::none()
                    .with("axis", found.axis as i64)
                    .with("chunk", found.chunk)
                    .with("rows", found.rows.clone());
                let node = op("recomputed")
                    .and_then(|op| rebuild.new.apply(op, &captures, &attrs, vec![found.whole, found.part], origin))
                    .map_err(PassError::at(differentiate::PASS.name, origin))?;
                context.remark(differentiate::PASS.name, origin, "the way back computes the scores again, in chunks");
                rebuild.set(id, vec![Value { node, result: 0 }]);
            }
            None => _ = rebuild.keep(id),
        }
    }
    Ok(rebuild.finish())
}

/// The last two sizes, if they are the scores' of a softmax over many rows.
fn sizes(graph: &Graph, id: NodeId) -> Option<&[Dim]> {
    let shape = &graph.node(id).types.first()?.shape;
    shape.len().checked_sub(2).map(|first| &shape[first..])
}

/// What mixes values by the weights of a softmax.
fn end(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let node = graph.node(id);
    let last = node.types.first()?.rank() as i64 - 1;
    let is_softmax = std::ptr::eq(node.op, &softmax::OP) && [-1, last].contains(&node.attrs.int("axis"));
    let scores = sizes(graph, id).filter(|_| is_softmax)?;
    scores[0].as_constant().filter(|&rows| rows >= MANY_ROWS)?;
    let mut value = Value { node: id, result: 0 };
    for _ in 0..MAX_MEMBERS {
        let [(user, _)] = graph.users(value)[..] else { return None };
        if graph.is_output(value) || graph.node(user).types.len() != 1 {
            return None;
        }
        if sizes(graph, user) != Some(scores) {
            return Some(user);
        }
        value = Value { node: user, result: 0 };
    }
    None
}

struct Attention {
    captures: Vec<Value>,
    rows: Vec<i64>,
    axis: usize,
    chunk: i64,
    whole: Graph,
    part: Graph,
}

impl Attention {
    fn of(graph: &Graph, softmax: NodeId, end: NodeId, context: &Context) -> Option<Attention> {
        let scores = sizes(graph, softmax)?;
        let n_rows = scores[0].as_constant()?;
        let chunk = (1..=CHUNK).rev().find(|chunk| n_rows % chunk == 0).filter(|&chunk| chunk >= CHUNK / 4)?;
        let (whole, captures) = taken(graph, end, scores)?;
        let whole = (expand::PASS.run)(&whole, context).ok()?;
        let y = whole.outputs()[0].value;
        let axes = (0..whole.type_of(y).rank()).filter(|&axis| whole.type_of(y).shape[axis].is(n_rows));
        let (axis, rows) = axes.rev().find_map(|axis| Some((axis, rows_of(&whole, y, axis)?)))?;
        let part = Part { whole: &whole, rows: &rows, chunk }.build().ok()?;
        let of = |value: Value| rows.get(&value).copied().flatten().map_or(-1, |axis| axis as i64);
        let rows = whole.arguments().iter().map(|argument| of(argument.value)).collect();
        Some(Attention { captures, rows, axis, chunk, whole, part })
    }
}

/// The nodes from which the result is made that are as large as the scores, as a graph, and what it reads.
fn taken(graph: &Graph, end: NodeId, scores: &[Dim]) -> Option<(Graph, Vec<Value>)> {
    let (mut members, mut todo) = (BTreeSet::from([end]), vec![end]);
    while let Some(id) = todo.pop() {
        for value in graph.operands(id) {
            let node = graph.node(value.node);
            let is_plain = matches!(
                node.op.meaning,
                Meaning::Structured { .. } | Meaning::View | Meaning::Expand(_) | Meaning::Source
            ) && node.regions.is_empty();
            let is_argument = graph.arguments().iter().any(|argument| argument.value == value);
            let joins = is_plain && !is_argument && sizes(graph, value.node) == Some(scores);
            if joins && members.insert(value.node) {
                todo.push(value.node);
            }
        }
        if members.len() > MAX_MEMBERS {
            return None;
        }
    }
    let mut whole = Graph::new("whole");
    whole.sizes = graph.sizes.clone();
    let (mut captures, mut inside): (Vec<Value>, FxHashMap<Value, Value>) = Default::default();
    for value in members.iter().flat_map(|&id| graph.operands(id)).filter(|value| !members.contains(&value.node)) {
        inside.entry(value).or_insert_with(|| {
            captures.push(value);
            whole.add_argument(format!("x{}", captures.len()), Role::Data, graph.type_of(value).clone())
        });
    }
    for &id in &members {
        let operands: Vec<Value> = graph.operands(id).iter().map(|value| inside[value]).collect();
        let node = whole.push(graph.node(id).clone(), &operands);
        for result in graph.results(id).collect::<Vec<_>>() {
            inside.insert(result, Value { node, ..result });
        }
    }
    whole.add_output("y", Role::Data, inside[&Value { node: end, result: 0 }]);
    Some((whole, captures))
}

/// By value: the axis along which its rows lie, given that of the result; `None` if a row needs all of it.
fn rows_of(graph: &Graph, y: Value, row_axis: usize) -> Option<FxHashMap<Value, Option<usize>>> {
    let mut rows: FxHashMap<Value, Option<usize>> = FxHashMap::from_iter([(y, Some(row_axis))]);
    for id in Rebuild::live(graph).into_iter().rev() {
        let own = *rows.get(&Value { node: id, result: 0 })?;
        for (operand, value) in graph.operands(id).into_iter().enumerate() {
            let needs = match own {
                Some(own) => row_in(graph, id, operand, own)?,
                None => None,
            };
            if *rows.entry(value).or_insert(needs) != needs {
                return None;
            }
        }
    }
    Some(rows)
}

/// The axis of an operand that a row of the result follows: `Some(None)` if none, `None` if in another way.
fn row_in(graph: &Graph, id: NodeId, operand: usize, own: usize) -> Option<Option<usize>> {
    let node = graph.node(id);
    let symbol: Symbol = axis(own).as_symbol()?.clone();
    match node.op.meaning {
        Meaning::View => {
            let (from, to) = (&graph.type_of(graph.operands(id)[operand]).shape, &node.types[0].shape);
            let same = |at: &usize| from[*at] == to[own] && Dim::product(&from[..*at]) == Dim::product(&to[..own]);
            (0..from.len()).find(same).map(Some)
        }
        Meaning::Structured { nest, .. } => {
            let nest = graph.with_call(id, nest);
            let mut found: Option<Option<usize>> = None;
            for scalar in &nest.body {
                match scalar {
                    ScalarNode::Index(dim) if dim.mentions(&symbol) => return None,
                    ScalarNode::RandomBits { .. } => return None,
                    ScalarNode::Load { operand: of, index, guards, .. } if *of == operand => {
                        let moves = |at: &NestIndex| matches!(at, NestIndex::Affine(dim) if dim.mentions(&symbol));
                        let places: Vec<usize> = (0..index.len()).filter(|&at| moves(&index[at])).collect();
                        let is_plain = |&at: &usize| matches!(&index[at], NestIndex::Affine(dim) if *dim == axis(own));
                        let place = match places[..] {
                            [] => None,
                            [place] if is_plain(&place) => Some(place),
                            _ => return None,
                        };
                        let is_guarded = guards.iter().any(|guard| guard.0.mentions(&symbol));
                        if is_guarded || found.is_some_and(|found| found != place) {
                            return None;
                        }
                        found = Some(place);
                    }
                    _ => {}
                }
            }
            Some(found.flatten())
        }
        _ => None,
    }
}

/// The same graph for some rows.
struct Part<'a> {
    whole: &'a Graph,
    rows: &'a FxHashMap<Value, Option<usize>>,
    chunk: i64,
}

impl Part<'_> {
    fn build(&self) -> Result<Graph, OpError> {
        let mut part = Graph::new("part");
        part.sizes = self.whole.sizes.clone();
        let mut inside: FxHashMap<Value, Value> = FxHashMap::default();
        for argument in self.whole.arguments() {
            let ty = self.cut(self.whole.type_of(argument.value), self.row_of(argument.value));
            inside.insert(argument.value, part.add_argument(argument.name.clone(), Role::Data, ty));
        }
        let at = part.add_argument("at", Role::Data, Type::scalar(DType::I64));
        for id in Rebuild::live(self.whole) {
            let value = Value { node: id, result: 0 };
            let row = self.row_of(value);
            let node = self.whole.node(id);
            let operands: Vec<Value> = self.whole.operands(id).iter().map(|value| inside[value]).collect();
            let has_shape = node.attrs.get("shape").is_some();
            let new = match row {
                // Positions: those of the rows are taken from all.
                Some(row) if operands.is_empty() && !has_shape => {
                    let all = Value { node: part.push(node.clone(), &[]), result: 0 };
                    let attrs = Attrs::none().with("axis", row as i64).with("size", Dim::constant(self.chunk));
                    part.apply(&slice_at::OP, &[all, at], &attrs, Vec::new(), &node.origin)?
                }
                Some(row) if has_shape => {
                    let shape = self.cut(&node.types[0], Some(row)).shape;
                    part.apply(node.op, &operands, &node.attrs.clone().with("shape", shape), Vec::new(), &node.origin)?
                }
                _ => part.apply(node.op, &operands, &node.attrs, Vec::new(), &node.origin)?,
            };
            let new = Value { node: new, result: 0 };
            if *part.type_of(new) != self.cut(&node.types[0], row) {
                return Err(OpError::new("a size other than that of the rows depends on them"));
            }
            inside.insert(value, new);
        }
        part.add_output("y", Role::Data, inside[&self.whole.outputs()[0].value]);
        Ok(part)
    }

    fn row_of(&self, value: Value) -> Option<usize> {
        self.rows.get(&value).copied().flatten()
    }

    fn cut(&self, ty: &Type, row: Option<usize>) -> Type {
        let mut shape = ty.shape.clone();
        if let Some(row) = row {
            shape[row] = Dim::constant(self.chunk);
        }
        ty.with_shape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse::{Library, parse};
    use crate::graph::{Precision, Sampler, Tensor, interpret};
    use crate::ops;

    const ROWS: usize = 512;

    /// Attention of 512 rows that look back, and its gradients.
    const ATTENTION: &str = r#"graph @call(%0 "q": data f64[512, 2], %1 "k": data f64[512, 2], %2 "v": data f64[512, 3], %3 "g": data f64[512, 3]) {
      %4: i64[512] = iota() {size = 512}
      %5: i64[512, 512] = broadcast(%4) {shape = [512, 512]}
      %6: i64[512, 1] = reshape(%4) {shape = [512, 1]}
      %7: i64[512, 512] = broadcast(%6) {shape = [512, 512]}
      %8: bool[512, 512] = le(%5, %7)
      %9: f64[512, 512] = einsum(%0, %1) {pattern = "i d, j d -> i j"}
      %10: f64[512, 512] = fill() {value = -inf, shape = [512, 512], dtype = f64}
      %11: f64[512, 512] = select(%8, %9, %10)
      %12: f64[512, 512] = softmax(%11) {axis = -1}
      %13: f64[512, 3] = einsum(%12, %2) {pattern = "i j, j d -> i d"}
      %14, %15, %16: (f64[512, 2], f64[512, 2], f64[512, 3]) = vjp(%13, %3, %0, %1, %2)
      return %13 "y": data, %14 "dq": data, %15 "dk": data, %16 "dv": data
    }"#;

    fn read(text: &str) -> Graph {
        parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn differentiated(graph: &Graph) -> Graph {
        (differentiate::PASS.run)(graph, &Context::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn n_scans(graph: &Graph) -> usize {
        graph.node_ids().filter(|&id| graph.node(id).op.name == "scan").count()
    }

    #[test]
    fn gradients_are_those_of_scores_that_are_kept() {
        let graph = read(ATTENTION);
        let chunked = differentiated(&graph);
        // Where no softmax can be seen, nothing is wrapped.
        let kept = differentiated(&(expand::PASS.run)(&graph, &Context::default()).unwrap());
        assert_eq!((n_scans(&chunked), n_scans(&kept)), (1, 0));
        let mut sampler = Sampler::new(3);
        let mut input = |n: usize| {
            let values = (0..ROWS * n).map(|_| sampler.float(-1.0, 1.0)).collect();
            Tensor::floats(DType::F64, vec![ROWS, n], values)
        };
        let inputs = [2, 2, 3, 3].map(&mut input);
        let run = |graph: &Graph| interpret(graph, &inputs, &|_| None, Precision::Wide).unwrap();
        for (found, wanted) in run(&chunked).iter().zip(run(&kept)) {
            for at in 0..wanted.n_elements() {
                let (found, wanted) = (found.float_at(at), wanted.float_at(at));
                assert!((found - wanted).abs() <= 1e-12 * (1.0 + wanted.abs()), "{found} and not {wanted}");
            }
        }
    }

    #[test]
    fn what_is_no_such_attention_stays() {
        for (from, to) in [
            // Few rows.
            ("512", "256"),
            // Rows that do not fall into chunks.
            ("512", "521"),
            // The weights are used elsewhere too.
            (r#"return %13 "y""#, r#"return %12 "p": data, %13 "y""#),
            // Along the other axis, each row needs all of the scores.
            ("axis = -1", "axis = 0"),
        ] {
            assert_eq!(n_scans(&differentiated(&read(&ATTENTION.replace(from, to)))), 0, "{from} -> {to}");
        }
    }
}
