//! Contractions whose factors registers of matrices hold.

use super::attention::{BIASED, CAUSAL, PLAIN, Scores, WINDOW, text};
use super::contractions::kernels_in;
use super::groups::check_graph;
use super::*;
use crate::graph::parse::{Library, parse};
use crate::kernel::{Kernel, TargetDesc, lower, print};
use crate::ops;
use crate::passes::pipeline::PIPELINE;
use crate::passes::{Context, Narrowing, run_pipeline};

const MACHINE: Machine = Machine { matrices: true, ..Machine::of_vectors(16, true, 2) };

/// Kernels in which some product goes to registers of matrices once they are lowered.
fn with_matrices(kernels: &[Kernel]) -> usize {
    let target = TargetDesc { matrices: true, ..TargetDesc::AVX512 };
    let lowered = kernels.iter().map(|kernel| print(&lower(kernel, &target).expect("a loop kernel")));
    let has_matrices = |text: &String| {
        let found = text.contains("matrix dot");
        assert!(!found || !text.contains(" = dot bf16") && !text.contains(" = dot i8"), "{text}");
        found
    };
    lowered.filter(has_matrices).count()
}

fn checked(text: &str, n: i64) -> Vec<Kernel> {
    narrowed(Narrowing::Factors(DType::BF16), text, n)
}

fn narrowed(narrowing: Narrowing, text: &str, n: i64) -> Vec<Kernel> {
    let set = |context: &mut Context| (context.narrowing, context.matrices) = (narrowing, true);
    kernels_in(&set, text, n, &MACHINE)
}

fn product(m: &str, k: i64, n: i64) -> String {
    format!(
        r#"graph @call(%0 "x": data f32[{m}, {k}], %1 "w": param f32[{n}, {k}], %2 "b": param f32[{n}]) where N in 1.. {{
          %3: f32[{m}, {k}] = tanh(%0)
          %4: f32[{m}, {n}] = contract(%3, %1) {{pattern = "m k, n k -> m n", result = f32}}
          %5: f32[{m}, {n}] = broadcast(%2) {{shape = [{m}, {n}]}}
          %6: f32[{m}, {n}] = add(%4, %5)
          return %6 "y": data
        }}"#
    )
}

/// Rows that fill no tile, or several; columns that leave an edge; depths that fall into steps of fewer than 16 words.
#[test]
fn products() {
    for (m, k, n) in [
        (1, 64, 40),
        (2, 64, 64),
        (3, 32, 32),
        (16, 24, 16),
        (20, 64, 40),
        (33, 40, 100),
        (70, 96, 33),
        (197, 32, 64),
        (20, 34, 64),
        (49, 58, 40),
    ] {
        assert_eq!(with_matrices(&checked(&product(&m.to_string(), k, n), 1)), 1, "{m} {k} {n}");
    }
    // A depth without steps.
    assert_eq!(with_matrices(&checked(&product("20", 27, 64), 1)), 0);
}

/// Groups of half a register's words, of all and of several times as many; those of few words go to instructions on vectors.
#[test]
fn products_of_bytes() {
    for (m, k, n, group, held) in [
        ("1", 64, 40, 32, 0),
        ("4", 32, 32, 32, 1),
        ("20", 64, 40, 64, 1),
        ("33", 128, 100, 32, 1),
        ("70", 256, 33, 128, 1),
        ("197", 96, 64, 24, 1),
        ("N", 64, 40, 32, 1),
        ("7*N", 64, 16, 32, 1),
        ("20", 64, 40, 16, 0),
        ("N", 64, 40, 8, 0),
    ] {
        let text = product(m, k, n);
        for size in [1, 33] {
            let kernels = narrowed(Narrowing::Scaled { bits: 8, group }, &text, size);
            assert_eq!(with_matrices(&kernels), held, "{m} {k} {n} {group}");
            let has_bytes = |kernel: &Kernel| print(kernel).contains(if held > 0 { "dot i8" } else { "dot u8" });
            assert!(kernels.iter().any(has_bytes), "{m} {k} {n} {group}");
        }
    }
    // Numbers of four bits have no sign.
    let kernels = narrowed(Narrowing::Scaled { bits: 4, group: 32 }, &product("20", 64, 40), 1);
    assert_eq!(with_matrices(&kernels), 0);
}

#[test]
fn convolutions_of_bytes() {
    for (image, window, stride, channels) in
        [([9, 9], 3, 1, [32, 40]), ([7, 7], 1, 1, [64, 64]), ([12, 10], 3, 2, [32, 16])]
    {
        let text = convolution(image, window, stride, channels);
        assert_eq!(with_matrices(&narrowed(Narrowing::Scaled { bits: 8, group: 32 }, &text, 2)), 1, "{text}");
    }
}

