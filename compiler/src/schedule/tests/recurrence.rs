//! Scans as one kernel: what is carried stays in registers; and scans that have to run step by step.

use super::groups::{check_graph, lowered};
use super::*;
use crate::graph::Graph;

fn scan_of(graph: &Graph) -> NodeId {
    graph.node_ids().find(|&id| graph.node(id).op.name == "scan").expect("a scan")
}

/// The scan becomes one kernel on every machine, which is right for these sizes.
fn one_kernel(text: &str, sizes: &[i64]) {
    let graph = lowered(text);
    for machine in &MACHINES {
        let kernel = schedule(&graph, scan_of(&graph), machine).unwrap_or_else(|e| panic!("{e}: {graph}"));
        kernel::verify(&kernel).unwrap_or_else(|errors| panic!("{errors:?}\n{}", kernel::print(&kernel)));
    }
    sizes.iter().for_each(|&n| check_graph(&graph, n, &MACHINES));
}

fn refused(text: &str, reason: &str) {
    let graph = lowered(text);
    for machine in &MACHINES {
        let error = schedule(&graph, scan_of(&graph), machine).map(|kernel| kernel::print(&kernel)).unwrap_err();
        assert!(error.0.contains(reason), "{error}");
    }
}

#[test]
fn a_state_space_sums_along_its_states() {
    for (channels, trip) in [("37", "N"), ("N", "5"), ("64", "1")] {
        one_kernel(
            &format!(
                r#"graph @call(%0 "h": data f32[2, {channels}, 4], %1 "dt": data f32[{trip}, 2, {channels}],
                    %2 "b": data f32[{trip}, 2, 4], %3 "a": data f32[{channels}, 4]) where N in 1.. {{
                  %4, %5: (f32[2, {channels}, 4], f32[{trip}, 2, {channels}]) =
                    scan(%0, %1, %2, %3) {{carries = 1, trip = {trip}}}
                    @body(%0 "t": data i64[], %1 "h": data f32[2, {channels}, 4], %2 "dt": data f32[{trip}, 2, {channels}],
                        %3 "b": data f32[{trip}, 2, 4], %4 "a": data f32[{channels}, 4]) {{
                      %5: f32[1, 2, {channels}] = slice_at(%2, %0) {{axis = 0, size = 1}}
                      %6: f32[2, {channels}, 1] = reshape(%5) {{shape = [2, {channels}, 1]}}
                      %7: f32[2, {channels}, 4] = broadcast(%6) {{shape = [2, {channels}, 4]}}
                      %8: f32[{channels}, 4] = exp(%4)
                      %9: f32[2, {channels}, 4] = broadcast(%8) {{shape = [2, {channels}, 4]}}
                      %10: f32[2, {channels}, 4] = mul(%7, %9)
                      %11: f32[2, {channels}, 4] = tanh(%10)
                      %12: f32[2, {channels}, 4] = mul(%11, %1)
                      %13: f32[1, 2, 4] = slice_at(%3, %0) {{axis = 0, size = 1}}
                      %14: f32[2, 4] = reshape(%13) {{shape = [2, 4]}}
                      %15: f32[2, {channels}] = einsum(%12, %14) {{pattern = "b d s, b s -> b d"}}
                      return %12 "h": data, %15 "y": data
                    }}
                  return %4 "last": data, %5 "ys": data
                }}"#
            ),
            &[1, 5],
        );
    }
}

#[test]
fn elements_that_go_their_own_ways() {
    one_kernel(
        r#"graph @call(%0 "a": data f32[N, 33], %1 "b": data f32[N, 33], %2 "x": data f32[6, N, 33]) where N in 1.. {
          %3, %4, %5: (f32[N, 33], f32[N, 33], f32[6, N*33]) = scan(%0, %1, %2) {carries = 2, trip = 6}
            @body(%0 "t": data i64[], %1 "a": data f32[N, 33], %2 "b": data f32[N, 33], %3 "x": data f32[6, N, 33]) {
              %4: f32[1, N, 33] = slice_at(%3, %0) {axis = 0, size = 1}
              %5: f32[N, 33] = reshape(%4) {shape = [N, 33]}
              %6: f32[N, 33] = max(%1, %5)
              %7: f32[N, 33] = sub(%2, %1)
              %8: f32[N*33] = reshape(%7) {shape = [N*33]}
              return %7 "a": data, %6 "b": data, %8 "y": data
            }
          return %3 "a": data, %4 "b": data, %5 "y": data
        }"#,
        &[1, 3],
    );
}

