//! Every op's gradient against finite differences in f64, by the op table: a new op is covered as it is added.

use super::*;
use crate::graph::{Builder, Value};
use crate::passes::{Context as Passes, differentiate};

/// The loss: the results, weighted by fixed numbers so that no two elements count alike.
fn weighted(b: &mut Builder, results: &[Value], seed: u64) -> Option<Value> {
    let mut sampler = Sampler::new(seed ^ 0x5eed);
    let mut loss = None;
    for result in results {
        if !b.type_of(*result).dtype.is_float() {
            continue;
        }
        let result = b.cast(*result, crate::graph::DType::F64).unwrap();
        let result = b.finite_or_zero(result).unwrap();
        let ty = b.type_of(result).clone();
        let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.as_constant().unwrap() as usize).collect();
        let n = shape.iter().product::<usize>();
        let weights: Vec<f64> = (0..n).map(|_| sampler.float(0.5, 1.5)).collect();
        let weights = std::sync::Arc::new(Tensor::floats(ty.dtype, shape, weights));
        let weights = b.apply(&constant::OP, &[], Attrs::none().with("value", weights)).unwrap();
        let part = b.mul(result, weights).unwrap();
        let axes: Vec<usize> = (0..ty.shape.len()).collect();
        let part = b.sum(part, &axes, false).unwrap();
        loss = Some(match loss {
            Some(loss) => b.add(loss, part).unwrap(),
            None => part,
        });
    }
    loss
}

/// A graph that gives the loss and its gradient by every float operand.
fn with_gradient(graph: &Graph, seed: u64) -> Option<Graph> {
    let mut graph = graph.clone();
    let results: Vec<Value> = graph.outputs().iter().map(|output| output.value).collect();
    let inputs: Vec<Value> = graph.arguments().iter().map(|argument| argument.value).collect();
    let floats: Vec<Value> = inputs.iter().copied().filter(|value| graph.type_of(*value).dtype.is_float()).collect();
    if floats.is_empty() {
        return None;
    }
    let mut b = Builder::new(&mut graph, Origin::default());
    let loss = weighted(&mut b, &results, seed)?;
    let one = b.number(1.0, loss).unwrap();
    let gradients = b.apply_with(&vjp::OP, &[&[loss, one], &floats[..]].concat(), Attrs::none(), Vec::new()).unwrap();
    for (idx, value) in std::iter::once(loss).chain(gradients).enumerate() {
        graph.add_output(format!("g{idx}"), Role::Data, value);
    }
    Some(graph)
}

pub fn differentiated(graph: &Graph, place: &str) -> Graph {
    let graph = (differentiate::PASS.run)(graph, &Passes::default()).unwrap_or_else(|e| panic!("{place}: {e}"));
    crate::graph::verify::verify(&graph).unwrap_or_else(|e| panic!("{place}: {e:?}\n{graph}"));
    graph
}

fn evaluated(graph: &Graph, inputs: &[Tensor], place: &str) -> Vec<Tensor> {
    let results = interpret(graph, inputs, &|_: &Symbol| None, Precision::Wide);
    results.unwrap_or_else(|e| panic!("{place}: {e}\n{graph}"))
}

const STEP: f64 = 1e-5;

