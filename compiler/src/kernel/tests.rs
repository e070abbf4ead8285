//! Every kernel of `tests/kernels`: its text round trips, it verifies, and all lowerings of it compute the same.
//!
//! A fixture's comments say the sizes it runs with (`// run N=5 M=7`) and, where functions are approximated, the relative
//! tolerance. Inputs are drawn from a counter, so they are the same on every run.

use std::path::{Path, PathBuf};

mod blocks;

use super::*;
use crate::graph::{DType, Scalar};
use interpret::Number;
use tilewright_runtime::program::random;

fn fixtures(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels").join(folder);
    let entries = std::fs::read_dir(&root).expect("a folder of fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kir"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a fixture"))
    };
    paths.iter().map(read).collect()
}

fn directives<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let prefix = format!("// {name} ");
    text.lines().filter_map(move |line| line.strip_prefix(&prefix))
}

fn targets() -> Vec<(&'static str, TargetDesc)> {
    vec![
        ("avx512", TargetDesc::AVX512),
        ("matrices", TargetDesc { matrices: true, ..TargetDesc::AVX512 }),
        ("avx2", TargetDesc::AVX2),
        ("neon", TargetDesc::NEON),
        ("words", TargetDesc::WORDS),
        ("scalar", TargetDesc::SCALAR),
        ("blocks", TargetDesc::BLOCKS),
        ("small blocks", TargetDesc { threads: 4, ..TargetDesc::BLOCKS }),
        ("warps", TargetDesc::CUDA),
        ("one warp", TargetDesc { threads: 32, ..TargetDesc::CUDA }),
    ]
}

fn inputs(kernel: &Kernel, sizes: &[i64]) -> Vec<Vec<u8>> {
    let value =
        |symbol: &crate::graph::Symbol| kernel.sizes.iter().position(|size| size.symbol == *symbol).map(|at| sizes[at]);
    let mut buffers = Vec::new();
    for (at, buffer) in kernel.buffers.iter().enumerate() {
        let extents = buffer.shape.iter().map(|dim| dim.eval(&value).expect("an extent"));
        let count: i64 = extents.product();
        let width = buffer.dtype.size_of();
        let mut bytes = Vec::new();
        for element in 0..count {
            let bits = random::random_bits(1, at as i64, 2, element as u64, 0);
            let number = match buffer.dtype {
                dtype if dtype.is_float() => Number::float(f64::from(bits >> 20) / 1024.0 - 2.0),
                DType::Bool => Number::int((bits & 1).into()),
                dtype if dtype.is_signed() => Number::int(i64::from(bits % 40) - 4),
                _ => Number::int((bits % 40).into()),
            };
            let kept = if buffer.rights == Rights::Write { [0; 8] } else { number.to_bytes(buffer.dtype) };
            bytes.extend(&kept[..width]);
        }
        buffers.push(bytes);
    }
    buffers
}

fn run(what: &str, kernel: &Kernel, sizes: &[i64], order: Order) -> Vec<Vec<u8>> {
    let mut buffers = inputs(kernel, sizes);
    interpret(kernel, sizes, &mut buffers, order).unwrap_or_else(|fault| panic!("{what} {sizes:?} {order:?}: {fault}"));
    buffers
}

fn agree(kernel: &Kernel, found: &[Vec<u8>], wanted: &[Vec<u8>], tolerance: f64) -> bool {
    let per_buffer = kernel.buffers.iter().zip(found.iter().zip(wanted));
    per_buffer.into_iter().all(|(buffer, (found, wanted))| {
        let width = buffer.dtype.size_of();
        let pairs = found.chunks(width).zip(wanted.chunks(width));
        let numbers = |bytes: &[u8]| Number::from_bytes(bytes, buffer.dtype).as_float();
        pairs.into_iter().all(|(a, b)| {
            let near = || (numbers(a) - numbers(b)).abs() <= tolerance * numbers(b).abs();
            a == b || buffer.dtype.is_float() && tolerance > 0.0 && near()
        })
    })
}

