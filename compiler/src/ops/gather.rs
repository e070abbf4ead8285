//! `gather(x, indices…, pattern)`: elements at computed positions.

use super::pattern::{self, Item, Kind, PatternError, distinct_names};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Domain, Gradient, Meaning, Nest, NestIndex, OpDef,
    OpError, Operands, Pull, Sample, Sampler, ScalarNode, Type, Value, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "gather",
    doc: "Reads `x` at positions given by the index operands, as in \"b [n] c, b m -> b m c\": the axes of `x` in \
          brackets are indexed, by one operand each in the order they stand. An index out of range reads zero.",
    operands: Operands::Variadic(&["x"], "index"),
    attrs: &[attr("pattern", AttrKind::Str, Default::Required)],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

/// An axis of the operand that is read or written by position.
pub enum Place {
    /// Along with the axis of this name.
    Along(String),
    /// By this index operand, counted from zero.
    By(usize),
}

/// Reads `b [n] c`: the places, and the name of each axis.
pub fn places(items: &[Item]) -> Result<(Vec<Place>, Vec<String>), PatternError> {
    let (mut places, mut axes, mut n_indexed) = (Vec::new(), Vec::new(), 0);
    for item in items {
        match &item.kind {
            Kind::Name(name) => {
                places.push(Place::Along(name.clone()));
                axes.push(name.clone());
            }
            Kind::Indexed(name) => {
                places.push(Place::By(n_indexed));
                // A name of its own, since an indexed axis may share its letter with nothing.
                axes.push(format!("[{name}]"));
                n_indexed += 1;
            }
            _ => {
                let message = "here stand names of axes, and names in brackets".to_string();
                return Err(PatternError { at: item.at, message });
            }
        }
    }
    Ok((places, axes))
}

/// The number of axes in brackets, which is the number of index operands.
pub fn n_indexed(places: &[Place]) -> usize {
    places.iter().filter(|place| matches!(place, Place::By(_))).count()
}

/// That index operands are integers, as many as there are brackets.
pub fn check_indices(call: &Call, places: &[Place], operands: std::ops::Range<usize>) -> Result<(), OpError> {
    if n_indexed(places) != operands.len() {
        let (brackets, found) = (n_indexed(places), operands.len());
        let message = format!("{brackets} axes are in brackets and {found} index operands are given");
        return Err(OpError::attr("pattern", message));
    }
    match operands.into_iter().find(|&idx| !call.operand(idx).dtype.is_int()) {
        Some(idx) => Err(OpError::operand(idx, format!("an index must be of integers, found {}", call.operand(idx)))),
        None => Ok(()),
    }
}

struct Axes {
    places: Vec<Place>,
    operands: Vec<Vec<String>>,
    result: Vec<String>,
}

fn axes(call: &Call) -> Result<Axes, OpError> {
    let parsed = pattern::parse(&call.attrs.str("pattern"))?;
    let Some(result) = &parsed.result else {
        return Err(OpError::attr("pattern", "the result is missing, as in \"[n] c, m -> m c\""));
    };
    if parsed.operands.len() != call.operands.len() {
        let (wanted, found) = (parsed.operands.len(), call.operands.len());
        return Err(OpError::attr("pattern", format!("the pattern has {wanted} operands and {found} are given")));
    }
    let (places, first) = places(&parsed.operands[0])?;
    let mut operands = vec![first];
    for items in &parsed.operands[1..] {
        operands.push(distinct_names(items)?);
    }
    let names = distinct_names(result)?;
    for (idx, items) in parsed.operands.iter().enumerate() {
        let lost = operands[idx].iter().position(|name| !name.starts_with('[') && !names.contains(name));
        if let Some(lost) = lost {
            let message = format!("`{}` is not in the result", operands[idx][lost]);
            return Err(OpError { at: Some(items[lost].at), ..OpError::attr("pattern", message) });
        }
    }
    match names.iter().position(|name| !operands.iter().flatten().any(|other| other == name)) {
        Some(idx) => {
            let message = format!("`{}` is in no operand", names[idx]);
            Err(OpError { at: Some(result[idx].at), ..OpError::attr("pattern", message) })
        }
        None => Ok(Axes { places, operands, result: names }),
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let axes = axes(call)?;
    check_indices(call, &axes.places, 1..call.operands.len())?;
    let sizes = pattern::sizes(call, &axes.operands)?;
    Ok(vec![call.operand(0).with_shape(axes.result.iter().map(|name| sizes[name].clone()).collect())])
}

fn nest(call: &Call) -> Nest {
    let Ok(axes) = axes(call) else { return Nest::pointwise(&[]) };
    let Ok(sizes) = pattern::sizes(call, &axes.operands) else { return Nest::pointwise(&[]) };
    let mut nest = Nest::pointwise(&axes.result.iter().map(|name| sizes[name].clone()).collect::<Vec<_>>());
    let along = |name: &String| axis(axes.result.iter().position(|other| other == name).unwrap_or(0));
    let mut indices = Vec::new();
    for (idx, names) in axes.operands.iter().enumerate().skip(1) {
        indices.push(nest.load(idx, names.iter().map(along).collect()));
    }
    let index = axes.places.iter().map(|place| match place {
        Place::Along(name) => NestIndex::Affine(along(name)),
        Place::By(idx) => NestIndex::Value(indices[*idx]),
    });
    let index = index.collect();
    nest.push(ScalarNode::Load { operand: 0, index, guards: Vec::new(), otherwise: 0.0 });
    nest
}

/// What was read at a place is added there.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let x = pull.call.operand(0).clone();
    let text = pull.call.attrs.str("pattern");
    let Some((operands, result)) = text.split_once("->") else {
        return Err(OpError::attr("pattern", "the result is missing"));
    };
    let zeros = b.filled(0.0, x)?;
    let values: Vec<Value> = [zeros].into_iter().chain(pull.operands[1..].iter().copied()).collect();
    let attrs = Attrs::none().with("pattern", format!("{operands},{result}")).with("combine", "add");
    let g = pull.cotangent()?;
    let mut cotangents = vec![None; pull.operands.len()];
    cotangents[0] = Some(b.apply(&super::scatter::OP, &[values, vec![g]].concat(), attrs)?);
    Ok(cotangents)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let [b, n, c, m] = [sampler.int(1, 3), sampler.int(1, 6), sampler.int(1, 5), sampler.int(0, 4)].map(Dim::constant);
    let choices = [
        ("b [n] c, b m -> b m c", vec![b.clone(), n.clone(), c.clone()], vec![vec![b.clone(), m.clone()]]),
        ("[n] c, b m -> b m c", vec![n.clone(), c.clone()], vec![vec![b.clone(), m.clone()]]),
        ("[n], m b -> m b", vec![n.clone()], vec![vec![m.clone(), b.clone()]]),
        ("[n] [k], b, b m -> m b", vec![n.clone(), c.clone()], vec![vec![b.clone()], vec![b, m]]),
    ];
    let (text, x, indices) = sampler.pick(&choices).clone();
    let mut sample = Sample::floats(vec![x], Attrs::none().with("pattern", text));
    for shape in indices {
        sample.operands.push(Type::new(*sampler.pick(&[DType::I64, DType::I32]), shape));
        sample.domains.push(Domain { low: -1.0, high: 6.0 });
    }
    sample
}
