//! The reductions `reduce_sum`, `reduce_max` and the like: all elements along some axes, combined.

use crate::graph::{
    AttrDef, AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError,
    Operands, Pull, Sample, Sampler, Scalar, ScalarNode, Type, Value, attr, axis,
};

/// What all reductions are told.
pub const ATTRS: &[AttrDef] =
    &[attr("axes", AttrKind::Axes, Default::Absent), attr("keep", AttrKind::Bool, Default::Bool(false))];

pub static SUM: OpDef = op("reduce_sum", "The sum along `axes`; of nothing, zero. Narrow floats are summed in f32.");
pub static PROD: OpDef = op("reduce_prod", "The product along `axes`; of nothing, one.");
pub static MAX: OpDef =
    op("reduce_max", "The largest along `axes`, NaN if any is; of nothing, -inf or the least integer.");
pub static MIN: OpDef =
    op("reduce_min", "The smallest along `axes`, NaN if any is; of nothing, inf or the greatest integer.");
pub static ANY: OpDef = op("reduce_any", "Whether any boolean along `axes` is true; of nothing, false.");
pub static ALL: OpDef = op("reduce_all", "Whether all booleans along `axes` are true; of nothing, true.");

const fn op(name: &'static str, doc: &'static str) -> OpDef {
    OpDef {
        name,
        doc,
        operands: Operands::Fixed(&["x"]),
        attrs: ATTRS,
        infer,
        meaning: Meaning::Structured { nest, eval: None },
        gradient: Gradient::Rule(gradient),
        aliases: &[],
        sample: Some(sample),
    }
}

/// Whether this is one of them.
pub fn is(op: &OpDef) -> bool {
    [&SUM, &PROD, &MAX, &MIN, &ANY, &ALL].into_iter().any(|reduction| std::ptr::eq(reduction, op))
}

/// The scalar function that combines, and what nothing combines to.
fn combine(op: &OpDef) -> (Scalar, f64) {
    match op.name {
        "reduce_sum" => (Scalar::Add, 0.0),
        "reduce_prod" => (Scalar::Mul, 1.0),
        "reduce_max" => (Scalar::Max, f64::NEG_INFINITY),
        "reduce_min" => (Scalar::Min, f64::INFINITY),
        "reduce_any" => (Scalar::Or, 0.0),
        _ => (Scalar::And, 1.0),
    }
}

/// The shape without some axes, or with ones in their place.
pub fn reduced_shape(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    let kept = |(axis, size): (usize, &Dim)| match axes.contains(&axis) {
        false => Some(size.clone()),
        true => keep.then(|| Dim::constant(1)),
    };
    shape.iter().enumerate().filter_map(kept).collect()
}

/// The type that narrow floats are accumulated in.
pub fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        _ => dtype,
    }
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let axes = call.axes("axes", x.rank())?;
    let wants_bool = matches!(combine(call.op).0, Scalar::Or | Scalar::And);
    if wants_bool != (x.dtype == DType::Bool) {
        let (wanted, help) = match wants_bool {
            true => ("booleans", "compare it with something: `x != 0`"),
            false => ("numbers", "`any(x)` and `all(x)` are of booleans; in `i64(x)` each that is true counts as one"),
        };
        return Err(OpError::operand(0, format!("`{}` takes {wanted}, found {x}", call.op.name)).help(help));
    }
    Ok(vec![x.with_shape(reduced_shape(&x.shape, &axes, call.attrs.bool("keep")))])
}

