//! Every scalar function that backends print, on every type that has it.

use super::*;
use crate::codegen::{CodegenError, Unit, cuda, wgsl};
use crate::graph::scalar::{DEFS, Signature};
use crate::kernel::{Builder, Op, Rights, TargetDesc, lane, lower};

const N: usize = 1024;

#[test]
fn scalar_functions_agree() {
    let mut cases = Vec::new();
    for lanes in [1, 4, 8, 16] {
        for def in DEFS {
            for dtype in DTYPES {
                cases.extend(case(def.scalar, dtype, lanes));
            }
        }
    }
    assert!(cases.len() > 500, "only {} cases", cases.len());
    check(&cases);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn older_cpus_agree() {
    check_levels(|lanes| {
        let all = DEFS.iter().flat_map(|def| DTYPES.map(|dtype| case(def.scalar, dtype, lanes)));
        all.flatten().collect()
    });
}

#[test]
fn gpus_have_every_function() {
    let mut n_printed = 0;
    for def in DEFS.iter().filter(|def| def.signature != Signature::Select) {
        for dtype in [DType::F32, DType::I32, DType::Bool] {
            let operands = vec![dtype; def.arity];
            let Ok(result) = def.scalar.result(&operands) else { continue };
            let mut b = Builder::new("function");
            let shape = || [Dim::constant(64)];
            let from: Vec<Memory> =
                (0..def.arity).map(|idx| b.buffer(format!("x{idx}"), dtype, shape(), Rights::Read)).collect();
            let to = b.buffer("y", result, shape(), Rights::Write);
            let place = lane(0);
            let loaded: Vec<Value> = from.iter().map(|&x| b.load(x, [64], [&place], [], 0.0)).collect();
            let value = b.scalar(def.scalar, &loaded);
            b.store(to, [&place], [], value);
            let tiles = b.finish();
            for (desc, print) in [
                (TargetDesc::BLOCKS, wgsl::print as fn(&[Unit]) -> Result<String, CodegenError>),
                (TargetDesc::CUDA, cuda::print),
            ] {
                let kernel = lower(&tiles, &desc).unwrap_or_else(|error| panic!("{}: {error:?}", def.name));
                print(&[Unit { symbol: "function", kernel: &kernel }])
                    .unwrap_or_else(|error| panic!("{} of {dtype}: {error}", def.name));
                n_printed += 1;
            }
        }
    }
    assert!(n_printed > 100, "only {n_printed} texts");
}

fn case(scalar: Scalar, dtype: DType, lanes: u32) -> Option<Case> {
    let def = scalar.def();
    let mut operands = vec![dtype; def.arity];
    if def.signature == Signature::Select {
        operands[0] = DType::Bool;
    } else if matches!(dtype, DType::F16 | DType::BF16) {
        return None;
    }
    let result = scalar.result(&operands).ok()?;
    let kernel = vector_kernel(
        &format!("{scalar}_{dtype}_{lanes}"),
        lanes,
        (N as u32 / lanes).into(),
        |b| {
            let named = operands.iter().enumerate();
            let mut memories: Vec<Memory> = named
                .map(|(idx, &dtype)| b.buffer(format!("in{idx}"), dtype, [Dim::constant(N as i64)], Rights::Read))
                .collect();
            memories.push(b.buffer("out", result, [Dim::constant(N as i64)], Rights::Write));
            memories
        },
        |b, memories, offset| {
            let loaded: Vec<Value> = operands
                .iter()
                .zip(memories)
                .map(|(&dtype, &memory)| b.load_at(at(memory, offset), vector(dtype, lanes)))
                .collect();
            let value = b.scalar(scalar, &loaded);
            b.store_at(at(memories[operands.len()], offset), value);
        },
    );
    if verify(&kernel).is_err_and(|errors| errors[0].message.contains("lowering expands")) {
        return None;
    }
    let mut bits = Bits::new(scalar as u64 + 1);
    let mut buffers: Vec<Vec<u8>> = operands.iter().map(|&dtype| elements(dtype, N, &mut bits)).collect();
    if matches!(scalar, Scalar::Shl | Scalar::Shr) {
        let size = dtype.size_of();
        for amount in buffers[1].chunks_mut(size) {
            let low = amount[0] % (8 * size as u8);
            amount.fill(0);
            amount[0] = low;
        }
    }
    if scalar == Scalar::Fract {
        let exact = (0..N).map(|at| at as f32 - 32.625);
        buffers[0].chunks_exact_mut(4).zip(exact).for_each(|(x, exact)| x.copy_from_slice(&exact.to_ne_bytes()));
    }
    if scalar == Scalar::Recip {
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0];
        let powers = (0..N as i32).map(|at| (2f32).powi(at % 120 - 60));
        let exact = special.into_iter().chain(powers);
        buffers[0].chunks_exact_mut(4).zip(exact).for_each(|(x, exact)| x.copy_from_slice(&exact.to_ne_bytes()));
    }
    if scalar == Scalar::Scalb {
        let infinite = [f32::INFINITY, f32::NEG_INFINITY].map(f32::to_ne_bytes);
        buffers[1]
            .chunks_mut(4)
            .filter(|power| infinite.iter().any(|bytes| bytes == power))
            .for_each(|power| power.fill(0));
    }
    buffers.push(vec![0; N * result.size_of()]);
    Some(Case { kernel, sizes: Vec::new(), buffers })
}

