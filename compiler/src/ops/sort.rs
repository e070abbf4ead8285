//! `sort`, `argsort` and `topk`: elements in order along an axis.
//!
//! Invariant: equal elements keep their order, in either direction, and NaN is greater than all numbers.

use std::cmp::Ordering;

use crate::graph::interpret::n_elements;
use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Cotangents, DType, Data, Default, Dim, Eval, EvalError, Gradient, Meaning,
    OpDef, OpError, Operands, Pull, Sample, Sampler, Tensor, Type, attr,
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
    meaning: Meaning::Opaque { eval },
    gradient: Gradient::Rule(gradient),
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

/// Whether the greatest elements of a `sort` or `topk` go first.
pub fn is_descending(call: &Call) -> bool {
    call.attrs.bool(if std::ptr::eq(call.op, &TOPK) { "largest" } else { "descending" })
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let x = &eval.operands[0];
    let axis = eval.call.axis("axis", x.shape.len()).map_err(|error| EvalError::new(error.message))?;
    let shape = eval.context.shape(&eval.results[0].shape)?;
    if shape[axis] > x.shape[axis] {
        return Err(EvalError::new(format!("{} elements do not hold {} in order", x.shape[axis], shape[axis])));
    }
    let is_descending = is_descending(eval.call);
    let ordered = |ascending: Ordering| if is_descending { ascending.reverse() } else { ascending };
    let (values, sources) = match &x.data {
        Data::Float(data) => {
            let compare = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            let sources = sources(&x.shape, axis, shape[axis], |a, b| ordered(compare(data[a], data[b])));
            let values: Vec<f64> = sources.iter().map(|&from| data[from]).collect();
            (Data::Float(values.into()), sources)
        }
        Data::Int(data) => {
            let sources = sources(&x.shape, axis, shape[axis], |a, b| ordered(data[a].cmp(&data[b])));
            let values: Vec<i64> = sources.iter().map(|&from| data[from]).collect();
            (Data::Int(values.into()), sources)
        }
    };
    let (size, inner) = (x.shape[axis].max(1), n_elements(&x.shape[axis + 1..]).unwrap_or(0).max(1));
    let places = sources.iter().map(|from| (from / inner % size) as i64).collect();
    Ok(vec![Tensor { dtype: x.dtype, shape: shape.clone(), data: values }, Tensor::ints(DType::I64, shape, places)])
}

/// Which elements are the first `count` in order of each row along an axis, in the layout of the results.
fn sources(shape: &[usize], axis: usize, count: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let [outer, inner] = [&shape[..axis], &shape[axis + 1..]].map(|sizes| n_elements(sizes).unwrap_or(0));
    let mut sources = vec![0; outer * count * inner];
    for row in 0..outer * inner {
        let (at, lane) = (row / inner, row % inner);
        let mut order: Vec<usize> = (0..shape[axis]).map(|t| (at * shape[axis] + t) * inner + lane).collect();
        order.sort_by(|&a, &b| compare(a, b));
        for (rank, from) in order.into_iter().take(count).enumerate() {
            sources[(at * count + rank) * inner + lane] = from;
        }
    }
    sources
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
