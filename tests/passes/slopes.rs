//! Gradients that the pass `differentiate` wrote out, against finite differences in f64.
//!
//! Outputs say what they claim to be: `d NAME` is the gradient of `y` by the argument NAME, `slope` the derivative of `f`
//! by `x` in the direction of the argument `along`, `zero` is zero and `one` is one.

use std::collections::HashMap;

use tilewright::compiler::graph::{Graph, Precision, Symbol, Tensor, interpret};

const STEP: f64 = 1e-5;

/// Whether gradients stand in a graph or in a region of it.
pub fn has_gradients(graph: &Graph) -> bool {
    let mut nodes = graph.node_ids().map(|id| graph.node(id));
    nodes.any(|node| node.op.name == "vjp" || node.regions.iter().any(has_gradients))
}

pub fn hold(graph: &Graph, inputs: &[Tensor], sizes: &HashMap<Symbol, i64>) {
    let run = |inputs: &[Tensor]| -> HashMap<String, Tensor> {
        let lookup = |symbol: &Symbol| sizes.get(symbol).copied();
        let values = interpret(graph, inputs, &lookup, Precision::Wide).unwrap_or_else(|e| panic!("{e}\n{graph}"));
        graph.outputs().iter().map(|output| output.name.clone()).zip(values).collect()
    };
    let place = |name: &str| graph.arguments().iter().position(|argument| argument.name == name).expect("an argument");
    let moved = |argument: usize, by: &dyn Fn(usize) -> f64| {
        let mut inputs = inputs.to_vec();
        let old = &inputs[argument];
        let data = old.as_floats().expect("floats").iter().enumerate().map(|(idx, value)| value + by(idx)).collect();
        inputs[argument] = Tensor::floats(old.dtype, old.shape.clone(), data);
        run(&inputs)
    };
    for (name, found) in run(inputs) {
        let expected: Vec<f64> = match name.as_str() {
            "zero" => vec![0.0; found.n_elements()],
            "one" => vec![1.0; found.n_elements()],
            "slope" => {
                let along = inputs[place("along")].clone();
                let at = |sign: f64| moved(place("x"), &|idx| sign * STEP * along.float_at(idx));
                let (after, before) = (at(1.0), at(-1.0));
                let slope = |idx: usize| (after["f"].float_at(idx) - before["f"].float_at(idx)) / (2.0 * STEP);
                (0..found.n_elements()).map(slope).collect()
            }
            name => {
                let Some(argument) = name.strip_prefix("d ") else { continue };
                let slope = |idx: usize| {
                    let at =
                        |by: f64| moved(place(argument), &|own| if own == idx { by } else { 0.0 })["y"].float_at(0);
                    (at(STEP) - at(-STEP)) / (2.0 * STEP)
                };
                (0..found.n_elements()).map(slope).collect()
            }
        };
        for (idx, expected) in expected.into_iter().enumerate() {
            let found = found.float_at(idx);
            let close = (found - expected).abs() <= 1e-6 * (1.0 + expected.abs());
            assert!(close, "`{name}`, element {idx}: it is {found}, and the difference {expected}\n{graph}");
        }
    }
}
