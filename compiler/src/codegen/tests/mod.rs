//! Kernels through every backend of the build, loaded and called, against the interpreter, bit for bit. NaNs are equal.

mod casts;
mod control;
mod fixtures;
mod memory;
mod scalars;

use tilewright_runtime::device::cpu::{Hosts, KernelFn, Object};

use super::{Backend, Target, Unit, compile};
use crate::graph::{DType, Dim, Scalar};
use crate::kernel::{Argument, Builder, Kernel, Level, Literal, Memory, Order, Place, Type, Value, interpret, verify};

/// What lies behind each buffer.
const BEYOND: [u8; 64] = [0x5a; 64];

/// A loop kernel with what it is run on.
pub struct Case {
    pub kernel: Kernel,
    pub sizes: Vec<i64>,
    pub buffers: Vec<Vec<u8>>,
}

/// Runs every case on every backend that has such vectors.
pub fn check(cases: &[Case]) {
    let target = Target::host();
    for case in cases {
        if let Err(errors) = verify(&case.kernel) {
            panic!("{}: {}", case.kernel.name, errors[0]);
        }
    }
    for &backend in Backend::AVAILABLE {
        let supported: Vec<&Case> = cases.iter().filter(|case| supports(backend, &case.kernel)).collect();
        check_on(backend, &target, &supported);
    }
}

fn supports(backend: Backend, kernel: &Kernel) -> bool {
    let narrow = |ty: &Type| ty.dtype == DType::Bool || ty.dtype.size_of() == 4;
    backend == Backend::Llvm
        || kernel.lanes == 1
        || kernel.lanes == 4 && kernel.values.iter().all(|ty| ty.is_scalar() || narrow(ty))
}

/// Runs every case for the CPUs whose features this one has.
#[cfg(target_arch = "x86_64")]
pub fn check_levels(cases: impl Fn(u32) -> Vec<Case>) {
    for (level, lanes) in [("x86-64", 4), ("x86-64-v2", 4), ("x86-64-v3", 8), ("x86-64-v4", 16)] {
        let target = Target::named(level).unwrap();
        if !target.features.iter().all(|feature| Target::host().has(feature)) {
            continue;
        }
        let cases = cases(lanes);
        for &backend in Backend::AVAILABLE {
            let supported: Vec<&Case> = cases.iter().filter(|case| supports(backend, &case.kernel)).collect();
            check_on(backend, &target, &supported);
        }
    }
}

pub fn check_on(backend: Backend, target: &Target, cases: &[&Case]) {
    let symbols: Vec<String> = (0..cases.len()).map(|idx| format!("kernel{idx}")).collect();
    let units: Vec<Unit> =
        cases.iter().zip(&symbols).map(|(case, symbol)| Unit { symbol, kernel: &case.kernel }).collect();
    let object = compile(&units, backend, target).unwrap_or_else(|error| panic!("{error}"));
    let object = Object::load(&object, &Hosts::standard()).unwrap();
    for (case, symbol) in cases.iter().zip(&symbols) {
        let mut wanted = case.buffers.clone();
        interpret(&case.kernel, &case.sizes, &mut wanted, Order::Whole).unwrap();
        let function = object.function(symbol).unwrap();
        for shift in [0, 8] {
            let found = call(function, case, shift);
            compare(backend, case, &wanted, &found);
        }
    }
}

fn compare(backend: Backend, case: &Case, wanted: &[Vec<u8>], found: &[Vec<u8>]) {
    // Registers of matrices sum the first and the second numbers of words apart.
    let tolerance = if case.kernel.to_string().contains("matrix dot") { 1e-5 } else { 0.0 };
    for (idx, buffer) in case.kernel.buffers.iter().enumerate() {
        let at = first_difference(buffer.dtype, &wanted[idx], &found[idx], tolerance);
        if let Some(at) = at {
            let size = buffer.dtype.size_of();
            let [wanted, found] = [&wanted, &found].map(|all| &all[idx][at * size..][..size]);
            let inputs: Vec<&[u8]> = case
                .kernel
                .buffers
                .iter()
                .zip(&case.buffers)
                .filter_map(|(buffer, bytes)| bytes.get(at * buffer.dtype.size_of()..)?.get(..buffer.dtype.size_of()))
                .collect();
            let name = &case.kernel.name;
            panic!("{backend:?} {name}: `{}`[{at}] is {found:x?}, not {wanted:x?}; {inputs:x?}", buffer.name);
        }
    }
}