fn sizes_of(kernel: &Kernel, text: &str) -> Vec<i64> {
    let size = |param: &SizeParam| {
        let pair = text.split_whitespace().find_map(|pair| pair.strip_prefix(&format!("{}=", param.symbol)));
        pair.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no size {} in `{text}`", param.symbol))
    };
    kernel.sizes.iter().map(size).collect()
}

fn errors(errors: Vec<VerifyError>) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

#[test]
fn every_lowering_computes_what_the_tiles_do() {
    for (name, text) in fixtures("") {
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
        verify(&kernel).unwrap_or_else(|found| panic!("{name}: {}", errors(found)));
        assert_eq!(parse(&print(&kernel)).as_ref(), Ok(&kernel), "{name}");
        let tolerance = directives(&text, "tolerance").next().map_or(0.0, |text| text.parse().expect("a tolerance"));
        let runs: Vec<Vec<i64>> = directives(&text, "run").map(|run| sizes_of(&kernel, run)).collect();
        assert!(!runs.is_empty(), "{name} says no sizes");
        let expected: Vec<_> = runs.iter().map(|sizes| run(&name, &kernel, sizes, Order::Forward)).collect();
        for (sizes, expected) in runs.iter().zip(&expected) {
            assert_eq!(&run(&name, &kernel, sizes, Order::Reverse), expected, "{name} {sizes:?} in reverse");
        }
        for (target_name, target) in targets() {
            let what = format!("{name} for {target_name}");
            let wide = kernel.values.iter().any(|ty| ty.dtype == DType::F64);
            if wide && target.threads > 1 {
                let refused = lower(&kernel, &target).expect_err("no f64 in blocks");
                assert!(refused[0].message.contains("f64"), "{what}");
                continue;
            }
            let lowered = lower(&kernel, &target).unwrap_or_else(|found| panic!("{what}: {}", errors(found)));
            verify(&lowered).unwrap_or_else(|found| panic!("{what}: {}", errors(found)));
            assert_eq!(parse(&print(&lowered)).as_ref(), Ok(&lowered), "{what}");
            for (sizes, expected) in runs.iter().zip(&expected) {
                for order in [Order::Whole, Order::Reverse] {
                    let found = run(&what, &lowered, sizes, order);
                    assert!(agree(&kernel, &found, expected, tolerance), "{what} {sizes:?} {order:?}\n{lowered}");
                }
            }
        }
    }
}

#[test]
fn registers_of_matrices_hold_products_one_after_the_other() {
    let (_, text) = fixtures("").into_iter().find(|(name, _)| name == "matrices").expect("the fixture");
    let lowered = |text: &str| {
        let kernel = parse(text).expect("a kernel");
        print(&lower(&kernel, &TargetDesc { matrices: true, ..TargetDesc::AVX512 }).expect("a loop kernel"))
    };
    let statements = ["shapes [16, 16, 4, 4, 16, 4, 12, 12]", "dot bf16 3, 5, 7", "store 3", "release"];
    for statement in statements {
        assert!(lowered(&text).contains(&format!("matrix {statement}")), "{statement}\n{}", lowered(&text));
    }
    // Sums of one product that live while those of another do, and sums that are used twice.
    for (was, is) in [
        ("  store sums[l0, l1], %1\n", "  store few[l0, l1], %14\n  store sums[l0, l1], %1\n"),
        ("  store few[l0, l1], %13\n", "  store few[l0, l1], %13\n  store few[l0, l1], %13\n"),
        ("%10: f32<3x16> = const 0.0", "%10: f32<3x16> = const 1.0"),
    ] {
        let changed = text.replacen(was, is, 1);
        assert_ne!(changed, text, "{was}");
        let Ok(kernel) = parse(&changed) else { continue };
        let Ok(lowered) = lower(&kernel, &TargetDesc { matrices: true, ..TargetDesc::AVX512 }) else { continue };
        assert!(!print(&lowered).contains("matrix"), "{is}");
    }
}