/// Holds the gradient against central differences along a few axes; elements near a kink, where the two one-sided
/// differences disagree, say nothing.
fn agrees(graph: &Graph, inputs: &[Tensor], seed: u64, place: &str) -> usize {
    let n_results = graph.outputs().len();
    let Some(with) = with_gradient(graph, seed) else { return 0 };
    let with = differentiated(&with, place);
    let found = evaluated(&with, inputs, place);
    let loss_of = |inputs: &[Tensor]| evaluated(&with, inputs, place)[n_results].float_at(0);
    let centre = loss_of(inputs);
    let mut sampler = Sampler::new(seed);
    let mut n_compared = 0;
    let floats = (0..inputs.len()).filter(|&idx| inputs[idx].dtype.is_float());
    for (nth, operand) in floats.enumerate() {
        let gradient = &found[n_results + 1 + nth];
        assert_eq!(gradient.shape, inputs[operand].shape, "{place}");
        let n = inputs[operand].n_elements();
        for _ in 0..n.min(4) {
            let element = sampler.int(0, n as i64 - 1) as usize;
            let moved = |by: f64| {
                let mut inputs = inputs.to_vec();
                let mut data = inputs[operand].as_floats().unwrap().to_vec();
                data[element] += by;
                inputs[operand] = Tensor::floats(inputs[operand].dtype, inputs[operand].shape.clone(), data);
                loss_of(&inputs)
            };
            let (after, before) = (moved(STEP), moved(-STEP));
            let (right, left, slope) =
                ((after - centre) / STEP, (centre - before) / STEP, (after - before) / (2.0 * STEP));
            let found = gradient.float_at(element);
            assert!(found.is_finite(), "{place}: the gradient by operand {operand} is {found}\n{with}");
            let scale = 1.0 + slope.abs() + centre.abs();
            if (right - left).abs() > 0.02 * scale {
                continue;
            }
            n_compared += 1;
            assert!(
                (found - slope).abs() <= 1e-6 * scale,
                "{place}: by element {element} of operand {operand} it is {found}, and the difference {slope}\n{with}"
            );
        }
    }
    n_compared
}

/// Types that are pinned are checked in f64 like the rest.
fn wide(sample: &Sample) -> Sample {
    let mut sample = sample.clone();
    for ty in sample.operands.iter_mut().filter(|ty| ty.dtype.is_float()) {
        ty.dtype = crate::graph::DType::F64;
    }
    sample
}

#[test]
fn gradients_agree_with_finite_differences() {
    let stops =
        |op: &OpDef| [&stop_gradient::OP, &stop_gradient::STRAIGHT_THROUGH].iter().any(|own| std::ptr::eq(*own, op));
    for op in TABLE.iter().filter(|op| op.sample.is_some() && !stops(op)) {
        let (mut n_compared, mut n_of_floats) = (0, 0);
        for seed in 0..20 {
            let mut sampler = Sampler::new(seed * 31 + 7);
            let sample = wide(&op.sample.unwrap()(op, &mut sampler));
            let inputs = inputs_of(&sample, &mut sampler);
            let place = format!("{} with seed {seed}: {sample:?}", op.name);
            let graph = graph_of(op, &sample.operands, &sample.attrs).unwrap_or_else(|e| panic!("{place}: {e}"));
            let is_float = |value: Value| graph.type_of(value).dtype.is_float();
            let floats = graph.arguments().iter().any(|argument| is_float(argument.value));
            n_of_floats += usize::from(floats && graph.outputs().iter().any(|output| is_float(output.value)));
            n_compared += agrees(&graph, &inputs, seed, &place);
        }
        assert!(n_compared >= n_of_floats, "{}: only {n_compared} elements say something", op.name);
    }
}

/// The first zero of a row has a gradient, those after it have none, and no element divides by one.
#[test]
fn running_products_of_zeros_have_gradients() {
    let rows = [[2.0, 0.0, 3.0, 0.5], [0.0, 4.0, 0.0, 2.0], [0.0, 0.0, 1.5, 2.0], [1.0, 2.0, 3.0, 0.0]];
    let x = Tensor::floats(crate::graph::DType::F64, vec![4, 4], rows.concat());
    for (exclusive, reverse, axis) in [(false, false, 1), (true, false, 1), (false, true, 1), (true, true, 0)] {
        let attrs = Attrs::none().with("combine", "mul").with("axis", axis);
        let attrs = attrs.with("exclusive", exclusive).with("reverse", reverse);
        let ty = Type::new(crate::graph::DType::F64, [4, 4].map(crate::graph::Dim::constant).to_vec());
        let graph = graph_of(&cumulate::OP, &[ty], &attrs).unwrap();
        let place = format!("exclusive {exclusive}, reverse {reverse}");
        let n_compared: usize = (0..8).map(|seed| agrees(&graph, std::slice::from_ref(&x), seed, &place)).sum();
        assert!(n_compared > 16, "{place}: {n_compared}");
    }
}
