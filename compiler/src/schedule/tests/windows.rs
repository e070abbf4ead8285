//! Depthwise convolutions and pooling with channels last: widths around the tile's, edges, strides, open sizes.

use super::groups::check_graph;
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use crate::passes::pipeline::PIPELINE;
use crate::passes::{Context, run_pipeline};

/// Every kernel is right on every machine, and one of them at least takes windows.
fn check_windows(text: &str, n: i64) {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let graph = run_pipeline(&graph, PIPELINE, &Context::default()).expect("passes");
    let takes_windows = |id: NodeId| {
        let node = graph.node(id);
        let loops = match node.regions.as_slice() {
            [region] => compose::compose_region(region, &graph.sizes),
            _ => compose::compose_node(&graph, id),
        };
        loops.is_ok_and(|loops| super::super::windows::find(&collapse::collapse(loops), &MACHINES[0]).is_some())
    };
    assert!(graph.node_ids().any(takes_windows), "no windows in {graph}");
    check_graph(&graph, n, &MACHINES);
}

#[test]
fn depthwise_convolutions() {
    for (width, stride, kernel, pad, out) in
        [(9, 1, 3, 1, 9), (8, 1, 3, 1, 8), (3, 1, 3, 1, 3), (13, 2, 3, 1, 7), (11, 1, 5, 2, 11), (2, 1, 5, 2, 2)]
    {
        for channels in [3, 16, 40] {
            let text = format!(
                r#"graph @call(%0 "x": data f32[N, {width}, {width}, {channels}], %1 "w": data f32[{channels}, 1, {kernel}, {kernel}]) where N in 1.. {{
                  %2: f32[N, {out}, {out}, {channels}] = convolve(%0, %1) {{stride = [{stride}, {stride}], low = [{pad}, {pad}], high = [{pad}, {pad}], groups = {channels}, channels_last = true}}
                  return %2 "y": data
                }}"#
            );
            check_windows(&text, 2);
        }
    }
}

/// Channels in groups: of a few, whose images are read in vectors of several groups, and of as many as half a vector has.
#[test]
fn convolutions_of_narrow_groups() {
    for (channels, groups, kernel, pad) in [(32, 8, 3, 1), (48, 8, 3, 1), (12, 4, 3, 1), (64, 8, 3, 1), (30, 15, 5, 2)]
    {
        let each = channels / groups;
        let text = format!(
            r#"graph @call(%0 "x": data f32[N, 7, 9, {channels}], %1 "w": param f32[{channels}, {each}, {kernel}, {kernel}]) where N in 1.. {{
              %2: f32[N, 7, 9, {channels}] = convolve(%0, %1) {{stride = [1, 1], low = [{pad}, {pad}], high = [{pad}, {pad}], groups = {groups}, channels_last = true}}
              return %2 "y": data
            }}"#
        );
        check_windows(&text, 2);
    }
}

/// Whatever lies outside is the least of its type.
#[test]
fn the_largest_of_integers_at_the_edges() {
    for dtype in ["i64", "i32", "u32", "i8", "u8"] {
        let text = format!(
            r#"graph @call(%0 "x": data {dtype}[N, 6, 6, 19]) where N in 1.. {{
              %1: {dtype}[N, 6, 6, 19] = window(%0) {{combine = "max", size = [3, 3], low = [1, 1], high = [1, 1], channels_last = true}}
              return %1 "y": data
            }}"#
        );
        check_windows(&text, 2);
    }
}

/// Lanes that are picked from several vectors, some of them outside, take much code, so that fewer are computed at once.
#[test]
fn strided_windows_along_open_lines() {
    for (stride, dilation, kernel) in [(3, 2, 5), (2, 1, 3), (3, 1, 7)] {
        let reach = dilation * (kernel - 1) + 1;
        let (rows, columns) = ((23 - reach) / stride + 1, format!("floordiv(N + {}, {stride}) + 1", 4 - reach));
        let text = format!(
            r#"graph @call(%0 "x": data f32[3, 20, N], %1 "w": data f32[3, {kernel}, {kernel}]) where N in {reach}.. {{
              %2: f32[1, 3, 20, N] = reshape(%0) {{shape = [1, 3, 20, N]}}
              %3: f32[3, 1, {kernel}, {kernel}] = reshape(%1) {{shape = [3, 1, {kernel}, {kernel}]}}
              %4: f32[1, 3, {rows}, {columns}] = convolve(%2, %3) {{stride = [{stride}, {stride}], low = [3, 2], high = [0, 2], dilation = [{dilation}, {dilation}], groups = 3}}
              return %4 "y": data
            }}"#
        );
        let graph = parse(&text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        [reach, 23, 101].into_iter().for_each(|n| check_graph(&graph, n, &MACHINES));
    }
}

#[test]
fn open_sizes_and_pooling() {
    check_windows(
        r#"graph @call(%0 "x": data f32[2, N, N, 19], %1 "w": data f32[19, 1, 3, 3]) where N in 3.. {
          %2: f32[2, N, N, 19] = convolve(%0, %1) {stride = [1, 1], low = [1, 1], high = [1, 1], groups = 19, channels_last = true}
          return %2 "y": data
        }"#,
        7,
    );
    check_windows(
        r#"graph @call(%0 "x": data f32[N, 4, 9, 9], %1 "w": param f32[19, 4, 1, 1]) where N in 1.. {
          %2: f32[N, 19, 9, 9] = convolve(%0, %1) {stride = [1, 1]}
          %3: f32[N, 19, 5, 5] = max_pool(%2) {size = [3, 3], stride = [2, 2], low = [1, 1], high = [1, 1]}
          return %3 "y": data
        }"#,
        2,
    );
}
