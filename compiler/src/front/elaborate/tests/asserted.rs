//! Conditions on what an entry is called with: where they end up, and that they hold before anything is written.

use std::collections::HashMap;
use std::sync::Arc;

use tilewright_runtime::data::TensorRef;
use tilewright_runtime::device::cpu::{Code, Hosts};
use tilewright_runtime::exec::{Options as SessionOptions, Session};
use tilewright_runtime::weights::WeightSet;

use super::*;
use crate::driver::{self, Interpreter};
use crate::graph::parse::{Library, parse};

const GPT2: &str = include_str!("../../../../../specs/language/gpt2.tw");

/// A model of one layer with eight positions.
fn gpt2() -> Model {
    let program = load(&HashMap::from([("gpt2.tw".to_string(), GPT2.to_string())]), "gpt2.tw");
    let sizes = [("vocab", 16), ("context", 8), ("dim", 8), ("depth", 1), ("heads", 2)];
    let options = sizes.iter().fold(Options::default(), |options, (name, size)| options.set(name, Setting::Int(*size)));
    model(&program, "GPT2", &options)
}

fn tokens(count: usize) -> Tensor {
    Tensor::ints(DType::I64, vec![1, count], (0..count as i64).collect())
}

#[test]
fn a_cache_that_would_overflow_is_an_error_of_the_interpreter() {
    let model = gpt2();
    assert!(model.assertions.is_empty());
    let text = model.entry("decode").expect("the entry exists").to_string();
    assert!(text.contains("at + T <= context"), "{text}");
    let mut interpreter = Interpreter::new(model, HashMap::new(), Precision::Wide);
    interpreter.initialize().expect("it has initial values");
    let mut decode = |at: i64, count: usize| {
        let inputs = HashMap::from([("tokens".to_string(), tokens(count)), ("at".to_string(), int(at))]);
        interpreter.run("decode", &inputs).map_err(|error| error.to_string())
    };
    decode(0, 3).expect("it fits");
    let before = decode(3, 1).expect("it fits");
    let error = decode(6, 3).expect_err("nine positions");
    assert!(error.contains("at + T <= context") && error.contains("at = 6"), "{error}");
    let after = decode(3, 1).expect("it fits");
    assert_eq!(before[0].1.as_floats(), after[0].1.as_floats());
    decode(5, 3).expect("eight positions");
}

#[test]
fn a_cache_that_would_overflow_is_an_error_of_the_program() {
    let options = driver::Options { threads: 2, entries: vec!["decode".to_string()], ..driver::Options::new() };
    let program = driver::compile(&gpt2(), &options).unwrap_or_else(|error| panic!("{error}")).program;
    let code = Arc::new(Code::load(&program, &Hosts::standard()).expect("it loads"));
    let weights = WeightSet::from_fn(&program.params, |_, shape| {
        (0..shape.iter().product()).map(|idx: usize| (idx % 7) as f32 * 0.1 - 0.3).collect()
    });
    let (program, weights) = (Arc::new(program), Arc::new(weights.expect("weights")));
    let options = SessionOptions { threads: 2, ..SessionOptions::default() };
    let mut session = Session::open(program, code, weights, options).expect("it opens");
    let mut decode = |at: i64, count: usize| {
        let tokens: Vec<i64> = (0..count as i64).collect();
        let shape = [1, count];
        let inputs = [
            ("tokens", TensorRef::of(&shape, &tokens).expect("a tensor")),
            ("at", TensorRef::of(&[], std::slice::from_ref(&at)).expect("a tensor")),
        ];
        let result = session.run("decode", &inputs).map(|_| ()).map_err(|error| error.to_string());
        (result, session.state("h.0.attn.keys").ok().map(|keys| keys.to_f64()))
    };
    let (first, keys) = decode(0, 3);
    first.expect("it fits");
    let (result, kept) = decode(6, 3);
    let error = result.expect_err("nine positions");
    assert!(error.contains("at + T <= context") && error.contains("at is 6"), "{error}");
    assert_eq!(keys, kept);
    let (result, written) = decode(5, 3);
    result.expect("eight positions");
    assert_ne!(keys, written);
}

