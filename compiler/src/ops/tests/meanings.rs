//! Composites against direct formulas, control flow, and what is refused.

use super::*;
use crate::graph::{Builder, DType, Type};

fn floats(values: &[f64]) -> Tensor {
    Tensor::floats(DType::Real, vec![values.len()], values.to_vec())
}

#[test]
fn activations_agree_with_their_formulas() {
    let x = [-800.0, -30.0, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0, 800.0];
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let formulas: [(&str, &dyn Fn(f64) -> f64); 12] = [
        ("sigmoid", &sigmoid),
        ("silu", &|x| x * sigmoid(x)),
        ("relu6", &|x| x.clamp(0.0, 6.0)),
        ("softplus", &softplus),
        ("hardsigmoid", &|x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("hardswish", &|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("mish", &|x| x * softplus(x).tanh()),
        ("selu", &|x| 1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }),
        ("elu", &|x| if x > 0.0 { x } else { x.exp_m1() }),
        ("gelu", &|x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))),
        ("square", &|x| x * x),
        ("leaky_relu", &|x| if x > 0.0 { x } else { 0.01 * x }),
    ];
    for (op, formula) in formulas {
        let found = run(op, &[floats(&x)], Attrs::none(), Precision::Wide).unwrap();
        let expected: Vec<f64> = x.iter().map(|&x| formula(x)).collect();
        assert_close(&found[0], &floats(&expected), 1e-14, op);
    }
}

#[test]
fn a_row_that_is_masked_whole_gives_zeros() {
    let x = floats(&[f64::NEG_INFINITY; 3]);
    let found = run("softmax", std::slice::from_ref(&x), Attrs::none(), Precision::Wide).unwrap();
    assert_eq!(found[0].as_floats().unwrap(), [0.0; 3]);
    for op in ["logsumexp", "log_softmax"] {
        let found = run(op, std::slice::from_ref(&x), Attrs::none(), Precision::Wide).unwrap();
        assert!(found[0].as_floats().unwrap().iter().all(|&v| v == f64::NEG_INFINITY), "{op}");
    }
}

#[test]
fn narrow_floats_are_summed_in_wide_ones() {
    let ones = Tensor::splat(DType::BF16, vec![1000], 1.0);
    let found = run("reduce_sum", &[ones], Attrs::none(), Precision::Declared).unwrap();
    assert_eq!((found[0].dtype, found[0].float_at(0)), (DType::BF16, 1000.0));
}

/// Where all else is wide too: who casts to them wants their rounding, halves to the even neighbour.
#[test]
fn casts_to_narrow_floats_round() {
    let x = floats(&[1.003, 1.01171875, 1.00390625, -1.01953125, 1e39]);
    for (to, wanted) in [
        (DType::BF16, [1.0, 1.015625, 1.0, -1.015625, f64::INFINITY]),
        (DType::F16, [1.0029296875, 1.01171875, 1.00390625, -1.01953125, f64::INFINITY]),
    ] {
        let found = run("cast", std::slice::from_ref(&x), Attrs::none().with("to", to), Precision::Asked).unwrap();
        assert_eq!(found[0].as_floats().unwrap(), wanted, "{to}");
    }
}

#[test]
fn a_sum_of_negative_zeros_is_not_negative() {
    let found = run("reduce_sum", &[floats(&[-0.0, -0.0])], Attrs::none(), Precision::Wide).unwrap();
    assert!(found[0].float_at(0).is_sign_positive());
}

#[test]
fn empty_reductions_give_their_identity() {
    let empty = floats(&[]);
    for (op, identity) in [("reduce_sum", 0.0), ("reduce_prod", 1.0), ("reduce_max", f64::NEG_INFINITY)] {
        let found = run(op, std::slice::from_ref(&empty), Attrs::none(), Precision::Wide).unwrap();
        assert_eq!(found[0].float_at(0), identity, "{op}");
    }
    let empty = Tensor::ints(DType::I32, vec![0], vec![]);
    let found = run("reduce_max", &[empty], Attrs::none(), Precision::Wide).unwrap();
    assert_eq!(found[0].int_at(0), i64::from(i32::MIN));
}