#[test]
fn open_numbers_of_rows() {
    for (m, sizes) in [("N", &[1, 5, 31, 32, 33, 70, 300][..]), ("7*N", &[1, 5]), ("197*N", &[1, 2])] {
        for &size in sizes {
            assert_eq!(with_matrices(&checked(&product(m, 64, 40), size)), 1, "{m} {size}");
        }
    }
}

fn convolution(image: [i64; 2], window: i64, stride: i64, [of, to]: [i64; 2]) -> String {
    let [rows, columns] = image.map(|extent: i64| (extent - window) / stride + 1);
    format!(
        r#"graph @call(%0 "x": data f32[N, {}, {}, {of}], %1 "w": param f32[{to}, {of}, {window}, {window}]) where N in 1.. {{
          %2: f32[N, {rows}, {columns}, {to}] = convolve(%0, %1) {{channels_last = true, stride = [{stride}, {stride}], result = f32}}
          %3: f32[N, {rows}, {columns}, {to}] = tanh(%2)
          return %3 "y": data
        }}"#,
        image[0], image[1]
    )
}

#[test]
fn convolutions() {
    for (image, window, stride, channels) in [
        ([9, 9], 3, 1, [16, 40]),
        ([9, 5], 3, 1, [58, 40]),
        ([7, 7], 1, 1, [32, 64]),
        ([12, 10], 3, 2, [32, 16]),
        ([6, 40], 5, 1, [8, 32]),
        ([9, 9], 3, 1, [3, 40]),
        ([20, 20], 7, 2, [3, 64]),
        ([9, 12], 3, 1, [5, 32]),
    ] {
        let text = convolution(image, window, stride, channels);
        assert_eq!(with_matrices(&checked(&text, 2)), 1, "{text}");
    }
}

/// Each group is a product of its own; those of few channels are joined, if need be with one of zeros.
#[test]
fn convolutions_of_groups() {
    for (groups, read, made) in [(2, 16, 16), (3, 32, 32), (4, 8, 8), (5, 8, 8), (8, 4, 4), (3, 24, 16)] {
        let (of, to) = (groups * read, groups * made);
        let text = format!(
            r#"graph @call(%0 "x": data f32[N, 9, 11, {of}], %1 "w": param f32[{to}, {read}, 3, 3]) where N in 1.. {{
              %2: f32[N, 11, 13, {of}] = pad(%0) {{low = [0, 1, 1, 0], high = [0, 1, 1, 0], value = 0.0}}
              %3: f32[N, 9, 11, {to}] = convolve(%2, %1) {{channels_last = true, groups = {groups}, result = f32}}
              %4: f32[N, 9, 11, {to}] = tanh(%3)
              return %4 "y": data
            }}"#
        );
        assert_eq!(with_matrices(&checked(&text, 2)), 1, "{text}");
    }
}

/// What stands for panels is a weight: a line of an image that a single channel is made of has places beyond the last.
#[test]
fn one_channel_of_an_image() {
    let text = r#"graph @call(%0 "x": data f32[N, 5, 16, 32], %1 "w": param f32[1, 32, 3, 3]) where N in 1.. {
      %2: f32[N, 3, 14, 1] = convolve(%0, %1) {channels_last = true, result = f32}
      return %2 "y": data
    }"#;
    checked(text, 2);
}

/// Rows and lines that leave the second-level cache, and weights that leave it, too.
#[test]
fn blocks_that_a_cache_keeps() {
    let machine = Machine { kept_bytes: 12 << 10, ..MACHINE };
    let kernels = |text: &str, n: i64| {
        let set = |context: &mut Context| {
            (context.narrowing, context.matrices) = (Narrowing::Factors(DType::BF16), true);
        };
        let kernels = kernels_in(&set, text, n, &machine);
        assert_eq!(with_matrices(&kernels), 1, "{text}");
        kernels.iter().map(print).collect::<String>()
    };
    for (height, lines) in [(10, "grid l in 2"), (11, "grid l in 3"), (12, "grid l in 5"), (9, "grid g1 in 7")] {
        let text = kernels(&convolution([height, 34], 3, 1, [32, 64]), 1);
        assert!(text.contains(lines), "{height}: {text}");
    }
    for (rows, blocks) in [("300", "grid m in 2"), ("N", "grid m in floordiv(N + 95, 96)")] {
        let text = kernels(&product(rows, 64, 100), 200);
        assert!(text.contains(blocks), "{rows}: {text}");
    }
}

