//! Every kernel of `tests/kernels`, lowered for each backend.

use std::path::Path;

use super::*;
use crate::kernel::{Rights, lower, parse};

#[test]
fn lowered_kernels_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let mut n_kernels = 0;
    let target = Target::host();
    for &backend in Backend::AVAILABLE {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "kir") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let kernel = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let lowered = lower(&kernel, &target.desc(backend)).unwrap_or_else(|errors| panic!("{}", errors[0]));
            let runs = text.lines().filter_map(|line| line.strip_prefix("// run "));
            cases.extend(runs.map(|run| case(&lowered, run)));
            n_kernels += 1;
        }
        check_on(backend, &target, &cases.iter().collect::<Vec<_>>());
    }
    assert!(n_kernels >= 16, "only {n_kernels} kernels");
}

fn case(kernel: &Kernel, run: &str) -> Case {
    let size = |name: String| {
        let value = run.split_whitespace().find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("no {name} in `{run}`")).parse::<i64>().unwrap()
    };
    let sizes: Vec<i64> = kernel.sizes.iter().map(|param| size(param.symbol.to_string())).collect();
    let value = |symbol: &_| kernel.sizes.iter().position(|param| param.symbol == *symbol).map(|idx| sizes[idx]);
    let mut bits = Bits::new(5);
    let contents = kernel.buffers.iter().map(|buffer| {
        let n: i64 = buffer.shape.iter().map(|dim| dim.eval(&value).unwrap()).product();
        let written = buffer.rights == Rights::Write;
        let number = |bits: &mut Bits| if written { [0; 8] } else { small(buffer.dtype, bits) };
        (0..n).flat_map(|_| number(&mut bits)[..buffer.dtype.size_of()].to_vec()).collect()
    });
    Case { kernel: kernel.clone(), buffers: contents.collect(), sizes }
}

/// Floats in -2..2, and integers that are often indices.
fn small(dtype: DType, bits: &mut Bits) -> [u8; 8] {
    let draw = bits.draw() >> 20;
    let float = (draw % 4096) as f64 / 1024.0 - 2.0;
    let number = match dtype {
        DType::F64 | DType::Real => float.to_bits(),
        DType::F32 => (float as f32).to_bits().into(),
        DType::F16 => half::f16::from_f64(float).to_bits().into(),
        DType::BF16 => half::bf16::from_f64(float).to_bits().into(),
        DType::Bool => draw & 1,
        DType::U8 | DType::U32 => draw % 40,
        _ => (draw as i64 % 40 - 4) as u64,
    };
    number.to_ne_bytes()
}
