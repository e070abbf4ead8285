//! Every expansion against the host's functions, over dense samples of its type and the special values.

use super::*;
use crate::graph::{Dim, Tensor, round};
use crate::kernel::interpret::{Order, interpret};
use crate::kernel::lower::{TargetDesc, lower};
use crate::kernel::{Builder, lane};

/// `f(x)`, or `f(x, w)`, through the lowering of a target.
fn apply(scalar: Scalar, dtype: DType, inputs: [&[f64]; 2], target: &TargetDesc) -> Vec<f64> {
    let mut b = Builder::new("apply");
    let n = b.size("N", 0, None);
    let x = b.buffer("x", dtype, [n.clone()], Rights::Read);
    let w = b.buffer("w", dtype, [n.clone()], Rights::Read);
    let y = b.buffer("y", dtype, [n.clone()], Rights::Write);
    let i = b.grid("i", n.ceil_div(&Dim::constant(16)));
    let at = &(&i * 16) + &lane(0);
    let inside = Builder::below(&at, &n);
    let operands = [x, w].map(|memory| b.load(memory, [16], [&at], [inside.clone()], 0.0));
    let result = b.scalar(scalar, &operands[..scalar.def().arity]);
    b.store(y, [&at], [inside], result);
    let kernel = lower(&b.finish(), target).expect("a kernel");
    crate::kernel::verify(&kernel).expect("lowered kernels verify");
    let n_bytes = dtype.size_of() * inputs[0].len();
    let [x, w] = inputs.map(|inputs| Tensor::floats(dtype, vec![inputs.len()], inputs.to_vec()).to_bytes());
    let mut buffers = [x, w, vec![0; n_bytes]];
    interpret(&kernel, &[inputs[0].len() as i64], &mut buffers, Order::Whole).expect("a run");
    let [_, _, y] = buffers;
    y.chunks_exact(dtype.size_of()).map(|bytes| number(dtype, bytes)).collect()
}

fn number(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::F64 => f64::from_ne_bytes(bytes.try_into().expect("eight bytes")),
        _ => f32::from_ne_bytes(bytes.try_into().expect("four bytes")).into(),
    }
}

/// Every so many floats of both signs, and what is special.
fn samples(dtype: DType) -> Vec<f64> {
    let mut samples: Vec<f64> = match dtype {
        DType::F64 => (0..3000).map(|at| f64::from_bits(at * (u64::MAX / 2999))).collect(),
        _ => (0..u32::MAX).step_by(1_500_007).map(|bits| f32::from_bits(bits).into()).collect(),
    };
    samples.extend((-2000..2000).map(|at| f64::from(at) / 160.0));
    samples.extend((-900..900).map(|at| f64::from(at) / 9.7));
    samples.extend((-900..900).map(|at| f64::from(at) / 1.21));
    samples.extend([0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    samples.extend([f32::MAX.into(), f32::MIN.into(), f64::MAX, f64::MIN]);
    samples.into_iter().map(|sample| round(dtype, sample)).collect()
}

/// Of two arguments each meets itself, its complement and some others, small and large, and numbers that are whole.
fn partners(dtype: DType, x: &[f64]) -> Vec<Vec<f64>> {
    let n = x.len();
    let some = |stride: usize| (0..n).map(|idx| x[(idx * stride + stride / 2) % n]).collect();
    let map = |f: &dyn Fn(usize, f64) -> f64| x.iter().enumerate().map(|(idx, &x)| round(dtype, f(idx, x))).collect();
    vec![
        map(&|_, x| 1.0 - x),
        map(&|_, x| x),
        some(7919),
        some(104_729),
        map(&|idx, _| (idx % 41) as f64 - 20.0),
        map(&|idx, _| (idx % 97) as f64 / 8.0 - 6.0),
        map(&|idx, x| x * ((idx % 13) as f64 - 6.0)),
    ]
}

/// The zeros of these have the signs of their arguments.
const ODD: [Scalar; 7] =
    [Scalar::Sin, Scalar::Tan, Scalar::Asin, Scalar::Atan, Scalar::Sinh, Scalar::Asinh, Scalar::Atanh];

#[test]
fn expansions_agree_with_the_host() {
    for dtype in [DType::F32, DType::F64] {
        let samples = samples(dtype);
        for expansion in EXPANSIONS.iter().filter(|expansion| expansion.error.of(dtype).is_some()) {
            let is_of_one = expansion.scalar.def().arity == 1;
            let partners = if is_of_one { vec![samples.clone()] } else { partners(dtype, &samples) };
            for target in [TargetDesc::AVX512, TargetDesc::AVX2, TargetDesc::SSE] {
                partners.iter().for_each(|partners| check(expansion, dtype, [&samples, partners], &target));
            }
        }
    }
}

fn check(expansion: &Expansion, dtype: DType, [x, w]: [&[f64]; 2], target: &TargetDesc) {
    let float = expansion.scalar.def().float.expect("a float function");
    // Without fused operations each step rounds twice.
    let error = expansion.error.of(dtype).expect("an error") * if target.fma { 1.0 } else { 2.0 };
    let least = BITS.of(dtype).least_normal;
    let found = apply(expansion.scalar, dtype, [x, w], target);
    for ((&x, &w), &y) in x.iter().zip(w).zip(&found) {
        let wanted = float(x, w, 0.0);
        let rounded = round(dtype, wanted);
        let near = (y - wanted).abs() <= error * wanted.abs();
        let flushed = wanted.abs() < least && y.abs() <= least;
        let fits = near || y == rounded || flushed || y.is_nan() && rounded.is_nan();
        assert!(fits, "{}({x:e}, {w:e}) = {y:e}, not {rounded:e}, in {dtype}", expansion.scalar);
        let keeps_sign = wanted != 0.0 || y.is_sign_negative() == rounded.is_sign_negative();
        assert!(keeps_sign || !ODD.contains(&expansion.scalar), "{}({x:e}) = {y:e}", expansion.scalar);
    }
}

/// The rounded quotient may be the integer above the exact one, or a zero where that is -1.
#[test]
fn floats_are_divided_down_exactly() {
    let samples = samples(DType::F32);
    let scaled = |factor: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let steps = samples.iter().enumerate();
        steps.map(|(idx, &x)| round(DType::F32, x * factor((1 + idx % 300) as f64))).collect()
    };
    let mut partners = partners(DType::F32, &samples);
    partners.extend([scaled(&|steps| 1.0 / steps), scaled(&|steps| steps), vec![f64::INFINITY; samples.len()]]);
    for (divisors, target) in
        partners.iter().flat_map(|own| [TargetDesc::AVX512, TargetDesc::SSE].map(|target| (own, target)))
    {
        let found = apply(Scalar::FloorDiv, DType::F32, [&samples, divisors], &target);
        for ((&a, &b), &found) in samples.iter().zip(divisors).zip(&found) {
            let wanted = round(DType::F32, Scalar::FloorDiv.def().float.expect("of floats")(a, b, 0.0));
            let near = wanted.abs() > 4e6 && (found - wanted).abs() <= 3e-7 * wanted.abs();
            let fits = near || found == wanted || found.is_nan() && wanted.is_nan();
            assert!(fits, "floor_div({a:e}, {b:e}) = {found:e}, not {wanted:e}");
        }
    }
}
