//! Every structured op of the table, scheduled for every kind of machine, against the reference interpreter.

use super::*;
use crate::graph::{Attr, Attrs, DType, Data, OpDef, Precision, Role, Sample, Sampler, Tensor, interpret};
use crate::kernel::{self, Order};
use crate::ops;

const MACHINES: [Machine; 3] = [
    Machine { lanes: 16, masks: true, threads: 2 },
    Machine { lanes: 4, masks: false, threads: 2 },
    Machine { lanes: 1, masks: false, threads: 1 },
];

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
    graph.add_output("y", Role::Data, crate::graph::Value { node, result: 0 });
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

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let n = tensor.n_elements();
    let each = |idx: usize| -> Vec<u8> {
        match tensor.dtype {
            DType::Real | DType::F64 => tensor.float_at(idx).to_le_bytes().to_vec(),
            DType::F32 => (tensor.float_at(idx) as f32).to_le_bytes().to_vec(),
            DType::F16 => half::f16::from_f64(tensor.float_at(idx)).to_le_bytes().to_vec(),
            DType::BF16 => half::bf16::from_f64(tensor.float_at(idx)).to_le_bytes().to_vec(),
            dtype => tensor.int_at(idx).to_le_bytes()[..dtype.size_of()].to_vec(),
        }
    };
    (0..n).flat_map(each).collect()
}

fn tensor_of(bytes: &[u8], dtype: DType, shape: Vec<usize>) -> Tensor {
    let words = bytes.chunks_exact(dtype.size_of());
    let float = |b: &[u8]| match dtype {
        DType::F32 => f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes"))),
        DType::F16 => half::f16::from_le_bytes(b.try_into().expect("2 bytes")).to_f64(),
        DType::BF16 => half::bf16::from_le_bytes(b.try_into().expect("2 bytes")).to_f64(),
        _ => f64::from_le_bytes(b.try_into().expect("8 bytes")),
    };
    let int = |b: &[u8]| {
        let mut wide = [0u8; 8];
        wide[..b.len()].copy_from_slice(b);
        let shift = 64 - 8 * b.len() as u32;
        let value = i64::from_le_bytes(wide) << shift;
        if dtype.is_signed() { value >> shift } else { (value as u64 >> shift) as i64 }
    };
    match dtype.is_float() {
        true => Tensor::floats(dtype, shape, words.map(float).collect()),
        false => Tensor::ints(dtype, shape, words.map(int).collect()),
    }
}

/// max|a - b| / max|b|, with NaN and infinities required in the same places.
fn error(found: &Tensor, wanted: &Tensor) -> f64 {
    assert_eq!((found.dtype, &found.shape), (wanted.dtype, &wanted.shape));
    let (Data::Float(a), Data::Float(b)) = (&found.data, &wanted.data) else {
        return f64::from(u8::from(!found.same(wanted)));
    };
    let scale = b.iter().filter(|v| v.is_finite()).fold(1e-30f64, |max, v| max.max(v.abs()));
    let pair = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        _ if a == b => 0.0,
        _ => (a - b).abs() / scale,
    };
    a.iter().zip(b.iter()).map(pair).fold(0.0, |max: f64, e| if e.is_nan() { f64::INFINITY } else { max.max(e) })
}

/// Runs the kernel of a node in the kernel interpreter and compares.
pub fn check(graph: &Graph, node: NodeId, inputs: &[Tensor], n: i64, machine: &Machine) -> Result<(), String> {
    let kernel = schedule(graph, node, machine).map_err(|e| e.to_string())?;
    let text = kernel::print(&kernel);
    kernel::verify(&kernel).map_err(|errors| format!("{errors:?}\n{text}"))?;
    let lookup = |_: &Symbol| Some(n);
    let wanted = interpret(graph, inputs, &lookup, Precision::Declared).map_err(|e| e.to_string())?;
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(bytes_of).collect();
    buffers.push(vec![0xCD; wanted[0].n_elements() * wanted[0].dtype.size_of()]);
    let sizes: Vec<i64> = kernel.sizes.iter().map(|_| n).collect();
    kernel::interpret(&kernel, &sizes, &mut buffers, Order::Forward).map_err(|fault| format!("{fault:?}\n{text}"))?;
    let found = tensor_of(&buffers[inputs.len()], wanted[0].dtype, wanted[0].shape.clone());
    match error(&found, &wanted[0]) {
        e if e <= 1e-5 => Ok(()),
        e => Err(format!("error {e}: found {found:?}, wanted {:?}\n{text}", wanted[0])),
    }
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
    let tensors = inputs(&sample, &sample.operands, 0, &mut sampler);
    for machine in &MACHINES {
        check(&graph, node, &tensors, 0, machine)
            .unwrap_or_else(|e| panic!("{} seed {seed} {machine:?}: {e}", op.name));
    }
    let constants = sample.operands.iter().flat_map(|ty| &ty.shape).filter_map(Dim::as_constant);
    let Some(constant) = constants.filter(|&size| size > 1).max() else { return };
    let (operands, attrs) = symbolic(&sample.operands, &sample.attrs, constant);
    let Some((graph, node)) = graph_of(op, &operands, &attrs, constant) else { return };
    // Sizes below the constant may break what the op was told at compile time.
    for n in [constant, constant + 36] {
        let tensors = inputs(&sample, &operands, n, &mut sampler);
        for machine in &MACHINES {
            check(&graph, node, &tensors, n, machine)
                .unwrap_or_else(|e| panic!("{} seed {seed} N={n} {machine:?}: {e}", op.name));
        }
    }
}

#[test]
fn every_structured_op_has_a_right_kernel() {
    for op in ops::TABLE.iter().filter(|op| matches!(op.meaning, Meaning::Structured { .. } | Meaning::View)) {
        (0..4).for_each(|seed| check_sample(op, seed));
    }
}
