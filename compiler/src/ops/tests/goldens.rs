//! The evaluator against golden values from PyTorch, `tests/goldens/ops.json`.
//!
//! Invariant: a golden op is either translated to ours or listed as belonging elsewhere.

use serde_json::Value as Json;

use super::*;
use crate::graph::DType;

/// Golden ops that specs or the front end put together from ours.
const ELSEWHERE: &[&str] = &[
    "batch_norm",
    "conv_transpose",
    "group_norm",
    "layer_norm",
    "linear",
    "rearrange",
    "reduce",
    "repeat",
    "rms_norm",
    "tile",
    "trunc_div",
    "trunc_mod",
];

/// Golden ops whose name is not ours and whose attributes are.
const RENAMED: &[(&str, &str)] = &[
    ("maximum", "max"),
    ("minimum", "min"),
    ("floor_mod", "modulo"),
    ("where", "select"),
    ("is_nan", "isnan"),
    ("is_inf", "isinf"),
    ("is_finite", "isfinite"),
    ("sum", "reduce_sum"),
    ("prod", "reduce_prod"),
    ("max", "reduce_max"),
    ("min", "reduce_min"),
    ("any", "reduce_any"),
    ("all", "reduce_all"),
];

/// Golden ops that are a pattern of ours, by the axis: (op, axis, ours, pattern, how updates combine).
const PATTERNS: &[(&str, i64, &str, &str, &str)] = &[
    ("gather", 0, "gather", "[n] c, m c -> m c", ""),
    ("gather", 1, "gather", "r [n], r m -> r m", ""),
    ("index_select", 0, "gather", "[n] c, m -> m c", ""),
    ("index_select", 1, "gather", "r [n], m -> r m", ""),
    ("embedding", 0, "gather", "[n] c, b m -> b m c", ""),
    ("scatter", 0, "scatter", "[n] c, m c, m c -> n c", "set"),
    ("scatter_add", 0, "scatter", "[n] c, m c, m c", "add"),
    ("scatter_max", 0, "scatter", "[n] c, m c, m c", "max"),
    ("scatter_min", 0, "scatter", "[n] c, m c, m c", "min"),
    ("scatter_mul", 0, "scatter", "[n] c, m c, m c", "mul"),
    ("scatter_add", 1, "scatter", "r [n], r m, r m", "add"),
];

fn number(json: &Json) -> f64 {
    match json {
        Json::String(text) => text.parse().unwrap(),
        Json::Bool(value) => f64::from(u8::from(*value)),
        json => json.as_f64().unwrap(),
    }
}

fn ints(json: &Json) -> Vec<i64> {
    json.as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect()
}

fn dims(values: impl IntoIterator<Item = i64>) -> Vec<Dim> {
    values.into_iter().map(Dim::constant).collect()
}

fn tensor(json: &Json) -> Tensor {
    let dtype = DType::from_name(json["dtype"].as_str().unwrap()).unwrap();
    let shape = ints(&json["shape"]).into_iter().map(|size| size as usize).collect();
    let data = json["data"].as_array().unwrap();
    let whole = |json: &Json| json.as_i64().unwrap_or_else(|| number(json) as i64);
    match dtype.is_float() {
        true => Tensor::floats(dtype, shape, data.iter().map(number).collect()),
        false => Tensor::ints(dtype, shape, data.iter().map(whole).collect()),
    }
}

/// The attributes in our names and kinds; those we have under the same name are taken as they are.
fn attrs_of(op: &'static OpDef, golden: &Json, inputs: &[Tensor]) -> Attrs {
    let mut attrs = Attrs::none();
    for def in op.attrs {
        let json = &golden[def.name];
        match def.kind {
            _ if json.is_null() => {}
            AttrKind::Bool => attrs.set(def.name, (json == true || json == "tanh").into()),
            AttrKind::Int | AttrKind::Axis => attrs.set(def.name, json.as_i64().unwrap().into()),
            AttrKind::Float => attrs.set(def.name, number(json).into()),
            AttrKind::Str => attrs.set(def.name, json.as_str().unwrap().into()),
            AttrKind::Ints | AttrKind::Axes | AttrKind::PerAxis => attrs.set(def.name, ints(json).into()),
            AttrKind::Dims | AttrKind::PerAxisDims => attrs.set(def.name, dims(ints(json)).into()),
            AttrKind::DType => attrs.set(def.name, DType::from_name(json.as_str().unwrap()).unwrap().into()),
            AttrKind::Dim => attrs.set(def.name, Dim::constant(json.as_i64().unwrap()).into()),
            AttrKind::Tensor => {}
        }
    }
    if let Some(padding) = golden["padding"].as_array() {
        let side = |idx: usize| dims(padding.iter().map(|pair| pair[idx].as_i64().unwrap()));
        attrs = attrs.with("low", side(0)).with("high", side(1));
    }
    if !golden["kernel"].is_null() {
        attrs = attrs.with("size", ints(&golden["kernel"]));
    }
    if op.name == "slice" {
        attrs = attrs_of_slice(golden, &inputs[0].shape);
    }
    attrs
}

