//! Results whose neighbours lie across what they are read from.

use super::groups::{check_graph, kernels_in, lowered};
use super::*;
use crate::kernel::{TargetDesc, lower, print};

/// The kernels of a graph, each of which is right on every machine.
fn kernels(text: &str, n: i64) -> Vec<Kernel> {
    let graph = lowered(text);
    check_graph(&graph, n, &MACHINES);
    kernels_in(&graph, &MACHINES[0])
}

fn turned(m: &str, n: &str, dtype: &str) -> String {
    format!(
        r#"graph @call(%0 "x": data {dtype}[2, {m}, {n}], %1 "b": data {dtype}[{m}]) where N in 1.. {{
          %2: {dtype}[2, {n}, {m}] = permute(%0) {{axes = [0, 2, 1]}}
          %3: {dtype}[2, {n}, {m}] = broadcast(%1) {{shape = [2, {n}, {m}]}}
          %4: {dtype}[2, {n}, {m}] = add(%2, %3)
          return %4 "y": data
        }}"#
    )
}

/// Whole squares are turned in registers, and what is left on two sides through memory.
#[test]
fn squares_are_turned_in_registers() {
    for (m, n, has_rest) in [("272", "80", false), ("300", "24", true)] {
        let kernels = kernels(&turned(m, n, "f32"), 1);
        let text = kernels.iter().map(print).collect::<String>();
        assert!(text.contains("f32<16x16> = load a0"), "{text}");
        assert_eq!(text.contains("turned0["), has_rest, "{text}");
        let loops = lower(&kernels[0], &TargetDesc::AVX512).expect("a loop kernel");
        assert!(print(&loops).contains(" = shuffle "), "{loops}");
    }
}

#[test]
fn squares_of_open_sizes() {
    for n in [1, 15, 130] {
        kernels(&turned("N", "17", "f32"), n);
        kernels(&turned("272", "N", "f32"), n);
    }
}

/// Numbers of another width pass through memory.
#[test]
fn others_pass_through_memory() {
    for dtype in ["f64", "bf16"] {
        let text = kernels(&turned("272", "32", dtype), 1).iter().map(print).collect::<String>();
        assert!(text.contains("turned0[") && !text.contains("<16x16>"), "{text}");
    }
}

/// Where either side would be scattered, the loads are.
#[test]
fn results_are_stored_side_by_side() {
    let text = kernels(&turned("40", "1024", "f32"), 1).iter().map(print).collect::<String>();
    assert!(text.contains("local turned0"), "{text}");
}
