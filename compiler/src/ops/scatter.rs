//! `scatter(base, indices…, updates, pattern)`: elements written to computed positions; the reverse of `gather`.

use super::gather::{Place, check_indices, places};
use super::pattern::{self, distinct_names, names};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Data, Default, Dim, Domain, Eval, EvalError, Gradient, Meaning,
    OpDef, OpError, Operands, Precision, Pull, Sample, Sampler, Scalar, Tensor, Type, Value, attr, round, wrap,
};

pub static OP: OpDef = OpDef {
    name: "scatter",
    doc: "Writes `updates` into `base` at positions given by the index operands, as in \"b [n] c, b m, b m c\" \
          (optionally with \"-> b n c\"). With `combine` = \"set\" later updates replace earlier ones, with \"add\" they \
          are added, with \"mul\" they are multiplied, with \"max\" and \"min\" the larger or the smaller of what meets \
          there stays, NaN if any is. An index out of range is dropped.",
    operands: Operands::Variadic(&["base"], "index or updates"),
    attrs: &[attr("pattern", AttrKind::Str, Default::Required), attr("combine", AttrKind::Str, Default::Str("set"))],
    infer,
    meaning: Meaning::Opaque { eval },
    gradient: Gradient::Rule(gradient),
    aliases: &[(0, 0)],
    sample: Some(sample),
};

pub struct Axes {
    pub places: Vec<Place>,
    /// The names of the axes of each operand; the updates are the last.
    pub operands: Vec<Vec<String>>,
    pub combine: Combine,
}

/// What an update makes of what stands at its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    Set,
    By(Scalar),
}

static COMBINE: &[(&str, Combine)] = &[
    ("set", Combine::Set),
    ("add", Combine::By(Scalar::Add)),
    ("mul", Combine::By(Scalar::Mul)),
    ("max", Combine::By(Scalar::Max)),
    ("min", Combine::By(Scalar::Min)),
];

impl Combine {
    pub fn scalar(self) -> Option<Scalar> {
        match self {
            Combine::Set => None,
            Combine::By(scalar) => Some(scalar),
        }
    }
}

pub fn axes(call: &Call) -> Result<Axes, OpError> {
    let parsed = pattern::parse(&call.attrs.str("pattern"))?;
    let n = parsed.operands.len();
    if n != call.operands.len() || n < 2 {
        let message = format!("the pattern has {n} operands and {} are given", call.operands.len());
        return Err(OpError::attr("pattern", message).help("they are: base, one index per bracket, updates"));
    }
    let (places, base) = places(&parsed.operands[0])?;
    let mut operands = vec![base];
    for items in &parsed.operands[1..] {
        operands.push(distinct_names(items)?);
    }
    for (idx, of) in operands.iter().enumerate() {
        let lost = of.iter().position(|name| !name.starts_with('[') && !operands[n - 1].contains(name));
        if let Some(lost) = lost {
            let message = format!("`{}` is not an axis of the updates", of[lost]);
            let error = OpError::attr("pattern", message)
                .help("behind `->` stand the axes of the updates: \"[n] c, e -> e c\" adds rows of c to n places");
            return Err(OpError { at: Some(parsed.operands[idx][lost].at), ..error });
        }
    }
    if let Some(result) = &parsed.result {
        let bare = operands[0].iter().map(|name| name.trim_matches(['[', ']']).to_string());
        if names(result)? != bare.collect::<Vec<_>>() {
            return Err(OpError::attr("pattern", "the result of a scatter has the axes of its base"));
        }
    }
    let how = call.attrs.str("combine");
    let Some((_, combine)) = COMBINE.iter().find(|(name, _)| *name == how) else {
        let message = format!("updates combine by \"set\", \"add\", \"mul\", \"max\" or \"min\", found \"{how}\"");
        return Err(OpError::attr("combine", message));
    };
    Ok(Axes { places, operands, combine: *combine })
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let axes = axes(call)?;
    let last = call.operands.len() - 1;
    check_indices(call, &axes.places, 1..last)?;
    pattern::sizes(call, &axes.operands)?;
    let (base, updates) = (call.operand(0), call.operand(last));
    if base.dtype != updates.dtype || (axes.combine != Combine::Set && base.dtype == DType::Bool) {
        let message = format!("the updates are {} and the base is {}", updates.dtype, base.dtype);
        return Err(OpError::operand(last, message).help("cast one of them"));
    }
    Ok(vec![base.clone()])
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let axes = axes(eval.call).map_err(|error| EvalError::new(error.message))?;
    let (base, updates) = (&eval.operands[0], &eval.operands[eval.operands.len() - 1]);
    let targets = targets(&axes, eval.operands);
    let shape = base.shape.clone();
    let declared = eval.context.precision == Precision::Declared;
    let result = match (&base.data, &updates.data) {
        (Data::Float(base_data), Data::Float(updates)) => {
            let mut data = base_data.to_vec();
            for (target, value) in targets.into_iter().zip(updates.iter()) {
                let Some(target) = target else { continue };
                let by =
                    |scalar: Scalar| scalar.def().float.map_or(f64::NAN, |combine| combine(data[target], *value, 0.0));
                let made = axes.combine.scalar().map_or(*value, by);
                data[target] = if declared { round(base.dtype, made) } else { made };
            }
            Tensor::floats(base.dtype, shape, data)
        }
        (Data::Int(base_data), Data::Int(updates)) => {
            let mut data = base_data.to_vec();
            for (target, value) in targets.into_iter().zip(updates.iter()) {
                let Some(target) = target else { continue };
                let by = |scalar: Scalar| scalar.def().int.map_or(0, |combine| combine(data[target], *value, 0));
                data[target] = wrap(base.dtype, axes.combine.scalar().map_or(*value, by));
            }
            Tensor::ints(base.dtype, shape, data)
        }
        _ => return Err(EvalError::new("the base and the updates are of different kinds")),
    };
    Ok(vec![result])
}

