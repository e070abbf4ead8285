//! Whole graphs through the passes: each kernel that comes out is verified and held against the interpreter.

use rustc_hash::FxHashMap;

use super::*;
use crate::graph::parse::{Library, parse};
use crate::graph::{ARGUMENT, Role, Sampler, Type, Value};
use crate::ops;
use crate::passes::pipeline::PIPELINE;
use crate::passes::{Context, run_pipeline};

/// After the passes; every size that the text declares is `n`.
pub fn lowered(text: &str) -> Graph {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    run_pipeline(&graph, PIPELINE, &Context::default()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Checks the kernel of every node, each on the operands that the interpreter gives it.
pub fn check_graph(graph: &Graph, n: i64, machines: &[Machine]) {
    let mut sampler = Sampler::new(n as u64 + 1);
    let mut values: FxHashMap<Value, Tensor> = FxHashMap::default();
    for argument in graph.arguments() {
        values.insert(argument.value, draw(graph.type_of(argument.value), n, &mut sampler));
    }
    for id in graph.node_ids().filter(|&id| graph.node(id).op.name != ARGUMENT.name) {
        let (one, node) = alone(graph, id);
        let operands: Vec<Tensor> = graph.operands(id).iter().map(|value| values[value].clone()).collect();
        let results = interpret(&one, &operands, &|_| Some(n), Precision::Declared).expect("a value");
        let op = graph.node(id).op;
        let has_kernel = op.name == "scan"
            || matches!(op.meaning, Meaning::Structured { .. } | Meaning::Opaque { .. } | Meaning::Group { .. });
        for machine in machines.iter().filter(|_| has_kernel) {
            check_node(&one, node, &operands, &results, n, machine)
                .unwrap_or_else(|e| panic!("{n} {machine:?}: {e}\nin {graph}"));
        }
        values.extend(graph.results(id).zip(results));
    }
}

/// The kernels of a graph's nodes.
pub fn kernels_in(graph: &Graph, machine: &Machine) -> Vec<Kernel> {
    let has_kernel =
        |id: &NodeId| matches!(graph.node(*id).op.meaning, Meaning::Structured { .. } | Meaning::Group { .. });
    graph.node_ids().filter(has_kernel).map(|id| schedule(graph, id, machine).expect("a kernel")).collect()
}

/// The node in a graph of its own.
fn alone(graph: &Graph, id: NodeId) -> (Graph, NodeId) {
    let mut one = Graph::new("one");
    one.sizes = graph.sizes.clone();
    let operands: Vec<Value> = graph
        .operands(id)
        .into_iter()
        .map(|value| one.add_argument("", Role::Data, graph.type_of(value).clone()))
        .collect();
    let node = one.push(graph.node(id).clone(), &operands);
    for result in 0..graph.node(id).types.len() {
        one.add_output("", Role::Data, Value { node, result: result as u32 });
    }
    (one, node)
}

fn draw(ty: &Type, n: i64, sampler: &mut Sampler) -> Tensor {
    let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.eval(&|_| Some(n)).expect("a size") as usize).collect();
    let count = shape.iter().product();
    if !ty.dtype.is_float() {
        return Tensor::ints(ty.dtype, shape, (0..count).map(|_| sampler.int(0, 3)).collect());
    }
    let round = |value: f64| match ty.dtype {
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        _ => f64::from(value as f32),
    };
    Tensor::floats(ty.dtype, shape, (0..count).map(|_| round(sampler.float(-1.0, 1.0))).collect())
}

fn check_text(text: &str, sizes: &[i64]) {
    let graph = lowered(text);
    sizes.iter().for_each(|&n| check_graph(&graph, n, &MACHINES));
}

#[test]
fn softmax_and_normalisation() {
    check_text(
        r#"graph @call(%0 "x": data f32[2, N, 37], %1 "g": param f32[37], %2 "b": param f32[37]) where N in 1.. {
          %3: f32[2, N, 37] = softmax(%0) {axis = -1}
          %4: f32[2, N, 37] = softmax(%0) {axis = 1}
          %5: f32[2, N, 37] = add(%3, %4)
          %6: f32[2, N, 1] = mean(%5) {axes = [2], keep = true}
          %7: f32[2, N, 37] = broadcast(%6) {shape = [2, N, 37]}
          %8: f32[2, N, 37] = sub(%5, %7)
          %9: f32[2, N, 1] = var(%5) {axes = [2], keep = true}
          %10: f32[2, N, 37] = broadcast(%9) {shape = [2, N, 37]}
          %11: f32[2, N, 37] = exp(%10)
          %12: f32[2, N, 37] = div(%8, %11)
          %13: f32[2, N, 37] = broadcast(%1) {shape = [2, N, 37]}
          %14: f32[2, N, 37] = mul(%12, %13)
          %15: f32[2, N, 37] = broadcast(%2) {shape = [2, N, 37]}
          %16: f32[2, N, 37] = add(%14, %15)
          return %16 "y": data
        }"#,
        &[1, 5, 70],
    );
}

