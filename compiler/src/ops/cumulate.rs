//! `cumulate(x, combine, axis)`: running sums, products and maxima.

use crate::graph::interpret::n_elements;
use crate::graph::scalar::Scalar;
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Data, Default, Eval, EvalError, Gradient, Guard, Meaning, Nest,
    OpDef, OpError, Operands, Precision, Pull, Sample, Sampler, Tensor, Type, Value, attr, axis, round, wrap,
};

pub static OP: OpDef = OpDef {
    name: "cumulate",
    doc: "At each position along `axis`, everything up to it combined by \"add\", \"mul\" or \"max\"; without the \
          position itself where `exclusive`, from the end where `reverse`. Nothing gives 0, 1 or -inf.",
    operands: Operands::Fixed(&["x"]),
    attrs: &[
        attr("combine", AttrKind::Str, Default::Required),
        attr("axis", AttrKind::Axis, Default::Int(-1)),
        attr("exclusive", AttrKind::Bool, Default::Bool(false)),
        attr("reverse", AttrKind::Bool, Default::Bool(false)),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: Some(eval) },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: Some(sample),
};

fn combine(call: &Call) -> Result<(Scalar, f64), OpError> {
    match call.attrs.str("combine").as_str() {
        "add" => Ok((Scalar::Add, 0.0)),
        "mul" => Ok((Scalar::Mul, 1.0)),
        "max" => Ok((Scalar::Max, f64::NEG_INFINITY)),
        other => {
            let message = format!("running values combine by \"add\", \"mul\" or \"max\", found \"{other}\"");
            Err(OpError::attr("combine", message))
        }
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    combine(call)?;
    call.axis("axis", x.rank())?;
    match x.dtype {
        DType::Bool => Err(OpError::operand(0, "running values are of numbers, found booleans")),
        _ => Ok(vec![x.clone()]),
    }
}

fn nest(call: &Call) -> Nest {
    let x = call.operand(0);
    let (Ok(along), Ok((scalar, identity))) = (call.axis("axis", x.rank()), combine(call)) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::reduction(&x.shape, &[x.shape[along].clone()], scalar, identity);
    let (here, there) = (axis(along), axis(x.rank()));
    let ahead = if call.attrs.bool("reverse") { &there - &here } else { &here - &there };
    let guard = Guard(&ahead - i64::from(call.attrs.bool("exclusive")));
    let mut index: Vec<_> = (0..x.rank()).map(axis).collect();
    index[along] = there;
    nest.load_where(0, index, vec![guard], identity);
    nest
}

/// One pass along the axis instead of one per position.
fn eval(eval: &Eval) -> Result<Tensor, EvalError> {
    let x = &eval.operands[0];
    let failed = |error: OpError| EvalError::new(error.message);
    let along = eval.call.axis("axis", x.shape.len()).map_err(failed)?;
    let (scalar, identity) = combine(eval.call).map_err(failed)?;
    let outside = || EvalError::new("a running value of neither floats nor integers");
    let pass = Pass {
        inner: n_elements(&x.shape[along + 1..]).unwrap_or(0),
        size: x.shape[along],
        exclusive: eval.call.attrs.bool("exclusive"),
        reverse: eval.call.attrs.bool("reverse"),
    };
    let declared = eval.context.precision == Precision::Declared;
    Ok(match &x.data {
        Data::Float(data) => {
            let f = scalar.def().float.ok_or_else(outside)?;
            let mut data = pass.run(data, identity, |a, b| f(a, b, 0.0));
            if declared {
                data.iter_mut().for_each(|value| *value = round(x.dtype, *value));
            }
            Tensor::floats(x.dtype, x.shape.clone(), data)
        }
        Data::Int(data) => {
            let f = scalar.def().int.ok_or_else(outside)?;
            let identity = crate::graph::saturate(x.dtype, identity);
            let data = pass.run(data, identity, |a, b| wrap(x.dtype, f(a, b, 0)));
            Tensor::ints(x.dtype, x.shape.clone(), data)
        }
    })
}

struct Pass {
    inner: usize,
    size: usize,
    exclusive: bool,
    reverse: bool,
}

impl Pass {
    fn run<T: Copy>(&self, data: &[T], identity: T, f: impl Fn(T, T) -> T) -> Vec<T> {
        let mut result = data.to_vec();
        let block = self.inner * self.size;
        for start in (0..data.len()).step_by(block.max(1)) {
            for inner in 0..self.inner {
                let mut sum = identity;
                for step in 0..self.size {
                    let place = if self.reverse { self.size - 1 - step } else { step };
                    let at = start + place * self.inner + inner;
                    let before = sum;
                    sum = f(sum, data[at]);
                    result[at] = if self.exclusive { before } else { sum };
                }
            }
        }
        result
    }
}

/// A sum is summed the other way round; a maximum goes back to the last place where it was met.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let g = pull.cotangent()?;
    let attrs = pull.call.attrs;
    let reversed = attrs.clone().with("reverse", !attrs.bool("reverse")).with("combine", "add");
    match combine(pull.call)?.0 {
        Scalar::Add => Ok(vec![Some(b.apply(&OP, &[g], reversed)?)]),
        Scalar::Mul => Ok(vec![Some(to_the_factors(b, pull, g, reversed)?)]),
        _ => Ok(vec![Some(to_the_largest(b, pull, g)?)]),
    }
}

