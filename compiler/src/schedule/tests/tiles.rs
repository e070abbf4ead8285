//! Which tiles, panels and blocks contractions fall into, and what they ask for ahead.

use super::contractions::{axes_of, checked_kernels, grouped, kernels_in, kernels_of, product_in_a_group};
use super::*;
use crate::graph::parse::{Library, parse};
use crate::ops;
use crate::passes::calibration::Calibration;
use crate::passes::{Context, Narrowing};

/// The kernel of a product whose weight comes in panels.
fn packed_product(m: &str, k: &str, n: &str) -> Kernel {
    let graph = parse(&product_in_a_group(m, k, n), Library::of_ops(&|name| ops::find(name))).expect("a graph");
    let panel = |columns: &Dim, dtype, rows| MACHINES[0].panel_width(columns, dtype, rows);
    let mut context = Context::default();
    context.panel = Some(&panel);
    let kernels = kernels_of(&grouped(&graph, &context), &MACHINES[0]);
    kernels.into_iter().find(|kernel| kernel::print(kernel).contains(" = contract ")).expect("a product")
}

/// Each of two threads has as many tiles of rows, and none of them is nearly empty.
#[test]
fn tiles_of_rows_fill_the_shares_of_threads() {
    for (m, n, tile) in [("196", "16", "f32<14x16>"), ("196", "48", "f32<7x48>"), ("50", "64", "f32<5x64>")] {
        let text = kernel::print(&packed_product(m, "40", n));
        let sums: Vec<&str> = text.lines().filter(|line| line.contains(" = contract ")).collect();
        assert!(!sums.is_empty() && sums.iter().all(|line| line.contains(tile)), "{text}");
    }
}

/// Rows a multiple of 4096 bytes apart meet in one set of the first-level cache: fewer of them make a tile.
#[test]
fn rows_that_collide_make_low_tiles() {
    for (depth, tile) in [("1000", "f32<14x16>"), ("1024", "f32<7x16>")] {
        let text = kernel::print(&packed_product("196", depth, "16"));
        assert!(text.lines().any(|line| line.contains(" = contract ") && line.contains(tile)), "{text}");
    }
}

/// A tile of one vector reads more than it multiplies: it must save columns.
#[test]
fn panels_are_narrow_where_that_saves_columns() {
    let width = |columns: i64| MACHINES[0].panel_width(&Dim::constant(columns), DType::F32, None);
    assert_eq!([80, 112, 208, 272, 1040].map(width), [16, 16, 16, 48, 48]);
}

/// What sums meet row by row is asked for while they are made, and where they go, however deep they are.
#[test]
fn what_sums_meet_is_asked_for() {
    let asked = |depth: &str| {
        let text = format!(
            r#"graph @call(%0 "x": data f32[96, {depth}], %1 "w": param f32[{depth}, 192], %2 "b": param f32[192],
                           %3 "r": data f32[96, 192]) {{
              %4: f32[96, 192] = contract(%0, %1) {{pattern = "m k, k n -> m n"}}
              %5: f32[96, 192] = broadcast(%2) {{shape = [96, 192]}}
              %6: f32[96, 192] = add(%4, %5)
              %7: f32[96, 192] = add(%6, %3)
              return %7 "y": data
            }}"#
        );
        let kernels = checked_kernels(&text, Narrowing::None, Calibration::None, 1, &MACHINES[0]);
        let texts = kernels.iter().map(kernel::print).collect::<Vec<_>>().join("");
        let asked = texts.lines().filter_map(|line| Some(line.split_once("prefetch ")?.1.split_once('[')?.0));
        asked.map(str::to_string).collect::<std::collections::BTreeSet<String>>().len()
    };
    // The weight, the residual and the result.
    assert_eq!([256, 1000].map(|depth: i64| asked(&depth.to_string())), [3, 3]);
}

/// Rows that the second-level cache does not hold fall into blocks, so that it need not take them anew for each panel; after
/// the last panel the first comes again.
#[test]
fn blocks_of_rows_stay_while_panels_pass() {
    let kernel = packed_product;
    let kept = kernel("2400", "200", "320");
    assert_eq!(axes_of(&kept), "h m n");
    assert!(kernel::print(&kept).contains("prefetch a0[mod(n + 1, 5)"), "{}", kernel::print(&kept));
    // All fit, or one panel is all there is, or the weight is larger.
    assert_eq!(axes_of(&kernel("1200", "200", "320")), "h n");
    assert_eq!(axes_of(&kernel("2400", "200", "64")), "n m");
    assert_eq!(axes_of(&kernel("1200", "1000", "6400")), "n m");
}

/// What comes next is asked for: the stretch after this one, and after the last the next panel's first; or what lies ahead
/// of a single tile that reads narrow numbers.
#[test]
fn what_comes_next_is_asked_for() {
    let asked = |m: &str, k: &str, n: &str, narrowing: Narrowing| {
        let text = product_in_a_group(m, k, n);
        let kernels = checked_kernels(&text, narrowing, Calibration::None, 1, &MACHINES[0]);
        let texts = kernels.iter().map(kernel::print).collect::<Vec<_>>().join("");
        texts.lines().find(|line| line.contains("prefetch")).map(|line| line.trim().to_string())
    };
    let next = asked("64", "1100", "192", Narrowing::None).expect("stretches");
    assert!(next.contains("floordiv(kb + 1, 2)") && next.contains("mod(kb + 1, 2)"), "{next}");
    assert!(asked("64", "210", "192", Narrowing::None).is_some_and(|line| line.contains("n + 1")));
    assert_eq!(asked("1", "64", "140", Narrowing::None), None);
    assert!(asked("1", "64", "140", Narrowing::Factors(DType::BF16)).is_some());
}

/// Each line of an image asks for its part of the next panel, which is narrower where lines are short.
#[test]
fn lines_share_out_what_comes_next() {
    let text = r#"graph @call(%0 "x": data f32[1, 40, 9, 9], %1 "w": param f32[512, 40, 3, 3]) {
      %2: f32[1, 512, 7, 7] = convolve(%0, %1) {stride = [1, 1]}
      %3: f32[1, 512, 7, 7] = tanh(%2)
      return %3 "y": data
    }"#;
    let exact = |context: &mut Context| context.exact = true;
    let kernels = kernels_in(&exact, text, 1, &MACHINES[0]).iter().map(kernel::print).collect::<Vec<_>>();
    let asks = |text: &&String| text.lines().any(|line| line.contains("prefetch") && line.contains("5*g0"));
    let asking = kernels.iter().find(asks).unwrap_or_else(|| panic!("{}", kernels.join("")));
    assert!(asking.contains("f32[16, 3, 3, 40, 32]"), "{asking}");
    let width = |rows: i64| MACHINES[0].panel_width(&Dim::constant(512), DType::F32, Some(rows));
    assert_eq!([7, 14, 28, 56].map(width), [32, 32, 64, 64]);
}
