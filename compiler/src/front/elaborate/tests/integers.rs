//! Integers of config stay what was written, beyond what floats hold.

use super::*;
use crate::driver::Interpreter;

/// The least positive integer that no float is.
const ODD: i64 = (1 << 53) + 1;

fn ints(expression: &str, x: i64) -> Vec<i64> {
    let text = format!("model M() {{ fn call(x: i64[1]) -> i64[1] {{ {expression} }} }}");
    let x = Tensor::ints(DType::I64, vec![1], vec![x]);
    run(&text, "call", &[x])[0].as_ints().expect("integers").to_vec()
}

#[test]
fn numbers_beside_integers_are_exact() {
    assert_eq!(ints(&format!("x + {ODD}"), 0), [ODD]);
    assert_eq!(ints(&format!("i64(x == {ODD})"), ODD - 1), [0]);
    assert_eq!(ints(&format!("select(x > 0, {ODD}, x)"), 1), [ODD]);
    assert_eq!(ints(&format!("clip(x, high: {ODD})"), ODD + 2), [ODD]);
    assert_eq!(ints(&format!("x + tensor([{ODD}])"), 0), [ODD]);
    assert_eq!(ints(&format!("if {ODD} == {} {{ x }} else {{ x + 1 }}", ODD - 1), 0), [1]);
}

#[test]
fn initial_values_and_defaults_are_exact() {
    let text = format!(
        "model M() {{
            held = state i64[2] = {ODD}
            fn plus(x: i64[2], y: i64[] = {ODD}) -> i64[2] {{ x + y }}
            fn call(x: i64[2]) -> i64[2] {{ plus(x) - held }}
        }}"
    );
    let model = model(&text_of(&text), "M", &Options::default());
    let mut interpreter = Interpreter::new(model, HashMap::new(), Precision::Wide);
    interpreter.initialize().expect("it has initial values");
    let x = Tensor::ints(DType::I64, vec![2], vec![0, 1]);
    let found = interpreter.run("call", &HashMap::from([("x".to_string(), x)])).expect("it runs");
    assert_eq!(found[0].1.as_ints(), Some(&[0, 1][..]));
}

#[test]
fn a_float_attribute_refuses_what_no_float_is() {
    let program = text_of(&format!(
        "model M() {{ fn call(x: i64[3]) -> i64[4] {{ pad(x, axis: 0, before: 1, value: {ODD}) }} }}"
    ));
    let diagnostics = elaborate(&program, "M", &Options::default()).err().expect("an error");
    let shown = shown(&program, &diagnostics);
    assert!(shown.contains("`value` is a float, and no float is 9007199254740993"), "{shown}");
}

#[test]
fn products_of_integers_are_summed_in_their_type() {
    let text = "model M() {
        fn call(x: i8[2, 2], y: i8[2, 2]) -> i8[2, 2] { einsum(\"i k, k j -> i j\", x, y) }
        fn shared(x: i8[2, 2], y: i8[2, 2]) -> i8[2] { einsum(\"i k, k j, i j -> i\", x, y, x) }
        fn places(x: [3]) -> [3, 3] { einsum(\"i, j -> i j\", iota(3), iota(3)) * x }
    }";
    let bytes = |values: [i64; 4]| Tensor::ints(DType::I8, vec![2, 2], values.to_vec());
    let inputs = [bytes([100, 2, 3, 4]), bytes([2, -1, 1, 5])];
    assert_eq!(run(text, "call", &inputs)[0].as_ints(), Some(&[-54, -90, 10, 17][..]));
    assert_eq!(run(text, "shared", &inputs)[0].as_ints(), Some(&[52, 98][..]));
    let x = Tensor::floats(DType::F64, vec![3], vec![1.0, 0.5, 1.0]);
    let wanted = [0.0, 0.0, 0.0, 0.0, 0.5, 2.0, 0.0, 1.0, 4.0];
    assert_eq!(run(text, "places", &[x])[0].as_floats(), Some(&wanted[..]));
}
