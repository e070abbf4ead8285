//! Kernels against the reference interpreter: every op of the table, contractions of all shapes, and fused groups, for
//! every kind of machine.

mod attention;
mod bands;
mod contractions;
mod exponentials;
mod groups;
mod interleave;
mod matrices;
mod ops;
mod pieces;
mod recurrence;
mod residues;
mod rows;
mod taps;
mod tiles;
mod transpose;
mod windows;

use super::*;
use crate::graph::{DType, Data, Precision, Tensor, interpret};
use crate::kernel::{self, Order};

/// The last two of them run blocks of threads.
const MACHINES: [Machine; 6] = [
    Machine::of_vectors(16, true, 2),
    Machine::of_vectors(8, true, 2),
    Machine::of_vectors(4, false, 2),
    Machine::of_vectors(1, false, 1),
    Machine { shared_bytes: 16 << 10, ..Machine::of_vectors(BLOCK as u64, true, 2) },
    Machine { shared_bytes: 48 << 10, mma: true, ..Machine::of_vectors(BLOCK as u64, true, 2) },
];
const BLOCK: u32 = 32;

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

/// Runs the kernel of the node that gives the outputs in the kernel interpreter, and compares.
fn check(graph: &Graph, node: NodeId, inputs: &[Tensor], n: i64, machine: &Machine) -> Result<(), String> {
    let wanted = interpret(graph, inputs, &|_| Some(n), Precision::Declared).map_err(|e| e.to_string())?;
    check_node(graph, node, inputs, &wanted, n, machine)
}

/// The same with known operands and results.
fn check_node(
    graph: &Graph,
    node: NodeId,
    inputs: &[Tensor],
    wanted: &[Tensor],
    n: i64,
    machine: &Machine,
) -> Result<(), String> {
    let kernel = schedule(graph, node, machine).map_err(|e| e.to_string())?;
    let text = kernel::print(&kernel);
    kernel::verify(&kernel).map_err(|errors| format!("{errors:?}\n{text}"))?;
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(Tensor::to_bytes).collect();
    for buffer in &kernel.buffers[inputs.len()..] {
        let elements = Dim::product(&buffer.shape).eval(&|_| Some(n)).expect("a size") as usize;
        buffers.push(vec![0xCD; elements * buffer.dtype.size_of()]);
    }
    let sizes: Vec<i64> = kernel.sizes.iter().map(|_| n).collect();
    let kernel = match machine.lanes == u64::from(BLOCK) {
        true => of_blocks(kernel, machine)?,
        false if machine.matrices => of_matrices(&kernel)?,
        false => kernel,
    };
    kernel::interpret(&kernel, &sizes, &mut buffers, Order::Reverse).map_err(|fault| format!("{fault:?}\n{text}"))?;
    for (bytes, wanted) in buffers[inputs.len()..].iter().zip(wanted) {
        let found = tensor_of(bytes, wanted.dtype, wanted.shape.clone());
        let e = error(&found, wanted);
        if e > tolerance(rounds_to(graph, node).unwrap_or(wanted.dtype)) {
            return Err(format!("error {e}: found {found:?}, wanted {wanted:?}\n{text}"));
        }
    }
    Ok(())
}

/// As a GPU runs it, whose threads the interpreter watches. There is no f64 on GPUs; such kernels stay as they are.
fn of_blocks(kernel: Kernel, machine: &Machine) -> Result<Kernel, String> {
    if kernel.values.iter().any(|ty| ty.dtype == DType::F64) {
        return Ok(kernel);
    }
    let target = kernel::TargetDesc { threads: BLOCK, mma: machine.mma, ..kernel::TargetDesc::BLOCKS };
    let lowered = kernel::lower(&kernel, &target).map_err(|errors| format!("{errors:?}\n{kernel}"))?;
    kernel::verify(&lowered).map_err(|errors| format!("{errors:?}\n{lowered}"))?;
    Ok(lowered)
}

/// As a CPU with registers of matrices runs it.
fn of_matrices(kernel: &Kernel) -> Result<Kernel, String> {
    let target = kernel::TargetDesc { matrices: true, ..kernel::TargetDesc::AVX512 };
    let lowered = kernel::lower(kernel, &target).map_err(|errors| format!("{errors:?}\n{kernel}"))?;
    kernel::verify(&lowered).map_err(|errors| format!("{errors:?}\n{lowered}"))?;
    Ok(lowered)
}

/// What attention rounds its weights to: the kernel does so before it divides them by their sum.
fn rounds_to(graph: &Graph, node: NodeId) -> Option<DType> {
    let is_narrow = |region: &Graph| {
        let mut types =
            region.node_ids().filter(|&id| region.node(id).op.name == "cast").map(|id| &region.node(id).types[0]);
        types.any(|ty| ty.dtype == DType::BF16)
    };
    let node = graph.node(node);
    (node.op.name == "attend" && node.regions.iter().any(is_narrow)).then_some(DType::BF16)
}

/// Sums are taken in another order than the reference's.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 1e-5,
    }
}
