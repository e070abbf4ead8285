//! Several reductions along the same rows: one kernel, whatever the rows and the direction in which they lie.

use super::groups::{check_graph, lowered};
use super::*;

/// The text becomes one kernel, which is right for these sizes; gives it, for the first machine.
fn one_kernel(text: &str, sizes: &[i64]) -> String {
    one_kernel_on(&MACHINES[0], text, sizes)
}

fn one_kernel_on(machine: &Machine, text: &str, sizes: &[i64]) -> String {
    let graph = lowered(text);
    let of_views = |id: &NodeId| matches!(graph.node(*id).op.meaning, Meaning::View | Meaning::Source);
    let is_argument = |id: &NodeId| graph.arguments().iter().any(|argument| argument.value.node == *id);
    let kernels: Vec<NodeId> = graph.node_ids().filter(|id| !of_views(id) && !is_argument(id)).collect();
    assert_eq!(kernels.len(), 1, "{graph}");
    sizes.iter().for_each(|&n| check_graph(&graph, n, &MACHINES));
    kernel::print(&schedule(&graph, kernels[0], machine).expect("a kernel"))
}

fn n_locals(kernel: &str) -> usize {
    kernel.lines().filter(|line| line.trim_start().starts_with("local ")).count()
}

#[test]
fn softmax_keeps_its_exponentials() {
    for shape in ["3, N", "2, 3, 37", "N, 64", "5, 1", "N"] {
        let kernel = one_kernel(
            &format!(
                r#"graph @call(%0 "x": data f32[{shape}]) where N in 0.. {{
                  %1: f32[{shape}] = softmax(%0) {{axis = -1}}
                  return %1 "y": data
                }}"#
            ),
            &[1, 5, 130],
        );
        assert_eq!(n_locals(&kernel), usize::from(shape != "5, 1"), "{kernel}");
    }
}

#[test]
fn results_that_no_cache_holds_stream() {
    for op in ["softmax(%0) {axis = -1}", "exp(%0)"] {
        for (rows, streams) in [("4096", true), ("64", false), ("N", false)] {
            let text = format!(
                r#"graph @call(%0 "x": data f32[{rows}, 4096]) where N in 0.. {{
                  %1: f32[{rows}, 4096] = {op}
                  return %1 "y": data
                }}"#
            );
            assert_eq!(one_kernel(&text, &[]).contains("write stream"), streams, "{op} of {rows} rows");
        }
    }
}

/// The passes over a row share out the lines of the next one, by the work that they have: neighbours stay together.
#[test]
fn passes_share_out_the_next_row() {
    let text = r#"graph @call(%0 "x": data f32[8, 4096]) {
      %1: f32[8, 4096] = softmax(%0) {axis = -1}
      return %1 "y": data
    }"#;
    let kernel = one_kernel(text, &[]);
    assert_eq!(asked_by_passes(&kernel), [&[][..], &["0", "16"], &["32", "48"]], "{kernel}");
}

/// Where stores past the caches hold up loads, the pass that has them asks for nothing.
#[test]
fn a_pass_that_streams_asks_for_nothing_where_it_had_better_not() {
    let machine = Machine { streams_alone: true, ..MACHINES[0] };
    for (rows, wanted) in [(4096, [&[][..], &["0", "16", "32", "48"], &[]]), (8, [&[], &["0", "16"], &["32", "48"]])] {
        let text = format!(
            r#"graph @call(%0 "x": data f32[{rows}, 4096]) {{
              %1: f32[{rows}, 4096] = softmax(%0) {{axis = -1}}
              return %1 "y": data
            }}"#
        );
        let kernel = one_kernel_on(&machine, &text, &[]);
        assert_eq!(asked_by_passes(&kernel), wanted, "{kernel}");
    }
}

/// The lines of a tile of the next row that each pass asks for.
fn asked_by_passes(kernel: &str) -> Vec<Vec<String>> {
    let asked = |pass: &str| {
        let lines = pass.lines().filter_map(|line| line.trim().strip_prefix("prefetch a0[g0 + 1, "));
        lines.map(|line| line.trim_end_matches(']').split(" + ").nth(1).unwrap_or("0").to_string()).collect()
    };
    kernel.split("for ").skip(1).map(asked).collect()
}

#[test]
fn rows_across_the_lanes() {
    for shape in ["2, C, 5, 7", "C, 2, 50, 3"] {
        let axis = shape.split(", ").position(|size| size == "C").expect("a channel");
        let kernel = one_kernel(
            &format!(
                r#"graph @call(%0 "x": data f32[{shape}]) where C in 1..70 {{
                  %1: f32[{shape}] = softmax(%0) {{axis = {axis}}}
                  return %1 "y": data
                }}"#
            ),
            &[1, 3, 70],
        );
        assert!(n_locals(&kernel) > 0, "{kernel}");
    }
}

