//! Tensors for the arguments of graphs, and what is known about the tensors that a graph computes.
//!
//! Invariant: a drawn tensor depends on the seed, the argument's name, its type and the sizes, so that removing other parts
//! of a graph does not change it; its floats are exact in f32.

use std::hash::{DefaultHasher, Hash, Hasher};

use tilewright::compiler::graph::interpret::Context;
use tilewright::compiler::graph::{
    Argument, DType, Domain, EvalError, Graph, NodeId, Precision, Role, Sampler, Tensor, Type,
};

use super::{Case, ONES, Sizes, size_lookup};

/// More elements than a generated graph has alive.
const MAX_ELEMENTS: usize = 1 << 20;
/// Magnitudes beyond which nothing is computed further.
const TAME: f64 = 1e5;

pub const DEFAULT_DOMAIN: Domain = Domain { low: -2.0, high: 2.0 };

/// The arguments of a case at some sizes; states start as zeros.
pub fn arguments(case: &Case, sizes: Sizes) -> Option<Vec<Tensor>> {
    let draw_one = |argument: &Argument| {
        let ty = case.graph.type_of(argument.value);
        let shape = shape(ty, sizes)?;
        if argument.role == Role::State {
            return Some(Tensor::splat(ty.dtype, shape, 0.0));
        }
        let domain = case.domains.iter().find(|(name, _)| *name == argument.name).map_or(DEFAULT_DOMAIN, |d| d.1);
        let mut hasher = DefaultHasher::new();
        // A session keeps its params, whatever the sizes of its calls.
        let sizes = if argument.role == Role::Param { ONES } else { sizes };
        (case.seed, &argument.name, sizes).hash(&mut hasher);
        let mut sampler = Sampler::new(hasher.finish());
        let tensor = draw(ty.dtype, shape, domain, &mut sampler);
        Some(if case.has_specials { with_specials(tensor, &mut sampler) } else { tensor })
    };
    case.graph.arguments().iter().map(draw_one).collect()
}

pub fn shape(ty: &Type, sizes: Sizes) -> Option<Vec<usize>> {
    let lookup = size_lookup(sizes);
    let extents = ty.shape.iter().map(|dim| usize::try_from(dim.eval(&lookup)?).ok());
    let shape: Vec<usize> = extents.collect::<Option<_>>()?;
    (shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size))? <= MAX_ELEMENTS).then_some(shape)
}

pub fn draw(dtype: DType, shape: Vec<usize>, domain: Domain, sampler: &mut Sampler) -> Tensor {
    let n = shape.iter().product::<usize>();
    if dtype == DType::Bool {
        return Tensor::ints(dtype, shape, (0..n).map(|_| sampler.int(0, 1)).collect());
    }
    let narrow = |value: f64| f64::from(value as f32);
    let floats = (0..n).map(|_| narrow(sampler.float(domain.low, domain.high))).collect();
    Tensor::floats(DType::F64, shape, floats).cast(dtype)
}

/// Results of one node on known operands.
pub fn evaluate(graph: &Graph, id: NodeId, operands: &[Tensor], sizes: Sizes) -> Result<Vec<Tensor>, EvalError> {
    let lookup = size_lookup(sizes);
    Context::new(&lookup, Precision::Wide, MAX_ELEMENTS).eval_node(graph, id, operands)
}

/// The least and the greatest element; zeros for an empty tensor.
pub fn extent(tensor: &Tensor) -> (f64, f64) {
    let values = (0..tensor.n_elements()).map(|idx| tensor.float_at(idx));
    values
        .fold(None, |seen, v| Some(seen.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
        .unwrap_or((0.0, 0.0))
}

/// A sixth of the floats become infinities, NaN and zeros.
fn with_specials(tensor: Tensor, sampler: &mut Sampler) -> Tensor {
    let specials = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0];
    let Some(floats) = tensor.as_floats() else { return tensor };
    let sprinkled = floats.iter().map(|&v| if sampler.int(0, 5) == 0 { *sampler.pick(&specials) } else { v }).collect();
    Tensor::floats(tensor.dtype, tensor.shape.clone(), sprinkled)
}

/// Finite, and neither so large that rounding eats everything nor so small that it underflows.
pub fn is_tame(tensor: &Tensor, has_specials: bool) -> bool {
    let is_tame =
        |v: f64| v == 0.0 || (has_specials && !v.is_finite()) || (v.is_finite() && (1e-12..TAME).contains(&v.abs()));
    tensor.n_elements() <= 1 << 14
        && (0..tensor.n_elements()).all(|idx| !tensor.dtype.is_float() || is_tame(tensor.float_at(idx)))
}
