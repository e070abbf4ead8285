//! Every expansion against f64, over dense samples of f32 and the special values.

use super::*;
use crate::graph::Dim;
use crate::kernel::interpret::{Order, interpret};
use crate::kernel::lower::{TargetDesc, lower};
use crate::kernel::{Builder, lane};

/// `f(x)`, or `f(x, w)`, through the lowering of a target.
fn apply(scalar: Scalar, inputs: [&[f32]; 2], target: &TargetDesc) -> Vec<f32> {
    let mut b = Builder::new("apply");
    let n = b.size("N", 0, None);
    let x = b.buffer("x", DType::F32, [n.clone()], Rights::Read);
    let w = b.buffer("w", DType::F32, [n.clone()], Rights::Read);
    let y = b.buffer("y", DType::F32, [n.clone()], Rights::Write);
    let i = b.grid("i", n.ceil_div(&Dim::constant(16)));
    let at = &(&i * 16) + &lane(0);
    let inside = Builder::below(&at, &n);
    let operands = [x, w].map(|memory| b.load(memory, [16], [&at], [inside.clone()], 0.0));
    let result = b.scalar(scalar, &operands[..scalar.def().arity]);
    b.store(y, [&at], [inside], result);
    let kernel = lower(&b.finish(), target).expect("a kernel");
    crate::kernel::verify(&kernel).expect("lowered kernels verify");
    let [x, w] = inputs.map(|inputs| inputs.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<u8>>());
    let mut buffers = [x, w, vec![0; 4 * inputs[0].len()]];
    interpret(&kernel, &[inputs[0].len() as i64], &mut buffers, Order::Whole).expect("a run");
    buffers[2].chunks_exact(4).map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// Every so many f32 of both signs, and what is special.
fn samples() -> Vec<f32> {
    let mut samples: Vec<f32> = (0..u32::MAX).step_by(1_500_007).map(f32::from_bits).collect();
    samples.extend((-2000..2000).map(|at| at as f32 / 160.0));
    samples.extend((-900..900).map(|at| at as f32 / 9.7));
    samples.extend([0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN]);
    samples
}

/// Of two arguments each meets itself, its complement and some others, small and large, and numbers that are whole.
fn partners(x: &[f32]) -> Vec<Vec<f32>> {
    let n = x.len();
    let some = |stride: usize| (0..n).map(|idx| x[(idx * stride + stride / 2) % n]).collect();
    let map = |f: &dyn Fn(usize, f32) -> f32| x.iter().enumerate().map(|(idx, &x)| f(idx, x)).collect();
    vec![
        map(&|_, x| 1.0 - x),
        map(&|_, x| x),
        some(7919),
        some(104_729),
        map(&|idx, _| (idx % 41) as f32 - 20.0),
        map(&|idx, _| (idx % 97) as f32 / 8.0 - 6.0),
        map(&|idx, x| x * ((idx % 13) as f32 - 6.0)),
    ]
}

/// The zeros of these have the signs of their arguments.
const ODD: [Scalar; 7] =
    [Scalar::Sin, Scalar::Tan, Scalar::Asin, Scalar::Atan, Scalar::Sinh, Scalar::Asinh, Scalar::Atanh];

#[test]
fn expansions_agree_with_f64() {
    let samples = samples();
    for expansion in EXPANSIONS {
        let partners = if expansion.scalar.def().arity == 1 { vec![samples.clone()] } else { partners(&samples) };
        for target in [TargetDesc::AVX512, TargetDesc::AVX2, TargetDesc::SSE] {
            partners.iter().for_each(|partners| check(expansion, &samples, partners, &target));
        }
    }
}

fn check(expansion: &Expansion, x: &[f32], w: &[f32], target: &TargetDesc) {
    let float = expansion.scalar.def().float.expect("a float function");
    // Without fused operations each step rounds twice.
    let error = if target.fma { expansion.error } else { 2.0 * expansion.error };
    let found = apply(expansion.scalar, [x, w], target);
    for ((&x, &w), &y) in x.iter().zip(w).zip(&found) {
        let wanted = float(x.into(), w.into(), 0.0);
        let single = wanted as f32;
        let near = (f64::from(y) - wanted).abs() <= error * wanted.abs();
        let flushed = wanted.abs() < f64::from(f32::MIN_POSITIVE) && y.abs() <= f32::MIN_POSITIVE;
        let fits = near || y == single || flushed || y.is_nan() && single.is_nan();
        assert!(fits, "{}({x:e}, {w:e}) = {y:e}, not {single:e}", expansion.scalar);
        let keeps_sign = wanted != 0.0 || y.is_sign_negative() == single.is_sign_negative();
        assert!(keeps_sign || !ODD.contains(&expansion.scalar), "{}({x:e}) = {y:e}", expansion.scalar);
    }
}

/// The rounded quotient may be the integer above the exact one, or a zero where that is -1.
#[test]
fn floats_are_divided_down_exactly() {
    let samples = samples();
    let few = |idx: usize, x: f32| x * (1 + idx % 300) as f32;
    let mut partners = partners(&samples);
    partners.push(samples.iter().enumerate().map(|(idx, &x)| x / (1 + idx % 300) as f32).collect());
    partners.push(samples.iter().enumerate().map(|(idx, &x)| few(idx, x)).collect());
    partners.push(samples.iter().map(|_| f32::INFINITY).collect());
    for (divisors, target) in
        partners.iter().flat_map(|own| [TargetDesc::AVX512, TargetDesc::SSE].map(|target| (own, target)))
    {
        let found = apply(Scalar::FloorDiv, [&samples, divisors], &target);
        for ((&a, &b), &found) in samples.iter().zip(divisors).zip(&found) {
            let wanted = Scalar::FloorDiv.def().float.expect("of floats")(a.into(), b.into(), 0.0) as f32;
            let near = wanted.abs() > 4e6 && (found - wanted).abs() <= 3e-7 * wanted.abs();
            let fits = near || found == wanted || found.is_nan() && wanted.is_nan();
            assert!(fits, "floor_div({a:e}, {b:e}) = {found:e}, not {wanted:e}");
        }
    }
}
