//! Masks, lane-wise addresses, constants added to addresses, locals.

use super::*;
use crate::kernel::{Mask, Rights};

const N: i64 = 512;

fn buffers(b: &mut Builder, dtype: DType) -> Vec<Memory> {
    let [x, y] = [("x", Rights::Read), ("y", Rights::ReadWrite)]
        .map(|(name, rights)| b.buffer(name, dtype, [Dim::constant(N)], rights));
    let index = b.buffer("index", DType::I64, [Dim::constant(N)], Rights::Read);
    vec![x, y, index]
}

fn contents(dtype: DType) -> Vec<Vec<u8>> {
    let mut bits = Bits::new(3);
    let mut order: Vec<i64> = (0..N).collect();
    for idx in (1..N as usize).rev() {
        order.swap(idx, bits.draw() as usize % (idx + 1));
    }
    let [x, y] = [(); 2].map(|()| elements(dtype, N as usize, &mut bits));
    vec![x, y, order.iter().flat_map(|idx| idx.to_ne_bytes()).collect()]
}

/// All dtypes and lane counts, through a body that moves from `x` to `y`.
fn cases(name: &str, lanes: &[u32], body: impl Fn(&mut Builder, &[Memory], Value, &Type)) -> Vec<Case> {
    let mut cases = Vec::new();
    for (&lanes, dtype) in lanes.iter().flat_map(|lanes| DTYPES.map(|dtype| (lanes, dtype))) {
        let ty = vector(dtype, lanes);
        let kernel = vector_kernel(
            &format!("{name}_{dtype}_{lanes}"),
            lanes,
            N / i64::from(lanes),
            |b| buffers(b, dtype),
            |b, memories, offset| body(b, memories, offset, &ty),
        );
        cases.push(Case { kernel, sizes: Vec::new(), buffers: contents(dtype) });
    }
    cases
}

/// The lanes before `item modulo lanes`, which is one of all possible masks of a tail.
fn tail_mask(b: &mut Builder, offset: Value, ty: &Type) -> Value {
    let lanes = ty.n_elements() as i64;
    let scalar = Type::scalar(DType::I64);
    let shift = b.constant(scalar.clone(), f64::from(lanes.trailing_zeros()));
    let item = b.scalar(Scalar::Shr, &[offset, shift]);
    let low = b.constant(scalar, (lanes - 1) as f64);
    let kept = b.scalar(Scalar::And, &[item, low]);
    let kept = b.splat(kept);
    let numbers = b.lanes(DType::I64);
    b.scalar(Scalar::Lt, &[numbers, kept])
}

#[test]
fn plain_copies_agree() {
    check(&cases("copy", &[1, 4, 8, 16], |b, memories, offset, ty| {
        let value = b.load_at(at(memories[0], offset), ty.clone());
        b.store_at(at(memories[1], offset), value);
    }));
}

#[test]
fn masked_accesses_agree() {
    check(&cases("masked", &[4, 8, 16], |b, memories, offset, ty| {
        let mask = tail_mask(b, offset, ty);
        let otherwise = b.constant(ty.clone(), 1.0);
        let masked = Mask { mask, otherwise: Some(otherwise) };
        let value = b.load_at(Place { mask: Some(masked), ..at(memories[0], offset) }, ty.clone());
        b.store_at(at(memories[1], offset), value);
    }));
    check(&cases("masked_store", &[4, 8, 16], |b, memories, offset, ty| {
        let mask = tail_mask(b, offset, ty);
        let value = b.load_at(at(memories[0], offset), ty.clone());
        b.store_at(Place { mask: Some(Mask { mask, otherwise: None }), ..at(memories[1], offset) }, value);
    }));
}

#[test]
fn masked_lanes_store_nothing_beyond_a_buffer() {
    let n = 3;
    let kernel = vector_kernel(
        "edge",
        16,
        1,
        |b| {
            let x = b.buffer("x", DType::F32, [Dim::constant(n)], Rights::Read);
            vec![x, b.buffer("y", DType::F32, [Dim::constant(n)], Rights::Write)]
        },
        |b, memories, offset| {
            let bound = b.constant(vector(DType::I32, 16), n as f64);
            let numbers = b.lanes(DType::I32);
            let mask = b.scalar(Scalar::Lt, &[numbers, bound]);
            let ty = vector(DType::F32, 16);
            let otherwise = Some(b.constant(ty.clone(), 0.0));
            let value = b.load_at(Place { mask: Some(Mask { mask, otherwise }), ..at(memories[0], offset) }, ty);
            b.store_at(Place { mask: Some(Mask { mask, otherwise: None }), ..at(memories[1], offset) }, value);
        },
    );
    let buffers = vec![vec![1; 12], vec![0; 12]];
    check(&[Case { kernel, sizes: Vec::new(), buffers }]);
}

#[test]
fn gathers_and_scatters_agree() {
    check(&cases("gather", &[4, 8, 16], |b, memories, offset, ty| {
        let index = b.load_at(at(memories[2], offset), ty.with_dtype(DType::I64));
        let value = b.load_at(at(memories[0], index), ty.clone());
        b.store_at(at(memories[1], offset), value);
    }));
    check(&cases("masked_scatter", &[4, 8, 16], |b, memories, offset, ty| {
        let index = b.load_at(at(memories[2], offset), ty.with_dtype(DType::I64));
        let mask = tail_mask(b, offset, ty);
        let otherwise = Some(b.constant(ty.clone(), 1.0));
        let masked = Some(Mask { mask, otherwise });
        let value = b.load_at(Place { mask: masked, ..at(memories[0], index) }, ty.clone());
        b.store_at(Place { mask: Some(Mask { mask, otherwise: None }), ..at(memories[1], index) }, value);
    }));
}

#[test]
fn constants_of_addresses_are_in_elements() {
    check(&cases("shifted", &[1, 4, 16], |b, memories, offset, ty| {
        let back = b.constant(Type::scalar(DType::I64), 1000.0);
        let far = b.scalar(Scalar::Sub, &[offset, back]);
        let value = b.load_at(Place { plus: 1000, ..at(memories[0], far) }, ty.clone());
        let ahead = b.scalar(Scalar::Add, &[offset, back]);
        b.store_at(Place { plus: -1000, ..at(memories[1], ahead) }, value);
    }));
}

#[test]
fn locals_hold_what_was_stored() {
    let mut all = Vec::new();
    for (lanes, dtype) in [1, 4, 16].into_iter().flat_map(|lanes| DTYPES.map(|dtype| (lanes, dtype))) {
        let kernel = vector_kernel(
            &format!("local_{dtype}_{lanes}"),
            lanes,
            N / i64::from(lanes),
            |b| {
                let mut memories = buffers(b, dtype);
                memories.push(b.local("small", DType::I8, [3]));
                memories.push(b.local("scratch", dtype, [8, 16]));
                memories
            },
            |b, memories, offset| {
                let low = b.constant(Type::scalar(DType::I64), 32.0);
                let value = b.load_at(at(memories[0], offset), vector(dtype, lanes));
                b.store_at(Place { plus: 7, ..at(memories[4], low) }, value);
                let back = b.load_at(Place { plus: 7, ..at(memories[4], low) }, vector(dtype, lanes));
                b.store_at(at(memories[1], offset), back);
            },
        );
        all.push(Case { kernel, sizes: Vec::new(), buffers: contents(dtype) });
    }
    check(&all);
}
