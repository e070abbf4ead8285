//! Every structured and opaque op of the table, by its own samples.

use super::*;
use crate::graph::{Attr, Attrs, OpDef, Role, Sample, Sampler, Value};
use crate::ops;

/// A graph of one node with these operand types in f32, for sizes `N` from `least`.
fn graph_of(op: &'static OpDef, operands: &[Type], attrs: &Attrs, least: i64) -> Option<(Graph, NodeId)> {
    let mut graph = Graph::new("one");
    graph.sizes.declare(Symbol::new("N"), Dim::constant(least), Some(Dim::constant(1 << 20)));
    let arguments: Vec<_> = operands
        .iter()
        .map(|ty| {
            let dtype = if ty.dtype == DType::Real { DType::F32 } else { ty.dtype };
            graph.add_argument("x", Role::Data, ty.with_dtype(dtype))
        })
        .collect();
    let mut attrs = attrs.clone();
    for (_, attr) in attrs.iter_mut() {
        if *attr == Attr::DType(DType::Real) {
            *attr = Attr::DType(DType::F32);
        }
    }
    let node = graph.apply(op, &arguments, &attrs, Vec::new(), &Default::default()).ok()?;
    graph.add_output("y", Role::Data, Value { node, result: 0 });
    Some((graph, node))
}

fn inputs(sample: &Sample, types: &[Type], n: i64, sampler: &mut Sampler) -> Vec<Tensor> {
    let shape_of = |ty: &Type| -> Vec<usize> {
        ty.shape.iter().map(|dim| dim.eval(&|_| Some(n)).expect("a size") as usize).collect()
    };
    let tensors = types.iter().enumerate().map(|(idx, ty)| {
        let shape = shape_of(ty);
        let domain = &sample.domains[idx];
        let count = shape.iter().product();
        let mut draw = || sampler.float(domain.low, domain.high);
        match ty.dtype {
            DType::Bool => Tensor::ints(DType::Bool, shape, (0..count).map(|_| i64::from(draw() > 0.0)).collect()),
            dtype if dtype.is_float() => {
                let data = (0..count).map(|_| f64::from(draw() as f32)).collect();
                Tensor::floats(if dtype == DType::Real { DType::F32 } else { dtype }, shape, data)
            }
            dtype => Tensor::ints(
                dtype,
                shape,
                (0..count).map(|_| crate::graph::wrap(dtype, draw().floor() as i64)).collect(),
            ),
        }
    });
    tensors.collect()
}

/// Replaces one constant by the size `N` wherever it occurs.
fn symbolic(operands: &[Type], attrs: &Attrs, constant: i64) -> (Vec<Type>, Attrs) {
    let swap = |dim: &Dim| if dim.is(constant) { Dim::symbol("N") } else { dim.clone() };
    let operands = operands.iter().map(|ty| ty.with_shape(ty.shape.iter().map(swap).collect())).collect();
    let mut attrs = attrs.clone();
    for (_, attr) in attrs.iter_mut() {
        match attr {
            Attr::Dim(dim) => *dim = swap(dim),
            Attr::Dims(dims) => dims.iter_mut().for_each(|dim| *dim = swap(dim)),
            _ => {}
        }
    }
    (operands, attrs)
}

fn check_sample(op: &'static OpDef, seed: u64) {
    let Some(sample_of) = op.sample else { return };
    let mut sampler = Sampler::new(seed);
    let sample = sample_of(op, &mut sampler);
    let Some((graph, node)) = graph_of(op, &sample.operands, &sample.attrs, 0) else {
        panic!("{}: the sample of seed {seed} does not infer", op.name);
    };
    // Each seed sees one machine, and the next seed the next.
    let machine = &MACHINES[seed as usize % MACHINES.len()];
    let tensors = inputs(&sample, &sample.operands, 0, &mut sampler);
    check(&graph, node, &tensors, 0, machine).unwrap_or_else(|e| panic!("{} seed {seed} {machine:?}: {e}", op.name));
    let constants = sample.operands.iter().flat_map(|ty| &ty.shape).filter_map(Dim::as_constant);
    let Some(constant) = constants.filter(|&size| size > 1).max() else { return };
    let (operands, attrs) = symbolic(&sample.operands, &sample.attrs, constant);
    let Some((graph, node)) = graph_of(op, &operands, &attrs, constant) else { return };
    // Sizes below the constant may break what the op was told at compile time.
    for n in [constant, constant + 36] {
        let tensors = inputs(&sample, &operands, n, &mut sampler);
        check(&graph, node, &tensors, n, machine)
            .unwrap_or_else(|e| panic!("{} seed {seed} N={n} {machine:?}: {e}", op.name));
    }
}