#[test]
fn normalisation_is_one_kernel_in_all_precisions() {
    for dtype in ["f32", "f64", "bf16"] {
        let kernel = one_kernel(
            &format!(
                r#"graph @call(%0 "x": data {dtype}[N, 83], %1 "h": data {dtype}[N, 83], %2 "g": param {dtype}[83]) where N in 1.. {{
                  %3: {dtype}[N, 83] = add(%0, %1)
                  %4: {dtype}[N, 1] = mean(%3) {{axes = [1], keep = true}}
                  %5: {dtype}[N, 83] = broadcast(%4) {{shape = [N, 83]}}
                  %6: {dtype}[N, 83] = sub(%3, %5)
                  %7: {dtype}[N, 1] = std(%3) {{axes = [1], keep = true}}
                  %8: {dtype}[N, 83] = broadcast(%7) {{shape = [N, 83]}}
                  %9: {dtype}[N, 83] = div(%6, %8)
                  %10: {dtype}[N, 83] = broadcast(%2) {{shape = [N, 83]}}
                  %11: {dtype}[N, 83] = mul(%9, %10)
                  %12: {dtype}[N, 83] = gelu(%11)
                  return %12 "y": data
                }}"#
            ),
            &[1, 4],
        );
        assert!(kernel.contains("grid"), "{kernel}");
    }
}

#[test]
fn channels_in_groups() {
    let kernel = one_kernel(
        r#"graph @call(%0 "x": data f32[N, 6, 3, 9], %1 "g": param f32[6, 1, 1]) where N in 1.. {
          %2: f32[N, 2, 3, 3, 9] = reshape(%0) {shape = [N, 2, 3, 3, 9]}
          %3: f32[N, 2, 1, 1, 1] = mean(%2) {axes = [2, 3, 4], keep = true}
          %4: f32[N, 2, 3, 3, 9] = broadcast(%3) {shape = [N, 2, 3, 3, 9]}
          %5: f32[N, 2, 3, 3, 9] = sub(%2, %4)
          %6: f32[N, 2, 1, 1, 1] = norm(%5) {axes = [2, 3, 4], keep = true}
          %7: f32[N, 2, 3, 3, 9] = broadcast(%6) {shape = [N, 2, 3, 3, 9]}
          %8: f32[N, 2, 3, 3, 9] = div(%5, %7)
          %9: f32[N, 6, 3, 9] = reshape(%8) {shape = [N, 6, 3, 9]}
          %10: f32[N, 6, 3, 9] = broadcast(%1) {shape = [N, 6, 3, 9]}
          %11: f32[N, 6, 3, 9] = mul(%9, %10)
          %12: f32[N, 6, 3, 9] = silu(%11)
          return %12 "y": data
        }"#,
        &[1, 3],
    );
    // What is cheap is computed again.
    assert_eq!(n_locals(&kernel), 0, "{kernel}");
}

#[test]
fn one_result_a_row() {
    for op in ["var", "std", "logsumexp"] {
        one_kernel(
            &format!(
                r#"graph @call(%0 "x": data f32[3, N, 5]) where N in 1.. {{
                  %1: f32[3, 5] = {op}(%0) {{axes = [1], keep = false}}
                  return %1 "y": data
                }}"#
            ),
            &[1, 70],
        );
    }
}

#[test]
fn divisors_of_every_size_keep_their_digits() {
    // Sums from 1e-40 to 1e38, by which rows are divided.
    let text = r#"graph @call(%0 "x": data f32[4, 16]) {
      %1: f32[4, 1] = reduce_sum(%0) {axes = [1], keep = true}
      %2: f32[4, 16] = broadcast(%1) {shape = [4, 16]}
      %3: f32[4, 16] = div(%0, %2)
      return %3 "y": data
    }"#;
    let graph = lowered(text);
    let node = graph.outputs()[0].value.node;
    let scales = [1e-42f32, 1e-30, 1.0, 1e37];
    let values = (0..64).map(|idx| f64::from(scales[idx / 16] * (1 + idx % 7) as f32 / 4.0));
    let x = Tensor::floats(DType::F32, vec![4, 16], values.collect());
    for machine in &MACHINES {
        check(&graph, node, &[x.clone()], 0, machine).expect("equal quotients");
    }
}

#[test]
fn rows_too_long_to_keep_are_computed_again() {
    let graph = lowered(
        r#"graph @call(%0 "x": data f32[1, N]) where N in 1.. {
          %1: f32[1, N] = softmax(%0) {axis = -1}
          return %1 "y": data
        }"#,
    );
    check_graph(&graph, 33_000, &MACHINES[..1]);
}
