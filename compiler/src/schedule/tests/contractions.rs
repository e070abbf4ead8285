//! Contractions: every way in which rows, columns and K fill tiles, blocks and panels.

use super::groups::{check_graph, lowered};
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use std::sync::Arc;

use crate::passes::calibration::{Calibration, Seen};
use crate::passes::{Context, Narrowing, pipeline, prepare, run_pipeline};

/// `x · w`, with sizes that may be `N`; `tail` continues from `%2` and returns.
fn product(m: &str, k: &str, n: &str, dtype: &str, least: i64, tail: &str) -> String {
    format!(
        r#"graph @call(%0 "x": data {dtype}[{m}, {k}], %1 "w": param {dtype}[{k}, {n}]) where N in {least}.. {{
          %2: {dtype}[{m}, {n}] = contract(%0, %1) {{pattern = "m k, k n -> m n"}}
          {tail}
        }}"#
    )
}

/// The same, open to narrowing and with something after it.
pub(super) fn product_in_a_group(m: &str, k: &str, n: &str) -> String {
    let tail = format!("%3: f32[{m}, {n}] = abs(%2)\n{}", RETURN.replace("%2", "%3"));
    product(m, k, n, "f32", 1, &tail).replace("m n\"", "m n\", result = f32")
}

const RETURN: &str = r#"return %2 "y": data"#;

fn check_text(text: &str, sizes: &[i64], machines: &[Machine]) {
    let graph = lowered(text);
    sizes.iter().for_each(|&n| check_graph(&graph, n, machines));
}

#[test]
fn rows_fill_tiles_and_blocks() {
    for (at, m) in ["5", "7", "12", "193", "197"].into_iter().enumerate() {
        check_text(&product(m, "6", "9", "f32", 1, RETURN), &[1], &MACHINES[at % 2..][..2]);
    }
    check_text(&product("1030", "4", "5", "f32", 1, RETURN), &[1], &MACHINES[..1]);
}

#[test]
fn columns_fill_vectors() {
    for n in [4, 5, 15, 16, 17, 33, 48, 63, 64, 65, 70] {
        check_text(&product("7", "5", &n.to_string(), "f32", 1, RETURN), &[1], &MACHINES);
    }
}

#[test]
fn the_last_of_open_columns_fill_what_they_need() {
    check_text(&product("21", "5", "N", "f32", 1, RETURN), &[1, 15, 16, 17, 32, 33, 63, 80], &MACHINES);
    check_text(&product("N", "1030", "N", "f32", 1, RETURN), &[9, 23], &MACHINES[..2]);
    // In two blocks of rows, the last of which is lower.
    check_text(&product("128", "64", "N", "f32", 1, RETURN), &[3, 16, 40, 70], &MACHINES);
}

/// What follows sums in many instructions is done row by row; taps of a volume are not all written out.
#[test]
fn code_stays_short() {
    let steps: String = (2..12).map(|n| format!("%{}: f32[50, 66] = tanh(%{n})\n          ", n + 1)).collect();
    let long = product("50", "7", "66", "f32", 1, &format!("{steps}{}", RETURN.replace("%2", "%12")));
    check_text(&long, &[1], &MACHINES);
    let kernel = |text: &str| {
        let graph = lowered(text);
        schedule(&graph, graph.outputs()[0].value.node, &MACHINES[0]).expect("a kernel").to_string()
    };
    assert!(kernel(&long).contains("for f in "), "rows are finished one by one");
    let volume = r#"graph @call(%0 "x": data f32[N, 6, 7, 20, 3], %1 "w": param f32[16, 3, 4, 4, 4]) where N in 1.. {
          %2: f32[N, 3, 4, 17, 16] = convolve(%0, %1) {channels_last = true}
          return %2 "y": data
        }"#;
    check_text(volume, &[2], &MACHINES);
    let taps = |line: &&str| line.contains(" in 0..4 ");
    let kernel = kernel(volume);
    let unrolled: Vec<bool> = kernel.lines().filter(taps).map(|line| line.contains("unroll")).collect();
    assert_eq!(unrolled[..3], [false, true, true], "{kernel}");
}

