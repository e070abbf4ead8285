//! Neighbours that are computed together: tiles of images there and back, stacks, groups that are not whole.

use super::groups::check_graph;
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use crate::passes::pipeline::PIPELINE;
use crate::passes::{Context, run_pipeline};

/// Every kernel is right on every machine, and so many of them take neighbours together.
fn check_residues(text: &str, n: i64, wanted: usize) {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let graph = run_pipeline(&graph, PIPELINE, &Context::default()).expect("passes");
    let is_taken = |id: &NodeId| {
        let loops = match graph.node(*id).regions.as_slice() {
            [region] => compose::compose_region(region, &graph.sizes),
            _ => compose::compose_node(&graph, *id),
        };
        loops.is_ok_and(|loops| super::super::residues::find(&collapse::collapse(loops)).is_some())
    };
    assert_eq!(graph.node_ids().filter(is_taken).count(), wanted, "{graph}");
    check_graph(&graph, n, &MACHINES);
}

#[test]
fn tiles_of_images() {
    for (places, taps, channels) in [(2, 3, 16), (4, 3, 19), (2, 5, 33), (4, 3, 3)] {
        let (n, of) = (places + taps - 1, (places + taps - 1) * (places + taps - 1));
        let (height, width) = (2 * places + taps - 1, places + taps - 1);
        let text = format!(
            r#"graph @call(%0 "x": data f32[N, {height}, {width}, {channels}], %1 "w": data f32[{channels}, 2, {taps}, {taps}], %2 "y": data f32[{of}, N, 2, 1, {channels}], %3 "z": data f32[N, {high}, {places}, {channels}]) where N in 1.. {{
              %4: f32[{of}, N, 2, 1, {channels}] = winograd_image(%0) {{places = {places}, taps = {taps}}}
              %5: f32[{of}, {channels}, 2] = winograd_kernel(%1) {{places = {places}, taps = {taps}}}
              %6: f32[N, {high}, {places}, {channels}] = winograd_result(%2) {{places = {places}, taps = {taps}}}
              %7: f32[N, {high}, {places}, {channels}] = add(%6, %3)
              return %4 "a": data, %5 "b": data, %7 "c": data
            }}"#,
            high = 2 * places,
        );
        assert_eq!(n * n, of);
        check_residues(&text, 2, 3);
    }
}

#[test]
fn groups_that_are_not_whole() {
    for (height, width) in [(7, 8), (5, 6), (8, 7)] {
        check_residues(
            &format!(
                r#"graph @call(%0 "y": data f32[36, N, 2, 2, 20], %1 "z": data f32[N, {height}, {width}, 20]) where N in 1.. {{
                  %2: f32[N, 8, 8, 20] = winograd_result(%0) {{places = 4, taps = 3}}
                  %3: f32[N, {height}, {width}, 20] = slice(%2) {{starts = [0, 0, 0, 0], stops = [N, {height}, {width}, 20]}}
                  %4: f32[N, {height}, {width}, 20] = mul(%3, %1)
                  return %4 "y": data
                }}"#
            ),
            2,
            1,
        );
    }
}
