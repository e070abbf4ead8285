//! `resize` against the values that `tests/goldens/resize.py` writes out from the definitions, over fixed and open sizes.

use serde_json::Value as Json;

use super::*;
use crate::graph::DType;

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn ints(json: &Json) -> Option<Vec<i64>> {
    let values = json.as_array()?;
    Some(values.iter().map(|value| value.as_i64().expect("an integer")).collect())
}

fn shape(json: &Json) -> Vec<usize> {
    ints(json).expect("a shape").into_iter().map(|size| size as usize).collect()
}

#[test]
fn images_are_resized_by_the_definitions() {
    let text = include_str!("../../../../tests/goldens/resize.json");
    let cases: Vec<Json> = serde_json::from_str(text).expect("the goldens");
    assert!(cases.len() >= 50, "{}", cases.len());
    for case in &cases {
        let given = &case["attrs"];
        let mut attrs = Attrs::none().with("mode", given["mode"].as_str().expect("a mode"));
        attrs = attrs.with("align_corners", given["align_corners"].as_bool().expect("a bool"));
        for name in ["scale", "per"] {
            if let Some(values) = ints(&given[name]) {
                attrs = attrs.with(name, values);
            }
        }
        if let Some(size) = ints(&given["size"]) {
            attrs = attrs.with("size", size.into_iter().map(Dim::constant).collect::<Vec<_>>());
        }
        let x = Tensor::floats(DType::F64, shape(&case["shape"]), numbers(&case["data"]));
        let expected = Tensor::floats(DType::F64, shape(&case["result_shape"]), numbers(&case["result"]));
        let open = (0..x.shape.len()).map(|axis| Dim::symbol(format!("N{axis}"))).collect();
        for ty in [type_of(&x), Type::new(DType::F64, open)] {
            let graph = graph_of(find("resize").expect("the op"), &[ty], &attrs).expect("it applies");
            let found = interpret(&graph, std::slice::from_ref(&x), &|_: &Symbol| None, Precision::Wide);
            let found = found.unwrap_or_else(|error| panic!("{given}: {error}"));
            assert_close(&found[0], &expected, 1e-12, &given.to_string());
        }
    }
}
