//! Attention in one kernel: masks, keys that fill several tiles, rows of all counts, keys in panels and as they are.

use super::groups::{HEADS, check_graph};
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use crate::passes::pack::Width;
use crate::passes::pipeline::PIPELINE;
use crate::passes::{Context, Narrowing, Pass, run_pipeline};

/// What is done to the scores `%3`; the last value is `%9`.
pub(super) struct Scores<'a> {
    pub rows: &'a str,
    pub keys: &'a str,
    pub steps: &'a str,
}

pub(super) fn text(scores: &Scores, depth: &str, batch: &str) -> String {
    let Scores { rows, keys, steps } = scores;
    let full = format!("{batch}, 2, {rows}, {keys}");
    let steps = steps.replace("FULL", &full).replace("ROWS", rows).replace("KEYS", keys);
    format!(
        r#"graph @call(%0 "q": data f32[{batch}, 2, {rows}, {depth}], %1 "k": data f32[{batch}, {keys}, {depth}], %2 "v": data f32[{batch}, 2, {keys}, 5], %20 "at": data i64[], %21 "bias": data f32[2, {rows}, {keys}]) where N in 1.. {{
          %3: f32[{full}] = einsum(%0, %1) {{pattern = "b h i d, b j d -> b h i j"}}
          {steps}
          %10: f32[{full}] = softmax(%9) {{axis = -1}}
          %11: f32[{batch}, {rows}, 2, 5] = einsum(%10, %2) {{pattern = "b h i j, b h j d -> b i h d"}}
          return %11 "y": data
        }}"#
    )
}

pub(super) const PLAIN: &str = "%9: f32[FULL] = neg(%3)";
pub(super) const BIASED: &str = "%4: f32[1, 2, ROWS, KEYS] = reshape(%21) {shape = [1, 2, ROWS, KEYS]}
          %5: f32[FULL] = broadcast(%4) {shape = [FULL]}
          %6: f32[FULL] = add(%3, %5)
          %9: f32[FULL] = tanh(%6)";
/// Keys up to a number of positions behind the row: causal, with the position of the first row known at run time.
pub(super) const CAUSAL: &str = "%4: i64[KEYS] = iota() {size = KEYS}
          %5: i64[ROWS, KEYS] = broadcast(%4) {shape = [ROWS, KEYS]}
          %6: i64[ROWS] = iota() {size = ROWS}
          %7: i64[ROWS] = broadcast(%20) {shape = [ROWS]}
          %8: i64[ROWS] = add(%6, %7)
          %12: i64[ROWS, 1] = reshape(%8) {shape = [ROWS, 1]}
          %13: i64[ROWS, KEYS] = broadcast(%12) {shape = [ROWS, KEYS]}
          %14: bool[ROWS, KEYS] = le(%5, %13)
          %15: bool[FULL] = broadcast(%14) {shape = [FULL]}
          %16: f32[FULL] = fill() {value = -inf, shape = [FULL], dtype = f32}
          %9: f32[FULL] = select(%15, %3, %16)";
/// Keys in a window around each row, but not the first one, so that early rows may have none.
pub(super) const WINDOW: &str = "%4: i64[KEYS] = iota() {size = KEYS}
          %5: i64[ROWS, KEYS] = broadcast(%4) {shape = [ROWS, KEYS]}
          %6: i64[ROWS] = iota() {size = ROWS}
          %12: i64[ROWS, 1] = reshape(%6) {shape = [ROWS, 1]}
          %13: i64[ROWS, KEYS] = broadcast(%12) {shape = [ROWS, KEYS]}
          %7: i64[ROWS, KEYS] = sub(%13, %5)
          %8: i64[ROWS, KEYS] = fill() {value = 1, shape = [ROWS, KEYS], dtype = i64}
          %14: bool[ROWS, KEYS] = gt(%7, %8)
          %17: i64[ROWS, KEYS] = fill() {value = 5, shape = [ROWS, KEYS], dtype = i64}
          %18: bool[ROWS, KEYS] = lt(%7, %17)
          %19: bool[ROWS, KEYS] = and(%14, %18)
          %15: bool[FULL] = broadcast(%19) {shape = [FULL]}
          %16: f32[FULL] = fill() {value = -inf, shape = [FULL], dtype = f32}
          %9: f32[FULL] = select(%15, %3, %16)";