#[test]
fn conditions_on_scalars_become_checks_that_can_be_read_back() {
    let text = "fn inner(x: [N], at: i64[]) -> [N] where max(at, 0) // 2 + N <= 8 and at % 2 == 0 and at != 4 { x + float(at) }
    model M() {
        fn call(x: [N], at: i64[], n: i64[]) -> [N] where 0 <= at {
            assert n * N < 100, \"too many\"
            if x[0] > 0 { inner(x, at - n) } else { x }
        }
    }"
    .replace("max(at, 0) // 2", "floor_div(max(at, 0), 2)");
    let program = text_of(&text);
    let model = model(&program, "M", &Options::default());
    assert_eq!(model.assertions, []);
    let graph = model.entry("call").expect("the entry exists");
    verify(graph).expect("it is well formed");
    let printed = graph.to_string();
    let read = parse(&printed, Library::of_ops(&|name| crate::ops::find(name))).expect("it can be read");
    assert_eq!(read.checks, graph.checks);
    let call = |at: i64, n: i64| {
        let inputs = [row(&[1.0, 2.0]), int(at), int(n)];
        interpret(graph, &inputs, &|_| None, Precision::Wide).map(|_| ()).map_err(|error| error.to_string())
    };
    for (at, n) in [(0, 0), (2, 0), (13, 1), (3, 5)] {
        assert_eq!(call(at, n), Ok(()), "at {at}, n {n}");
    }
    for (at, n, said) in [
        (-2, 0, "0 <= at`, here at = -2"),
        (14, 0, "+ N <= 8"),
        (1, 0, "% 2 == 0"),
        (5, 1, "at != 4"),
        (50, 50, "too many"),
        (0, i64::MAX, "does not hold"),
    ] {
        let error = call(at, n).expect_err("it breaks a condition");
        assert!(error.contains(said), "at {at}, n {n}: {error}");
    }
}

#[test]
fn conditions_on_computed_tensors_are_kept_as_text() {
    let text = "model M() { fn call(x: [N]) -> [N] { assert max(x) < 1
        x } }";
    let model = model(&text_of(text), "M", &Options::default());
    assert_eq!(model.assertions, [("call".to_string(), "max(x) < 1".to_string())]);
}

#[test]
fn an_assertion_says_what_it_was_told_to() {
    let text = "model M(dim: int = 3) { fn call(x: [dim]) -> [dim] { assert dim % 2 == 0, \"odd models do not turn\"
        x } }";
    let program = text_of(text);
    let diagnostics = elaborate(&program, "M", &Options::default()).err().expect("it does not hold");
    let shown = shown(&program, &diagnostics);
    assert!(shown.contains("odd models do not turn") && shown.contains("dim = 3"), "{shown}");
}

#[test]
fn checks_speak_of_sizes_and_scalar_arguments_alone() {
    for (text, said) in [
        ("graph @f(%0 \"at\": data i64[], %1 \"x\": data i64[at]) where at in 1.. {", "a size and an argument"),
        ("graph @f(%0 \"at\": data f32[], %1 \"x\": data i64[2]) {", "at is not declared"),
        ("graph @f(%0 \"at\": state i64[], %1 \"x\": data i64[2]) {", "at is not declared"),
    ] {
        let text = format!("{text}\n  check at - 1 >= 0, \"at\"\n  return %1 \"y\": data\n}}");
        let graph = parse(&text, Library::of_ops(&|name| crate::ops::find(name))).expect("it can be read");
        let violations = verify(&graph).expect_err("it is malformed");
        assert!(violations.iter().any(|violation| violation.message.contains(said)), "{violations:?}");
    }
}