/// Heads that lie beside each other, of what the residual adds too.
pub(super) const HEADS: &str = r#"graph @call(%0 "x": data f32[2, N, 24], %1 "w": param f32[24, 8]) where N in 1.. {
          %3: f32[2, N, 3, 2, 4] = reshape(%0) {shape = [2, N, 3, 2, 4]}
          %4: f32[3, 2, 2, N, 4] = permute(%3) {axes = [2, 0, 3, 1, 4]}
          %5: f32[1, 2, 2, N, 4] = slice(%4) {starts = [0, 0, 0, 0, 0], stops = [1, 2, 2, N, 4]}
          %6: f32[2, 2, N, 4] = reshape(%5) {shape = [2, 2, N, 4]}
          %7: f32[1, 2, 2, N, 4] = slice(%4) {starts = [1, 0, 0, 0, 0], stops = [2, 2, 2, N, 4]}
          %8: f32[2, 2, N, 4] = reshape(%7) {shape = [2, 2, N, 4]}
          %9: f32[1, 2, 2, N, 4] = slice(%4) {starts = [2, 0, 0, 0, 0], stops = [3, 2, 2, N, 4]}
          %10: f32[2, 2, N, 4] = reshape(%9) {shape = [2, 2, N, 4]}
          %11: f32[2, 2, N, N] = einsum(%6, %8) {pattern = "b h i d, b h j d -> b h i j"}
          %12: f32[2, 2, N, N] = softmax(%11) {axis = -1}
          %13: f32[2, 2, N, 4] = einsum(%12, %10) {pattern = "b h i j, b h j d -> b h i d"}
          %14: f32[2, N, 2, 4] = permute(%13) {axes = [0, 2, 1, 3]}
          %15: f32[2, N, 8] = reshape(%14) {shape = [2, N, 8]}
          %16: f32[2, N, 24] = einsum(%15, %1) {pattern = "b n i, o i -> b n o"}
          %17: f32[2, N, 24] = add(%16, %0)
          return %17 "y": data
        }"#;

#[test]
fn attention() {
    check_text(HEADS, &[1, 6, 19]);
}

#[test]
fn convolution_with_statistics_and_a_residual() {
    check_text(
        r#"graph @call(%0 "x": data f32[N, 6, 9, 9], %1 "w": param f32[6, 6, 3, 3], %2 "g": param f32[6], %3 "d": param f32[6, 1, 3, 3]) where N in 1.. {
          %4: f32[N, 6, 9, 9] = convolve(%0, %1) {stride = [1, 1], low = [1, 1], high = [1, 1]}
          %5: f32[6, 1, 1] = reshape(%2) {shape = [6, 1, 1]}
          %6: f32[N, 6, 9, 9] = broadcast(%5) {shape = [N, 6, 9, 9]}
          %7: f32[N, 6, 9, 9] = mul(%4, %6)
          %8: f32[N, 6, 9, 9] = add(%7, %0)
          %9: f32[N, 6, 9, 9] = relu(%8)
          %10: f32[N, 6, 5, 5] = convolve(%9, %3) {stride = [2, 2], low = [1, 1], high = [1, 1], groups = 6}
          %11: f32[N, 6] = mean(%10) {axes = [2, 3], keep = false}
          return %11 "y": data
        }"#,
        &[1, 2],
    );
}

#[test]
fn chains_of_movement() {
    check_text(
        r#"graph @call(%0 "x": data f32[N, 12], %1 "z": data f32[N, 5]) where N in 1.. {
          %2: f32[N, 17] = concat(%0, %1) {axis = 1}
          %3: f32[N + 3, 19] = pad(%2) {low = [1, 0], high = [2, 2], value = 0.5}
          %4: f32[N + 3, 16] = slice(%3) {starts = [0, 1], stops = [N + 3, 17], steps = [1, 1]}
          %5: f32[N + 3, 4, 4] = reshape(%4) {shape = [N + 3, 4, 4]}
          %6: f32[4, N + 3, 4] = permute(%5) {axes = [2, 0, 1]}
          %7: f32[4, 4*N + 12] = reshape(%6) {shape = [4, 4*N + 12]}
          %8: f32[4, 4*N + 12] = tanh(%7)
          return %8 "y": data
        }"#,
        &[1, 4, 33],
    );
}

#[test]
fn integers_that_no_float_is() {
    check_text(
        r#"graph @main(%0 "x": data i64[N]) where N in 1..9 {
          %1: i64[] = constant() {value = i64[] 9007199254740993}
          %2: i64[N] = broadcast(%1) {shape = [N]}
          %3: i64[N] = add(%0, %2)
          %4: i64[N] = mul(%3, %3)
          return %4 "y": data
        }"#,
        &[1, 5],
    );
}

/// Blocks, steps and what is left of both, of as many elements as share a factor with them.
#[test]
fn sums_over_multiples_of_open_sizes() {
    for k in [2, 6, 12, 24] {
        for reduced in ["reduce_sum(%1)", "reduce_max(%1)"] {
            let text = format!(
                r#"graph @call(%0 "x": data f32[N, N, {k}]) where N in 1.. {{
                  %1: f32[N, N, {k}] = mul(%0, %0)
                  %2: f32[] = {reduced}
                  return %2 "y": data
                }}"#
            );
            check_text(&text, &[1, 3]);
        }
    }
}
