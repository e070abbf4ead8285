//! Gradients as a spec asks for them, against closed forms.

use super::*;
use crate::passes::{Context, differentiate};

pub fn derived(text: &str, inputs: &[Tensor]) -> Vec<Tensor> {
    let program = text_of(text);
    let model = model(&program, "M", &Options::default());
    let graph = model.entry("call").expect("the entry exists");
    verify(graph).expect("it is well formed");
    let graph = (differentiate::PASS.run)(graph, &Context::default()).expect("it is differentiated");
    verify(&graph).expect("it is well formed still");
    interpret(&graph, inputs, &|_| None, Precision::Wide).expect("it runs")
}

fn close(found: &Tensor, wanted: &[f64]) {
    assert_eq!(found.n_elements(), wanted.len());
    for (idx, wanted) in wanted.iter().enumerate() {
        assert!((found.float_at(idx) - wanted).abs() < 1e-9, "{idx}: {found:?} is not {wanted}");
    }
}

#[test]
fn gradients_nest() {
    let text = "model M() {
        fn call(x: [3]) -> (first: [3], second: [3], along: [3]) {
            let slope = grad(sum(x ^ 3), x)
            (first: slope, second: grad(sum(slope), x), along: jvp(sin(x), x, 2 * x))
        }
    }";
    let x = [0.5, -1.0, 2.0];
    let found = derived(text, &[row(&x)]);
    close(&found[0], &x.map(|x| 3.0 * x * x));
    close(&found[1], &x.map(|x| 6.0 * x));
    close(&found[2], &x.map(|x| 2.0 * x * x.cos()));
}

#[test]
fn a_module_is_differentiated_leaf_by_leaf() {
    let text = "module Linear(n: int) {
        weight = param [n] = ones
        bias   = param [] = zeros
        fn call(x: [n]) -> [] { sum(weight * x) + bias }
    }
    model M() {
        fc = Linear(2)
        fn call(x: [2]) -> (w: [2], b: [], x: [2]) {
            let y = fc(x) ^ 2
            let g = grad(y, fc)
            (w: g.weight, b: g.bias, x: grad(y, x))
        }
    }";
    // Arguments: the data, then the params in the order of their use.
    let found = derived(text, &[row(&[1.0, 2.0]), row(&[3.0, 4.0]), row(&[0.5]).reshaped(vec![])]);
    close(&found[0], &[23.0, 46.0]);
    close(&found[1], &[23.0]);
    close(&found[2], &[69.0, 92.0]);
}

#[test]
fn control_flow_is_differentiated() {
    let text = "model M() {
        fn call(x: [3], positive: bool[]) -> (a: [3], b: [3], c: [3], d: [3]) {
            let a = loop i in 1..4 carry y = x { y * x + i }
            let (last, all) = scan t in 0..2 carry y = x { (y * x, sin(y)) }
            let c = if positive { x ^ 2 } else { exp(x) }
            let (d, _) = loop while sum(x) < 100, at most 2 carry (y, n) = (x, 0) { (y * x, n + 1) }
            (a: grad(sum(a), x), b: grad(sum(last) + sum(all), x), c: grad(sum(c), x), d: grad(sum(d), x))
        }
    }";
    let x = [0.5, -1.0, 2.0];
    let found = derived(text, &[row(&x), Tensor::ints(DType::Bool, vec![], vec![0])]);
    close(&found[0], &x.map(|x| 4.0 * x * x * x + 3.0 * x * x * 0.0 + 2.0 * x + 2.0));
    close(&found[1], &x.map(|x| 3.0 * x * x + x.cos() + 2.0 * x * (x * x).cos()));
    close(&found[2], &x.map(f64::exp));
    close(&found[3], &x.map(|x| 3.0 * x * x));
}

#[test]
fn gradients_stop_and_go_straight() {
    let text = "model M() {
        fn call(x: [3]) -> (a: [3], b: [3]) {
            let rounded = straight_through(round(x), x)
            (a: grad(sum(x * stop_gradient(x)), x), b: grad(sum(rounded ^ 2), x))
        }
    }";
    let x = [0.4, -1.2, 2.0];
    let found = derived(text, &[row(&x)]);
    close(&found[0], &x);
    close(&found[1], &x.map(|x| 2.0 * x.round()));
}