/// The buffers after a call in which each begins so many bytes after the start of a line.
fn call(function: *const (), case: &Case, shift: usize) -> Vec<Vec<u8>> {
    const LINE: usize = 64;
    let n_items = case.kernel.n_items();
    let sizes = &case.kernel.sizes;
    let value = |symbol: &_| sizes.iter().position(|size| size.symbol == *symbol).map(|idx| case.sizes[idx]);
    let n_items = n_items.eval(&value).unwrap();
    let mut rooms: Vec<Vec<u8>> =
        case.buffers.iter().map(|bytes| vec![0; LINE + shift + bytes.len() + BEYOND.len()]).collect();
    let mut starts = Vec::new();
    for (room, bytes) in rooms.iter_mut().zip(&case.buffers) {
        let start = room.as_ptr().align_offset(LINE) + shift;
        room[start..][..bytes.len()].copy_from_slice(bytes);
        room[start + bytes.len()..][..BEYOND.len()].copy_from_slice(&BEYOND);
        starts.push(start);
    }
    let args: Vec<*mut u8> = rooms.iter_mut().zip(&starts).map(|(room, &start)| room[start..].as_mut_ptr()).collect();
    // SAFETY: the function was generated from this case's kernel, whose buffers and sizes these are.
    unsafe {
        let function = std::mem::transmute::<*const (), KernelFn>(function);
        function(args.as_ptr(), case.sizes.as_ptr(), 0, n_items);
    }
    let after = case.buffers.iter().zip(&case.kernel.buffers).zip(rooms.iter().zip(&starts));
    let after = after.map(|((bytes, buffer), (room, &start))| {
        let beyond = &room[start + bytes.len()..][..BEYOND.len()];
        assert_eq!(beyond, BEYOND, "{}: stores beyond `{}`", case.kernel.name, buffer.name);
        room[start..][..bytes.len()].to_vec()
    });
    after.collect()
}

fn first_difference(dtype: DType, wanted: &[u8], found: &[u8], tolerance: f32) -> Option<usize> {
    let size = dtype.size_of();
    let is_nan = |bytes: &[u8]| match dtype {
        DType::F64 => f64::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        DType::F32 => f32::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        DType::F16 => half::f16::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        DType::BF16 => half::bf16::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        _ => false,
    };
    // The sign of a number that an instruction for bf16 took as zero, or would have rounded to the least normal one.
    let is_flushed = |wanted: &[u8], found: &[u8]| {
        let bits = |bytes: &[u8]| u16::from_ne_bytes([bytes[0], bytes[1]]);
        dtype == DType::BF16 && bits(wanted) & 0x7fff <= 0x0080 && bits(found) == bits(wanted) & 0x8000
    };
    let pairs = wanted.chunks(size).zip(found.chunks(size));
    let is_near = |wanted: &[u8], found: &[u8]| {
        let [wanted, found] = [wanted, found].map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap_or_default()));
        dtype == DType::F32 && tolerance > 0.0 && (wanted - found).abs() <= tolerance * wanted.abs()
    };
    let differ = |a: &[u8], b: &[u8]| a != b && !(is_nan(a) && is_nan(b)) && !is_flushed(a, b) && !is_near(a, b);
    pairs.enumerate().find(|(_, (a, b))| differ(a, b)).map(|(idx, _)| idx)
}

pub const DTYPES: [DType; 10] = [
    DType::F64,
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I64,
    DType::I32,
    DType::I8,
    DType::U8,
    DType::U32,
    DType::Bool,
];

/// A stream of bits that is the same in every run.
pub struct Bits(u64);

impl Bits {
    pub fn new(seed: u64) -> Bits {
        Bits(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

const FLOATS: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -3.5,
    127.5,
    255.5,
    -129.0,
    65519.0,
    65520.0,
    2147483648.0,
    -9.3e18,
    1e-40,
    6e-8,
    3.4e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];
const INTS: [i64; 12] = [0, 1, -1, 2, 7, -8, 127, -128, 255, i32::MAX as i64, i64::MAX, i64::MIN];

/// An element from the edges of its type, or any.
pub fn element(dtype: DType, bits: &mut Bits) -> [u8; 8] {
    let draw = bits.draw();
    let pick = (draw >> 32) as usize;
    let any = draw.is_multiple_of(3);
    let float = FLOATS[pick % FLOATS.len()];
    let number = match dtype {
        DType::Bool => draw >> 20 & 1,
        _ if any => bits.draw(),
        DType::F64 | DType::Real => float.to_bits(),
        DType::F32 => (float as f32).to_bits().into(),
        DType::F16 => half::f16::from_f64(float).to_bits().into(),
        DType::BF16 => half::bf16::from_f64(float).to_bits().into(),
        _ => INTS[pick % INTS.len()] as u64,
    };
    number.to_ne_bytes()
}

pub fn elements(dtype: DType, n: usize, bits: &mut Bits) -> Vec<u8> {
    (0..n).flat_map(|_| element(dtype, bits)[..dtype.size_of()].to_vec()).collect()
}

/// A kernel over vectors: `body` gets the offset of the item's first element.
pub fn vector_kernel(
    name: &str,
    lanes: u32,
    n_items: i64,
    memories: impl FnOnce(&mut Builder) -> Vec<Memory>,
    body: impl FnOnce(&mut Builder, &[Memory], Value),
) -> Kernel {
    let mut b = Builder::with_level(name, Level::Loop, lanes);
    let memories = memories(&mut b);
    b.grid("i", Dim::constant(n_items));
    let begin = b.argument(Argument::Begin);
    let end = b.argument(Argument::End);
    let width = b.constant(Type::scalar(DType::I64), f64::from(lanes));
    b.value_loop((begin, end, 1), &[], |b, item, _| {
        let offset = b.scalar(Scalar::Mul, &[item, width]);
        body(b, &memories, offset);
        Vec::new()
    });
    b.finish()
}

pub fn at(memory: Memory, offset: Value) -> Place {
    Place { memory, offset, plus: 0, mask: None, streams: false }
}

/// A vector of the lanes, or a scalar where there is one.
pub fn vector(dtype: DType, lanes: u32) -> Type {
    if lanes == 1 { Type::scalar(dtype) } else { Type::new(dtype, [u64::from(lanes)]) }
}
