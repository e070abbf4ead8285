//! Results whose last axis is short: vectors of several are stored as whole vectors.

use super::groups::{check_graph, kernels_in, lowered};
use super::*;
use crate::kernel::{TargetDesc, lower, print};

/// Whether a kernel takes elements of several vectors in turns; each is right on every machine.
fn takes_turns(text: &str, n: i64) -> bool {
    let graph = lowered(text);
    check_graph(&graph, n, &MACHINES[..4]);
    let lowered = |kernel: &Kernel| print(&lower(kernel, &TargetDesc::AVX512).expect("a loop kernel"));
    kernels_in(&graph, &MACHINES[0]).iter().any(|kernel| lowered(kernel).contains(" = shuffle "))
}

/// As in ShuffleNet: the channels of two images alternate.
#[test]
fn channels_alternate() {
    for channels in [16, 37, 64] {
        let text = format!(
            r#"graph @call(%0 "x": data f32[N, 5, 2, {channels}]) where N in 1.. {{
              %1: f32[N, 5, {channels}, 2] = permute(%0) {{axes = [0, 1, 3, 2]}}
              return %1 "y": data
            }}"#
        );
        assert!(takes_turns(&text, 2), "{channels}");
        let text = format!(
            r#"graph @call(%0 "x": data f32[N, 7, {channels}], %1 "z": data f32[N, 7, {channels}]) where N in 1.. {{
              %2: f32[N, 7, {channels}] = tanh(%1)
              %3: f32[N, 7, {channels}, 2] = stack(%0, %2) {{axis = 3}}
              return %3 "y": data
            }}"#
        );
        assert!(takes_turns(&text, 2), "{channels}");
    }
}

/// As a weight whose numbers come into pairs along its rows.
#[test]
fn pairs_of_lines() {
    for (lines, turned) in [(64, true), (48, true), (40, false)] {
        for dtype in ["f32", "bf16"] {
            let text = format!(
                r#"graph @call(%0 "x": data f32[{lines}, 3, 64]) {{
                  %1: {dtype}[{lines}, 3, 64] = cast(%0) {{to = {dtype}}}
                  %2: {dtype}[{lines}, 3, 32, 2] = reshape(%1) {{shape = [{lines}, 3, 32, 2]}}
                  %3: {dtype}[3, 32, {lines}, 2] = permute(%2) {{axes = [1, 2, 0, 3]}}
                  return %3 "y": data
                }}"#
            );
            assert_eq!(takes_turns(&text, 1), turned, "{lines} {dtype}");
        }
    }
}

#[test]
fn four_alternate() {
    let text = r#"graph @call(%0 "x": data f32[3, 4, 40]) {
      %1: f32[3, 40, 4] = permute(%0) {axes = [0, 2, 1]}
      return %1 "y": data
    }"#;
    assert!(takes_turns(text, 1));
}

/// Fewer than a vector, or three, as before.
#[test]
fn others_are_stored_one_by_one() {
    for (count, channels) in [(2, 9), (3, 40)] {
        let text = format!(
            r#"graph @call(%0 "x": data f32[6, {count}, {channels}]) {{
              %1: f32[6, {channels}, {count}] = permute(%0) {{axes = [0, 2, 1]}}
              return %1 "y": data
            }}"#
        );
        assert!(!takes_turns(&text, 1), "{count} {channels}");
    }
}

/// More than one item of the grid handles, with a rest.
#[test]
fn long_rows_alternate() {
    let text = r#"graph @call(%0 "x": data f32[2, N]) where N in 1.. {
      %1: f32[N, 2] = permute(%0) {axes = [1, 0]}
      return %1 "y": data
    }"#;
    for n in [3, 64, 5000] {
        assert!(takes_turns(text, n), "{n}");
    }
}

/// One element may be made of a size that the others are not.
#[test]
fn sizes_of_one_element_are_declared() {
    let text = r#"graph @call(%0 "x": data f32[N], %1 "z": data f32[N]) where N in 1.., H in 1.., W in 1.. {
      %2: i64[] = dim() {size = H}
      %3: f32[] = cast(%2) {to = f32}
      %4: f32[N] = broadcast(%3) {shape = [N]}
      %5: f32[N] = mul(%0, %4)
      %6: i64[] = dim() {size = W}
      %7: f32[] = cast(%6) {to = f32}
      %8: f32[N] = broadcast(%7) {shape = [N]}
      %9: f32[N] = mul(%1, %8)
      %10: f32[N, 2] = stack(%5, %9) {axis = 1}
      return %10 "y": data
    }"#;
    assert!(takes_turns(text, 40));
}