#[test]
fn a_deep_sum_crosses_panels() {
    for (at, (m, k)) in [("5", "1030"), ("8", "2500"), ("13", "1500")].into_iter().enumerate() {
        check_text(&product(m, k, "66", "f32", 1, RETURN), &[1], &MACHINES[at % 2..][..1]);
    }
    check_text(&product("5", "9000", "5", "f32", 1, RETURN), &[1], &MACHINES[2..]);
}

#[test]
fn rows_that_no_cache_holds_are_read_once() {
    let grid = |m: &str, k: &str| {
        let graph = lowered(&product(m, k, "130", "f32", 1, RETURN));
        let id = graph.outputs()[0].value.node;
        axes_of(&schedule(&graph, id, &MACHINES[0]).expect("a kernel"))
    };
    assert_eq!([grid("2048", "1024"), grid("4096", "2048")], ["n m", "m n"]);
}

pub(super) fn axes_of(kernel: &Kernel) -> String {
    let names: Vec<&str> = kernel.grid.iter().map(|axis| axis.symbol.name()).collect();
    names.join(" ")
}

/// A thread reads the rows that it wrote, or else its own panels of a weight that is much larger: of each image, where
/// their number is open.
#[test]
fn threads_share_out_the_larger_factor() {
    let grid = |images: &str, image: [i64; 3], window: i64, channels: i64| {
        let [height, width, of] = image;
        let [rows, columns] = [height, width].map(|extent| extent - window + 1);
        let text = format!(
            r#"graph @call(%0 "x": data f32[{images}, {height}, {width}, {of}], %1 "w": param f32[{channels}, {of}, {window}, {window}]) where N in 1.. {{
              %2: f32[{images}, {rows}, {columns}, {channels}] = convolve(%0, %1) {{channels_last = true, result = f32}}
              %3: f32[{images}, {rows}, {columns}, {channels}] = tanh(%2)
              return %3 "y": data
            }}"#
        );
        let kernels = checked_kernels(&text, Narrowing::Factors(DType::BF16), Calibration::None, 2, &MACHINES[0]);
        let of_products = kernels.iter().filter(|kernel| kernel::print(kernel).contains(" = dot "));
        of_products.map(axes_of).collect::<Vec<_>>()
    };
    assert_eq!(grid("1", [12, 12, 16], 1, 16), ["h n"]);
    assert_eq!(grid("1", [4, 4, 16], 1, 160), ["n"]);
    assert_eq!(grid("1", [12, 12, 8], 3, 8), ["g0 n"]);
    assert_eq!(grid("1", [5, 5, 8], 3, 80), ["n g0"]);
    assert_eq!(grid("N", [12, 12, 16], 1, 16), ["m n"]);
    assert_eq!(grid("N", [12, 12, 8], 3, 8), ["g0 g1 n"]);
    assert_eq!(grid("N", [6, 6, 8], 3, 80), ["g0 n g1"]);
}

#[test]
fn sizes_known_at_run_time() {
    for (m, k, n) in
        [("N", "8", "20"), ("6", "N", "20"), ("6", "8", "N"), ("N", "N", "N"), ("7*N", "8", "20"), ("197*N", "8", "20")]
    {
        let least = if m == "197*N" { 1 } else { 0 };
        let sizes: &[i64] = if m == "197*N" { &[1, 2] } else { &[0, 1, 2, 3, 4, 7, 67] };
        check_text(&product(m, k, n, "f32", least, RETURN), sizes, &MACHINES);
    }
    check_text(&product("N", "4", "5", "f32", 0, RETURN), &[300], &MACHINES[..1]);
    check_text(&product("4", "N", "5", "f32", 0, RETURN), &[4500], &MACHINES[..1]);
}

