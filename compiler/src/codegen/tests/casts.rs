//! Every cast and bitcast that backends print; f16 exhaustively.

use super::*;
use crate::kernel::Rights;

#[test]
fn casts_agree() {
    check(&[1, 4, 8, 16].map(casts).into_iter().flatten().collect::<Vec<_>>());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn older_cpus_agree() {
    check_levels(casts);
}

fn casts(lanes: u32) -> Vec<Case> {
    let narrow = |dtype| matches!(dtype, DType::F16 | DType::BF16);
    let mut cases = Vec::new();
    for (from, to) in DTYPES.into_iter().flat_map(|from| DTYPES.map(|to| (from, to))) {
        let printed = from != to && to != DType::Bool;
        if printed && (!narrow(from) || to == DType::F32) && (!narrow(to) || from == DType::F32) {
            let mut bits = Bits::new(7);
            cases.push(case(from, to, lanes, elements(from, 2048, &mut bits), Builder::cast));
        }
    }
    cases
}

#[test]
fn bitcasts_agree() {
    let mut cases = Vec::new();
    let pairs =
        [(DType::F32, DType::I32), (DType::F32, DType::U32), (DType::I32, DType::U32), (DType::F64, DType::I64)];
    for (lanes, (from, to)) in [1, 4, 16].into_iter().flat_map(|lanes| pairs.map(|pair| (lanes, pair))) {
        for (from, to) in [(from, to), (to, from)] {
            let mut bits = Bits::new(9);
            cases.push(case(from, to, lanes, elements(from, 256, &mut bits), Builder::bitcast));
        }
    }
    check(&cases);
}

#[test]
fn every_f16_and_bf16_reads_back() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_ne_bytes).collect();
    let mut cases = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        for lanes in [1, 16] {
            cases.push(case(dtype, DType::F32, lanes, all.clone(), Builder::cast));
        }
    }
    check(&cases);
}

#[test]
fn rounding_to_f16_and_bf16_is_to_nearest_even() {
    // Around every boundary between neighbours of the narrow type: just below, at, and just above the middle.
    let mut inputs = Vec::new();
    for narrow in (0..=u16::MAX).step_by(37) {
        for wide in [half::f16::from_bits(narrow).to_f32().to_bits(), u32::from(narrow) << 16] {
            for middle in [0x1000u32, 0x8000] {
                for delta in [-1i32, 0, 1] {
                    inputs.extend(wide.wrapping_add(middle).wrapping_add_signed(delta).to_ne_bytes());
                }
            }
        }
    }
    inputs.resize(inputs.len().next_multiple_of(64), 0);
    let mut cases = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        for lanes in [1, 16] {
            cases.push(case(DType::F32, dtype, lanes, inputs.clone(), Builder::cast));
        }
    }
    check(&cases);
}

fn case(from: DType, to: DType, lanes: u32, input: Vec<u8>, cast: fn(&mut Builder, Value, DType) -> Value) -> Case {
    let n = input.len() / from.size_of();
    let kernel = vector_kernel(
        &format!("{from}_to_{to}_{lanes}"),
        lanes,
        n as i64 / i64::from(lanes),
        |b| {
            let x = b.buffer("x", from, [Dim::constant(n as i64)], Rights::Read);
            vec![x, b.buffer("y", to, [Dim::constant(n as i64)], Rights::Write)]
        },
        |b, memories, offset| {
            let loaded = b.load_at(at(memories[0], offset), vector(from, lanes));
            let value = cast(b, loaded, to);
            b.store_at(at(memories[1], offset), value);
        },
    );
    Case { kernel, sizes: Vec::new(), buffers: vec![input, vec![0; n * to.size_of()]] }
}
