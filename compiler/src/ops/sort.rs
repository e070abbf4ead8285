//! `sort`, `argsort` and `topk`: elements in order along an axis.
//!
//! Invariant: equal elements keep their order, in either direction, and NaN is greater than all numbers.

use std::cmp::Ordering;

use super::slice;
use crate::graph::interpret::n_elements;
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Cotangents, DType, Data, Default, Dim, Eval, EvalError, Gradient, Meaning,
    OpDef, OpError, Operands, Pull, Sample, Sampler, Tensor, Type, Value, attr,
};

const AXIS: AttrDef = attr("axis", AttrKind::Axis, Default::Int(-1));
const DESCENDING: AttrDef = attr("descending", AttrKind::Bool, Default::Bool(false));

pub static SORT: OpDef = OpDef {
    name: "sort",
    doc: "The elements in order along `axis`, and where each of them stood. Equal ones keep their order; NaN is greatest.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[AXIS, DESCENDING],
    infer,
    meaning: Meaning::Opaque { eval },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

pub static ARGSORT: OpDef = OpDef {
    name: "argsort",
    doc: "Where the elements in order along `axis` stand. Equal ones keep their order; NaN is greatest.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[AXIS, DESCENDING],
    infer: |call| Ok(vec![infer(call)?.remove(1)]),
    meaning: Meaning::Expand(|b, call, operands| {
        Ok(vec![b.apply_with(&SORT, operands, call.attrs.clone(), Vec::new())?[1]])
    }),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

pub static TOPK: OpDef = OpDef {
    name: "topk",
    doc: "The `k` largest elements along `axis`, or the smallest, in order, and where each of them stood.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[attr("k", AttrKind::Dim, Default::Required), AXIS, attr("largest", AttrKind::Bool, Default::Bool(true))],
    infer: infer_topk,
    meaning: Meaning::Expand(expand_topk),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    call.axis("axis", x.rank())?;
    Ok(vec![x.clone(), x.with_dtype(DType::I64)])
}

fn infer_topk(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, k) = (call.operand(0), call.attrs.dim("k"));
    let axis = call.axis("axis", x.rank())?;
    if !call.at_most(&k, &x.shape[axis]) || !call.at_most(&Dim::constant(0), &k) {
        return Err(OpError::attr("k", format!("axis {axis} of {x} does not hold {k} elements")));
    }
    let mut shape = x.shape.clone();
    shape[axis] = k;
    Ok(vec![x.with_shape(shape.clone()), Type::new(DType::I64, shape)])
}

fn expand_topk(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let shape = &call.operand(0).shape;
    let axis = call.axis("axis", shape.len())?;
    let attrs = Attrs::none().with("axis", axis as i64).with("descending", call.attrs.bool("largest"));
    let mut stops = shape.clone();
    stops[axis] = call.attrs.dim("k");
    let attrs_of_slice = Attrs::none().with("starts", vec![Dim::constant(0); shape.len()]).with("stops", stops);
    let sorted = b.apply_with(&SORT, operands, attrs, Vec::new())?;
    sorted.into_iter().map(|part| b.apply(&slice::OP, &[part], attrs_of_slice.clone())).collect()
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let x = &eval.operands[0];
    let axis = eval.call.axis("axis", x.shape.len()).map_err(|error| EvalError::new(error.message))?;
    let descending = eval.call.attrs.bool("descending");
    let (size, inner) = (x.shape[axis], n_elements(&x.shape[axis + 1..]).unwrap_or(0));
    let (values, places) = match &x.data {
        Data::Float(data) => {
            let compare = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            let (values, places) = sorted(data, size, inner, descending, compare);
            (Data::Float(values.into()), places)
        }
        Data::Int(data) => {
            let (values, places) = sorted(data, size, inner, descending, i64::cmp);
            (Data::Int(values.into()), places)
        }
    };
    let values = Tensor { dtype: x.dtype, shape: x.shape.clone(), data: values };
    Ok(vec![values, Tensor::ints(DType::I64, x.shape.clone(), places)])
}

/// Sorts each row along an axis of `size` whose elements are `inner` apart; gives the elements and where they stood.
fn sorted<T: Copy>(
    data: &[T],
    size: usize,
    inner: usize,
    descending: bool,
    compare: impl Fn(&T, &T) -> Ordering,
) -> (Vec<T>, Vec<i64>) {
    let (mut values, mut places) = (data.to_vec(), vec![0; data.len()]);
    let mut order: Vec<usize> = Vec::with_capacity(size);
    for start in (0..data.len()).step_by((size * inner).max(1)) {
        for row in start..start + inner {
            order.clear();
            order.extend(0..size);
            order.sort_by(|&a, &b| {
                let ascending = compare(&data[row + a * inner], &data[row + b * inner]);
                if descending { ascending.reverse() } else { ascending }
            });
            for (to, &from) in order.iter().enumerate() {
                values[row + to * inner] = data[row + from * inner];
                places[row + to * inner] = from as i64;
            }
        }
    }
    (values, places)
}

/// Each element goes back to where it stood.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let Some(g) = pull.cotangents[0] else { return Ok(vec![None]) };
    let x = pull.call.operand(0).clone();
    let axis = pull.call.axis("axis", x.rank())?;
    let names: Vec<String> = (0..x.rank()).map(|idx| format!("a{idx}")).collect();
    let mut base = names.clone();
    base[axis] = "[n]".to_string();
    let (base, each) = (base.join(" "), names.join(" "));
    let attrs = Attrs::none().with("pattern", format!("{base}, {each}, {each}")).with("combine", "set");
    let zeros = b.filled(0.0, x)?;
    Ok(vec![Some(b.apply(&super::scatter::OP, &[zeros, pull.results[1], g], attrs)?)])
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let (shape, axis) = (sampler.shape(rank), sampler.int(0, rank as i64 - 1));
    let attrs = Attrs::none().with("axis", axis);
    let attrs = match op.name {
        "topk" => {
            let k = sampler.int(0, shape[axis as usize].as_constant().unwrap_or(0));
            attrs.with("k", Dim::constant(k)).with("largest", sampler.flip())
        }
        _ => attrs.with("descending", sampler.flip()),
    };
    let mut sample = Sample::floats(vec![shape], attrs);
    sample.operands[0].dtype = *sampler.pick(&[DType::Real, DType::I64]);
    sample
}