/// A body that adds its index to its carry and gives the square of the sum besides.
fn body(squares: bool) -> Graph {
    let mut graph = Graph::new("body");
    let scalar = Type::scalar(DType::I64);
    let index = graph.add_argument("i", Role::Data, scalar.clone());
    let carry = graph.add_argument("c", Role::Data, scalar);
    let mut b = Builder::new(&mut graph, Origin::default());
    let sum = b.add(index, carry).unwrap();
    let square = b.mul(sum, sum).unwrap();
    graph.add_output("c", Role::Data, sum);
    if squares {
        graph.add_output("s", Role::Data, square);
    }
    graph
}

fn control(op: &'static OpDef, n_operands: usize, attrs: Attrs, regions: Vec<Graph>, inputs: &[i64]) -> Vec<Tensor> {
    let mut graph = Graph::new("control");
    let operands: Vec<_> =
        (0..n_operands).map(|i| graph.add_argument(format!("x{i}"), Role::Data, Type::scalar(DType::I64))).collect();
    let node = graph.apply(op, &operands, &attrs, regions, &Origin::default()).unwrap();
    for value in graph.results(node).collect::<Vec<_>>() {
        graph.add_output("y", Role::Data, value);
    }
    let inputs: Vec<_> = inputs.iter().map(|&value| Tensor::int_scalar(DType::I64, value)).collect();
    interpret(&graph, &inputs, &|symbol| (symbol.name() == "T").then_some(4), Precision::Wide).unwrap()
}

