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

/// What is stacked along another axis than the lanes' is copied by one of several branches, each free of tests; loads whose
/// positions are computed take part.
#[test]
fn rows_of_a_stack_have_branches() {
    let text = kernels(
        r#"graph @call(%0 "x": data f32[7, 1, 40], %1 "y": data f32[7, 3, 40], %2 "t": data f32[9, 40], %3 "i": data i64[7, 2], %4 "z": data f32[7, 2, 40]) {
          %5: f32[7, 2, 40] = gather(%2, %3) {pattern = "[n] c, b s -> b s c"}
          %6: f32[7, 8, 40] = concat(%0, %1, %5, %4) {axis = 1}
          %7: f32[7, 8, 40] = neg(%6)
          return %7 "o": data
        }"#,
    );
    assert!(!text.contains("select") && text.matches("if ").count() == 3, "{text}");
}

/// Pieces that fill no vector stay together, as do those whose borders are open.
#[test]
fn short_and_open_pieces_stay_together() {
    for text in [joined("9", "128", "137"), joined("40", "N", "N + 40")] {
        assert!(kernels(&text).contains("select"), "{text}");
    }
}
