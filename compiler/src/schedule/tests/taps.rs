//! Gradients of the weights of convolutions: the taps of a window take turns at what they share.

use super::groups::{check_graph, kernels_in, lowered};
use super::*;

fn gradient([height, width]: [i64; 2], [ci, co]: [i64; 2], taps: i64) -> String {
    let (high, wide) = (height + taps - 1, width + taps - 1);
    format!(
        r#"graph @call(%0 "x": data f32[2, {high}, {wide}, {ci}], %1 "g": data f32[2, {height}, {width}, {co}]) {{
          %2: f32[{ci}, {high}, {wide}, 2] = permute(%0) {{axes = [3, 1, 2, 0]}}
          %3: f32[{co}, 2, {height}, {width}] = permute(%1) {{axes = [3, 0, 1, 2]}}
          %4: f32[{ci}, {taps}, {taps}, {co}] = convolve(%2, %3) {{channels_last = true}}
          return %4 "dw": data
        }}"#
    )
}

fn kernel_of(text: &str) -> String {
    let kernels = kernels_in(&lowered(text), &MACHINES[0]);
    kernels.iter().map(kernel::print).filter(|text| text.contains(" = contract ")).collect()
}

/// One stretch of both images serves all taps, whose sums so far lie side by side; rows of the block in one memory.
#[test]
fn taps_take_turns() {
    for (size, channels, taps, partial) in [
        ([6, 50], [5, 9], 3, "local partial: f32[45, 16]"),
        ([6, 50], [7, 20], 3, "local partial: f32["),
        ([1, 400], [7, 16], 2, "local partial: f32[14, 16]"),
    ] {
        let text = gradient(size, channels, taps);
        check_graph(&lowered(&text), 1, &MACHINES);
        let kernel = kernel_of(&text);
        let turns = kernel.lines().filter(|line| line.trim_start().starts_with("for s")).count();
        assert!(turns > 0 && kernel.contains(partial), "{kernel}");
    }
}

/// Of a window as large as the image positions do not overlap much; of a single tap there is no other.
#[test]
fn others_do_not() {
    for (size, taps) in [([3, 3], 3), ([20, 20], 1)] {
        let text = gradient(size, [8, 16], taps);
        check_graph(&lowered(&text), 1, &MACHINES);
        assert!(!kernel_of(&text).contains("for s"), "{text}");
    }
}