/// x · (1 / x) is 1 up to two units of the last place.
#[test]
#[cfg(target_arch = "x86_64")]
fn reciprocals_are_nearly_exact() {
    let case = || {
        let kernel = vector_kernel(
            "near_one",
            16,
            (N as u32 / 16).into(),
            |b| {
                let shape = [Dim::constant(N as i64)];
                vec![
                    b.buffer("in", DType::F32, shape.clone(), Rights::Read),
                    b.buffer("out", DType::Bool, shape, Rights::Write),
                ]
            },
            |b, memories, offset| {
                let ty = vector(DType::F32, 16);
                let x = b.load_at(at(memories[0], offset), ty.clone());
                let inverse = b.scalar(Scalar::Recip, &[x]);
                let product = b.scalar(Scalar::Mul, &[x, inverse]);
                let [one, bound] = [1.0, 2.5e-7].map(|value| b.constant(ty.clone(), value));
                let off = b.scalar(Scalar::Sub, &[product, one]);
                let off = b.scalar(Scalar::Abs, &[off]);
                let near = b.scalar(Scalar::Lt, &[off, bound]);
                b.store_at(at(memories[1], offset), near);
            },
        );
        let x = |at: usize| (1.0 + at as f32 / N as f32) * (2f32).powi(at as i32 % 200 - 100);
        let x: Vec<u8> = (0..N).flat_map(|at| x(at).to_ne_bytes()).collect();
        Case { kernel, sizes: Vec::new(), buffers: vec![x, vec![0; N]] }
    };
    check_levels(|lanes| if lanes == 16 { vec![case()] } else { Vec::new() });
}

#[test]
fn literals_and_lanes_agree() {
    let mut cases = Vec::new();
    for lanes in [1, 4, 16] {
        for dtype in DTYPES {
            for value in [0.0, 1.0, -1.0, 3.25, f64::NAN, f64::INFINITY, 1e-45] {
                cases.extend(literal_case(dtype, value, lanes));
            }
        }
    }
    check(&cases);
}

/// A literal in every lane; integers get the number of the lane added.
fn literal_case(dtype: DType, value: f64, lanes: u32) -> Option<Case> {
    let literal = Some(Literal::of(dtype, value)).filter(|literal| literal.fits(dtype))?;
    let kernel = vector_kernel(
        &format!("literal_{dtype}_{lanes}"),
        lanes,
        4,
        |b| vec![b.buffer("out", dtype, [Dim::constant(4 * i64::from(lanes))], Rights::Write)],
        |b, memories, offset| {
            let mut value = b.push(Op::Const(literal), vector(dtype, lanes));
            if dtype.is_int() && lanes > 1 {
                let numbers = b.lanes(dtype);
                value = b.scalar(Scalar::Add, &[value, numbers]);
            }
            b.store_at(at(memories[0], offset), value);
        },
    );
    Some(Case { kernel, sizes: Vec::new(), buffers: vec![vec![0; 4 * lanes as usize * dtype.size_of()]] })
}

#[test]
fn reductions_agree() {
    let mut cases = Vec::new();
    let scalars = [Scalar::Add, Scalar::Mul, Scalar::Min, Scalar::Max, Scalar::And, Scalar::Or];
    for (scalar, dtype, lanes) in
        scalars.iter().flat_map(|&s| DTYPES.map(|d| (s, d))).flat_map(|(s, d)| [4, 8, 16].map(|lanes| (s, d, lanes)))
    {
        let has = scalar.result(&[dtype, dtype]).is_ok() && !matches!(dtype, DType::F16 | DType::BF16);
        if !has {
            continue;
        }
        let kernel = vector_kernel(
            &format!("reduce_{scalar}_{dtype}_{lanes}"),
            lanes,
            (N as u32 / lanes).into(),
            |b| {
                let [x, y] = [("x", Rights::Read), ("y", Rights::Write)]
                    .map(|(name, rights)| b.buffer(name, dtype, [Dim::constant(N as i64)], rights));
                vec![x, y]
            },
            |b, memories, offset| {
                let loaded = b.load_at(at(memories[0], offset), vector(dtype, lanes));
                let reduced = b.reduce(scalar, loaded, 0);
                b.store_at(at(memories[1], offset), reduced);
            },
        );
        let mut bits = Bits::new(lanes.into());
        let buffers = vec![elements(dtype, N, &mut bits), vec![0; N * dtype.size_of()]];
        cases.push(Case { kernel, sizes: Vec::new(), buffers });
    }
    check(&cases);
}