#[test]
fn a_sum_that_the_next_state_needs() {
    one_kernel(
        r#"graph @call(%0 "s": data f32[3, 5, 20], %1 "k": data f32[7, 3, 5], %2 "v": data f32[7, 3, 20]) {
          %3, %4: (f32[3, 5, 20], f32[7, 3, 20]) = scan(%0, %1, %2) {carries = 1, trip = 7}
            @body(%0 "t": data i64[], %1 "s": data f32[3, 5, 20], %2 "k": data f32[7, 3, 5], %3 "v": data f32[7, 3, 20]) {
              %4: f32[1, 3, 5] = slice_at(%2, %0) {axis = 0, size = 1}
              %5: f32[3, 5] = reshape(%4) {shape = [3, 5]}
              %6: f32[1, 3, 20] = slice_at(%3, %0) {axis = 0, size = 1}
              %7: f32[3, 20] = reshape(%6) {shape = [3, 20]}
              %8: f32[3, 20] = einsum(%1, %5) {pattern = "h k v, h k -> h v"}
              %9: f32[3, 20] = sub(%7, %8)
              %10: f32[3, 5, 20] = einsum(%5, %9) {pattern = "h k, h v -> h k v"}
              %11: f32[3, 5, 20] = add(%1, %10)
              %12: f32[3, 20] = einsum(%11, %5) {pattern = "h k v, h k -> h v"}
              return %11 "s": data, %12 "y": data
            }
          return %3 "last": data, %4 "y": data
        }"#,
        &[1],
    );
}

#[test]
fn rounds_that_read_from_the_end() {
    one_kernel(
        r#"graph @call(%0 "h": data f32[40], %1 "x": data f32[9, 40]) {
          %2, %3: (f32[40], f32[9, 40]) = scan(%0, %1) {carries = 1, trip = 9}
            @body(%0 "t": data i64[], %1 "h": data f32[40], %2 "x": data f32[9, 40]) {
              %3: i64[] = constant() {value = i64[] 8}
              %4: i64[] = sub(%3, %0)
              %5: f32[1, 40] = slice_at(%2, %4) {axis = 0, size = 1}
              %6: f32[40] = reshape(%5) {shape = [40]}
              %7: f32[40] = add(%1, %6)
              %8: f32[] = cast(%0) {to = f32}
              %9: f32[40] = broadcast(%8) {shape = [40]}
              %10: f32[40] = mul(%7, %9)
              return %7 "h": data, %10 "y": data
            }
          return %2 "last": data, %3 "y": data
        }"#,
        &[1],
    );
}

#[test]
fn rounds_that_lie_side_by_side_are_read_ahead() {
    for (lines, trip) in [("64", "37"), ("128", "N"), ("16", "3"), ("40", "33")] {
        one_kernel(
            &format!(
                r#"graph @call(%0 "h": data f32[{lines}], %1 "x": data f32[{lines}, {trip}]) where N in 1.. {{
                  %2, %3: (f32[{lines}], f32[{trip}, {lines}]) = scan(%0, %1) {{carries = 1, trip = {trip}}}
                    @body(%0 "t": data i64[], %1 "h": data f32[{lines}], %2 "x": data f32[{lines}, {trip}]) {{
                      %3: f32[{lines}, 1] = slice_at(%2, %0) {{axis = 1, size = 1}}
                      %4: f32[{lines}] = reshape(%3) {{shape = [{lines}]}}
                      %5: f32[{lines}] = mul(%1, %4)
                      %6: f32[{lines}] = sub(%5, %4)
                      return %6 "h": data, %5 "y": data
                    }}
                  return %2 "last": data, %3 "y": data
                }}"#
            ),
            &[1, 35],
        );
    }
}

#[test]
fn one_number_is_carried_alone() {
    for shape in ["", "1"] {
        one_kernel(
            &format!(
                r#"graph @call(%0 "h": data f32[{shape}], %1 "x": data f32[N]) where N in 1.. {{
                  %2, %3: (f32[{shape}], f32[N{comma}{shape}]) = scan(%0, %1) {{carries = 1, trip = N}}
                    @body(%0 "t": data i64[], %1 "h": data f32[{shape}], %2 "x": data f32[N]) {{
                      %3: f32[1] = slice_at(%2, %0) {{axis = 0, size = 1}}
                      %4: f32[{shape}] = reshape(%3) {{shape = [{shape}]}}
                      %5: f32[{shape}] = add(%1, %4)
                      return %5 "h": data, %5 "y": data
                    }}
                  return %2 "last": data, %3 "y": data
                }}"#,
                comma = if shape.is_empty() { "" } else { ", " },
            ),
            &[1, 6],
        );
    }
}

#[test]
fn elements_that_need_each_other_run_step_by_step() {
    let body = |round: &str| {
        format!(
            r#"graph @call(%0 "h": data f32[4, 16], %1 "w": data f32[16, 16]) {{
              %2: f32[4, 16] = scan(%0, %1) {{carries = 1, trip = 3}}
                @body(%0 "t": data i64[], %1 "h": data f32[4, 16], %2 "w": data f32[16, 16]) {{ {round} }}
              return %2 "last": data
            }}"#
        )
    };
    let mixed = r#"%3: f32[4, 16] = einsum(%1, %2) {pattern = "b h, h g -> b g"} return %3 "h": data"#;
    refused(&body(mixed), "something else");
    let turned = r#"%3: f32[4, 16] = flip(%1) {axes = [1]} return %3 "h": data"#;
    refused(&body(turned), "other elements");
    let weights = r#"%3: f32[1, 16] = slice_at(%2, %0) {axis = 0, size = 1}
        %4: f32[1, 1] = reduce_max(%3) {axes = [1], keep = true} %5: f32[4, 16] = broadcast(%4) {shape = [4, 16]}
        %6: f32[4, 16] = mul(%5, %1) return %6 "h": data"#;
    refused(&body(weights), "something else");
}
