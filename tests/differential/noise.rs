//! A graph that errs as a machine might: each result that rounding can touch is multiplied by something near one.
//!
//! How far such runs are from the exact one tells how much a difference means: a cancellation, a near tie or a kink shows
//! as a large deviation, and what deviates wildly is not compared.

use tilewright::compiler::graph::{Attrs, DType, Dim, Graph, Meaning, Node, Origin, Tensor, Type, Value};
use tilewright::compiler::ops;

use super::rewrite;

/// Ops that give, bit by bit, elements of their operands, or that do not err at all.
const EXACT: &[&str] = &[
    "constant",
    "fill",
    "iota",
    "dim",
    "broadcast",
    "reshape",
    "permute",
    "slice",
    "pad",
    "concat",
    "gather",
    "update",
    "slice_at",
    "sort",
    "argsort",
    "topk",
    "neg",
    "abs",
    "sign",
    "min",
    "max",
    "floor",
    "ceil",
    "round",
    "trunc",
    "select",
    "reduce_max",
    "reduce_min",
    "loop",
    "while",
    "scan",
    "cond",
    "fused",
    "attend",
    "random_bits",
];

/// How large one rounding is, some ulps of the function included.
fn relative(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-13,
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 1e-6,
    }
}

/// Roundings of a long sum add up as a random walk does: how far one of them takes it, in parts of `relative`.
const ROUNDINGS: f64 = 0.2;

fn errs(node: &Node, ty: &Type) -> bool {
    let is_window_max = node.op.name == "window" && node.attrs.str("combine") == "max";
    let is_narrow = matches!(ty.dtype, DType::F16 | DType::BF16);
    ty.dtype.is_float() && (is_narrow || !(EXACT.contains(&node.op.name) || is_window_max))
}

/// The graph with noise; another `seed` gives other noise.
pub fn noisy(graph: &Graph, seed: i64) -> Graph {
    let mut key = 0;
    rewrite::each_node(graph, &mut |graph, node, value| {
        let ty = graph.type_of(value).clone();
        if !errs(node, &ty) {
            return value;
        }
        let n = n_summed(graph, value);
        let value = if n > 1.0 { with_noisy_terms(graph, value, n, seed, &mut key) } else { value };
        key += 1;
        let scale = relative(ty.dtype) * (1.0 + ROUNDINGS * n.sqrt());
        disturb(graph, value, &ty, (seed, key), scale).unwrap_or(value)
    })
}

/// A reduction of `n` terms errs by as much as its terms are large, however small the result is.
fn with_noisy_terms(graph: &mut Graph, value: Value, n: f64, seed: i64, key: &mut i64) -> Value {
    let mut operands = graph.operands(value.node);
    for operand in &mut operands {
        let ty = graph.type_of(*operand).clone();
        if ty.dtype.is_float() {
            *key += 1;
            let scale = relative(ty.dtype) * ROUNDINGS * n.sqrt();
            *operand = disturb(graph, *operand, &ty, (seed, *key), scale).unwrap_or(*operand);
        }
    }
    let node = graph.node(value.node).clone();
    Value { node: graph.push(node, &operands), result: value.result }
}

/// Elements that go into one of a reduction, one for other ops.
fn n_summed(graph: &Graph, value: Value) -> f64 {
    let Meaning::Structured { nest, .. } = graph.node(value.node).op.meaning else { return 1.0 };
    let nest = graph.with_call(value.node, nest);
    graph.sizes.upper_bound(&Dim::product(&nest.axes[nest.n_parallel..])).map_or(1.0, |n| n.max(1) as f64)
}

fn disturb(graph: &mut Graph, value: Value, ty: &Type, (seed, key): (i64, i64), scale: f64) -> Option<Value> {
    let mut apply = |op: &str, operands: &[Value], attrs: Attrs| {
        let node = graph.apply(ops::find(op)?, operands, &attrs, Vec::new(), &Origin::default()).ok()?;
        Some(Value { node, result: 0 })
    };
    let int = |value: i64| Attrs::none().with("value", std::sync::Arc::new(Tensor::int_scalar(DType::I64, value)));
    let fill = |value: f64| Attrs::none().with("value", value).with("shape", ty.shape.clone()).with("dtype", ty.dtype);
    let (seed, stream) = (apply("constant", &[], int(seed))?, apply("constant", &[], int(0))?);
    let bits = apply("random_bits", &[seed, stream], Attrs::none().with("shape", ty.shape.clone()).with("key", key))?;
    let bits = apply("cast", &[bits], Attrs::none().with("to", ty.dtype))?;
    let one = apply("fill", &[], fill(1.0))?;
    let unit = apply("fill", &[], fill(2.0 / 4_294_967_296.0))?;
    let unit = apply("mul", &[bits, unit], Attrs::none())?;
    let unit = apply("sub", &[unit, one], Attrs::none())?;
    let relative = apply("fill", &[], fill(scale))?;
    let factor = apply("fma", &[unit, relative, one], Attrs::none())?;
    let value = apply("mul", &[value, factor], Attrs::none())?;
    if ty.dtype != DType::F16 {
        return Some(value);
    }
    // Halves near zero have an absolute spacing.
    let spacing = apply("fill", &[], fill(6e-8))?;
    apply("fma", &[unit, spacing, value], Attrs::none())
}
