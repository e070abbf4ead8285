//! Short ways to write things, against the long ones.

use super::*;

fn shapes(text: &str) -> Vec<String> {
    let model = model(&text_of(text), "M", &Options::default());
    let graph = model.entry("call").expect("the entry exists");
    verify(graph).expect("it is well formed");
    verify(&model.init).expect("so are the initial values");
    graph.outputs().iter().map(|output| graph.type_of(output.value).to_string()).collect()
}

#[test]
fn sorted_results_have_names() {
    let text = "model M() { fn call(x: [N, 9]) -> ([N, 3], i64[N, 3], i64[N, 9]) {
        let top = topk(x, 3, axis: 1)
        (top.value, top.index, sort(x, axis: 1).index)
    } }";
    assert_eq!(shapes(text), ["real[N, 3]", "i64[N, 3]", "i64[N, 9]"]);
}

#[test]
fn a_bound_that_is_left_out_does_not_hold() {
    let clip = |call: &str| {
        let text = format!("model M() {{ fn call(x: [3]) -> [3] {{ {call} }} }}");
        run(&text, "call", &[row(&[-2.0, 0.5, 2.0])])[0].as_floats().expect("floats").to_vec()
    };
    assert_eq!(clip("clip(x, low: 0)"), [0.0, 0.5, 2.0]);
    assert_eq!(clip("clip(x, high: 1)"), [-2.0, 0.5, 1.0]);
    assert_eq!(clip("clip(x, -1)"), [-1.0, 0.5, 2.0]);
    assert_eq!(clip("x |> clip(-1, 1)"), [-1.0, 0.5, 1.0]);
}

#[test]
fn a_new_axis_goes_on_to_be_one_where_others_are_indexed() {
    let text = "model M() { fn call(a: [N, 4], b: [M, 4], at: i64[]) -> ([N, M, 2], [N, M], [1, 2]) {
        let (a, b) = (exp(a)[:, new], b[new])
        (max(a[.., :2], b[:, :, 2:]), a[.., 3] + b[.., at], a[0, :, :2])
    } }";
    assert_eq!(shapes(text), ["real[N, M, 2]", "real[N, M]", "real[1, 2]"]);
    let swapped = "model M() { fn call(a: [N, 4], b: [M, 4]) -> [N, M] { a[:, new][:, 0, :1] + b[new][0, :, 0] } }";
    let program = text_of(swapped);
    let found = crate::front::elaborate::check(&program);
    assert_eq!(found.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), ["E0204"]);
}

#[test]
fn a_single_one_of_evenly_spaced_numbers_is_the_first() {
    let text = "model M() { fn call(x: [B]) -> ([B], [1], [3]) { (linspace(3, 7, B), linspace(3, 7, 1), linspace(3, 7, 3)) } }";
    for (given, wanted) in [(vec![0.0], vec![3.0]), (vec![0.0; 3], vec![3.0, 5.0, 7.0])] {
        let found = run(text, "call", &[row(&given)]);
        assert_eq!(found[0].as_floats().expect("floats"), wanted);
        assert_eq!(found[1].as_floats().expect("floats"), [3.0]);
        assert_eq!(found[2].as_floats().expect("floats"), [3.0, 5.0, 7.0]);
    }
}

#[test]
fn one_number_stands_for_every_spatial_axis() {
    let body = |pool: &str| {
        format!(
            "model M() {{ fn call(x: [B, 4, 9, 7], w: [4, 4, 3, 3]) -> [B, 4, _, _] {{
                let y = max_pool(x, {pool})
                avg_pool(convolve(y, w, padding: 1, stride: 2), size: 2, stride: 1)
            }} }}"
        )
    };
    let long = shapes(&body("size: [3, 3], stride: [2, 2], low: [1, 1], high: [1, 1]"));
    assert_eq!(long, ["real[B, 4, 2, 1]"]);
    for short in ["size: 3, stride: 2, padding: 1", "size: [3, 3], stride: 2, padding: [1, 1]"] {
        assert_eq!(shapes(&body(short)), long, "{short}");
    }
}

