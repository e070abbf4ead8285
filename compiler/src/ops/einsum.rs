//! `einsum(xs…, pattern)`: products of any number of tensors, summed over the axes that the result does not name.

use super::formula::Built;
use super::pattern::{self, names};
use super::{contract, gather, iota};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, DType, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Sample, Sampler,
    Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "einsum",
    doc: "Multiplies the operands and sums over the axes that the result of `pattern` does not name, as in \
          \"b h i d, b h j d -> b h i j\". An axis named twice in one operand is its diagonal; `..` stands for any axes.",
    operands: Operands::Variadic(&["x"], "more"),
    attrs: &[attr("pattern", AttrKind::Str, Default::Required)],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::ThroughExpansion,
    aliases: &[],
    sample: Some(sample),
};

struct Axes {
    operands: Vec<Vec<String>>,
    result: Vec<String>,
}

fn axes(call: &Call) -> Result<Axes, OpError> {
    let mut parsed = pattern::parse(&call.attrs.str("pattern"))?;
    if parsed.operands.len() != call.operands.len() {
        let (wanted, found) = (parsed.operands.len(), call.operands.len());
        return Err(OpError::attr("pattern", format!("the pattern has {wanted} operands and {found} are given")));
    }
    let ranks: Vec<usize> = call.operands.iter().map(Type::rank).collect();
    pattern::write_out_rest(&mut parsed, &ranks)?;
    let Some(items) = parsed.result else {
        return Err(OpError::attr("pattern", "the result is missing, as in \"i k, k j -> i j\""));
    };
    let mut operands = Vec::with_capacity(parsed.operands.len());
    for items in &parsed.operands {
        operands.push(names(items)?);
    }
    let result = pattern::distinct_names(&items)?;
    match result.iter().position(|name| !operands.iter().flatten().any(|other| other == name)) {
        Some(idx) => {
            let message = format!("`{}` is in the result and in no operand", result[idx]);
            Err(OpError { at: Some(items[idx].at), ..OpError::attr("pattern", message) })
        }
        None => Ok(Axes { operands, result }),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let axes = axes(call)?;
    let sizes = pattern::sizes(call, &axes.operands)?;
    let dtype = call.operand(0).dtype;
    if let Some(idx) = call.operands.iter().position(|x| x.dtype != dtype || x.dtype == DType::Bool) {
        let message = format!("`einsum` takes numbers of one type, found {dtype} and {}", call.operand(idx).dtype);
        return Err(OpError::operand(idx, message).help("cast one of them"));
    }
    Ok(vec![Type::new(dtype, axes.result.iter().map(|name| sizes[name].clone()).collect())])
}

/// An operand, or a product of some, with the names of its axes.
struct Factor {
    value: Value,
    names: Vec<String>,
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let axes = axes(call)?;
    let mut factors = Vec::with_capacity(operands.len());
    for (idx, &value) in operands.iter().enumerate() {
        let factor = diagonal(b, Factor { value, names: axes.operands[idx].clone() })?;
        let elsewhere = |name: &String| {
            let others = axes.operands.iter().enumerate().filter(|(other, _)| *other != idx);
            axes.result.contains(name) || others.into_iter().any(|(_, names)| names.contains(name))
        };
        factors.push(summed(b, factor, elsewhere)?);
    }
    let mut rest = factors.into_iter();
    let Some(mut product) = rest.next() else { return Err(OpError::new("`einsum` of nothing")) };
    while let Some(factor) = rest.next() {
        let later: Vec<&String> = rest.as_slice().iter().flat_map(|factor| &factor.names).collect();
        let names = match later.is_empty() && rest.as_slice().is_empty() {
            true => axes.result.clone(),
            false => kept(&product.names, &factor.names, |name| axes.result.contains(name) || later.contains(&name)),
        };
        let text = format!("{}, {} -> {}", product.names.join(" "), factor.names.join(" "), names.join(" "));
        let value = b.apply(&contract::OP, &[product.value, factor.value], Attrs::none().with("pattern", text))?;
        product = Factor { value, names };
    }
    let place = |name: &String| product.names.iter().position(|other| other == name);
    let order: Vec<usize> = axes.result.iter().filter_map(place).collect();
    Ok(vec![b.permute(product.value, &order)?])
}

fn kept(left: &[String], right: &[String], wanted: impl Fn(&String) -> bool) -> Vec<String> {
    let new = right.iter().filter(|name| !left.contains(name));
    left.iter().chain(new).filter(|name| wanted(name)).cloned().collect()
}

/// Sums over the axes that nobody wants.
fn summed(b: &mut Builder, factor: Factor, wanted: impl Fn(&String) -> bool) -> Result<Factor, OpError> {
    let lost: Vec<usize> = (0..factor.names.len()).filter(|&axis| !wanted(&factor.names[axis])).collect();
    if lost.is_empty() {
        return Ok(factor);
    }
    let value = b.sum(factor.value, &lost, false)?;
    Ok(Factor { value, names: factor.names.into_iter().filter(wanted).collect() })
}

/// Where a name stands twice, keeps the elements at equal positions.
fn diagonal(b: &mut Builder, mut factor: Factor) -> Result<Factor, OpError> {
    while let Some((first, second)) = repeated(&factor.names) {
        factor.value = on_diagonal(b, factor.value, first, second)?;
        factor.names.remove(second);
    }
    Ok(factor)
}

fn repeated(names: &[String]) -> Option<(usize, usize)> {
    (1..names.len()).find_map(|second| Some((names[..second].iter().position(|name| *name == names[second])?, second)))
}

/// Reads what lies on the diagonal alone: positions that count up are no data, so kernels load those elements in place.
fn on_diagonal(b: &mut Builder, x: Value, first: usize, second: usize) -> Built {
    let shape = b.shape_of(x);
    let positions = b.apply(&iota::OP, &[], Attrs::none().with("size", shape[first].clone()))?;
    let names =
        |show: &dyn Fn(usize) -> Option<String>| (0..shape.len()).filter_map(show).collect::<Vec<_>>().join(" ");
    let from =
        names(&|axis| Some(if axis == first || axis == second { format!("[x{axis}]") } else { format!("x{axis}") }));
    let to = names(&|axis| (axis != second).then(|| if axis == first { "n".into() } else { format!("x{axis}") }));
    let pattern = format!("{from}, n, n -> {to}");
    b.apply(&gather::OP, &[x, positions, positions], Attrs::none().with("pattern", pattern))
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let [i, j, k, l] = [sampler.int(1, 5), sampler.int(1, 5), sampler.int(1, 5), sampler.int(1, 5)].map(Dim::constant);
    let dims = |dims: &[&Dim]| dims.iter().map(|&dim| dim.clone()).collect::<Vec<_>>();
    let choices = [
        ("i j, j k -> k i", vec![dims(&[&i, &j]), dims(&[&j, &k])]),
        ("i j, j k, k l -> i l", vec![dims(&[&i, &j]), dims(&[&j, &k]), dims(&[&k, &l])]),
        (".. i j, .. j k -> .. i k", vec![dims(&[&l, &i, &j]), dims(&[&l, &j, &k])]),
        ("i i j -> j i", vec![dims(&[&i, &i, &j])]),
        ("i j k, k -> j", vec![dims(&[&i, &j, &k]), dims(&[&k])]),
    ];
    let (text, shapes) = sampler.pick(&choices).clone();
    Sample::floats(shapes, Attrs::none().with("pattern", text))
}
