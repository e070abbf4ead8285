//! Tuples whose fields have names: those pair by name, wherever one tuple takes the place of another.

use super::*;

/// What `call` makes of x = 2 and y = 3, where the fields are exchanged if they pair by position.
fn made(call: &str) -> Vec<f64> {
    let text = format!("model M() {{ fn call(x: [1], y: [1]) -> [1] {{ {call} }} }}");
    run(&text, "call", &[row(&[2.0]), row(&[3.0])])[0].as_floats().expect("floats").to_vec()
}

#[test]
fn fields_pair_by_name() {
    for call in [
        "let t: (a: [1], b: [1]) = (b: y, a: x)\n t.a * 10 + t.b",
        "fn f(p: (a: [1], b: [1])) -> [1] { p.a * 10 + p.b }\n f((b: y, a: x))",
        "fn f() -> (a: [1], b: [1]) { (b: y, a: x) }\n f().a * 10 + f().b",
        "let t = loop i in 0..1 carry s = (a: x, b: y) { (b: s.b, a: s.a) }\n t.a * 10 + t.b",
        "let (t, _) = scan i in 0..1 carry s = (a: x, b: y) { ((b: s.b, a: s.a), s.a) }\n t.a * 10 + t.b",
        "let t = if sum(x) > 5 { (a: y, b: x) } else { (b: y, a: x) }\n t.a * 10 + t.b",
        "let t = (a: y, b: x)\n if sum(x) > 1 { t = (b: y, a: x) }\n t.a * 10 + t.b",
        "let t = lerp((a: x, b: y), (b: y, a: x), 0.5)\n t.a * 10 + t.b",
        "let t: (p: (a: [1], b: [1]), q: [1]) = (q: x, p: (b: y, a: x))\n t.p.a * 10 + t.p.b",
    ] {
        assert_eq!(made(call), [23.0], "{call}");
    }
}

#[test]
fn fields_without_names_pair_by_position() {
    for call in [
        "let t: (a: [1], b: [1]) = (x, y)\n t.a * 10 + t.b",
        "let t: ([1], [1]) = (b: x, a: y)\n t.b * 10 + t.a",
        "let t = loop i in 0..1 carry s = (a: x, b: y) { (s.a, s.b) }\n t.a * 10 + t.b",
    ] {
        assert_eq!(made(call), [23.0], "{call}");
    }
}
