//! Where exponentials become powers of two, and quotients products with reciprocals.

use super::groups::{check_graph, lowered};
use super::*;

/// The kernel of the one group of a graph, for vectors of 16 lanes.
fn text_of(text: &str) -> String {
    check_graph(&lowered(text), 1, &MACHINES[..4]);
    text_on(&MACHINES[0], text)
}

fn text_on(machine: &Machine, text: &str) -> String {
    let graph = lowered(text);
    let id = graph.node_ids().find(|&id| graph.node(id).op.name == "fused").expect("a group");
    kernel::print(&schedule(&graph, id, machine).expect("a kernel"))
}

fn of_formula(formula: &str) -> String {
    text_of(&format!(r#"graph @call(%0 "x": data f32[100]) {{ {formula} }}"#))
}

#[test]
fn the_logistic_function_divides_by_nothing() {
    for name in ["sigmoid", "silu"] {
        let kernel = of_formula(&format!("%1: f32[100] = {name}(%0)\nreturn %1 \"y\": data"));
        assert!(kernel.contains(" = exp2 ") && kernel.contains(" = recip "), "{kernel}");
        assert!(!kernel.contains(" = div ") && !kernel.contains(" = neg "), "{kernel}");
    }
}

#[test]
fn the_logistic_function_divides_where_that_is_quick() {
    let machine = Machine { divides: true, ..MACHINES[0] };
    // What is multiplied by a quotient is divided itself, unless the quotient is needed too.
    for (formula, products) in [
        ("%1: f32[100] = silu(%0)\nreturn %1 \"y\": data", 1),
        ("%1: f32[100] = sigmoid(%0)\nreturn %1 \"y\": data", 1),
        ("%1: f32[100] = sigmoid(%0)\n%2: f32[100] = mul(%1, %1)\nreturn %2 \"y\": data", 2),
        ("%1: f32[100] = sigmoid(%0)\n%2: f32[100] = mul(%1, %0)\nreturn %1 \"s\": data, %2 \"y\": data", 2),
    ] {
        let text = format!(r#"graph @call(%0 "x": data f32[100]) {{ {formula} }}"#);
        check_graph(&lowered(&text), 1, &[machine]);
        let kernel = text_on(&machine, &text);
        assert!(kernel.contains(" = exp2 ") && kernel.contains(" = div ") && !kernel.contains(" = recip "), "{kernel}");
        let count = kernel.matches(" = mul ").count() / kernel.matches(" = exp2 ").count();
        assert_eq!(count, products, "{kernel}");
    }
}

#[test]
fn what_is_rounded_to_bf16_is_made_of_rough_powers() {
    let rounded = "%1: f32[100] = silu(%0)\n%2: bf16[100] = cast(%1) {to = bf16}";
    let kernel = of_formula(&format!("{rounded}\nreturn %2 \"y\": data"));
    assert!(kernel.contains(" = rough_exp2 ") && !kernel.contains(" = exp2 "), "{kernel}");
    for others in ["%1 \"s\": data, %2 \"y\": data", "%1 \"y\": data"] {
        let kernel = of_formula(&format!("{rounded}\nreturn {others}"));
        assert!(kernel.contains(" = exp2 ") && !kernel.contains(" = rough_exp2 "), "{kernel}");
    }
}

#[test]
fn what_is_asked_for_itself_stays_exact() {
    let sum = "%1: f32[100] = exp(%0)\n%3: f32[100] = fill() {value = 1.0, shape = [100], dtype = f32}
               %4: f32[100] = add(%1, %3)";
    let taken = format!("{sum}\n%5: f32[100] = div(%3, %4)\n%6: f32[100] = mul(%5, %1)\nreturn %6 \"y\": data");
    let divided = format!("{sum}\n%5: f32[100] = div(%4, %0)\nreturn %5 \"y\": data");
    for formula in [taken, divided] {
        let kernel = of_formula(&formula);
        assert!(kernel.contains(" = exp ") && kernel.contains(" = div "), "{kernel}");
    }
}
