//! Groups before those that take them window by window: strides, edges, tiles of channels and of lines, open batches.

use super::groups::check_graph;
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use crate::passes::{Context, Narrowing, pipeline, prepare, run_pipeline};

/// The tiles in which the groups of a graph are taken; every kernel is right on every machine with vectors.
fn tiles(text: &str, threads: u64, n: i64, machine: &Machine) -> Vec<Vec<i64>> {
    tiles_in(Narrowing::None, text, threads, n, machine)
}

fn tiles_in(narrowing: Narrowing, text: &str, threads: u64, n: i64, machine: &Machine) -> Vec<Vec<i64>> {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let panel = |columns: &Dim, dtype: DType, rows: Option<i64>| machine.panel_width(columns, dtype, rows);
    let mut context = Context::default();
    context.panel = Some(&panel);
    (context.threads, context.exact, context.narrowing) = (threads, true, narrowing);
    let (whole, grouping) = pipeline::parts();
    let whole = run_pipeline(&graph, whole, &context).expect("passes");
    let split = prepare::split(vec![whole], &context).expect("passes");
    let graph = run_pipeline(&split.entries[0], grouping, &context).expect("passes");
    check_graph(&graph, n, std::slice::from_ref(machine));
    let banded = graph.node_ids().map(|id| graph.node(id)).filter(|node| node.op.name == "banded");
    banded.map(|node| node.attrs.ints("tile")).collect()
}

/// An image that is widened, taken by windows, and passed on.
fn widened(batch: &str, [side, from, to]: [i64; 3], [kernel, stride, pad]: [i64; 3]) -> String {
    let out = (side + 2 * pad - kernel) / stride + 1;
    format!(
        r#"graph @call(%0 "x": data f32[{batch}, {from}, {side}, {side}], %1 "w": param f32[{to}, {from}, 1, 1],
                       %2 "d": param f32[{to}, 1, {kernel}, {kernel}], %3 "b": param f32[{to}, 1, 1],
                       %4 "p": param f32[3, {to}, 1, 1]) where N in 1.. {{
          %5: f32[{batch}, {to}, {side}, {side}] = convolve(%0, %1) {{stride = [1, 1]}}
          %6: f32[{batch}, {to}, {side}, {side}] = broadcast(%3) {{shape = [{batch}, {to}, {side}, {side}]}}
          %7: f32[{batch}, {to}, {side}, {side}] = mul(%5, %6)
          %8: f32[{batch}, {to}, {side}, {side}] = add(%7, %6)
          %9: f32[{batch}, {to}, {side}, {side}] = relu(%8)
          %10: f32[{batch}, {to}, {out}, {out}] = convolve(%9, %2) {{stride = [{stride}, {stride}], low = [{pad}, {pad}], high = [{pad}, {pad}], groups = {to}}}
          %11: f32[{batch}, {to}, {out}, {out}] = tanh(%10)
          %12: f32[{batch}, 3, {out}, {out}] = convolve(%11, %4) {{stride = [1, 1]}}
          return %12 "y": data
        }}"#
    )
}

#[test]
fn images_are_widened_tile_by_tile() {
    for machine in &MACHINES[..4] {
        for (batch, size, window) in [
            ("2", [8, 4, 64], [3, 1, 1]),
            ("N", [9, 6, 40], [3, 2, 1]),
            ("N", [6, 4, 96], [5, 1, 2]),
            ("1", [7, 5, 64], [3, 1, 0]),
        ] {
            let found = tiles(&widened(batch, size, window), 1, 2, machine);
            assert_eq!(found.len(), 1, "{batch} {size:?} {window:?} {machine:?}");
            assert_eq!(found[0][0], 1);
        }
    }
}

/// Several threads, or an image that no cache holds, are worth computing some lines twice.
#[test]
fn lines_are_cut_where_that_pays() {
    let machine = &MACHINES[0];
    let cut = |text: &str, threads: u64| tiles(text, threads, 2, machine).remove(0);
    assert_eq!(cut(&widened("1", [24, 4, 64], [3, 1, 1]), 1), [1, 24, 24, 64]);
    assert_eq!(cut(&widened("1", [24, 4, 64], [3, 1, 1]), 2), [1, 12, 24, 64]);
    assert_eq!(cut(&widened("1", [24, 4, 128], [3, 1, 1]), 2), [1, 24, 24, 64]);
    assert_eq!(cut(&widened("N", [24, 4, 128], [3, 2, 1]), 1), [1, 12, 12, 64]);
    // No cut fits that shares little.
    assert_eq!(tiles(&widened("1", [4, 2, 10300], [3, 1, 1]), 2, 2, machine), Vec::<Vec<i64>>::new());
}

