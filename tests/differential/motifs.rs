//! Random short chains of ops that rewrites look for: movement upon movement, a little algebra on a few values, casts out
//! of range. Chains of random ops seldom hold them.

use tilewright::compiler::graph::{Attrs, DType, Dim, Sampler, Type, Value};

use super::grow::{Garden, Known};
use super::values::DEFAULT_DOMAIN;

/// What the algebra of a motif is made of.
const ALGEBRA: &[&str] = &["neg", "sub", "add", "mul", "max", "min", "div", "abs", "pow", "select", "square", "exp"];
/// Numbers that its rules know.
const NUMBERS: &[f64] = &[0.0, 1.0, -1.0, 2.0, 3.0, 4.0, 0.5];
const TESTS: &[&str] = &["lt", "le", "gt", "ge"];
const NARROW: &[DType] = &[DType::I8, DType::U8, DType::I32, DType::I64];
/// Motifs keep to values of so many elements.
const SMALL: usize = 2048;

/// Adds a motif; leaves the graph as it was if that does not work out.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    garden.attempt(|garden| match sampler.int(0, 6) {
        0..3 => movement(garden, sampler),
        3..6 => algebra(garden, sampler),
        _ => casts(garden, sampler),
    })
}

fn pick(garden: &Garden, sampler: &mut Sampler, fits: impl Fn(&Type) -> bool) -> Option<Known> {
    let fits = |known: &&Known| fits(garden.graph.type_of(known.value)) && known.tensor.n_elements() <= SMALL;
    let fitting: Vec<&Known> = garden.known.iter().filter(fits).collect();
    (!fitting.is_empty()).then(|| (*sampler.pick(&fitting)).clone())
}

/// The same kind of movement two or three times in a row, or other kinds among them.
fn movement(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    const KINDS: &[&str] = &["permute", "slice", "pad", "concat"];
    let mut x = match sampler.int(0, 2) {
        0 => cube(garden, sampler)?,
        _ => pick(garden, sampler, |ty| (1..=4).contains(&ty.rank()))?,
    };
    let mut kind = *sampler.pick(KINDS);
    for _ in 0..sampler.int(2, 3) {
        if sampler.int(0, 4) == 0 {
            kind = *sampler.pick(KINDS);
        }
        let shape = garden.graph.type_of(x.value).shape.clone();
        let (mut operands, attrs) = (vec![x.clone()], moved(sampler, kind, &shape));
        if kind == "concat" {
            operands.insert(sampler.int(0, 1) as usize, x.clone());
        }
        x = garden.derive(kind, &operands, &attrs)?;
    }
    Some(vec![x.value])
}

/// A value whose axes are all of one size, so that no type tells one axis from another.
fn cube(garden: &mut Garden, sampler: &mut Sampler) -> Option<Known> {
    let (size, rank) = (sampler.int(2, 5), sampler.int(2, 4) as usize);
    garden.find_or_make(sampler, &Type::new(DType::Real, vec![Dim::constant(size); rank]), DEFAULT_DOMAIN)
}

fn moved(sampler: &mut Sampler, kind: &str, shape: &[Dim]) -> Attrs {
    let rank = shape.len();
    match kind {
        "permute" => {
            let mut axes: Vec<i64> = (0..rank as i64).collect();
            for idx in (1..rank).rev() {
                axes.swap(idx, sampler.int(0, idx as i64) as usize);
            }
            Attrs::none().with("axes", axes)
        }
        "slice" => {
            let (mut starts, mut stops, mut steps) = (Vec::new(), Vec::new(), Vec::new());
            for size in shape {
                let (start, stop) = some_of(sampler, size);
                let step = sampler.int(1, 3);
                let is_backwards = size.as_constant().is_some() && sampler.int(0, 3) == 0;
                starts.push(if is_backwards { &stop - 1 } else { start.clone() });
                stops.push(if is_backwards { &start - 1 } else { stop });
                steps.push(if is_backwards { -step } else { step });
            }
            Attrs::none().with("starts", starts).with("stops", stops).with("steps", steps)
        }
        "pad" => {
            let mut amounts = || -> Vec<Dim> { shape.iter().map(|_| Dim::constant(sampler.int(0, 2))).collect() };
            let (low, high) = (amounts(), amounts());
            Attrs::none().with("low", low).with("high", high).with("value", *sampler.pick(NUMBERS))
        }
        _ => Attrs::none().with("axis", sampler.int(0, rank as i64 - 1)),
    }
}

