//! How near generated code comes to the machine's f32 peak: a matrix product written by hand at the loop level, against
//! the peak measured by the same means.
//!
//! `cargo run -p tilewright-compiler --example codegen_speed [BACKEND [ROWS VECTORS UNROLL]]`; set `DUMP` to a path to keep the object.

use std::time::Instant;

use tilewright_compiler::codegen::{Backend, Target, Unit, compile};
use tilewright_compiler::graph::{DType, Dim, Scalar};
use tilewright_compiler::kernel::{Argument, Builder, Kernel, Level, Memory, Place, Rights, Type, Value};
use tilewright_runtime::device::cpu::{Hosts, KernelFn, Object};

const K: i64 = 512;
const N: i64 = 512;
const ROUNDS: usize = 400;
const PEAK_STEPS: i64 = 100_000;

#[derive(Clone, Copy)]
struct Shape {
    lanes: u32,
    rows: i64,
    vectors: i64,
    unroll: i64,
}

impl Shape {
    fn columns(self) -> i64 {
        self.vectors * i64::from(self.lanes)
    }

    /// 512, or the next multiple of the rows.
    fn m(self) -> i64 {
        (512 + self.rows - 1) / self.rows * self.rows
    }

    fn vector(self) -> Type {
        Type::new(DType::F32, [u64::from(self.lanes)])
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let backend = args.first().and_then(|name| Backend::from_name(name)).unwrap_or(Backend::AVAILABLE[0]);
    let number = |at: usize, default: i64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let target = Target::host();
    let lanes = if backend == Backend::Cranelift { 4 } else { target.vector_bytes() / 4 };
    let shape = Shape { lanes, rows: number(1, 6), vectors: number(2, 4), unroll: number(3, 1) };
    if N % shape.columns() != 0 || K % shape.unroll != 0 {
        return Err("the tile does not divide the matrix".into());
    }
    let (product, peak) = (product(shape), peak(lanes, if lanes == 4 { 12 } else { 24 }));
    let units = [Unit { symbol: "product", kernel: &product }, Unit { symbol: "peak", kernel: &peak }];
    let bytes = compile(&units, backend, &target)?;
    let once = |units: &[Unit]| {
        let start = Instant::now();
        let compiled = compile(units, backend, &target);
        compiled.map(|_| start.elapsed().as_secs_f64() * 1e3).unwrap_or(f64::INFINITY)
    };
    let times = [&units[..1], &units[1..]].map(|units| (0..20).map(|_| once(units)).fold(f64::INFINITY, f64::min));
    println!("{}: {:.2} ms and {:.2} ms to compile, {} bytes", backend.name(), times[0], times[1], bytes.len());
    if let Some(path) = std::env::var_os("DUMP") {
        std::fs::write(path, &bytes)?;
    }
    let object = Object::load(&bytes, &Hosts::standard())?;
    measure(&object, shape)
}

fn measure(object: &Object, shape: Shape) -> Result<(), Box<dyn std::error::Error>> {
    let m = shape.m();
    let a: Vec<f32> = (0..m * K).map(|idx| (idx % 13) as f32 - 6.0).collect();
    let b: Vec<f32> = (0..K * N).map(|idx| (idx % 11) as f32 - 5.0).collect();
    let packed = pack(&b, shape);
    let mut c = vec![0f32; (m * N) as usize];
    let mut sums = vec![0f32; 64];
    let functions = ["product", "peak"].map(|name| object.function(name).ok_or("no such function"));
    let [product, peak] = [functions[0]?, functions[1]?];
    let (mut best, mut best_peak) = (f64::INFINITY, f64::INFINITY);
    let items = m / shape.rows * (N / shape.columns());
    for _ in 0..ROUNDS {
        let pointers = [a.as_ptr() as *mut u8, packed.as_ptr() as *mut u8, c.as_mut_ptr().cast()];
        best = best.min(call(product, &pointers, items));
        best_peak = best_peak.min(call(peak, &[sums.as_mut_ptr().cast()], PEAK_STEPS));
    }
    check(&a, &b, &c, m);
    let chains = if shape.lanes == 4 { 12 } else { 24 };
    let flops = 2.0 * (m * K * N) as f64 / best / 1e9;
    let limit = 2.0 * (PEAK_STEPS * chains * i64::from(shape.lanes)) as f64 / best_peak / 1e9;
    println!(
        "{m}x{N}x{K}, tile {}x{}, unroll {}: {flops:.1} GFLOP/s, {:.1} % of {limit:.1}",
        shape.rows,
        shape.columns(),
        shape.unroll,
        100.0 * flops / limit
    );
    Ok(())
}

fn call(function: *const (), buffers: &[*mut u8], items: i64) -> f64 {
    let start = Instant::now();
    // SAFETY: the function was generated from a kernel with these buffers and no sizes.
    unsafe {
        let function = std::mem::transmute::<*const (), KernelFn>(function);
        function(buffers.as_ptr(), std::ptr::null(), 0, items);
    }
    start.elapsed().as_secs_f64()
}

/// `[panel][k][column]`.
fn pack(b: &[f32], shape: Shape) -> Vec<f32> {
    let columns = shape.columns();
    let panels = (0..N / columns).flat_map(|panel| (0..K).map(move |k| k * N + panel * columns));
    panels.flat_map(|start| b[start as usize..][..columns as usize].to_vec()).collect()
}

fn check(a: &[f32], b: &[f32], c: &[f32], m: i64) {
    for (row, column) in [(0, 0), (1, 17), (m - 1, N - 1), (m / 2, 33)] {
        let wanted: f32 = (0..K).map(|k| a[(row * K + k) as usize] * b[(k * N + column) as usize]).sum();
        assert_eq!(c[(row * N + column) as usize], wanted, "element {row}, {column}");
    }
}

fn int(b: &mut Builder, value: i64) -> Value {
    b.constant(Type::scalar(DType::I64), value as f64)
}

fn at(memory: Memory, offset: Value, plus: i64) -> Place {
    Place { memory, offset, plus, mask: None, streams: false }
}

/// C = A·B, B in panels; one item is one tile of C, rows innermost.
fn product(shape: Shape) -> Kernel {
    let (m, columns) = (shape.m(), shape.columns());
    let mut b = Builder::with_level("product", Level::Loop, shape.lanes);
    let buffer = |b: &mut Builder, name: &str, elements: i64, rights| {
        b.buffer(name, DType::F32, [Dim::constant(elements)], rights)
    };
    let left = buffer(&mut b, "a", m * K, Rights::Read);
    let right = buffer(&mut b, "b", K * N, Rights::Read);
    let out = buffer(&mut b, "c", m * N, Rights::Write);
    b.grid("i", Dim::constant(m / shape.rows * (N / columns)));
    let (begin, end) = (b.argument(Argument::Begin), b.argument(Argument::End));
    let down = int(&mut b, m / shape.rows);
    let sizes = [shape.rows * K, columns * K, shape.rows * N, columns].map(|value| int(&mut b, value));
    let [zero, steps, width] = [0, K, columns].map(|value| int(&mut b, value));
    b.value_loop((begin, end, 1), &[], |b, item, _| {
        let panel = b.quotient(item, down);
        let before = b.scalar(Scalar::Mul, &[panel, down]);
        let row = b.scalar(Scalar::Sub, &[item, before]);
        let a_start = b.scalar(Scalar::Mul, &[row, sizes[0]]);
        let b_start = b.scalar(Scalar::Mul, &[panel, sizes[1]]);
        let c_row = b.scalar(Scalar::Mul, &[row, sizes[2]]);
        let c_column = b.scalar(Scalar::Mul, &[panel, sizes[3]]);
        let c_start = b.scalar(Scalar::Add, &[c_row, c_column]);
        let init = b.constant(shape.vector(), 0.0);
        let mut inits = vec![init; (shape.rows * shape.vectors) as usize];
        inits.extend([a_start, b_start]);
        let sums = b.value_loop((zero, steps, shape.unroll), &inits, |b, _, carried| {
            let (sums, offsets) = carried.split_at(carried.len() - 2);
            let mut sums = sums.to_vec();
            for step in 0..shape.unroll {
                steps_of_tile(b, shape, (left, right), offsets, step, &mut sums);
            }
            let one = int(b, shape.unroll);
            let a_next = b.scalar(Scalar::Add, &[offsets[0], one]);
            let stride = b.scalar(Scalar::Mul, &[one, width]);
            let b_next = b.scalar(Scalar::Add, &[offsets[1], stride]);
            sums.extend([a_next, b_next]);
            sums
        });
        for (idx, &sum) in sums[..(shape.rows * shape.vectors) as usize].iter().enumerate() {
            let (row, vector) = (idx as i64 / shape.vectors, idx as i64 % shape.vectors);
            b.store_at(at(out, c_start, row * N + vector * i64::from(shape.lanes)), sum);
        }
        Vec::new()
    });
    b.finish()
}

fn steps_of_tile(
    b: &mut Builder,
    shape: Shape,
    (left, right): (Memory, Memory),
    offsets: &[Value],
    step: i64,
    sums: &mut [Value],
) {
    let columns: Vec<Value> = (0..shape.vectors)
        .map(|vector| {
            let plus = step * shape.columns() + vector * i64::from(shape.lanes);
            b.load_at(at(right, offsets[1], plus), shape.vector())
        })
        .collect();
    for row in 0..shape.rows {
        let scalar = b.load_at(at(left, offsets[0], row * K + step), Type::scalar(DType::F32));
        let splat = b.splat(scalar);
        for (vector, &column) in columns.iter().enumerate() {
            let sum = &mut sums[row as usize * shape.vectors as usize + vector];
            *sum = b.scalar(Scalar::Fma, &[splat, column, *sum]);
        }
    }
}

/// Chains of fused multiply-adds in registers; one item is one step of each.
fn peak(lanes: u32, chains: usize) -> Kernel {
    let ty = Type::new(DType::F32, [u64::from(lanes)]);
    let mut b = Builder::with_level("peak", Level::Loop, lanes);
    let out = b.buffer("out", DType::F32, [Dim::constant(64)], Rights::ReadWrite);
    b.grid("i", Dim::constant(PEAK_STEPS));
    let (begin, end) = (b.argument(Argument::Begin), b.argument(Argument::End));
    let zero = int(&mut b, 0);
    let first = b.load_at(at(out, zero, 0), ty.clone());
    let factor = b.load_at(at(out, zero, 16), ty);
    let inits = vec![first; chains];
    let sums = b.value_loop((begin, end, 1), &inits, |b, _, carried| {
        carried.iter().map(|&sum| b.scalar(Scalar::Fma, &[factor, factor, sum])).collect()
    });
    let total = sums[1..].iter().fold(sums[0], |total, &sum| b.scalar(Scalar::Add, &[total, sum]));
    b.store_at(at(out, zero, 0), total);
    b.finish()
}
