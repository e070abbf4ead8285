//! What holds for every op of the table, and how tests apply one.

mod goldens;
mod gradients;
mod meanings;
mod resize;

use std::collections::HashSet;

use super::*;
use crate::graph::interpret::{Context, MAX_ELEMENTS, evaluate_nest};
use crate::graph::{
    AttrKind, Attrs, Data, Dim, Eval, Graph, Meaning, Origin, Precision, Role, Sample, Sampler, Scalar, Symbol, Tensor,
    Type, interpret,
};

/// A graph of one application, with its operands as arguments.
fn graph_of(op: &'static OpDef, operands: &[Type], attrs: &Attrs) -> Result<Graph, crate::graph::OpError> {
    let mut graph = Graph::new(op.name);
    let arguments: Vec<_> = operands
        .iter()
        .enumerate()
        .map(|(idx, ty)| graph.add_argument(format!("x{idx}"), Role::Data, ty.clone()))
        .collect();
    let node = graph.apply(op, &arguments, attrs, Vec::new(), &Origin::default())?;
    for (idx, value) in graph.results(node).collect::<Vec<_>>().into_iter().enumerate() {
        graph.add_output(format!("y{idx}"), Role::Data, value);
    }
    Ok(graph)
}

fn type_of(tensor: &Tensor) -> Type {
    Type::new(tensor.dtype, tensor.shape.iter().map(|&size| Dim::constant(size as i64)).collect())
}

/// The results of an op on tensors.
fn run(op: &str, inputs: &[Tensor], attrs: Attrs, precision: Precision) -> Result<Vec<Tensor>, String> {
    let op = find(op).ok_or("there is no such op")?;
    let types: Vec<Type> = inputs.iter().map(type_of).collect();
    let graph = graph_of(op, &types, &attrs).map_err(|error| error.message)?;
    interpret(&graph, inputs, &|_: &Symbol| None, precision).map_err(|error| error.0)
}

/// Values for the operands of a sample.
fn inputs_of(sample: &Sample, sampler: &mut Sampler) -> Vec<Tensor> {
    let draw = |(ty, domain): (&Type, &crate::graph::Domain), sampler: &mut Sampler| {
        let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.as_constant().unwrap() as usize).collect();
        let n = shape.iter().product::<usize>();
        let floats: Vec<f64> = (0..n).map(|_| sampler.float(domain.low, domain.high)).collect();
        Tensor::floats(crate::graph::DType::Real, shape, floats).cast(ty.dtype)
    };
    sample.operands.iter().zip(&sample.domains).map(|operand| draw(operand, sampler)).collect()
}