/// An instruction takes its last factor from memory: the word of a row, where only one product reads it.
#[test]
fn a_word_that_is_read_once_is_the_last_factor() {
    let words = |rows: u64, columns: u64| {
        let text = format!(
            "kernel words tile {{
  buffer a: u32[{rows}, 4] read
  buffer b: u32[4, {columns}] read
  buffer out: f32[{rows}, {columns}] write
  %0: f32<{rows}x{columns}> = const 0.0
  %1: u32<{rows}x1> = load a[l0, 2] else 0
  %2: u32<1x{columns}> = load b[2, l1] else 0
  %3: f32<{rows}x{columns}> = dot bf16 %0, %1, %2
  store out[l0, l1], %3
}}"
        );
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let lowered = lower(&kernel, &TargetDesc { dots: true, ..TargetDesc::AVX512 }).expect("a loop kernel");
        let find = |op: &str| print(&lowered).lines().find(|line| line.contains(op)).expect(op).trim().to_string();
        let splat = find("= broadcast").split(':').next().expect("a value").to_string();
        let factors = find("= dot bf16");
        (factors.ends_with(&splat), factors.contains(&format!("{splat},")))
    };
    assert_eq!(words(4, 16), (true, false));
    assert_eq!(words(1, 16), (false, true));
    assert_eq!(words(4, 32), (false, true));
}

/// The statements of the innermost loop of the first version, by name.
fn hot_loop(block: &Block) -> Option<&Block> {
    let inner = block.stmts.iter().flat_map(|stmt| stmt.op.blocks());
    let hotter = inner.into_iter().find_map(hot_loop);
    hotter.or_else(|| {
        block.stmts.iter().find_map(|stmt| match &stmt.op {
            Op::Loop(inner) => Some(&inner.body),
            _ => None,
        })
    })
}

#[test]
fn the_inner_loop_of_a_product_is_what_one_would_write() {
    let (_, text) = fixtures("").into_iter().find(|(name, _)| name == "matmul").expect("the fixture");
    let kernel = parse(&text).expect("a kernel");
    let lowered = lower(&kernel, &TargetDesc::AVX512).expect("a loop kernel");
    let body = hot_loop(&lowered.body).expect("a loop");
    let count = |wanted: &dyn Fn(&Op) -> bool| body.stmts.iter().filter(|stmt| wanted(&stmt.op)).count();
    let vector = |stmt: &Stmt| !lowered.type_of(stmt.results[0]).is_scalar();
    assert_eq!(count(&|op| matches!(op, Op::Scalar(Scalar::Fma, _))), 24);
    let (vectors, scalars): (Vec<&Stmt>, Vec<&Stmt>) =
        body.stmts.iter().filter(|stmt| matches!(stmt.op, Op::LoadAt(_))).partition(|stmt| vector(stmt));
    assert_eq!((vectors.len(), scalars.len()), (4, 6));
    assert_eq!(count(&|op| matches!(op, Op::Broadcast(_))), 6);
    assert_eq!(count(&|op| matches!(op, Op::Const(_))), 0);
    // One addition for each row of A and one for B, with one product for B's row.
    assert_eq!(count(&|op| matches!(op, Op::Scalar(Scalar::Add, _))), 7);
    assert_eq!(body.stmts.len(), 24 + 4 + 6 + 6 + 7 + 1, "{lowered}");
}