#[test]
fn options_are_words_even_where_an_op_has_the_name() {
    let body = |how: &str, put: &str| {
        let text = format!(
            "model M() {{ fn call(x: [B, 4, 9, 7], ids: i64[3], rows: [3]) -> ([B, 4, _, _], [8]) {{
                (window(x, combine: {how}, size: [2, 2]), scatter(\"[n], m -> m\", ones([8]), ids, rows, combine: {put}))
            }} }}"
        );
        model(&text_of(&text), "M", &Options::default()).entry("call").expect("the entry exists").to_string()
    };
    assert_eq!(body("add", "add"), body("\"add\"", "\"add\""));
    assert_eq!(body("max", "set"), body("\"max\"", "\"set\""));
}

#[test]
fn patterns_have_axes_of_size_one() {
    let text = "model M() { fn call(x: [B, 1, D]) -> ([B, D], [B, 1, D], [1, B, 1, D], [B, D, 1]) {
        let flat = rearrange(x, \"b 1 d -> b d\")
        (flat, rearrange(flat, \"b d -> b 1 d\"), rearrange(flat, \"b d -> () b (1) d\"), repeat(x, \"b () d -> b (d 1) n\", n: 1))
    } }";
    assert_eq!(shapes(text), ["real[B, D]", "real[B, 1, D]", "real[1, B, 1, D]", "real[B, D, 1]"]);
}

#[test]
fn a_size_is_one_at_least_unless_none_is_allowed() {
    let low = |condition: &str| {
        let text = format!("model M() {{ fn call(x: [N]) -> [N] {condition} {{ x }} }}");
        let model = model(&text_of(&text), "M", &Options::default());
        let graph = model.entry("call").expect("the entry exists");
        verify(&model.init).expect("a model without members is whole");
        graph.sizes.lower_bound(&crate::graph::Dim::symbol("N"))
    };
    assert_eq!(low(""), Some(1));
    assert_eq!(low("where N <= 9"), Some(1));
    assert_eq!(low("where N >= 0 and N <= 9"), Some(0));
    assert_eq!(low("where N > 3"), Some(4));
    let text = "model M() { fn call(x: [N]) -> [] { x[0] } }";
    let model = model(&text_of(text), "M", &Options::default());
    assert_eq!(model.entry("call").expect("the entry exists").checks, []);
}

#[test]
fn a_residual_network_pools_with_padding() {
    let text = include_str!("../../../../../specs/vision/resnet.tw");
    let model = model(&text_of(text), "ResNet", &Options::default());
    let call = model.entry("call").expect("the entry exists");
    assert_eq!(call.type_of(call.outputs()[0].value).to_string(), "real[B, 1000]");
}

#[test]
fn functions_stand_among_members() {
    let text = "module Scale(of: float) {
        by = param [1] = of
        fn call(x: [N]) -> [N] { by * x }
    }
    model M() {
        let bends = [relu, exp]
        body  = [Scale(2), bends[1], Scale(3), (bend: relu, after: Scale(5)).after]
        twice = clone(body)
        fn call(x: [N]) -> [N] { body(x) }
        fn both(x: [N]) -> [N] { twice(eval(body)(x)) }
        fn slope(x: [N]) -> [1] { grad(sum(body(x)), body)[2].by }
    }";
    let program = text_of(text);
    let model = model(&program, "M", &Options::default());
    let paths: Vec<&str> = model.params.iter().map(|param| param.path.as_str()).collect();
    assert_eq!(paths, ["body.0.by", "body.2.by", "body.3.by", "twice.0.by", "twice.2.by", "twice.3.by"]);
    assert!(model.entry("call").expect("the entry exists").to_string().contains("exp("));
    assert!(model.entry("slope").is_some() && model.entry("both").is_some());
}

#[test]
fn constants_take_the_type_that_they_meet() {
    let entry = |body: &str| {
        let text = format!("model M() {{ fn call(x: f64[2], n: i64[2], at: i32[3]) {{ {body} }} }}");
        model(&text_of(&text), "M", &Options::default()).entry("call").expect("the entry exists").to_string()
    };
    for body in ["x + tensor([0.1, 0.2])", "x + f64(tensor([0.1, 0.2]))", "x + f64(0.1)"] {
        let graph = entry(body);
        assert!(graph.contains("0.1") && graph.contains("f64") && !graph.contains("= cast("), "{graph}");
    }
    assert_eq!(entry("n ^ 13").matches("= mul(").count(), 5, "by squares");
    assert!(entry("x[at]").contains("= cast("), "a place is an i64");
}