/// Where each update goes in the base, unless it is dropped.
fn targets(axes: &Axes, operands: &[Tensor]) -> Vec<Option<usize>> {
    let last = operands.len() - 1;
    let shape = &operands[last].shape;
    let mut position = vec![0usize; shape.len()];
    let along = |name: &String| axes.operands[last].iter().position(|other| other == name);
    let element_of = |operand: usize, position: &[usize]| {
        let steps = axes.operands[operand].iter().zip(&operands[operand].shape);
        steps.fold(0, |at, (name, size)| at * size + along(name).map_or(0, |axis| position[axis]))
    };
    let mut targets = Vec::with_capacity(operands[last].n_elements());
    for _ in 0..operands[last].n_elements() {
        let target = axes.places.iter().zip(&operands[0].shape).try_fold(0usize, |at, (place, &size)| {
            let index = match place {
                Place::Along(name) => along(name).map_or(0, |axis| position[axis]),
                Place::By(idx) => usize::try_from(operands[idx + 1].int_at(element_of(idx + 1, &position))).ok()?,
            };
            (index < size).then_some(at * size + index)
        });
        targets.push(target);
        for (place, &size) in position.iter_mut().zip(shape).rev() {
            *place += 1;
            if *place < size {
                break;
            }
            *place = 0;
        }
    }
    targets
}

/// The base keeps what is not overwritten; an update gets what stands at its place, if it is the one that stayed. Equal
/// extremes share it.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let axes = axes(pull.call)?;
    match axes.combine {
        Combine::By(Scalar::Add) => gradient_of_sum(b, pull, &axes),
        Combine::By(Scalar::Mul) => gradient_of_product(b, pull, &axes),
        Combine::By(_) => gradient_of_extreme(b, pull, &axes),
        Combine::Set => gradient_of_replaced(b, pull, &axes),
    }
}

fn gradient_of_sum(b: &mut Builder, pull: &Pull, axes: &Axes) -> Cotangents {
    let last = pull.operands.len() - 1;
    let g = pull.cotangent()?;
    let mut cotangents = vec![None; pull.operands.len()];
    cotangents[0] = pull.wanted[0].then_some(g);
    if pull.wanted[last] {
        cotangents[last] = Some(read_back(b, pull, axes, g)?);
    }
    Ok(cotangents)
}

fn gradient_of_replaced(b: &mut Builder, pull: &Pull, axes: &Axes) -> Cotangents {
    let last = pull.operands.len() - 1;
    let g = pull.cotangent()?;
    let mut cotangents = vec![None; pull.operands.len()];
    let zeros = b.filled(0.0, pull.call.operand(last).clone())?;
    if pull.wanted[0] {
        cotangents[0] = Some(scattered(b, pull, g, zeros, pull.call.attrs.clone())?);
    }
    if pull.wanted[last] {
        let read = read_back(b, pull, axes, g)?;
        let stayed = stayed(b, pull, axes)?;
        cotangents[last] = Some(b.select(stayed, read, zeros)?);
    }
    Ok(cotangents)
}

/// The cotangent times the product of all others that met there: of what is not zero, with the own factor divided out.
/// Where one of them is zero only that one gets something, where two are nothing does.
fn gradient_of_product(b: &mut Builder, pull: &Pull, axes: &Axes) -> Cotangents {
    let last = pull.operands.len() - 1;
    let g = pull.cotangent()?;
    let dtype = b.type_of(g).dtype;
    let mut parts = Vec::new();
    for x in [pull.operands[0], pull.operands[last]] {
        let (zero, one) = (b.number(0.0, x)?, b.number(1.0, x)?);
        let is_zero = b.eq(x, zero)?;
        parts.push((b.cast(is_zero, dtype)?, b.select(is_zero, one, x)?));
    }
    let adding = pull.call.attrs.clone().with("combine", "add");
    let n_zeros = scattered(b, pull, parts[0].0, parts[1].0, adding)?;
    let product = scattered(b, pull, parts[0].1, parts[1].1, pull.call.attrs.clone())?;
    let scaled = b.mul(g, product)?;
    let mut cotangents = vec![None; pull.operands.len()];
    for (operand, (own, factor)) in [0, last].into_iter().zip(parts) {
        if !pull.wanted[operand] {
            continue;
        }
        let (n_zeros, scaled) = match operand {
            0 => (n_zeros, scaled),
            _ => (read_back(b, pull, axes, n_zeros)?, read_back(b, pull, axes, scaled)?),
        };
        let alone = b.eq(n_zeros, own)?;
        let others = b.div(scaled, factor)?;
        let nothing = b.number(0.0, others)?;
        cotangents[operand] = Some(b.select(alone, others, nothing)?);
    }
    Ok(cotangents)
}

