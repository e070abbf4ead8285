//! `matmul(a, b)`: products of matrices, one for each of the leading axes.

use super::einsum;
use crate::graph::{
    Attrs, Builder, Call, DType, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler, Type, Value,
};

pub static OP: OpDef = OpDef {
    name: "matmul",
    doc: "The product of matrices in the last two axes; leading axes are aligned from the last and stretched where one \
          of them is of size one or missing. An operand with one axis is a row on the left, a column on the right.",
    operands: Operands::Fixed(&["a", "b"]),
    attrs: &[],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

/// The leading axes of the result.
fn batch(call: &Call) -> Result<Vec<Dim>, OpError> {
    let leading = |idx: usize| {
        let shape = &call.operand(idx).shape;
        shape[..shape.len().saturating_sub(2)].to_vec()
    };
    let (a, b) = (leading(0), leading(1));
    let rank = a.len().max(b.len());
    let at = |dims: &[Dim], idx: usize| {
        (idx + dims.len()).checked_sub(rank).map_or(Dim::constant(1), |idx| dims[idx].clone())
    };
    let mut batch = Vec::with_capacity(rank);
    for idx in 0..rank {
        let (a, b) = (at(&a, idx), at(&b, idx));
        if !a.is(1) && !b.is(1) && !call.same_size(&a, &b) {
            return Err(OpError::operand(1, format!("the leading sizes {a} of `a` and {b} of `b` do not agree")));
        }
        batch.push(if a.is(1) { b } else { a });
    }
    Ok(batch)
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (a, b) = (call.operand(0), call.operand(1));
    if a.dtype != b.dtype || a.dtype == DType::Bool {
        let message = format!("`matmul` takes numbers of one type, found {} and {}", a.dtype, b.dtype);
        return Err(OpError::operand(1, message).help("cast one of them"));
    }
    for (idx, operand) in [a, b].into_iter().enumerate() {
        if operand.rank() == 0 {
            return Err(OpError::operand(idx, "`matmul` takes tensors with axes").help("multiply by a number with `*`"));
        }
    }
    let (inner, below) = (&a.shape[a.rank() - 1], &b.shape[b.rank().saturating_sub(2)]);
    if !call.same_size(inner, below) {
        let message = format!("rows of `a` have {inner} elements and columns of `b` have {below}");
        return Err(OpError::operand(1, message).help(format!("`a` is {a} and `b` is {b}")));
    }
    let mut shape = batch(call)?;
    shape.extend((a.rank() > 1).then(|| a.shape[a.rank() - 2].clone()));
    shape.extend((b.rank() > 1).then(|| b.shape[b.rank() - 1].clone()));
    Ok(vec![a.with_shape(shape)])
}

/// Leading axes of size one are dropped, so nothing is copied to stretch them.
fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let batch = batch(call)?;
    let mut values = Vec::with_capacity(2);
    let mut patterns = Vec::with_capacity(2);
    for (idx, matrix) in [["i", "k"], ["k", "j"]].into_iter().enumerate() {
        let shape = &call.operand(idx).shape;
        let n_leading = shape.len().saturating_sub(2);
        let first = batch.len() - n_leading;
        let stays = |axis: usize| !shape[axis].is(1) || batch[first + axis].is(1);
        let mut names: Vec<String> =
            (0..n_leading).filter(|&axis| stays(axis)).map(|axis| format!("b{}", first + axis)).collect();
        let own = if shape.len() > 1 { &matrix[..] } else { &["k"] };
        names.extend(own.iter().map(|name| name.to_string()));
        let kept = (0..shape.len()).filter(|&axis| axis >= n_leading || stays(axis)).map(|axis| shape[axis].clone());
        values.push(b.reshape(operands[idx], &kept.collect::<Vec<_>>())?);
        patterns.push(names);
    }
    let mut result: Vec<String> = (0..batch.len()).map(|idx| format!("b{idx}")).collect();
    let known = |name: &str| patterns.iter().flatten().any(|other| other == name);
    result.extend(["i", "j"].into_iter().filter(|name| known(name)).map(String::from));
    let text = format!("{}, {} -> {}", patterns[0].join(" "), patterns[1].join(" "), result.join(" "));
    Ok(vec![b.apply(&einsum::OP, &values, Attrs::none().with("pattern", text))?])
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let [b, i, j, k] = [sampler.int(1, 3), sampler.int(1, 5), sampler.int(1, 5), sampler.int(1, 5)].map(Dim::constant);
    let dims = |dims: &[&Dim]| dims.iter().map(|&dim| dim.clone()).collect::<Vec<_>>();
    let one = Dim::constant(1);
    let choices = [
        vec![dims(&[&i, &k]), dims(&[&k, &j])],
        vec![dims(&[&k]), dims(&[&k, &j])],
        vec![dims(&[&b, &i, &k]), dims(&[&k])],
        vec![dims(&[&b, &one, &i, &k]), dims(&[&j, &k, &b])],
        vec![dims(&[&k]), dims(&[&k])],
    ];
    Sample::floats(sampler.pick(&choices).clone(), Attrs::none())
}
