//! Shaders of the kernels in `tests/kernels` are valid, and say what they cannot do.

use super::*;
use crate::codegen::Unit;
use crate::graph::DType;
use crate::kernel::{Argument, Literal, TargetDesc, lower, parse};

fn fixtures() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let entries = std::fs::read_dir(&root).expect("a folder of fixtures").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "kir")).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).expect("a fixture"))).collect()
}

fn validate(text: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let (flags, abilities) =
        (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32);
    let mut validator = naga::valid::Validator::new(flags, abilities);
    validator.validate(&module).map(|_| ()).map_err(|error| error.emit_to_string(text))
}

#[test]
fn a_softmax_reads_as_one_would_write_it() {
    let (_, text) = fixtures().into_iter().find(|(name, _)| name.ends_with("/softmax.kir")).expect("the fixture");
    let lowered = lower(&parse(&text).expect("a kernel"), &TargetDesc::BLOCKS).expect("a kernel of blocks");
    insta::assert_snapshot!(print(&[Unit { symbol: "softmax", kernel: &lowered }]).expect("a shader"));
}

#[test]
fn a_quotient_by_zero_is_no_fault_of_the_shader() {
    let (_, text) = fixtures().into_iter().find(|(name, _)| name.ends_with("/quotient.kir")).expect("the fixture");
    let mut kernel = lower(&parse(&text).expect("a kernel"), &TargetDesc::BLOCKS).expect("a kernel of blocks");
    let size = kernel.body.stmts.iter_mut().find(|stmt| matches!(stmt.op, Op::Argument(Argument::Size(0))));
    size.expect("a divisor").op = Op::Const(Literal::Int(0));
    let shader = print(&[Unit { symbol: "main", kernel: &kernel }]).expect("a shader");
    assert!(shader.contains(" / t"), "{shader}");
    validate(&shader).unwrap_or_else(|error| panic!("{error}\n{shader}"));
}

/// Stores an integer that is made of another one; their places are computed too.
const WIDE: &str = "kernel wide tile {
  size N in 0..
  buffer x: i64[N] read
  buffer y: i64[N] write
  grid i in floordiv(N + 63, 64)
  %0: i64<64> = load x[l0 + 64*i] where l0 + 64*i < N else 0
  %1: i64<1> = const 3
  %2: i64<64> = broadcast %1
  %3: i64<64> = OP
  store y[l0 + 64*i] where l0 + 64*i < N, %3
}
";

#[test]
fn integers_that_leave_their_range_are_noticed_and_places_are_not_looked_at() {
    for (op, looks) in [
        ("add %0, %2", ">> 31u);"),
        ("sub %0, %2", ">> 31u);"),
        ("mul %0, %2", "2147482624.0));"),
        ("neg %0", "== i32(-2147483648)));"),
        ("max %0, %2", ""),
    ] {
        let kernel = lower(&parse(&WIDE.replace("OP", op)).expect("a kernel"), &TargetDesc::BLOCKS).expect("it lowers");
        let shader = print(&[Unit { symbol: "main", kernel: &kernel }]).expect("a shader");
        validate(&shader).unwrap_or_else(|error| panic!("{error}\n{shader}"));
        let checks = shader.matches("wide = wide |").count();
        assert_eq!(checks, 1 + usize::from(!looks.is_empty()), "of what is loaded, and of {op}:\n{shader}");
        assert!(shader.contains(looks), "{shader}");
    }
}

#[test]
fn there_are_no_products_of_warps() {
    let (_, text) = fixtures().into_iter().find(|(name, _)| name.ends_with("/mma.kir")).expect("the fixture");
    let kernel = lower(&parse(&text).expect("a kernel"), &TargetDesc::CUDA).expect("a kernel of blocks");
    let error = print(&[Unit { symbol: "mma", kernel: &kernel }]).expect_err("no such shader");
    assert!(error.message.contains("no shader has matrix product of bf16 by warps"), "{}", error.message);
}

#[test]
fn shaders_are_valid() {
    let mut n_valid = 0;
    for (name, text) in fixtures() {
        let kernel = parse(&text).expect("a kernel");
        if kernel.values.iter().any(|ty| ty.dtype == DType::F64) {
            continue;
        }
        let lowered = lower(&kernel, &TargetDesc::BLOCKS).expect("a kernel of blocks");
        let shader = print(&[Unit { symbol: "main", kernel: &lowered }]);
        if text.contains("4294967290") {
            assert!(shader.expect_err("no 64 bits").message.contains("does not fit 32 bits"));
            continue;
        }
        let shader = shader.unwrap_or_else(|error| panic!("{name}: {error}"));
        validate(&shader).unwrap_or_else(|error| panic!("{name}: {error}\n{shader}"));
        n_valid += 1;
    }
    assert!(n_valid > 10, "only {n_valid} shaders");
}
