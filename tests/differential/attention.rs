//! Random attention: scores that are a sum of products, masked, biased or bent, their softmax, and the mixing of values;
//! near misses among them.

use tilewright::compiler::graph::{Attrs, DType, Dim, Sampler, Type, Value};

use super::grow::{Garden, Known};
use super::values::DEFAULT_DOMAIN;

/// What is done with each score.
const BENDS: &[&str] = &["tanh", "neg", "abs", "silu"];
/// How a key's position is compared with its row's.
const TESTS: &[&str] = &["le", "lt", "ge", "gt"];

/// Adds attention; leaves the graph as it was if that does not work out.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    garden.attempt(|garden| attention(garden, sampler))
}

fn attention(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let size = |sampler: &mut Sampler, garden: &Garden| {
        garden.open_size(sampler).unwrap_or_else(|| Dim::constant(sampler.int(1, 40)))
    };
    let rows = size(sampler, garden);
    let keys = if sampler.flip() { rows.clone() } else { size(sampler, garden) };
    let [batch, depth, width] = [sampler.int(1, 3), sampler.int(1, 9), sampler.int(1, 9)].map(Dim::constant);
    let depth = garden.open_size(sampler).filter(|_| sampler.int(0, 3) == 0).unwrap_or(depth);
    let dtype = *sampler.pick(&[DType::Real, DType::F32]);
    let mut make = |garden: &mut Garden, shape: [&Dim; 3]| {
        let ty = Type::new(dtype, shape.map(Dim::clone).to_vec());
        garden.find_or_make(sampler, &ty, DEFAULT_DOMAIN)
    };
    let q = make(garden, [&batch, &rows, &depth])?;
    let k = make(garden, [&batch, &keys, &depth])?;
    let v = make(garden, [&batch, &keys, &width])?;
    let bias = make(garden, [&batch, &rows, &keys])?;
    let pattern = Attrs::none().with("pattern", "b i d, b j d -> b i j");
    let mut scores = garden.derive("einsum", &[q, k], &pattern)?;
    for _ in 0..sampler.int(0, 3) {
        scores = match sampler.int(0, 3) {
            0 => garden.derive("add", &[scores, bias.clone()], &Attrs::none())?,
            1 => garden.derive(*sampler.pick(BENDS), &[scores], &Attrs::none())?,
            // A key that is masked does not count in a kernel, but its infinite value times zero is NaN.
            _ if garden.has_specials => scores,
            _ => masked(garden, sampler, scores, [&batch, &rows, &keys])?,
        };
    }
    // Along the rows now and then, which is no attention.
    let axis = if sampler.int(0, 9) == 0 { 1 } else { -1 };
    let weights = match sampler.int(0, 3) {
        0 => written_out(garden, scores, axis)?,
        _ => garden.derive("softmax", &[scores], &Attrs::none().with("axis", axis))?,
    };
    let result = *sampler.pick(&["b i j, b j d -> b i d", "b i j, b j d -> i b d"]);
    garden.derive("einsum", &[weights, v], &Attrs::none().with("pattern", result)).map(|known| vec![known.value])
}

/// -inf where the positions of row and key do not compare.
fn masked(garden: &mut Garden, sampler: &mut Sampler, scores: Known, shape: [&Dim; 3]) -> Option<Known> {
    let [_, rows, keys] = shape;
    let full = Attrs::none().with("shape", shape.map(Dim::clone).to_vec());
    let flat = Attrs::none().with("shape", vec![rows.clone(), keys.clone()]);
    let row = garden.derive("iota", &[], &Attrs::none().with("size", rows.clone()))?;
    let shift = Attrs::none().with("shape", vec![rows.clone()]).with("value", sampler.int(-3, 20) as f64);
    let shift = garden.derive("fill", &[], &shift.with("dtype", DType::I64))?;
    let row = garden.derive("add", &[row, shift], &Attrs::none())?;
    let upright = Attrs::none().with("shape", vec![rows.clone(), Dim::constant(1)]);
    let row = garden.derive("reshape", &[row], &upright)?;
    let row = garden.derive("broadcast", &[row], &flat)?;
    let key = garden.derive("iota", &[], &Attrs::none().with("size", keys.clone()))?;
    let key = garden.derive("broadcast", &[key], &flat)?;
    let test = garden.derive(*sampler.pick(TESTS), &[key, row], &Attrs::none())?;
    let test = garden.derive("broadcast", &[test], &full)?;
    let dtype = garden.graph.type_of(scores.value).dtype;
    let fill = Attrs::none().with("shape", shape.map(Dim::clone).to_vec()).with("value", f64::NEG_INFINITY);
    let masked = garden.derive("fill", &[], &fill.with("dtype", dtype))?;
    garden.derive("select", &[test, scores, masked], &Attrs::none())
}

fn written_out(garden: &mut Garden, scores: Known, axis: i64) -> Option<Known> {
    let full = Attrs::none().with("shape", garden.graph.type_of(scores.value).shape.clone());
    let along = Attrs::none().with("axes", vec![axis]).with("keep", true);
    let largest = garden.derive("reduce_max", &[scores.clone()], &along)?;
    let largest = garden.derive("broadcast", &[largest], &full)?;
    let shifted = garden.derive("sub", &[scores, largest], &Attrs::none())?;
    let e = garden.derive("exp", &[shifted], &Attrs::none())?;
    let sum = garden.derive("reduce_sum", &[e.clone()], &along)?;
    let sum = garden.derive("broadcast", &[sum], &full)?;
    garden.derive("div", &[e, sum], &Attrs::none())
}