/// From where to where a slice goes: anywhere where the size is known, else over all or all but the first.
fn some_of(sampler: &mut Sampler, size: &Dim) -> (Dim, Dim) {
    match size.as_constant() {
        Some(size) => {
            let start = sampler.int(0, (size - 1).clamp(0, 2));
            (Dim::constant(start), Dim::constant(sampler.int((start + 1).min(size), size)))
        }
        None => (Dim::constant(sampler.int(0, 1)), size.clone()),
    }
}

/// A handful of ops on two values of one type and numbers that rules know.
fn algebra(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let x = pick(garden, sampler, |ty| ty.dtype.is_float())?;
    let ty = garden.graph.type_of(x.value).clone();
    let mut pool = vec![x, garden.find_or_make(sampler, &ty, DEFAULT_DOMAIN)?];
    let mut last = None;
    for _ in 0..sampler.int(3, 8) {
        let op = *sampler.pick(ALGEBRA);
        let operands = match op {
            "neg" | "abs" | "square" | "exp" => vec![one_of(sampler, &pool)],
            "pow" => vec![one_of(sampler, &pool), number(garden, sampler, &ty)?],
            "select" => {
                let test = test(garden, sampler, &pool)?;
                vec![test, one_of(sampler, &pool), one_of(sampler, &pool)]
            }
            _ => {
                let mut sides = vec![one_of(sampler, &pool), one_of(sampler, &pool)];
                if sampler.int(0, 3) == 0 {
                    sides[sampler.int(0, 1) as usize] = number(garden, sampler, &ty)?;
                }
                sides
            }
        };
        if let Some(result) = garden.derive(op, &operands, &Attrs::none()) {
            last = Some(result.value);
            pool.push(result);
        }
    }
    last.map(|value| vec![value])
}

/// Rather a new value, on which rules for two ops in a row apply.
fn one_of(sampler: &mut Sampler, pool: &[Known]) -> Known {
    let newest = &pool[pool.len().saturating_sub(2)..];
    if sampler.flip() { sampler.pick(newest) } else { sampler.pick(pool) }.clone()
}

fn number(garden: &mut Garden, sampler: &mut Sampler, ty: &Type) -> Option<Known> {
    let attrs = Attrs::none().with("value", *sampler.pick(NUMBERS)).with("shape", ty.shape.clone());
    garden.derive("fill", &[], &attrs.with("dtype", ty.dtype))
}

fn test(garden: &mut Garden, sampler: &mut Sampler, pool: &[Known]) -> Option<Known> {
    let sides = [one_of(sampler, pool), one_of(sampler, pool)];
    let test = garden.derive(*sampler.pick(TESTS), &sides, &Attrs::none())?;
    if sampler.flip() { garden.derive("not", &[test], &Attrs::none()) } else { Some(test) }
}

/// Numbers beyond what an integer holds, cast to it and back.
fn casts(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let x = pick(garden, sampler, |ty| ty.dtype.is_float())?;
    let ty = garden.graph.type_of(x.value).clone();
    let scale = Attrs::none().with("value", sampler.float(50.0, 500.0).round()).with("shape", ty.shape.clone());
    let scale = garden.derive("fill", &[], &scale.with("dtype", ty.dtype))?;
    let large = garden.derive("mul", &[x, scale], &Attrs::none())?;
    let narrow = garden.derive("cast", &[large], &Attrs::none().with("to", *sampler.pick(NARROW)))?;
    let back = garden.derive("cast", &[narrow], &Attrs::none().with("to", ty.dtype))?;
    Some(vec![back.value])
}