#[test]
fn near_misses_are_refused() {
    let mut report = String::new();
    for (name, text) in fixtures("refused") {
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
        let found = verify(&kernel).expect_err(&name);
        let comment = text.lines().next().unwrap_or_default();
        report.push_str(&format!("{name}.kir {comment}\n{}\n", errors(found)));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn what_is_not_proved_is_asked_at_run_time() {
    let text = "kernel k tile {
  size N in 1..
  buffer x: f32[N] read
  buffer y: f32[N] write
  grid i in floordiv(N + 15, 16)
  %0: f32<16> = load x[l0 + 16*i - 1] else 0.0
  store y[l0 + 16*i], %0
}
";
    let near = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert!(verify(&near).is_err());
    let guarded = guarded(&near).expect("guards are enough").to_string();
    assert!(guarded.contains("load x[l0 + 16*i - 1] where l0 + 16*i >= 1, l0 + 16*i <= N else 0.0"), "{guarded}");
    assert!(guarded.contains("store y[l0 + 16*i] where l0 + 16*i < N, %0"), "{guarded}");
}

#[test]
fn hostile_text_is_an_error_with_a_place() {
    let nested = format!("kernel k tile {{ {}", "if 1 >= 0 { ".repeat(100_000));
    let cases = [
        "",
        "kernel",
        "kernel k tile {",
        "kernel k tile { %0: f32<99999999999999999999> = const 0.0 }",
        "kernel k tile { %0: f32<> = neg %1 }",
        "kernel k tile { %0: f32<> = const 0.0 %0: f32<> = const 0.0 }",
        "kernel k tile { buffer x: f32[(A + B + C + D + E + F)^16] read }",
        "kernel k tile { %0: f32<> = load x[] }",
        "kernel k loop 4 { argument size M }",
        "kernel k tile {} }",
        "kernel k tile { size é in 0.. }",
        "kernel k tile { %0: f32<> = frobnicate %0 }",
        &nested,
    ];
    let messages: Vec<String> = cases.iter().map(|text| parse(text).expect_err(text).to_string()).collect();
    insta::assert_snapshot!(messages.join("\n"));
}

/// Any prefix of a kernel, and a kernel with one byte changed, is an error or another kernel, never a panic.
#[test]
fn damaged_text_never_panics() {
    for (_, text) in fixtures("") {
        for at in (0..text.len()).step_by(3).filter(|&at| text.is_char_boundary(at)) {
            let _ = parse(&text[..at]);
            let mut bytes = text.clone().into_bytes();
            bytes[at] = b"{}%x0,]@-"[at / 3 % 9];
            if let Ok(changed) = String::from_utf8(bytes)
                && let Ok(kernel) = parse(&changed)
            {
                let _ = verify(&kernel);
                assert_eq!(parse(&print(&kernel)), Ok(kernel));
            }
        }
    }
}

#[test]
fn faults_are_found() {
    let tile = |body: &str| format!("kernel k tile {{ buffer y: f32[4] write grid i in 2 {body} }}");
    let looped = |body: &str| format!("kernel k loop 4 {{ buffer y: f32[4] readwrite grid i in 2 {body} }}");
    let cases = [
        (tile("%0: f32<1> = const 1.0 store y[l0], %0"), "element 0 is written by one item and used by another"),
        (looped("%0: i64<> = const 4 %1: f32<> = load y at %0"), "element 4 is outside 0..4"),
        (looped("%0: i64<> = const 1 %1: f32<4> = load y at %0"), "element 4 is outside 0..4"),
        (looped("%0: i64<> = const 0 %1: f32<> = load y at %0 - 1"), "element -1 is outside 0..4"),
        (looped("%0: i64<> = const 0 %1: i64<> = quotient %0, %0"), "0 / 0 has no quotient"),
        (looped("%0: i64<> = const 64 %1: i64<> = shl %0, %0"), "it shifts by 64"),
        (
            tile("%0: f32<1> = load t[l0] store y[i + l0], %0").replace("grid", "local t: f32[1] grid"),
            "element 0 is read before it is written",
        ),
    ];
    for (text, message) in cases {
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        verify(&kernel).unwrap_or_else(|found| panic!("{text}: {}", errors(found)));
        let fault = interpret(&kernel, &[], &mut [vec![0; 16]], Order::Forward).expect_err(&text);
        assert_eq!(fault.message, message, "{text}");
    }
}
