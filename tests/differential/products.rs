//! Random products of matrices with extents around those of tiles and blocks, some of them open, and what may follow the sums
//! in their kernel.

use tilewright::compiler::graph::{Attrs, DType, Dim, Role, Sampler, Type, Value};

use super::grow::Garden;
use super::values::DEFAULT_DOMAIN;

const ROWS: &[i64] = &[5, 17, 64, 112, 121, 130, 193];
const DEPTHS: &[i64] = &[1, 7, 64, 70];
const COLUMNS: &[i64] = &[3, 16, 35, 70];
const FUNCTIONS: &[&str] = &["gelu", "tanh", "silu", "abs"];

/// Adds a product; leaves the graph as it was if that does not work out. What is infinite spreads over tiles.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    if garden.is_region || garden.has_specials || sampler.int(0, 3) > 0 {
        return None;
    }
    garden.attempt(|garden| product(garden, sampler))
}

fn product(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let mut size = |known: &[i64]| {
        let fixed = Dim::constant(*sampler.pick(known));
        garden.open_size(sampler).filter(|_| sampler.flip()).unwrap_or(fixed)
    };
    let [rows, depth, columns] = [size(ROWS), size(DEPTHS), size(COLUMNS)];
    let mut argument = |role: Role, shape: [&Dim; 2]| {
        let letter = if role == Role::Param { "w" } else { "x" };
        garden.argument(&Type::new(DType::Real, shape.map(Dim::clone).to_vec()), DEFAULT_DOMAIN, letter, role)
    };
    let is_fixed = |dim: &Dim| dim.as_constant().is_some();
    let role = if is_fixed(&depth) && is_fixed(&columns) && sampler.flip() { Role::Param } else { Role::Data };
    let x = argument(Role::Data, [&rows, &depth])?;
    let (w, pattern) = match sampler.flip() {
        true => (argument(role, [&depth, &columns])?, "i k, k j -> "),
        false => (argument(role, [&columns, &depth])?, "i k, j k -> "),
    };
    let pattern = format!("{pattern}{}", sampler.pick(&["i j", "j i"]));
    let mut y = garden.derive("einsum", &[x, w], &Attrs::none().with("pattern", pattern))?;
    for _ in 0..sampler.int(0, 2) {
        y = garden.derive(*sampler.pick(FUNCTIONS), &[y], &Attrs::none())?;
    }
    Some(vec![y.value])
}
