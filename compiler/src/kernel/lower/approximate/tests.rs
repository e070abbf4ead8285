//! Every expansion against f64, over dense samples of f32 and the special values.

use super::*;
use crate::graph::Dim;
use crate::kernel::interpret::{Order, interpret};
use crate::kernel::lower::{TargetDesc, lower};
use crate::kernel::{Builder, lane};

/// `y = f(x)`, or `f(x, 1 - x)`, through the lowering of a target.
fn apply(scalar: Scalar, inputs: &[f32], target: &TargetDesc) -> Vec<f32> {
    let mut b = Builder::new("apply");
    let n = b.size("N", 0, None);
    let x = b.buffer("x", DType::F32, [n.clone()], Rights::Read);
    let y = b.buffer("y", DType::F32, [n.clone()], Rights::Write);
    let i = b.grid("i", n.ceil_div(&Dim::constant(16)));
    let at = &(&i * 16) + &lane(0);
    let inside = Builder::below(&at, &n);
    let loaded = b.load(x, [16], [&at], [inside.clone()], 0.0);
    let one = b.constant(b.type_of(loaded).clone(), 1.0);
    let second = b.scalar(Scalar::Sub, &[one, loaded]);
    let result = b.scalar(scalar, &[loaded, second][..scalar.def().arity]);
    b.store(y, [&at], [inside], result);
    let kernel = lower(&b.finish(), target).expect("a kernel");
    crate::kernel::verify(&kernel).expect("lowered kernels verify");
    let bytes: Vec<u8> = inputs.iter().flat_map(|x| x.to_ne_bytes()).collect();
    let mut buffers = [bytes.clone(), vec![0; bytes.len()]];
    interpret(&kernel, &[inputs.len() as i64], &mut buffers, Order::Whole).expect("a run");
    buffers[1].chunks_exact(4).map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// Every so many f32 of both signs, and what is special.
fn samples() -> Vec<f32> {
    let mut samples: Vec<f32> = (0..u32::MAX).step_by(1_500_007).map(f32::from_bits).collect();
    samples.extend((-2000..2000).map(|at| at as f32 / 160.0));
    samples.extend((-900..900).map(|at| at as f32 / 9.7));
    samples.extend([0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN]);
    samples
}

#[test]
fn expansions_agree_with_f64() {
    let samples = samples();
    for expansion in EXPANSIONS {
        let float = expansion.scalar.def().float.expect("a float function");
        for target in [TargetDesc::AVX512, TargetDesc::AVX2, TargetDesc::SSE] {
            // Without fused operations each step rounds twice.
            let error = if target.fma { expansion.error } else { 2.0 * expansion.error };
            let found = apply(expansion.scalar, &samples, &target);
            for (&x, &y) in samples.iter().zip(&found) {
                let wanted = float(x.into(), (1.0 - x).into(), 0.0);
                let single = wanted as f32;
                let near = (f64::from(y) - wanted).abs() <= error * wanted.abs();
                let flushed = wanted.abs() < f64::from(f32::MIN_POSITIVE) && y.abs() <= f32::MIN_POSITIVE;
                let fits = near || y == single || flushed || y.is_nan() && single.is_nan();
                assert!(fits, "{}({x:e}) = {y:e}, not {single:e}", expansion.scalar);
            }
        }
    }
}