/// Slices of some axes, counted from the end where negative, written out for all.
fn attrs_of_slice(golden: &Json, shape: &[usize]) -> Attrs {
    let (mut starts, mut stops) = (vec![0; shape.len()], shape.iter().map(|&size| size as i64).collect::<Vec<_>>());
    let mut steps = vec![1; shape.len()];
    for (idx, axis) in ints(&golden["axes"]).into_iter().map(|axis| axis as usize).enumerate() {
        let size = shape[axis] as i64;
        let from_start = |position: i64| if position < 0 { position + size } else { position };
        starts[axis] = from_start(ints(&golden["start"])[idx]);
        stops[axis] = from_start(ints(&golden["stop"])[idx]);
        steps[axis] = ints(&golden["step"])[idx];
    }
    Attrs::none().with("starts", dims(starts)).with("stops", dims(stops)).with("steps", steps)
}

/// Stretches operands to one shape, as specs do before they apply elementwise ops.
fn aligned(inputs: &[Tensor]) -> Vec<Tensor> {
    let rank = inputs.iter().map(|x| x.shape.len()).max().unwrap_or(0);
    let at = |x: &Tensor, axis: usize| (axis + x.shape.len()).checked_sub(rank).map_or(1, |axis| x.shape[axis]);
    let size = |axis: usize| inputs.iter().map(|x| at(x, axis)).find(|&size| size != 1).unwrap_or(1) as i64;
    let shape = dims((0..rank).map(size));
    let stretch = |x: &Tensor| {
        let attrs = Attrs::none().with("shape", shape.clone());
        run("broadcast", std::slice::from_ref(x), attrs, Precision::Declared).unwrap().remove(0)
    };
    inputs.iter().map(stretch).collect()
}

/// The golden case computed by our ops; `None` where it belongs elsewhere.
fn translated(name: &str, golden: &Json, inputs: &[Tensor]) -> Option<Result<Vec<Tensor>, String>> {
    let has_bias = name == "conv" && inputs.len() == 3;
    if ELSEWHERE.contains(&name) || has_bias {
        return None;
    }
    let axis = golden["axis"].as_i64().unwrap_or(0);
    if let Some((_, _, op, pattern, combine)) = PATTERNS.iter().find(|row| row.0 == name && row.1 == axis) {
        let attrs = Attrs::none().with("pattern", *pattern);
        let attrs = if combine.is_empty() { attrs } else { attrs.with("combine", *combine) };
        return Some(run(op, inputs, attrs, Precision::Declared));
    }
    let (name, extra) = match name {
        "conv" => ("convolve", Attrs::none()),
        "expand" => ("broadcast", Attrs::none()),
        "cummax" => ("cumulate", Attrs::none().with("combine", "max")),
        "index_put" => {
            let combine = if golden["accumulate"] == true { "add" } else { "set" };
            ("scatter", Attrs::none().with("pattern", "[a] [b], m, m, m").with("combine", combine))
        }
        name => (RENAMED.iter().find(|(golden, _)| *golden == name).map_or(name, |(_, ours)| ours), Attrs::none()),
    };
    let Some(op) = find(name) else { return Some(Err(format!("there is no op `{name}`"))) };
    let mut attrs = attrs_of(op, golden, inputs);
    extra.iter().for_each(|(name, value)| attrs.set(name, value.clone()));
    let inputs = match elementwise::ALL.iter().any(|op| op.name == name) {
        true => aligned(inputs),
        false => inputs.to_vec(),
    };
    Some(run(name, &inputs, attrs, Precision::Declared))
}

#[test]
fn every_case_from_pytorch_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/ops.json");
    let cases: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut n_checked = 0;
    let mut failures = Vec::new();
    for case in &cases {
        let place = format!("{} {}", case["op"].as_str().unwrap(), case["case"].as_str().unwrap());
        let inputs: Vec<Tensor> = case["inputs"].as_array().unwrap().iter().map(tensor).collect();
        let expected: Vec<Tensor> = case["outputs"].as_array().unwrap().iter().map(tensor).collect();
        let Some(found) = translated(case["op"].as_str().unwrap(), &case["attrs"], &inputs) else { continue };
        n_checked += 1;
        match found {
            Ok(found) => {
                assert_eq!(found.len(), expected.len(), "{place}");
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(found.dtype, expected.dtype, "{place}");
                    assert_close(found, expected, 1e-12, &place);
                }
            }
            Err(message) => failures.push(format!("{place}: {message}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_checked > 330, "only {n_checked} of {} cases are checked", cases.len());
}