#[test]
fn loops_pass_values_on() {
    let found = control(&r#loop::OP, 3, Attrs::none().with("carries", 1), vec![body(false)], &[2, 5, 100]);
    assert_eq!(found[0].int_at(0), 100 + 2 + 3 + 4);
    let found = control(&r#loop::OP, 3, Attrs::none().with("carries", 1), vec![body(false)], &[5, 2, 100]);
    assert_eq!(found[0].int_at(0), 100);
    let attrs = Attrs::none().with("carries", 1).with("trip", Dim::symbol("T"));
    let found = control(&scan::OP, 1, attrs, vec![body(true)], &[1]);
    assert_eq!(found[0].int_at(0), 7);
    assert_eq!((found[1].shape.as_slice(), found[1].as_ints().unwrap()), (&[4][..], &[1, 4, 16, 49][..]));
}

#[test]
fn while_stops_at_its_bound_or_its_condition() {
    let region = |compare: bool| {
        let mut graph = Graph::new("region");
        let x = graph.add_argument("x", Role::Data, Type::scalar(DType::I64));
        let mut b = Builder::new(&mut graph, Origin::default());
        let ten = b.number(10.0, x).unwrap();
        let result = if compare { b.lt(x, ten).unwrap() } else { b.add_number(x, 3.0).unwrap() };
        graph.add_output("y", Role::Data, result);
        graph
    };
    for (attrs, last) in [(Attrs::none(), 12), (Attrs::none().with("at_most", Dim::constant(2)), 6)] {
        let found = control(&r#while::OP, 1, attrs.with("carries", 1), vec![region(true), region(false)], &[0]);
        assert_eq!(found[0].int_at(0), last);
    }
}

#[test]
fn mistakes_are_explained() {
    let cases = [
        ("add", vec![vec![2, 3], vec![3, 2]], Attrs::none(), "`a` is [2, 3] and `b` is [3, 2]"),
        ("reshape", vec![vec![2, 3]], Attrs::none().with("shape", vec![Dim::constant(4)]), "holds 6 elements"),
        (
            "contract",
            vec![vec![2, 3], vec![4, 5]],
            Attrs::none().with("pattern", "i j, j k -> i k"),
            "`j` is 3 in `a` and 4 in `b`",
        ),
        ("contract", vec![vec![2], vec![2]], Attrs::none().with("pattern", "i, i -> j"), "`j` is in the result"),
        ("einsum", vec![vec![2]], Attrs::none().with("pattern", "i"), "the result is missing"),
        ("softmax", vec![vec![2]], Attrs::none().with("axis", 3), "there is no axis 3"),
        ("concat", vec![vec![2, 3], vec![2, 4]], Attrs::none(), "does not continue"),
        ("convolve", vec![vec![1, 3, 8], vec![4, 2, 3]], Attrs::none(), "3 channels"),
        ("window", vec![vec![2]], Attrs::none().with("combine", "max").with("size", vec![5]), "does not fit"),
    ];
    for (op, shapes, attrs, message) in cases {
        let types: Vec<Type> = shapes
            .iter()
            .map(|shape| Type::new(DType::Real, shape.iter().map(|&size| Dim::constant(size)).collect()))
            .collect();
        let error = graph_of(find(op).unwrap(), &types, &attrs).err().unwrap_or_else(|| panic!("{op} is accepted"));
        assert!(error.message.contains(message), "{op}: {}", error.message);
    }
}

#[test]
fn large_graphs_and_tensors_are_refused_not_tried() {
    let mut graph = Graph::new("hostile");
    let mut b = Builder::new(&mut graph, Origin::default());
    let ty = Type::new(DType::Real, vec![Dim::symbol("N"), Dim::symbol("N")]);
    let x = b.filled(1.0, ty).unwrap();
    let y = b.add(x, x).unwrap();
    graph.add_output("y", Role::Data, y);
    let with = |n: i64| interpret(&graph, &[], &|_| Some(n), Precision::Wide);
    assert_eq!(with(3).unwrap()[0].n_elements(), 9);
    for n in [1 << 20, i64::MAX, -1] {
        assert!(with(n).is_err(), "{n}");
    }
}

#[test]
fn random_bits_are_those_of_programs() {
    let attrs = Attrs::none().with("shape", vec![Dim::constant(2), Dim::constant(3)]).with("key", -5).with("word", 2);
    let operands = [7, 11].map(|value| Tensor::int_scalar(DType::I64, value));
    let found = run("random_bits", &operands, attrs, Precision::Wide).unwrap();
    let expected = (0..6).map(|idx| tilewright_runtime::program::random::random_bits(7, 11, -5i64 as u64, idx, 2));
    assert_eq!(found[0].as_ints().unwrap(), expected.map(i64::from).collect::<Vec<_>>());
}

#[test]
fn positions_out_of_range_read_nothing_and_are_dropped() {
    let x = floats(&[1.0, 2.0, 3.0]);
    let at = Tensor::ints(DType::I64, vec![4], vec![2, -1, 3, 0]);
    let attrs = Attrs::none().with("pattern", "[n], m -> m");
    let found = run("gather", &[x.clone(), at.clone()], attrs, Precision::Wide).unwrap();
    assert_eq!(found[0].as_floats().unwrap(), [3.0, 0.0, 0.0, 1.0]);
    let attrs = Attrs::none().with("pattern", "[n], m, m").with("combine", "add");
    let found = run("scatter", &[x.clone(), at, floats(&[10.0, 20.0, 30.0, 40.0])], attrs, Precision::Wide).unwrap();
    assert_eq!(found[0].as_floats().unwrap(), [41.0, 2.0, 13.0]);
    let far = Tensor::int_scalar(DType::I64, 9);
    let found = run("slice_at", &[x, far], Attrs::none().with("size", Dim::constant(2)), Precision::Wide).unwrap();
    assert_eq!(found[0].as_floats().unwrap(), [2.0, 3.0]);
}

#[test]
fn images_grow_along_lines() {
    // By hand: the new positions are (o + 1/2) / 2 - 1/2 within the image, or o * 2 / 5 with aligned corners.
    let x = floats(&[0.0, 1.0, 4.0]);
    let cases: [(&str, bool, [f64; 6]); 3] = [
        ("nearest", false, [0.0, 0.0, 1.0, 1.0, 4.0, 4.0]),
        ("bilinear", false, [0.0, 0.25, 0.75, 1.75, 3.25, 4.0]),
        ("bilinear", true, [0.0, 0.4, 0.8, 1.6, 2.8, 4.0]),
    ];
    for (mode, corners, expected) in cases {
        let attrs = Attrs::none().with("scale", vec![2]).with("mode", mode).with("align_corners", corners);
        let found = run("resize", std::slice::from_ref(&x), attrs, Precision::Wide).unwrap();
        assert_close(&found[0], &floats(&expected), 1e-15, mode);
    }
}