fn nest(call: &Call) -> Nest {
    let x = call.operand(0);
    let axes = call.axes("axes", x.rank()).unwrap_or_default();
    let keep = call.attrs.bool("keep");
    let shape = reduced_shape(&x.shape, &axes, keep);
    let reduced: Vec<Dim> = axes.iter().map(|&axis| x.shape[axis].clone()).collect();
    let (scalar, initial) = combine(call.op);
    let mut nest = Nest::reduction(&shape, &reduced, scalar, initial);
    let (mut next, mut next_reduced) = (0, shape.len());
    let mut index = Vec::with_capacity(x.rank());
    for from in 0..x.rank() {
        let is_reduced = axes.contains(&from);
        index.push(axis(if is_reduced { next_reduced } else { next }));
        next_reduced += usize::from(is_reduced);
        next += usize::from(!is_reduced || keep);
    }
    let element = nest.load(0, index);
    if matches!(scalar, Scalar::Add | Scalar::Mul) && accumulator(x.dtype) != x.dtype {
        nest.push(ScalarNode::Cast { dtype: accumulator(x.dtype), arg: element });
    }
    nest
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let x = pull.call.operand(0);
    let axes = pull.call.axes("axes", x.rank())?;
    let kept = reduced_shape(&x.shape, &axes, true);
    let g = pull.cotangent()?;
    let g = b.reshape(g, &kept)?;
    match combine(pull.call.op).0 {
        Scalar::Add => Ok(vec![Some(b.broadcast(g, &x.shape)?)]),
        Scalar::Mul => Ok(vec![Some(product_of_others(b, pull.operands[0], &axes, g)?)]),
        _ => {
            let best = b.reshape(pull.results[0], &kept)?;
            Ok(vec![Some(shared(b, pull.operands[0], best, &axes, g)?)])
        }
    }
}

/// Those that are the extreme share the cotangent.
fn shared(b: &mut Builder, x: Value, best: Value, axes: &[usize], g: Value) -> Result<Value, OpError> {
    let ty = b.type_of(x).clone();
    let best = b.broadcast(best, &ty.shape)?;
    let hit = b.eq(x, best)?;
    let one = b.cast(hit, ty.dtype)?;
    let n = b.sum(one, axes, true)?;
    let share = b.div(g, n)?;
    let share = b.broadcast(share, &ty.shape)?;
    let zero = b.number(0.0, share)?;
    b.select(hit, share, zero)
}

/// The cotangent times the product of all elements but the own: of those before and those after.
fn product_of_others(b: &mut Builder, x: Value, axes: &[usize], g: Value) -> Result<Value, OpError> {
    let shape = b.shape_of(x);
    let (kept, order): (Vec<usize>, Vec<usize>) = {
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        (kept.clone(), kept.into_iter().chain(axes.iter().copied()).collect())
    };
    let row = b.permute(x, &order)?;
    let permuted = b.shape_of(row);
    let flat: Vec<Dim> =
        permuted[..kept.len()].iter().cloned().chain([Dim::product(&permuted[kept.len()..])]).collect();
    let row = b.reshape(row, &flat)?;
    let attrs = Attrs::none().with("combine", "mul").with("axis", kept.len() as i64).with("exclusive", true);
    let before = b.apply(&super::cumulate::OP, &[row], attrs.clone())?;
    let after = b.apply(&super::cumulate::OP, &[row], attrs.with("reverse", true))?;
    let others = b.mul(before, after)?;
    let others = b.reshape(others, &permuted)?;
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    let others = b.permute(others, &back)?;
    let g = b.broadcast(g, &shape)?;
    b.mul(g, others)
}

/// Some of the axes of a tensor of this rank, or none named, which is all.
pub fn some_axes(sampler: &mut Sampler, rank: usize) -> Attrs {
    let axes: Vec<i64> = (0..rank as i64).filter(|_| sampler.flip()).collect();
    let attrs = Attrs::none().with("keep", sampler.flip());
    if axes.is_empty() && sampler.flip() { attrs } else { attrs.with("axes", axes) }
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 4) as usize;
    let mut sample = Sample::floats(vec![sampler.shape(rank)], some_axes(sampler, rank));
    sample.operands[0].dtype = match combine(op).0 {
        Scalar::Or | Scalar::And => DType::Bool,
        _ => *sampler.pick(&[DType::Real, DType::Real, DType::I64, DType::I32]),
    };
    sample
}