#[test]
fn every_op_has_a_right_kernel() {
    let has_kernel =
        |op: &OpDef| matches!(op.meaning, Meaning::Structured { .. } | Meaning::View | Meaning::Opaque { .. });
    for op in ops::TABLE.iter().filter(|op| has_kernel(op)) {
        (0..10).for_each(|seed| check_sample(op, seed));
    }
}

#[test]
fn sorting_is_stable_and_puts_nan_last() {
    let op = ops::find("sort").expect("an op");
    for (n, descending) in [0, 1, 2, 3, 5, 16, 17, 70].into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let shape = vec![Dim::constant(2), Dim::symbol("N"), Dim::constant(3)];
        let attrs = Attrs::none().with("axis", 1i64).with("descending", descending);
        let (graph, node) = graph_of(op, &[Type::new(DType::F32, shape)], &attrs, 0).expect("a graph");
        let value = |idx: i64| if idx % 7 == 3 { f64::NAN } else { ((idx * 5) % 11 - 4) as f64 };
        let x = Tensor::floats(DType::F32, vec![2, n as usize, 3], (0..6 * n).map(value).collect());
        for machine in &MACHINES {
            check(&graph, node, std::slice::from_ref(&x), n, machine)
                .unwrap_or_else(|e| panic!("{n} {machine:?}: {e}"));
        }
    }
}

const DTYPES: [DType; 10] = [
    DType::F32,
    DType::F64,
    DType::BF16,
    DType::F16,
    DType::I64,
    DType::I32,
    DType::U32,
    DType::I8,
    DType::U8,
    DType::Bool,
];

/// Numbers of every sign and size, both zeros, infinities, many of them equal.
fn varied(dtype: DType, shape: Vec<usize>) -> Tensor {
    let specials = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, -1e-40, 3e38, -3e38, 1.0, -1.5];
    let float = |idx: i64| specials.get((idx * 7 % 23) as usize).copied().unwrap_or(((idx * 31) % 101 - 50) as f64);
    let int = |idx: i64| {
        let number = idx.wrapping_mul(0x9E37_79B9_7F4A_7C15u64 as i64) >> (idx % 3 * 20);
        if idx % 5 == 0 { 7 } else { number }
    };
    let count = shape.iter().product::<usize>() as i64;
    match dtype.is_float() {
        true => Tensor::floats(dtype, shape, (0..count).map(float).collect()).cast(dtype),
        false => Tensor::ints(dtype, shape, (0..count).map(|idx| crate::graph::wrap(dtype, int(idx))).collect()),
    }
}

fn check_order(op: &'static OpDef, dtype: DType, (n, is_open): (i64, bool), attrs: Attrs) {
    let size = if is_open { Dim::symbol("N") } else { Dim::constant(n) };
    let ty = Type::new(dtype, vec![2.into(), size, 2.into()]);
    let (graph, node) = graph_of(op, &[ty], &attrs.with("axis", 1i64), 0).expect("a graph");
    let x = varied(dtype, vec![2, n as usize, 2]);
    for machine in [&MACHINES[0], &MACHINES[3]] {
        check(&graph, node, std::slice::from_ref(&x), n, machine).unwrap_or_else(|e| panic!("{dtype} {n}: {e}"));
    }
}

