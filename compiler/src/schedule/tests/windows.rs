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