#[test]
fn other_precisions() {
    for dtype in ["f64", "f16", "bf16"] {
        check_text(&product("7", "20", "35", dtype, 1, RETURN), &[1], &MACHINES);
        check_text(&product("N", "20", "35", dtype, 1, RETURN), &[1, 9], &MACHINES);
    }
}

#[test]
fn bias_activation_and_residual_follow() {
    let text = r#"graph @call(%0 "x": data f32[N, 12], %1 "w": param f32[20, 12], %2 "b": param f32[20], %3 "r": data f32[N, 20]) where N in 0.. {
      %4: f32[N, 20] = einsum(%0, %1) {pattern = "n i, o i -> n o"}
      %5: f32[N, 20] = broadcast(%2) {shape = [N, 20]}
      %6: f32[N, 20] = add(%4, %5)
      %7: f32[N, 20] = gelu(%6) {approximate = false}
      %8: f32[N, 20] = add(%7, %3)
      return %8 "y": data
    }"#;
    check_text(text, &[0, 1, 3, 11], &MACHINES);
}

#[test]
fn batches_groups_and_transposes() {
    for pattern in [
        "b m k, b k n -> b m n",
        "b m k, b n k -> b m n",
        "b k m, b k n -> b m n",
        "b m k, b k n -> b n m",
        "b m k, b n k -> m b n",
    ] {
        let letters: Vec<&str> = pattern.split([',', '>']).map(|part| part.trim_matches([' ', '-'])).collect();
        let size = |letter: &str| match letter {
            "b" => "2",
            "m" => "9",
            "k" => "N",
            _ => "21",
        };
        let shape = |letters: &str| letters.split(' ').map(size).collect::<Vec<_>>().join(", ");
        let [x, w, y] = [0, 1, 2].map(|idx| shape(letters[idx]));
        let text = format!(
            r#"graph @call(%0 "x": data f32[{x}], %1 "w": data f32[{w}]) where N in 0.. {{
              %2: f32[{y}] = contract(%0, %1) {{pattern = "{pattern}"}}
              return %2 "y": data
            }}"#
        );
        check_text(&text, &[0, 1, 18], &MACHINES);
    }
}

#[test]
fn convolutions() {
    let cases = [
        ("[2, 6, 9, 9]", "[8, 6, 3, 3]", "[2, 8, 9, 9]", "stride = [1, 1], low = [1, 1], high = [1, 1]"),
        ("[1, 5, 11, 12]", "[7, 5, 3, 2]", "[1, 7, 5, 6]", "stride = [2, 2], low = [0, 0], high = [0, 0]"),
        (
            "[1, 4, 12, 9]",
            "[6, 4, 3, 3]",
            "[1, 6, 8, 5]",
            "stride = [1, 1], low = [0, 0], high = [0, 0], dilation = [2, 2]",
        ),
        ("[2, 8, 6, 7]", "[12, 4, 3, 3]", "[2, 12, 6, 7]", "stride = [1, 1], low = [1, 1], high = [1, 1], groups = 2"),
        ("[1, 8, 7, 7]", "[9, 8, 1, 1]", "[1, 9, 7, 7]", "stride = [1, 1], low = [0, 0], high = [0, 0]"),
        ("[1, 3, 16, 16]", "[8, 3, 4, 4]", "[1, 8, 4, 4]", "stride = [4, 4], low = [0, 0], high = [0, 0]"),
    ];
    for (x, w, y, attrs) in cases {
        let text = format!(
            r#"graph @call(%0 "x": data f32{x}, %1 "w": param f32{w}) {{
              %2: f32{y} = convolve(%0, %1) {{{attrs}}}
              return %2 "y": data
            }}"#
        );
        check_text(&text, &[1], &MACHINES);
    }
}