/// Whoever equals the result shares the cotangent there, as in a reduction to the largest.
fn gradient_of_extreme(b: &mut Builder, pull: &Pull, axes: &Axes) -> Cotangents {
    let last = pull.operands.len() - 1;
    let (g, result) = (pull.cotangent()?, pull.results[0]);
    let (base, updates) = (pull.operands[0], pull.operands[last]);
    let dtype = b.type_of(g).dtype;
    let found = read_back(b, pull, axes, result)?;
    let (base_stays, update_stays) = (b.eq(base, result)?, b.eq(updates, found)?);
    let (of_base, of_updates) = (b.cast(base_stays, dtype)?, b.cast(update_stays, dtype)?);
    let adding = pull.call.attrs.clone().with("combine", "add");
    let n = scattered(b, pull, of_base, of_updates, adding)?;
    let share = b.div(g, n)?;
    let mut cotangents = vec![None; pull.operands.len()];
    if pull.wanted[0] {
        let zero = b.number(0.0, share)?;
        cotangents[0] = Some(b.select(base_stays, share, zero)?);
    }
    if pull.wanted[last] {
        let read = read_back(b, pull, axes, share)?;
        let zero = b.number(0.0, read)?;
        cotangents[last] = Some(b.select(update_stays, read, zero)?);
    }
    Ok(cotangents)
}

/// The same scatter with another base and other updates.
fn scattered(b: &mut Builder, pull: &Pull, base: Value, updates: Value, attrs: Attrs) -> Result<Value, OpError> {
    let indices = &pull.operands[1..pull.operands.len() - 1];
    b.apply(&OP, &[&[base], indices, &[updates]].concat(), attrs)
}

/// For each update, what stands in a tensor like the base at its place.
fn read_back(b: &mut Builder, pull: &Pull, axes: &Axes, from: Value) -> Result<Value, OpError> {
    let last = pull.operands.len() - 1;
    let (names, shape) = (&axes.operands[last], &pull.call.operand(last).shape);
    // An axis of the updates alone is not read by: every position along it has the same place.
    let placed: Vec<usize> = (0..names.len())
        .filter(|&axis| axes.operands[..last].iter().flatten().any(|name| *name == names[axis]))
        .collect();
    let result: Vec<&str> = placed.iter().map(|&axis| names[axis].as_str()).collect();
    let operands: Vec<String> = axes.operands[..last].iter().map(|names| names.join(" ")).collect();
    let text = format!("{} -> {}", operands.join(", "), result.join(" "));
    let values = [&[from], &pull.operands[1..last]].concat();
    let read = b.apply(&super::gather::OP, &values, Attrs::none().with("pattern", text))?;
    let aligned =
        (0..names.len()).map(|axis| if placed.contains(&axis) { shape[axis].clone() } else { Dim::constant(1) });
    let read = b.reshape(read, &aligned.collect::<Vec<_>>())?;
    b.broadcast(read, shape)
}

/// Whether each update is the last that was written to its place.
fn stayed(b: &mut Builder, pull: &Pull, axes: &Axes) -> Result<Value, OpError> {
    let last = pull.operands.len() - 1;
    let (base, shape) = (pull.call.operand(0), &pull.call.operand(last).shape);
    let number = b.apply(&super::iota::OP, &[], Attrs::none().with("size", Dim::product(shape)))?;
    let number = b.reshape(number, shape)?;
    let nobody = b.filled(-1.0, base.with_dtype(DType::I64))?;
    let written = scattered(b, pull, nobody, number, pull.call.attrs.clone())?;
    let written = read_back(b, pull, axes, written)?;
    b.eq(written, number)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let [b, n, c, m] = [sampler.int(1, 3), sampler.int(1, 6), sampler.int(1, 5), sampler.int(0, 4)].map(Dim::constant);
    let choices = [
        (
            "b [n] c, b m, b m c -> b n c",
            vec![
                vec![b.clone(), n.clone(), c.clone()],
                vec![b.clone(), m.clone()],
                vec![b.clone(), m.clone(), c.clone()],
            ],
        ),
        ("[n] c, m, m c", vec![vec![n.clone(), c.clone()], vec![m.clone()], vec![m.clone(), c.clone()]]),
        ("[n], m b, m b", vec![vec![n], vec![m.clone(), b.clone()], vec![m, b]]),
    ];
    let (text, shapes) = sampler.pick(&choices).clone();
    let attrs =
        Attrs::none().with("pattern", text).with("combine", *sampler.pick(&["set", "add", "mul", "max", "min"]));
    let mut sample = Sample::floats(shapes, attrs);
    sample.operands[1].dtype = DType::I64;
    sample.domains[1] = Domain { low: -1.0, high: 6.0 };
    sample
}
