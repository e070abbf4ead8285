//! `contract(a, b, pattern)`: the sum of products over shared axes; matrix multiplication in general.

use super::pattern::{self, distinct_names};
use super::reduction::accumulator;
use crate::graph::interpret::matrix::{multiply, permuted};
use crate::graph::interpret::{evaluate_nest, n_elements};
use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, Cotangents, DType, Data, Default, Dim, Eval, EvalError, Gradient, Meaning,
    Nest, OpDef, OpError, Operands, Precision, Pull, Sample, Sampler, Scalar, ScalarNode, Tensor, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "contract",
    doc: "Multiplies two tensors and sums over the axes that the result of `pattern` does not name, as in \
          \"b i k, b k j -> b i j\". Narrow floats are summed in f32. `result` is the result's element type, where that is \
          not the operands'; floats of two types need it.",
    operands: Operands::Fixed(&["a", "b"]),
    attrs: &[attr("pattern", AttrKind::Str, Default::Required), attr("result", AttrKind::DType, Default::Absent)],
    infer,
    meaning: Meaning::Structured { nest, eval: Some(eval) },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

/// The names of the axes of both operands and of the result, and those summed over.
struct Axes {
    operands: [Vec<String>; 2],
    result: Vec<String>,
    summed: Vec<String>,
}

fn axes(call: &Call) -> Result<Axes, OpError> {
    let parsed = pattern::parse(&call.attrs.str("pattern"))?;
    let ([a, b], Some(result)) = (parsed.operands.as_slice(), &parsed.result) else {
        let message = "a contraction has two operands and a result, as in \"i k, k j -> i j\"";
        return Err(OpError::attr("pattern", message));
    };
    let (operands, names) = ([distinct_names(a)?, distinct_names(b)?], distinct_names(result)?);
    if let Some(idx) = names.iter().position(|name| !operands.iter().any(|axes| axes.contains(name))) {
        let message = format!("`{}` is in the result and in neither operand", names[idx]);
        return Err(OpError { at: Some(result[idx].at), ..OpError::attr("pattern", message) });
    }
    for (axes, items, other) in [(&operands[0], a, &operands[1]), (&operands[1], b, &operands[0])] {
        if let Some(idx) = axes.iter().position(|name| !other.contains(name) && !names.contains(name)) {
            let message = format!("`{}` is in one operand and not in the result: sum over it first", axes[idx]);
            return Err(OpError { at: Some(items[idx].at), ..OpError::attr("pattern", message) });
        }
    }
    let summed = operands[0].iter().filter(|name| !names.contains(name)).cloned().collect();
    Ok(Axes { operands, result: names, summed })
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let axes = axes(call)?;
    let sizes = pattern::sizes(call, &axes.operands)?;
    let (a, b) = (call.operand(0).dtype, call.operand(1).dtype);
    if !may_multiply(call) {
        let message = format!("a contraction takes numbers of one type, found {a} and {b}");
        return Err(OpError::operand(1, message).help(how_to_multiply(call)));
    }
    let shape = axes.result.iter().map(|name| sizes[name].clone()).collect();
    Ok(vec![call.operand(0).with_shape(shape).with_dtype(result_dtype(call)?)])
}

/// Whether the operands are numbers of one type, or floats where `result` says what they make.
pub fn may_multiply(call: &Call) -> bool {
    let (a, b) = (call.operand(0).dtype, call.operand(1).dtype);
    match call.attrs.get("result") {
        Some(_) if a.is_float() => b.is_float(),
        _ => a == b && a != DType::Bool,
    }
}

/// What to do where they may not be multiplied.
pub fn how_to_multiply(call: &Call) -> &'static str {
    match [0, 1].iter().all(|&operand| call.operand(operand).dtype.is_float()) {
        true => "cast one of them, or say with `result` what their products sum to",
        false => "cast one of them",
    }
}

/// What the products are summed in.
pub fn summed_dtype(call: &Call) -> DType {
    let [a, b] = [0, 1].map(|operand| accumulator(call.operand(operand).dtype));
    if b.size_of() > a.size_of() { b } else { a }
}

/// The element type of a sum of products: the operands', or what `result` says.
pub fn result_dtype(call: &Call) -> Result<DType, OpError> {
    let dtype = call.operand(0).dtype;
    match call.attrs.get("result") {
        Some(Attr::DType(result)) if result.is_float() && dtype.is_float() => Ok(*result),
        Some(Attr::DType(result)) => {
            Err(OpError::attr("result", format!("products of {dtype} do not sum to {result}")))
        }
        _ => Ok(dtype),
    }
}

fn nest(call: &Call) -> Nest {
    let Ok(axes) = axes(call) else { return Nest::pointwise(&[]) };
    let Ok(sizes) = pattern::sizes(call, &axes.operands) else { return Nest::pointwise(&[]) };
    let shape = |names: &[String]| names.iter().map(|name| sizes[name].clone()).collect::<Vec<Dim>>();
    let mut nest = Nest::reduction(&shape(&axes.result), &shape(&axes.summed), Scalar::Add, 0.0);
    let all: Vec<&String> = axes.result.iter().chain(&axes.summed).collect();
    let place = |name: &String| axis(all.iter().position(|other| *other == name).unwrap_or(0));
    let wide = summed_dtype(call);
    let factors = [0, 1].map(|operand| {
        let element = nest.load(operand, axes.operands[operand].iter().map(place).collect());
        let is_wide = wide == call.operand(operand).dtype;
        if is_wide { element } else { nest.push(ScalarNode::Cast { dtype: wide, arg: element }) }
    });
    nest.apply(Scalar::Mul, &factors);
    nest
}