/// A convolution of groups that fill vectors is a product for each group.
#[test]
fn groups_are_products_of_their_own() {
    for (n_groups, columns, is_product) in
        [(2, 32, true), (2, 48, true), (3, 27, true), (2, 160, true), (3, 24, false), (4, 16, false)]
    {
        let text = format!(
            r#"graph @call(%0 "x": data f32[2, {}, 6, 9], %1 "w": param f32[{columns}, 6, 3, 2]) {{
              %3: f32[2, {columns}, 4, 8] = convolve(%0, %1) {{stride = [1, 1], groups = {n_groups}}}
              %4: f32[2, {columns}, 4, 8] = tanh(%3)
              return %4 "y": data
            }}"#,
            6 * n_groups
        );
        check_text(&text, &[1], &MACHINES);
        let kernels = checked_kernels(&text, Narrowing::None, Calibration::None, 1, &MACHINES[0]);
        let texts = kernels.iter().map(kernel::print).collect::<Vec<_>>().join("");
        assert_eq!(texts.contains(" = contract "), is_product, "{texts}");
        checked_kernels(&text, Narrowing::Factors(DType::BF16), Calibration::None, 1, &MACHINES[0]);
    }
}

#[test]
fn one_row_sums_as_many_as_there_are() {
    for n in ["8", "16", "64"] {
        check_text(&product("1", "N", n, "f32", 0, RETURN), &[0, 1, 9], &MACHINES);
    }
}

/// Whether a kernel of a contraction with narrow factors reads words, on this machine.
fn reads_words(text: &str, narrowing: Narrowing, n: i64, machine: &Machine) -> bool {
    reads_calibrated(text, narrowing, Calibration::None, n, machine)
}

fn reads_calibrated(text: &str, narrowing: Narrowing, calibration: Calibration, n: i64, machine: &Machine) -> bool {
    let kernels = checked_kernels(text, narrowing, calibration, n, machine);
    kernels.iter().any(|kernel| kernel::print(kernel).contains(" = dot "))
}

/// The kernels of all groups, which compute what they should.
pub(super) fn checked_kernels(
    text: &str,
    narrowing: Narrowing,
    calibration: Calibration,
    n: i64,
    machine: &Machine,
) -> Vec<Kernel> {
    let set = |context: &mut Context| (context.narrowing, context.calibration) = (narrowing, calibration.clone());
    kernels_in(&set, text, n, machine)
}

pub(super) fn kernels_in(set: &dyn Fn(&mut Context), text: &str, n: i64, machine: &Machine) -> Vec<Kernel> {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).expect("a graph");
    let panel = |columns: &Dim, dtype: DType, rows: Option<i64>| machine.panel_width(columns, dtype, rows);
    let mut context = Context::default();
    context.panel = Some(&panel);
    context.f16_pairs = machine.mma;
    set(&mut context);
    let graphs = grouped(&graph, &context);
    graphs.iter().for_each(|graph| check_graph(graph, n, std::slice::from_ref(machine)));
    kernels_of(&graphs, machine)
}

/// A graph and the one that prepares its weights, after all passes.
pub(super) fn grouped(graph: &Graph, context: &Context) -> Vec<Graph> {
    let (whole, grouping) = pipeline::parts();
    let whole = run_pipeline(graph, whole, context).expect("passes");
    let split = prepare::split(vec![whole], context).expect("passes");
    let graphs = split.entries.iter().chain(&split.prepared);
    graphs.map(|graph| run_pipeline(graph, grouping, context).expect("passes")).collect()
}

pub(super) fn kernels_of(graphs: &[Graph], machine: &Machine) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for graph in graphs {
        let fused = graph.node_ids().filter(|&id| graph.node(id).op.name == "fused");
        kernels.extend(fused.map(|id| schedule(graph, id, machine).expect("a kernel")));
    }
    kernels
}