/// Of rows that a mask of a finite number covers, those keys count alike that no mask of -inf covers.
const COVERED: &str = "%30: i64[ROWS, KEYS] = fill() {value = 1, shape = [ROWS, KEYS], dtype = i64}
          %31: bool[ROWS, KEYS] = gt(%5, %30)
          %32: bool[FULL] = broadcast(%31) {shape = [FULL]}
          %33: f32[FULL] = fill() {value = -inf, shape = [FULL], dtype = f32}
          %9: f32[FULL] = select(%32, %29, %33)";

/// Both ways: keys and values cut into panels for the machine, and left alone.
fn check(scores: &Scores, depth: &str, sizes: &[i64]) {
    check_text(&text(scores, depth, "3"), sizes);
    check_text(&text(scores, depth, "1"), &sizes[..1]);
}

fn check_text(text: &str, sizes: &[i64]) {
    check_narrowed(text, sizes, Narrowing::None);
}

fn check_narrowed(text: &str, sizes: &[i64], narrowing: Narrowing) {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    for machine in MACHINES {
        let width = |columns: &Dim, dtype, rows| machine.panel_width(columns, dtype, rows);
        for (panel, staged) in [(None, false), (Some(&width as &Width), false), (Some(&width), true)] {
            let mut context = Context::default();
            (context.panel, context.narrowing) = (panel, narrowing);
            context.staged = staged && machine.is_block();
            let lowered = run_pipeline(&graph, PIPELINE, &context).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let found = lowered.node_ids().find(|&id| lowered.node(id).op.name == "attend");
            let id = found.unwrap_or_else(|| panic!("no attention in {lowered}"));
            let is_packed = panel.is_some() && !context.staged;
            assert_eq!(
                lowered.to_string().contains("depth = 2"),
                is_packed && narrowing != Narrowing::None,
                "{lowered}"
            );
            assert_eq!(lowered.to_string().contains("pack"), is_packed, "{lowered}");
            let kernel = schedule(&lowered, id, &machine).expect("a kernel");
            assert_eq!(kernel.locals.iter().any(|local| local.name == "left"), machine.is_block(), "{kernel}");
            if context.staged && machine.mma && narrowing != Narrowing::None {
                let in_words = kernel.to_string().matches("dot bf16").count();
                assert_eq!(in_words, 2, "{kernel}");
            }
            sizes.iter().for_each(|&n| check_graph(&lowered, n, &[machine]));
        }
    }
}

#[test]
fn all_keys_in_one_tile() {
    for (rows, keys) in [("19", "37"), ("N", "N"), ("17", "3")] {
        check(&Scores { rows, keys, steps: PLAIN }, "4", &[1, 21]);
        check(&Scores { rows, keys, steps: BIASED }, "3", &[1, 18]);
    }
}

/// A factor of the scores, or a divisor, goes to the exponentials' own, which takes no time.
#[test]
fn scales_are_taken_off() {
    let kernel = |op: &str, number: &str| {
        let fill = format!("%4: f32[FULL] = fill() {{value = {number}, shape = [FULL], dtype = f32}}");
        let steps = format!("{fill}\n          %9: f32[FULL] = {op}(%3, %4)");
        let text = text(&Scores { rows: "19", keys: "37", steps: &steps }, "4", "1");
        check_text(&text, &[1]);
        kernel_of(&text)
    };
    assert_eq!(kernel("mul", "0.25"), kernel("div", "4.0"));
    // Of a number so small the inverse is none; it is rounded to 9.9999…e-41.
    assert!(["mul", "div"].iter().all(|op| kernel(op, "1e-40").contains("e-41")));
}

/// Capped scores with a slope along the distance: nothing is divided by a constant, distances are made of floats, and the
/// cap of a quotient of powers, unless it is so large that the last digits of that would show.
const SLOPED: &str = "%40: f32[FULL] = fill() {value = 3.0, shape = [FULL], dtype = f32}
          %41: f32[FULL] = div(%3, %40)
          %42: f32[FULL] = tanh(%41)
          %43: f32[FULL] = mul(%42, %40)
          %4: i64[KEYS] = iota() {size = KEYS}
          %5: i64[ROWS, KEYS] = broadcast(%4) {shape = [ROWS, KEYS]}
          %6: i64[ROWS] = iota() {size = ROWS}
          %12: i64[ROWS, 1] = reshape(%6) {shape = [ROWS, 1]}
          %13: i64[ROWS, KEYS] = broadcast(%12) {shape = [ROWS, KEYS]}
          %14: i64[ROWS, KEYS] = sub(%5, %13)
          %15: i64[ROWS, KEYS] = abs(%14)
          %16: i64[ROWS, KEYS] = neg(%15)
          %17: f32[ROWS, KEYS] = cast(%16) {to = f32}
          %18: f32[FULL] = broadcast(%17) {shape = [FULL]}
          %19: f32[FULL] = mul(%18, %40)
          %9: f32[FULL] = add(%43, %19)";