/// Brings both operands to the form of matrices, [batch, rows, summed] and [batch, summed, columns], and multiplies.
fn eval(eval: &Eval) -> Result<Tensor, EvalError> {
    let (Data::Float(a), Data::Float(b)) = (&eval.operands[0].data, &eval.operands[1].data) else {
        return evaluate_nest(&nest(eval.call), eval);
    };
    let axes = axes(eval.call).map_err(|error| EvalError::new(error.message))?;
    let [left, right] = &axes.operands;
    let kind = |in_left: bool, in_right: bool| {
        let names =
            axes.result.iter().filter(|name| left.contains(name) == in_left && right.contains(name) == in_right);
        names.cloned().collect::<Vec<String>>()
    };
    let (batch, rows, columns) = (kind(true, true), kind(true, false), kind(false, true));
    let shapes = [&eval.operands[0].shape, &eval.operands[1].shape];
    let size = |name: &String| {
        let place = |names: &[String]| names.iter().position(|other| other == name);
        place(left).map(|axis| shapes[0][axis]).or_else(|| place(right).map(|axis| shapes[1][axis])).unwrap_or(1)
    };
    let count = |names: &[String]| {
        n_elements(&names.iter().map(size).collect::<Vec<_>>()).ok_or_else(|| EvalError::new("a size overflows"))
    };
    let [n_batch, m, n, k] = [count(&batch)?, count(&rows)?, count(&columns)?, count(&axes.summed)?];
    let a = permuted(a, shapes[0], &order(left, [&batch, &rows, &axes.summed]));
    let b = permuted(b, shapes[1], &order(right, [&batch, &axes.summed, &columns]));
    let shape = eval.shape(0)?;
    let mut product = vec![0.0; n_batch * m * n];
    for idx in 0..n_batch {
        let c = &mut product[idx * m * n..(idx + 1) * m * n];
        multiply([m, k, n], &a[idx * m * k..(idx + 1) * m * k], &b[idx * k * n..(idx + 1) * k * n], c, n);
    }
    let stored: Vec<String> = [batch, rows, columns].concat();
    let stored_shape: Vec<usize> = stored.iter().map(size).collect();
    let product = permuted(&product, &stored_shape, &order(&stored, [&axes.result, &[], &[]]));
    let tensor = Tensor::floats(eval.results[0].dtype, shape, product.into_owned());
    Ok(match eval.context.precision {
        Precision::Wide | Precision::Asked => tensor,
        Precision::Declared => tensor.cast(tensor.dtype),
    })
}

fn order(names: &[String], wanted: [&[String]; 3]) -> Vec<usize> {
    wanted.concat().iter().filter_map(|name| names.iter().position(|other| other == name)).collect()
}

/// The attributes of a product that gives the cotangent of an operand: its type is said where the call's was.
pub fn typed(attrs: Attrs, call: &Call, operand: usize) -> Attrs {
    match call.attrs.get("result") {
        Some(_) => attrs.with("result", call.operand(operand).dtype),
        None => attrs,
    }
}

/// Each operand gets the contraction of the cotangent with the other.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let axes = axes(pull.call)?;
    let g = pull.cotangent()?;
    let mut cotangents = vec![None, None];
    for (operand, other) in [(0, 1), (1, 0)] {
        if pull.wanted[operand] {
            let [own, others] = [operand, other].map(|idx| axes.operands[idx].join(" "));
            let text = format!("{}, {others} -> {own}", axes.result.join(" "));
            let values = [g, pull.operands[other]];
            let attrs = typed(Attrs::none().with("pattern", text), pull.call, operand);
            cotangents[operand] = Some(b.apply(&OP, &values, attrs)?);
        }
    }
    Ok(cotangents)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let patterns = [
        "i k, k j -> i j",
        "i k, j k -> i j",
        "k i, k j -> j i",
        "b i k, b k j -> b i j",
        "b h i d, b h j d -> b h i j",
        "b n d, e d -> b n e",
        "i, i ->",
        "i, j -> i j",
        "i j, i j -> i",
        "b i j, j -> i b",
        "a b c, c b d -> d a",
    ]; // rows, columns, batches, and what is not a matrix
    let text = *sampler.pick(&patterns);
    let mut sizes: Vec<(char, i64)> = Vec::new();
    let mut shape = |axes: &str, sampler: &mut Sampler| {
        let letters = axes.chars().filter(|letter| letter.is_alphabetic());
        letters
            .map(|letter| match sizes.iter().find(|(known, _)| *known == letter) {
                Some((_, size)) => Dim::constant(*size),
                None => {
                    sizes.push((letter, sampler.int(1, 9)));
                    Dim::constant(sizes[sizes.len() - 1].1)
                }
            })
            .collect::<Vec<_>>()
    };
    let left = text.split("->").next().unwrap_or("");
    let shapes = left.split(',').map(|axes| shape(axes, sampler)).collect();
    Sample::floats(shapes, Attrs::none().with("pattern", text))
}