/// Panels of pairs are as wide as they have columns.
#[test]
fn tiles_of_pairs_have_whole_panels() {
    for (matrices, width) in [(false, 64), (true, 32)] {
        let machine = Machine { matrices, ..MACHINES[0] };
        let text = widened("1", [24, 8, 64], [3, 1, 1]).replace("f32", "real");
        let found = tiles_in(Narrowing::Factors(DType::BF16), &text, 1, 2, &machine);
        assert_eq!(found, [[1, 24, 24, width]], "{machine:?}");
    }
}

#[test]
fn pooling_takes_what_a_convolution_makes() {
    let text = r#"graph @call(%0 "x": data f32[N, 4, 18, 18], %1 "w": param f32[19, 4, 3, 3]) where N in 1.. {
      %2: f32[N, 19, 16, 16] = convolve(%0, %1) {stride = [1, 1]}
      %3: f32[N, 19, 16, 16] = tanh(%2)
      %4: f32[N, 19, 8, 8] = max_pool(%3) {size = [3, 3], stride = [2, 2], low = [1, 1], high = [1, 1]}
      return %4 "y": data
    }"#;
    for machine in &MACHINES[..4] {
        assert_eq!(tiles(text, 1, 2, machine).len(), 1, "{machine:?}");
    }
}

#[test]
fn signals_and_groups_of_channels() {
    let text = r#"graph @call(%0 "x": data f32[2, 3, 40], %1 "w": param f32[32, 3, 1], %2 "d": param f32[64, 1, 4]) {
      %3: f32[2, 32, 40] = convolve(%0, %1) {stride = [1]}
      %4: f32[2, 64, 40] = convolve(%3, %2) {stride = [1], low = [3], high = [0], groups = 32}
      return %4 "y": data
    }"#;
    for machine in &MACHINES[..4] {
        assert_eq!(tiles(text, 2, 1, machine).len(), 1, "{machine:?}");
    }
}

/// What others read as well is stored in any case, and what no window takes is not worth a piece.
#[test]
fn what_is_read_twice_stays_apart() {
    let twice = widened("1", [8, 4, 64], [3, 1, 1]).replace("return %12", "return %9 \"z\": data, %12");
    assert_eq!(tiles(&twice, 1, 1, &MACHINES[0]), Vec::<Vec<i64>>::new());
    let dense = r#"graph @call(%0 "x": data f32[1, 4, 8, 8], %1 "w": param f32[64, 4, 1, 1], %2 "d": param f32[32, 64, 1, 1]) {
      %3: f32[1, 64, 8, 8] = convolve(%0, %1) {stride = [1, 1]}
      %4: f32[1, 32, 8, 8] = convolve(%3, %2) {stride = [1, 1]}
      return %4 "y": data
    }"#;
    assert_eq!(tiles(dense, 1, 1, &MACHINES[0]), Vec::<Vec<i64>>::new());
}

/// Such graphs come from files alone: a row that is reduced as a whole has no tiles.
#[test]
fn rows_are_not_cut() {
    let text = r#"graph @call(%0 "x": data f32[4, 8], %1 "w": param f32[8, 8]) {
      %2: f32[4, 8] = banded(%0, %1) {tile = [4, 4]}
        @fused(%0 "x0": data f32[4, 8], %1 "x1": data f32[8, 8]) {
          %2: f32[4, 8] = contract(%0, %1) {pattern = "m k, k n -> m n"}
          return %2 "y": data
        }
        @fused(%0 "x0": data f32[4, 8]) {
          %1: f32[4, 1] = reduce_sum(%0) {axes = [1], keep = true}
          %2: f32[4, 8] = broadcast(%1) {shape = [4, 8]}
          %3: f32[4, 8] = sub(%0, %2)
          return %3 "y": data
        }
      return %2 "y": data
    }"#;
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).expect("a graph");
    let id = graph.node_ids().find(|&id| graph.node(id).op.name == "banded").expect("a node");
    assert!(schedule(&graph, id, &MACHINES[0]).is_err());
}