#[test]
fn sorting_by_digits_knows_every_type() {
    let op = ops::find("sort").expect("an op");
    let sizes = [(65, true, false), (70, false, true), (200, true, true), (65, false, false)];
    for (dtype, (n, is_open, descending)) in DTYPES.into_iter().flat_map(|dtype| sizes.map(|size| (dtype, size))) {
        check_order(op, dtype, (n, is_open), Attrs::none().with("descending", descending));
    }
}

/// Few are selected, many are taken from the sorted row.
#[test]
fn the_first_few_are_those_of_the_sorted_row() {
    let op = ops::find("topk").expect("an op");
    let sizes = [(1, 40, true), (5, 37, false), (17, 200, true), (64, 64, false), (65, 90, false), (66, 70, true)];
    for (dtype, (k, n, is_open)) in DTYPES.into_iter().flat_map(|dtype| sizes.map(|size| (dtype, size))) {
        check_order(op, dtype, (n, is_open), Attrs::none().with("k", Dim::constant(k)).with("largest", k % 2 == 1));
    }
}

/// Each of so many equal numbers would be rounded the same way: one after the other they go wrong by a hundredth.
#[test]
fn long_sums_lose_little() {
    let op = ops::find("reduce_sum").expect("an op");
    let n = 300_000;
    for (shape, axis) in [(vec![Dim::symbol("N"), 2.into()], 0i64), (vec![n.into()], 0), (vec![2.into(), n.into()], 1)]
    {
        let attrs = Attrs::none().with("axes", vec![axis]);
        let (graph, node) = graph_of(op, &[Type::new(DType::F32, shape.clone())], &attrs, 1).expect("a graph");
        let sizes: Vec<usize> = shape.iter().map(|dim| dim.eval(&|_| Some(n)).expect("a size") as usize).collect();
        let x = Tensor::splat(DType::F32, sizes, f64::from(0.1f32));
        for machine in [&MACHINES[0], &MACHINES[3]] {
            check(&graph, node, std::slice::from_ref(&x), n, machine).unwrap_or_else(|e| panic!("{e:.300}"));
        }
    }
}

#[test]
fn scattered_updates_keep_their_order() {
    let op = ops::find("scatter").expect("an op");
    let n = Dim::symbol("N");
    let patterns: [(&str, [Vec<Dim>; 3]); 3] = [
        (
            "b [v] c, b n, b n c",
            [vec![2.into(), 5.into(), 37.into()], vec![2.into(), n.clone()], vec![2.into(), n.clone(), 37.into()]],
        ),
        ("b [v], n b, n b", [vec![3.into(), 21.into()], vec![n.clone(), 3.into()], vec![n.clone(), 3.into()]]),
        ("[v] c, n c, n c", [vec![4.into(), 19.into()], vec![n.clone(), 19.into()], vec![n, 19.into()]]),
    ];
    for ((pattern, shapes), combine) in patterns.iter().flat_map(|p| ["set", "add", "max", "min"].map(|how| (p, how))) {
        let dtypes = [DType::F32, DType::I64, DType::F32];
        let operands: Vec<Type> = shapes.iter().zip(dtypes).map(|(s, d)| Type::new(d, s.clone())).collect();
        let attrs = Attrs::none().with("pattern", *pattern).with("combine", combine);
        let (graph, node) = graph_of(op, &operands, &attrs, 0).expect("a graph");
        for (at, n) in [0i64, 1, 9].into_iter().enumerate() {
            let mut sampler = Sampler::new(n as u64);
            let mut sample = Sample::floats(shapes.to_vec(), attrs.clone());
            sample.domains[1] = crate::graph::Domain { low: -2.0, high: 7.0 };
            let tensors = inputs(&sample, &operands, n, &mut sampler);
            for machine in &MACHINES[at % 2..] {
                check(&graph, node, &tensors, n, machine).unwrap_or_else(|e| panic!("{pattern} {n} {machine:?}: {e}"));
            }
        }
    }
}