#[test]
fn caps_and_slopes() {
    check(&Scores { rows: "N", keys: "N", steps: SLOPED }, "4", &[1, 21]);
    check(&Scores { rows: "19", keys: "37", steps: SLOPED }, "4", &[1]);
    let large = SLOPED.replace("3.0", "65.0");
    check(&Scores { rows: "19", keys: "37", steps: &large }, "4", &[1]);
    let [kernel, uncapped] =
        [SLOPED, &large].map(|steps| kernel_of(&text(&Scores { rows: "19", keys: "37", steps }, "4", "1")));
    for (kernel, last) in [(&kernel, "= exp2 "), (&uncapped, "= tanh ")] {
        let scores = kernel.split(last).next().expect("scores");
        assert!(scores.len() < kernel.len() && !scores.contains("= div "), "{kernel}");
    }
    assert!(kernel.contains("= div ") && !kernel.contains("= tanh "), "{kernel}");
    assert!(!kernel.lines().any(|line| line.contains("i64<") && line.contains("= sub ")), "{kernel}");
}

/// A number that becomes a position is divided as the spec says: its last digit decides which.
#[test]
fn what_decides_is_divided() {
    let steps = "%40: f32[FULL] = fill() {value = 3.0, shape = [FULL], dtype = f32}
          %41: f32[FULL] = div(%3, %40)
          %42: f32[FULL] = floor(%41)
          %9: f32[FULL] = div(%42, %40)";
    let kernel = kernel_of(&text(&Scores { rows: "19", keys: "37", steps }, "4", "1"));
    let [floors, divisions] = ["floor", "div"].map(|op| kernel.matches(&format!("x48> = {op} ")).count());
    assert!(floors > 0 && floors == divisions, "{kernel}");
}

fn kernel_of(text: &str) -> String {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).expect(text);
    let lowered = run_pipeline(&graph, PIPELINE, &Context::default()).expect("passes");
    let id = lowered.node_ids().find(|&id| lowered.node(id).op.name == "attend").expect("attention");
    schedule(&lowered, id, &Machine::of_vectors(16, true, 1)).expect("a kernel").to_string()
}

/// Queries, keys, weights and values in bf16, where pairs of them lie side by side.
#[test]
fn in_pairs() {
    let narrow = Narrowing::Factors(DType::BF16);
    for (rows, keys, depth) in [("19", "38", "4"), ("17", "37", "6"), ("18", "1100", "2"), ("N", "N", "4")] {
        for steps in [PLAIN, BIASED, CAUSAL, WINDOW] {
            let text = text(&Scores { rows, keys, steps }, depth, "1").replace("f32", "real");
            check_narrowed(&text, &[20], narrow);
        }
    }
}