/// The products that a factor is in, divided by it. The first zero of a row gets what they were if it were one; the factors
/// after it have no part in anything.
fn to_the_factors(b: &mut Builder, pull: &Pull, g: Value, reversed: Attrs) -> Result<Value, OpError> {
    let (x, attrs) = (pull.operands[0], pull.call.attrs);
    let [zero, one] = [0.0, 1.0].map(|number| b.number(number, x));
    let (zero, one) = (zero?, one?);
    let is_zero = b.eq(x, zero)?;
    let count = b.select(is_zero, one, zero)?;
    let before = b.apply(&OP, &[count], attrs.clone().with("combine", "add").with("exclusive", true))?;
    let none_before = b.eq(before, zero)?;
    let is_first = b.and(is_zero, none_before)?;
    let mended = b.select(is_first, one, x)?;
    let products = b.apply(&OP, &[mended], attrs.clone())?;
    let divisor = b.select(is_zero, one, x)?;
    let mut sums = Vec::new();
    for products in [products, pull.results[0]] {
        let part = b.mul(g, products)?;
        sums.push(b.apply(&OP, &[part], reversed.clone())?);
    }
    let quotient = b.div(sums[1], divisor)?;
    let elsewhere = b.select(is_zero, zero, quotient)?;
    b.select(is_first, sums[0], elsewhere)
}

fn to_the_largest(b: &mut Builder, pull: &Pull, g: Value) -> Result<Value, OpError> {
    let x = pull.call.operand(0);
    let axis = pull.call.axis("axis", x.rank())?;
    let attrs = pull.call.attrs;
    let running = b.apply(&OP, &[pull.operands[0]], attrs.clone().with("exclusive", false))?;
    let hit = b.eq(pull.operands[0], running)?;
    let position = b.position(&x.shape, axis)?;
    let counted = |b: &mut Builder, position: Value| match attrs.bool("reverse") {
        true => {
            let last = b.size_like(&(&x.shape[axis] - 1), position)?;
            b.sub(last, position)
        }
        false => Ok(position),
    };
    let position = counted(b, position)?;
    let nowhere = b.number(-1.0, position)?;
    let place = b.select(hit, position, nowhere)?;
    let place = b.apply(&OP, &[place], attrs.clone())?;
    // Before anything was met the place is below zero, and what is sent there is dropped.
    let met = b.ge(place, nowhere)?;
    let place = b.select(met, place, nowhere)?;
    let place = counted(b, place)?;
    let names: Vec<String> = (0..x.rank()).map(|idx| format!("a{idx}")).collect();
    let mut base = names.clone();
    base[axis] = "[n]".to_string();
    let (base, each) = (base.join(" "), names.join(" "));
    let attrs = Attrs::none().with("pattern", format!("{base}, {each}, {each}")).with("combine", "add");
    let zeros = b.filled(0.0, x.clone())?;
    b.apply(&super::scatter::OP, &[zeros, place, g], attrs)
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(1, 3) as usize;
    let attrs = Attrs::none().with("combine", *sampler.pick(&["add", "mul", "max"]));
    let attrs = attrs.with("axis", sampler.int(0, rank as i64 - 1)).with("exclusive", sampler.flip());
    let shape = (0..rank).map(|_| crate::graph::Dim::constant(sampler.int(1, 7))).collect();
    Sample::floats(vec![shape], attrs.with("reverse", sampler.flip()))
}