#[test]
fn names_are_unique_and_found() {
    let mut names = HashSet::new();
    for op in TABLE {
        assert!(names.insert(op.name), "{} is there twice", op.name);
        assert!(std::ptr::eq(find(op.name).unwrap(), *op));
        assert!(op.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{}", op.name);
    }
    let of_kernels = [Scalar::Recip, Scalar::RoughExp2];
    for scalar in crate::graph::scalar::DEFS.iter().filter(|def| !of_kernels.contains(&def.scalar)) {
        assert_eq!(elementwise::of(scalar.scalar).name, scalar.name);
        assert!(names.contains(scalar.name), "{} is not in the table", scalar.name);
    }
}

#[test]
fn records_are_complete() {
    for op in TABLE {
        assert!(op.doc.len() > 10 && op.doc.ends_with('.'), "{}: {}", op.name, op.doc);
        assert!(!op.doc.contains("  "), "{}: {}", op.name, op.doc);
        let mut names = HashSet::new();
        for def in op.attrs {
            assert!(names.insert(def.name), "{}: {} is there twice", op.name, def.name);
            let fits = match def.default {
                crate::graph::Default::Required | crate::graph::Default::Absent => true,
                crate::graph::Default::Bool(_) => def.kind == AttrKind::Bool,
                crate::graph::Default::Int(_) => matches!(def.kind, AttrKind::Int | AttrKind::Axis),
                crate::graph::Default::Float(_) => def.kind == AttrKind::Float,
                crate::graph::Default::Str(_) => def.kind == AttrKind::Str,
            };
            assert!(fits, "{}: the default of {} is of another kind", op.name, def.name);
        }
        let takes_regions =
            matches!(op.meaning, Meaning::Control { .. } | Meaning::Group { .. }) || std::ptr::eq(*op, &recomputed::OP);
        let needs_context = takes_regions || matches!(op.meaning, Meaning::Source);
        assert_eq!(op.sample.is_none(), needs_context, "{} lacks samples", op.name);
    }
}

#[test]
fn samples_evaluate_and_direct_ways_agree_with_nests() {
    for op in TABLE.iter().filter(|op| op.sample.is_some()) {
        for seed in 0..50 {
            let mut sampler = Sampler::new(seed);
            let sample = op.sample.unwrap()(op, &mut sampler);
            let inputs = inputs_of(&sample, &mut sampler);
            let place = format!("{} with seed {seed}: {sample:?}", op.name);
            let graph = graph_of(op, &sample.operands, &sample.attrs).unwrap_or_else(|e| panic!("{place}: {e}"));
            for precision in [Precision::Wide, Precision::Declared] {
                let results = interpret(&graph, &inputs, &|_: &Symbol| None, precision);
                let results = results.unwrap_or_else(|e| panic!("{place}: {e}"));
                for (output, result) in graph.outputs().iter().zip(&results) {
                    assert_eq!(graph.type_of(output.value).dtype, result.dtype, "{place}");
                }
                if let Some(by_nest) = by_nest(&graph, &inputs, precision) {
                    assert_close(&results[0], &by_nest, 1e-12, &place);
                }
            }
        }
    }
}

/// The result by the nest, of an op that has another way too.
fn by_nest(graph: &Graph, inputs: &[Tensor], precision: Precision) -> Option<Tensor> {
    let id = graph.outputs()[0].value.node;
    let node = graph.node(id);
    let Meaning::Structured { nest, eval: Some(_) } = node.op.meaning else { return None };
    let lookup = |_: &Symbol| None;
    let context = Context::new(&lookup, precision, MAX_ELEMENTS);
    graph.with_call(id, |call| {
        let eval = Eval { call, operands: inputs, results: &node.types, context: &context };
        Some(evaluate_nest(&nest(call), &eval).unwrap())
    })
}

/// Equal up to a share of the largest finite element; infinities and NaN where the other has them.
fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, place: &str) {
    assert_eq!(found.shape, expected.shape, "{place}");
    match (&found.data, &expected.data) {
        (Data::Float(a), Data::Float(b)) => {
            let largest = b.iter().filter(|v| v.is_finite()).fold(0.0f64, |max, v| max.max(v.abs()));
            for (idx, (a, b)) in a.iter().zip(b.iter()).enumerate() {
                let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * largest;
                assert!(same, "{place}: element {idx} is {a} and should be {b}");
            }
        }
        (Data::Int(a), Data::Int(b)) => assert_eq!(a, b, "{place}"),
        _ => panic!("{place}: floats on one side, integers on the other"),
    }
}

/// The sizes of a sample, each value above one as a symbol: `S7` is 7.
fn with_symbols(ty: &Type) -> Type {
    let symbol = |dim: &Dim| match dim.as_constant() {
        Some(size) if size > 1 => Dim::symbol(format!("S{size}")),
        _ => dim.clone(),
    };
    ty.with_shape(ty.shape.iter().map(symbol).collect())
}

#[test]
fn symbolic_sizes_change_no_result() {
    let lookup = |symbol: &Symbol| symbol.name().strip_prefix('S').and_then(|size| size.parse().ok());
    let mut covered = HashSet::new();
    for op in TABLE.iter().filter(|op| op.sample.is_some()) {
        for seed in 100..130 {
            let mut sampler = Sampler::new(seed);
            let sample = op.sample.unwrap()(op, &mut sampler);
            let symbolic: Vec<Type> = sample.operands.iter().map(with_symbols).collect();
            // Where an attribute repeats a size as a number, symbols do not agree with it.
            let Ok(graph) = graph_of(op, &symbolic, &sample.attrs) else { continue };
            let fixed = graph_of(op, &sample.operands, &sample.attrs).unwrap();
            let inputs = inputs_of(&sample, &mut sampler);
            let place = format!("{} with seed {seed}: {sample:?}", op.name);
            let expected = interpret(&fixed, &inputs, &lookup, Precision::Wide).unwrap();
            let found = interpret(&graph, &inputs, &lookup, Precision::Wide);
            let found = found.unwrap_or_else(|e| panic!("{place}: {e}"));
            found.iter().zip(&expected).for_each(|(a, b)| assert_close(a, b, 1e-12, &place));
            covered.insert(op.name);
        }
    }
    for name in [
        "mean", "var", "argmax", "roll", "flip", "resize", "avg_pool", "max_pool", "window", "concat", "pad", "einsum",
        "matmul", "stack", "sort", "gather", "update",
    ] {
        assert!(covered.contains(name), "{name} takes no symbolic sizes");
    }
}