/// Where narrow products are slow: a weight is widened once for all rows, or as it is read, if they are few.
#[test]
fn narrow_weights_are_widened() {
    let is_panel = |kernel: &Kernel| kernel.locals.iter().any(|local| local.name == "panel");
    let cases: [(&str, i64, i64, &[i64]); 5] = [
        ("5", 24, 70, &[1]),
        ("12", 9, 33, &[1]),
        ("13", 24, 70, &[1]),
        ("40", 2100, 33, &[1]),
        ("N", 24, 70, &[1, 12, 13, 50]),
    ];
    for (m, k, n, sizes) in cases {
        let text = product_in_a_group(m, &k.to_string(), &n.to_string());
        for machine in &MACHINES[..3] {
            let tile = machine.contraction_tile(&Dim::constant(n), DType::F32).rows;
            let wanted = m.parse().map_or(true, |rows: u64| rows.div_ceil(tile) > 2);
            for (dtype, &size) in
                [DType::BF16, DType::F16].into_iter().flat_map(|dtype| sizes.iter().map(move |n| (dtype, n)))
            {
                let set = |context: &mut Context| {
                    (context.narrowing, context.narrow_products) = (Narrowing::Factors(dtype), false);
                };
                let kernels = kernels_in(&set, &text, size, machine);
                assert_eq!(kernels.iter().any(is_panel), wanted, "{dtype:?} {m} {k} {n} {machine:?}");
            }
        }
    }
}

/// Rows, columns and depths that fill tiles of blocks, and that leave edges.
#[test]
fn blocks_pass_factors_through_shared_memory() {
    let is_staged = |kernel: &Kernel| kernel.locals.iter().any(|local| local.name == "left");
    let by_warps = |kernel: &Kernel, machine: &Machine| {
        kernel::print(&of_blocks(kernel.clone(), machine).expect("a kernel of blocks")).contains(" = mma ")
    };
    let sizes = [("9", "24", "70"), ("40", "40", "33"), ("66", "36", "64"), ("N", "32", "20"), ("8*N", "18", "64")];
    for machine in &MACHINES[4..] {
        for narrowing in [Narrowing::None, Narrowing::Factors(DType::BF16), Narrowing::Factors(DType::F16)] {
            for (m, k, n) in sizes {
                let tail = RETURN.replace("%2", "%3");
                let text = product(m, k, n, "f32", 1, &format!("%3: f32[{m}, {n}] = tanh(%2)\n{tail}"));
                let text = text.replace("m n\"", "m n\", result = f32");
                for size in [1, 9, 70] {
                    let kernels = checked_kernels(&text, narrowing, Calibration::None, size, machine);
                    let what = format!("{narrowing:?} {m} {k} {n} {machine:?}");
                    assert!(kernels.iter().any(is_staged), "{what}");
                    let wanted = machine.mma && narrowing != Narrowing::None;
                    assert_eq!(kernels.iter().any(|kernel| by_warps(kernel, machine)), wanted, "{what}");
                }
            }
        }
    }
}

#[test]
fn what_is_narrow_anyhow_is_multiplied_by_warps() {
    let machine = &MACHINES[5];
    for (pattern, x, w) in [
        ("b m k, b n k -> b m n", "[2, 20, 24]", "[2, 33, 24]"),
        ("b m k, b k n -> b m n", "[2, 20, 24]", "[2, 24, 33]"),
        ("b k m, b k n -> b m n", "[2, 24, 20]", "[2, 24, 33]"),
    ] {
        let text = format!(
            r#"graph @call(%0 "x": data bf16{x}, %1 "w": data bf16{w}) {{
              %2: bf16[2, 20, 33] = contract(%0, %1) {{pattern = "{pattern}"}}
              %3: bf16[2, 20, 33] = tanh(%2)
              return %3 "y": data
            }}"#
        );
        let kernels = checked_kernels(&text, Narrowing::None, Calibration::None, 1, machine);
        let by_warps = kernels.iter().map(|kernel| of_blocks(kernel.clone(), machine).expect("a kernel of blocks"));
        let texts: Vec<String> = by_warps.map(|kernel| kernel::print(&kernel)).collect();
        assert!(texts.iter().any(|text| text.contains(" = mma bf16 ")), "{pattern}: {}", texts.join("\n"));
    }
}