/// Queries whose heads lie beside each other are rounded and paired once, and values of an odd number of keys.
#[test]
fn what_lies_in_no_pairs_is_brought_there_once() {
    let text = HEADS.replace(" where N in 1..", "").replace('N', "71").replace("f32", "real");
    let graph = parse(&text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let machine = Machine::of_vectors(16, true, 1);
    let width = |columns: &Dim, dtype, rows| machine.panel_width(columns, dtype, rows);
    let mut context = Context::default();
    (context.panel, context.narrowing) = (Some(&width as &Width), Narrowing::Factors(DType::BF16));
    let lowered = run_pipeline(&graph, PIPELINE, &context).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let id = lowered.node_ids().find(|&id| lowered.node(id).op.name == "attend").expect("attention");
    let kernel = schedule(&lowered, id, &machine).expect("a kernel");
    let kept = |name: &str| kernel.locals.iter().any(|local| local.name == name && local.dtype == DType::U32);
    assert!(kept("queries") && kept("values"), "{kernel}");
    check_graph(&lowered, 1, &[machine]);
}

/// A mask leaves less to multiply of narrow panels; where all keys take part, only the last panel is not whole.
#[test]
fn panels_of_keys_are_wide_where_all_take_part() {
    let machine = Machine::of_vectors(16, true, 1);
    let width = |columns: &Dim, dtype, rows| machine.panel_width(columns, dtype, rows);
    for (steps, wanted) in [(PLAIN, 64), (CAUSAL, 16)] {
        let text = text(&Scores { rows: "77", keys: "77", steps }, "4", "1");
        let graph = parse(&text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        let mut context = Context::default();
        context.panel = Some(&width as &Width);
        let lowered = run_pipeline(&graph, PIPELINE, &context).unwrap_or_else(|e| panic!("{e}\n{text}")).to_string();
        assert!(lowered.contains(&format!("{{width = {wanted}}}")), "{lowered}");
    }
}

#[test]
fn masks_by_position() {
    for (rows, keys) in [("19", "37"), ("N", "N")] {
        check(&Scores { rows, keys, steps: CAUSAL }, "4", &[1, 70]);
        check(&Scores { rows, keys, steps: WINDOW }, "2", &[1, 70]);
    }
}

#[test]
fn rows_under_a_finite_number() {
    for (mask, many) in [(-95.0, "37"), (-7e9, "37"), (-1e30, "37"), (f64::from(f32::MIN), "1100")] {
        let steps = WINDOW.replace("-inf", &format!("{mask:?}"));
        let covered = format!("{}\n{COVERED}", steps.replace("%9:", "%29:"));
        for (rows, keys, n) in [("16", many, 1), ("N", "N", 70)] {
            check_text(&text(&Scores { rows, keys, steps: &steps }, "4", "1"), &[n]);
            check_text(&text(&Scores { rows, keys, steps: &covered }, "4", "1"), &[n]);
        }
    }
}

#[test]
fn keys_in_several_tiles() {
    let only = |scores: &Scores, depth: &str, n: i64| check_text(&text(scores, depth, "1"), &[n]);
    only(&Scores { rows: "16", keys: "1100", steps: PLAIN }, "2", 1);
    only(&Scores { rows: "16", keys: "1100", steps: CAUSAL }, "1", 1);
    only(&Scores { rows: "N", keys: "N", steps: WINDOW }, "1", 530);
}

/// Products of rows and keys over as many elements as the call brings.
#[test]
fn open_depth() {
    for (rows, keys) in [("19", "37"), ("16", "1100")] {
        for steps in [PLAIN, CAUSAL, WINDOW] {
            check_text(&text(&Scores { rows, keys, steps }, "N", "1"), &[1, 21]);
        }
    }
}

/// Values of more columns than the threads of a block have registers for.
#[test]
fn wide_values() {
    let narrow = text(&Scores { rows: "17", keys: "37", steps: CAUSAL }, "4", "1");
    for columns in [40, 130, 160, 300] {
        check_text(&narrow.replace(", 5]", &format!(", {columns}]")), &[1]);
    }
}

/// A step of decoding, with heads that share their keys, and some rows more: nothing is packed.
#[test]
fn few_rows_read_keys_as_they_lie() {
    // A mask that hides keys from all queries would leave as few keys as rows.
    let passes: Vec<&Pass> = PIPELINE.iter().copied().filter(|pass| pass.name != "hidden").collect();
    for (rows, keys, depth) in [("1", "N", "4"), ("7", "1100", "19"), ("3", "37", "70"), ("15", "N", "16")] {
        for steps in [PLAIN, BIASED, CAUSAL, WINDOW] {
            let text = text(&Scores { rows, keys, steps }, depth, "2");
            let graph = parse(&text, Library::of_ops(&|name| ops::find(name))).expect(&text);
            for machine in MACHINES.into_iter().filter(|machine| !machine.is_block()) {
                let width = |columns: &Dim, dtype, rows| machine.panel_width(columns, dtype, rows);
                let mut context = Context::default();
                context.panel = Some(&width);
                let lowered = run_pipeline(&graph, &passes, &context).expect(&text);
                let found = lowered.node_ids().find(|&id| lowered.node(id).op.name == "attend");
                let id = found.unwrap_or_else(|| panic!("no attention in {lowered}"));
                assert!(!lowered.to_string().contains("pack"), "{lowered}");
                let kernel = schedule(&lowered, id, &machine).expect("a kernel").to_string();
                assert!(kernel.contains("for j in "), "keys are not read one by one: {kernel}");
                for n in [1, 70, 600] {
                    check_graph(&lowered, n, &[machine]);
                }
            }
        }
    }
}
