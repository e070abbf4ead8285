//! Lists of places: which elements they read, and what is asked where the size of the axis is open.

use super::*;

fn taken(index: &str, ty: &str, values: &[f64]) -> Vec<f64> {
    let text = format!("model M() {{ fn call(x: [{ty}]) -> [_] {{ x[{index}] }} }}");
    run(&text, "call", &[row(values)])[0].as_floats().expect("floats").to_vec()
}

#[test]
fn places_below_zero_count_from_the_end() {
    let values = [1.0, 2.0, 4.0, 8.0];
    for ty in ["4", "N"] {
        for (index, wanted) in [
            ("[3, 0, -1]", vec![8.0, 1.0, 8.0]),
            ("[-1]", vec![8.0]),
            ("[-2, -1]", vec![4.0, 8.0]),
            ("[-1, 0]", vec![8.0, 1.0]),
            ("[2, -4]", vec![4.0, 1.0]),
        ] {
            assert_eq!(taken(index, ty, &values), wanted, "{index} of [{ty}]");
        }
    }
}

#[test]
fn lists_of_lists_have_places_below_zero_too() {
    for ty in ["4", "N"] {
        let text = format!("model M() {{ fn call(x: [{ty}]) -> [2, 2] {{ x[[[0, -1], [-2, 1]]] }} }}");
        let found = run(&text, "call", &[row(&[1.0, 2.0, 4.0, 8.0])]);
        assert_eq!(found[0].as_floats().expect("floats"), [1.0, 8.0, 4.0, 2.0]);
    }
}

#[test]
fn an_open_axis_is_asked_whether_the_places_lie_on_it() {
    let text = "model M() { fn call(x: [N]) -> [3] { x[[2, 0, -4]] } }";
    let model = model(&text_of(text), "M", &Options::default());
    let graph = model.entry("call").expect("the entry exists");
    let run = |values: &[f64]| interpret(graph, &[row(values)], &|_| None, Precision::Wide);
    assert_eq!(run(&[1.0, 2.0, 4.0, 8.0]).expect("it fits")[0].as_floats().expect("floats"), [4.0, 1.0, 1.0]);
    let error = run(&[1.0, 2.0, 4.0]).expect_err("there is no fourth from the end").to_string();
    assert!(error.contains("`[2, 0, -4]` does not fit"), "{error}");
}