/// Lines that fill little of a tile are one run of rows, whatever lies between them; others are not.
#[test]
fn short_lines_are_one_run() {
    for (image, window, stride, is_run) in [
        ([9, 9], 3, 1, true),
        ([16, 16], 3, 1, true),
        ([15, 15], 3, 2, true),
        ([14, 14], 1, 2, true),
        ([60, 6], 3, 1, true),
        ([5, 34], 3, 1, false),
        ([3, 20], 3, 1, false),
        ([5, 66], 3, 2, false),
    ] {
        let kernels = checked(&convolution(image, window, stride, [32, 40]), 2);
        let divided = kernels.iter().filter(|kernel| print(kernel).contains("store out[g0, floordiv("));
        assert_eq!(divided.count(), usize::from(is_run), "{image:?} {window} {stride}: {}", print(&kernels[0]));
        assert_eq!(with_matrices(&kernels), 1);
    }
}

/// Odd and even numbers of keys, of one tile and of several, with masks and without; rows that fill no tile, and open ones.
#[test]
fn attention() {
    for (rows, keys, depth, n) in [
        ("19", "38", "64", 1),
        ("33", "37", "24", 1),
        ("35", "1101", "32", 1),
        ("N", "N", "32", 21),
        ("N", "N", "32", 70),
    ] {
        for steps in [PLAIN, BIASED, CAUSAL, WINDOW] {
            let text = text(&Scores { rows, keys, steps }, depth, "1").replace("f32", "real");
            let (lowered, kernel) = attention_kernel(&text);
            assert_eq!(with_matrices(std::slice::from_ref(&kernel)), 1, "{kernel}");
            check_graph(&lowered, n, &[MACHINE]);
        }
    }
}

/// In which loops registers get their shapes, as the statements among which they do: those of one loop are of one indentation.
fn shapes_of_loops(text: &str) -> Vec<Vec<&str>> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut loops: Vec<Vec<&str>> = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("loop ")) {
        let body = lines[at + 1..].iter().take_while(|inner| indent(inner) > indent(line));
        loops.push(body.filter(|line| line.contains("matrix shapes")).map(|line| line.trim()).collect());
    }
    loops
}

/// To give registers shapes takes as long as ten products.
#[test]
fn shapes_are_given_before_loops() {
    let target = TargetDesc { matrices: true, ..TargetDesc::AVX512 };
    for depth in ["64", "40"] {
        let scores = text(&Scores { rows: "N", keys: "N", steps: PLAIN }, depth, "1").replace("f32", "real");
        let lowered = print(&lower(&attention_kernel(&scores).1, &target).expect("a loop kernel"));
        let loops = shapes_of_loops(&lowered);
        assert!(loops.iter().any(|shapes| shapes.len() > 1), "single rows have shapes of their own: {lowered}");
        for shapes in loops.iter().filter(|shapes| !shapes.is_empty()) {
            assert!(shapes.iter().any(|other| *other != shapes[0]), "one shape again and again: {lowered}");
        }
    }
}

/// Long queries and values leave room for fewer rows, or for no registers at all.
#[test]
fn what_an_item_keeps_fits_the_stack() {
    for (depth, columns) in [("64", 160), ("256", 256), ("1024", 512), ("64", 700), ("64", 5000), ("9000", 64)] {
        let rows = Scores { rows: "2100", keys: "2100", steps: PLAIN };
        let text = text(&rows, depth, "1").replace("f32", "real").replace(", 5]", &format!(", {columns}]"));
        let kernel = attention_kernel(&text).1;
        kernel::verify(&kernel).unwrap_or_else(|errors| panic!("{depth} {columns}: {errors:?}"));
    }
}

/// The graph of an attention after all passes, and its kernel.
fn attention_kernel(text: &str) -> (Graph, Kernel) {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).expect("a graph");
    let width = |columns: &Dim, dtype, rows| MACHINE.panel_width(columns, dtype, rows);
    let mut context = Context::default();
    (context.narrowing, context.matrices) = (Narrowing::Factors(DType::BF16), true);
    context.panel = Some(&width);
    let lowered = run_pipeline(&graph, PIPELINE, &context).expect("passes");
    let id = lowered.node_ids().find(|&id| lowered.node(id).op.name == "attend").expect("attention");
    let kernel = schedule(&lowered, id, &MACHINE).expect("a kernel");
    (lowered, kernel)
}
