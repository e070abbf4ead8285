//! Elements that are told apart by where they lie along the lanes.

use super::groups::{check_graph, kernels_in, lowered};
use super::*;

/// The text of the kernels, each of which is right on every machine.
fn kernels(text: &str) -> String {
    let graph = lowered(text);
    check_graph(&graph, 2, &MACHINES);
    kernels_in(&graph, &MACHINES[0]).iter().map(kernel::print).collect()
}

fn joined(a: &str, b: &str, c: &str) -> String {
    format!(
        r#"graph @call(%0 "x": data f32[N, {a}], %1 "y": data f32[N, {b}]) where N in 1.. {{
          %2: f32[N, {c}] = concat(%0, %1) {{axis = 1}}
          %3: f32[N, {c}] = tanh(%2)
          return %3 "z": data
        }}"#
    )
}

/// Each operand has a loop, whose loads are free of guards but for those beyond the last whole vector.
#[test]
fn each_operand_has_a_loop() {
    let text = kernels(&joined("64", "128", "192"));
    assert!(!text.contains("where") && !text.contains("select") && text.matches("store out").count() == 2, "{text}");
    let text = kernels(&joined("37", "70", "107"));
    assert!(!text.contains("select"), "{text}");
}

#[test]
fn edges_have_loops_of_their_own() {
    let text = kernels(
        r#"graph @call(%0 "x": data f32[3, 100]) {
          %1: f32[3, 140] = pad(%0) {low = [0, 20], high = [0, 20], value = 1.5}
          %2: f32[3, 140] = neg(%1)
          return %2 "y": data
        }"#,
    );
    assert!(!text.contains("select") && text.matches("store out").count() >= 3, "{text}");
}

/// Pieces that fill no vector stay together, as do those whose borders are open.
#[test]
fn short_and_open_pieces_stay_together() {
    for text in [joined("9", "128", "137"), joined("40", "N", "N + 40")] {
        assert!(kernels(&text).contains("select"), "{text}");
    }
}
