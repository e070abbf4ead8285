//! Random chains of reductions along the same axes of one value, and what is done with each row in between: softmax,
//! normalisations, variances and their like, over any axes, with near misses among them.

use tilewright::compiler::graph::{Attrs, Dim, Sampler, Type, Value};

use super::grow::{Garden, Known};
use super::values::DEFAULT_DOMAIN;

const REDUCTIONS: &[&str] = &["reduce_max", "reduce_sum", "reduce_min", "mean", "norm", "var"];
/// What joins a value with something of its row.
const JOINS: &[&str] = &["sub", "mul", "add", "max", "div"];
/// What is done with each element.
const FUNCTIONS: &[&str] = &["exp", "tanh", "square", "neg", "silu", "abs"];

/// Adds a chain; leaves the graph as it was if that does not work out.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    garden.attempt(|garden| chain(garden, sampler))
}

fn chain(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let fits = |known: &&Known| {
        let ty = garden.graph.type_of(known.value);
        ty.dtype.is_float() && ty.rank() > 0 && known.tensor.n_elements() <= 2048
    };
    let fitting: Vec<Known> = garden.known.iter().filter(fits).cloned().collect();
    if fitting.is_empty() {
        return None;
    }
    let mut x = sampler.pick(&fitting).clone();
    let ty = garden.graph.type_of(x.value).clone();
    let axes = some_axes(sampler, ty.rank());
    for _ in 0..sampler.int(1, 3) {
        // Now and then, the next reduction goes along other axes.
        let axes = if sampler.int(0, 7) == 0 { some_axes(sampler, ty.rank()) } else { axes.clone() };
        let attrs = Attrs::none().with("axes", axes).with("keep", true);
        let of_row = garden.derive(*sampler.pick(REDUCTIONS), &[x.clone()], &attrs)?;
        let shape = Attrs::none().with("shape", ty.shape.clone());
        let spread = garden.derive("broadcast", &[of_row], &shape)?;
        let join = *sampler.pick(JOINS);
        x = garden
            .derive(join, &[x.clone(), spread.clone()], &Attrs::none())
            .or_else(|| garden.derive("sub", &[x, spread], &Attrs::none()))?;
        if sampler.flip() {
            x = garden.derive(*sampler.pick(FUNCTIONS), &[x.clone()], &Attrs::none()).unwrap_or(x);
        }
    }
    match sampler.int(0, 3) {
        0 => {
            let attrs = Attrs::none().with("axes", axes).with("keep", sampler.flip());
            garden.derive(*sampler.pick(REDUCTIONS), &[x], &attrs).map(|known| vec![known.value])
        }
        1 => {
            let along = axis_after(sampler, &ty);
            let scale = garden.find_or_make(sampler, &along, DEFAULT_DOMAIN)?;
            let scale = garden.derive("broadcast", &[scale], &Attrs::none().with("shape", ty.shape.clone()))?;
            garden.derive("mul", &[x, scale], &Attrs::none()).map(|known| vec![known.value])
        }
        _ => Some(vec![x.value]),
    }
}

/// The type of a scale along one axis.
fn axis_after(sampler: &mut Sampler, ty: &Type) -> Type {
    let kept = sampler.int(0, ty.rank() as i64 - 1) as usize;
    let shape =
        ty.shape.iter().enumerate().map(|(axis, size)| if axis == kept { size.clone() } else { Dim::constant(1) });
    Type::new(ty.dtype, shape.collect::<Vec<Dim>>())
}

fn some_axes(sampler: &mut Sampler, rank: usize) -> Vec<i64> {
    let mut axes: Vec<i64> = (0..rank as i64).filter(|_| sampler.flip()).collect();
    if axes.is_empty() {
        axes.push(sampler.int(0, rank as i64 - 1));
    }
    axes
}