#[test]
fn narrow_factors_are_read_in_words() {
    let product = |m: &str, k: &str, n: &str| {
        let tail = RETURN.replace("%2", "%3");
        let text = product(m, k, n, "f32", 0, &format!("%3: f32[{m}, {n}] = tanh(%2)\n{tail}"));
        text.replace("m n\"", "m n\", result = f32")
    };
    let scaled = |bits| Narrowing::Scaled { bits, group: 8 };
    for narrowing in [Narrowing::Factors(DType::BF16), scaled(8), scaled(4)] {
        for (at, (m, k, n)) in
            [("7", "24", "70"), ("N", "16", "20"), ("1", "64", "33"), ("3", "16", "16"), ("9", "40", "64")]
                .into_iter()
                .enumerate()
        {
            for machine in &MACHINES[at % 2..][..2] {
                let text = product(m, k, n);
                assert!(reads_words(&text, narrowing, 5, machine), "{narrowing:?} {m} {k} {n} {machine:?}");
            }
        }
    }
    assert!(!reads_words(&product("7", "25", "70"), Narrowing::Factors(DType::BF16), 1, &MACHINES[0]));
}

#[test]
fn scales_from_data_are_read_beside_words() {
    let tail = RETURN.replace("%2", "%3");
    let text = product("N", "24", "70", "f32", 0, &format!("%3: f32[N, 70] = abs(%2)\n{tail}"));
    let text = text.replace("m n\"", "m n\", result = f32");
    let entry = parse(&text, Library::of_ops(&|name| ops::find(name))).expect("a graph").name.clone();
    let mut seen = Seen::default();
    seen.add(&entry, 0, &[1.0, 0.0, 2.0]);
    let narrowing = Narrowing::Scaled { bits: 8, group: 8 };
    for machine in &MACHINES[..2] {
        let calibration = Calibration::Seen(Arc::new(seen.clone()));
        assert!(reads_calibrated(&text, narrowing, calibration, 5, machine), "{machine:?}");
    }
}

#[test]
fn narrow_convolutions_are_read_in_words() {
    let text = r#"graph @call(%0 "x": data f32[2, 6, 7, 8], %1 "w": param f32[20, 8, 3, 2]) where N in 0.. {
      %2: f32[2, 4, 6, 20] = convolve(%0, %1) {channels_last = true, result = f32}
      %3: f32[2, 4, 6, 20] = abs(%2)
      return %3 "y": data
    }"#;
    for narrowing in [Narrowing::Factors(DType::BF16), Narrowing::Scaled { bits: 8, group: 8 }] {
        assert!(reads_words(text, narrowing, 1, &MACHINES[0]), "{narrowing:?}");
    }
}

#[test]
fn the_gradient_of_a_kernel_is_summed_in_the_order_of_memory() {
    let text = r#"graph @call(%0 "x": data f32[2, 8, 7, 5], %1 "g": data f32[2, 6, 5, 9]) {
      %2: f32[5, 8, 7, 2] = permute(%0) {axes = [3, 1, 2, 0]}
      %3: f32[9, 2, 6, 5] = permute(%1) {axes = [3, 0, 1, 2]}
      %4: f32[5, 3, 3, 9] = convolve(%2, %3) {channels_last = true}
      return %4 "dw": data
    }"#;
    check_text(text, &[1], &MACHINES);
    let graph = lowered(text);
    let group = graph.node_ids().find(|&id| !graph.node(id).regions.is_empty()).unwrap();
    let loops = compose::compose_region(&graph.node(group).regions[0], &graph.sizes).unwrap();
    let summed = |loops: &Loops| loops.axes[loops.n_parallel..].iter().map(Dim::to_string).collect::<Vec<_>>();
    assert_eq!(summed(&loops), ["6", "5", "2"]);
    assert_eq!(summed(&sums::in_memory_order(loops)), ["2", "6", "5"]);
}
