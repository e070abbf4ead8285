//! Random applications of the ops that have regions: `loop`, `while`, `scan` and `cond`, with small random bodies.

use tilewright::compiler::graph::{Attrs, DType, Dim, Graph, Role, Sampler, Tensor, Type, Value};
use tilewright::compiler::ops;

use super::grow::{Garden, Known};
use super::values::DEFAULT_DOMAIN;

/// Adds one of them; leaves the graph as it was if that does not work out.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler, depth: usize) -> Option<Vec<Value>> {
    garden.attempt(|garden| match sampler.int(0, 3) {
        0 => grow_loop(garden, sampler, depth),
        1 => grow_while(garden, sampler, depth),
        2 => grow_scan(garden, sampler, depth),
        _ => grow_cond(garden, sampler, depth),
    })
}

/// A few values of the graph, each at most once; values of one type often come together, so that carries can swap places.
fn some(garden: &Garden, sampler: &mut Sampler, most: i64) -> Vec<Known> {
    let ty = |known: &Known| garden.graph.type_of(known.value);
    let mut chosen: Vec<Known> = Vec::new();
    for _ in 0..sampler.int(0, most) {
        let is_new =
            |known: &&Known| known.tensor.n_elements() <= 512 && chosen.iter().all(|other| other.value != known.value);
        let new: Vec<&Known> = garden.known.iter().filter(is_new).collect();
        let alike: Vec<&Known> = new.iter().copied().filter(|new| chosen.iter().any(|c| ty(c) == ty(new))).collect();
        let fitting = if !alike.is_empty() && sampler.flip() { alike } else { new };
        if !fitting.is_empty() {
            chosen.push((*sampler.pick(&fitting)).clone());
        }
    }
    chosen
}

fn arguments(garden: &Garden, known: &[Known]) -> Vec<(Type, Tensor)> {
    known.iter().map(|known| (garden.graph.type_of(known.value).clone(), known.tensor.clone())).collect()
}

fn counter(garden: &mut Garden, value: i64) -> Option<Known> {
    garden.constant(&Type::scalar(DType::I64), Tensor::int_scalar(DType::I64, value))
}

fn index() -> (Type, Tensor) {
    (Type::scalar(DType::I64), Tensor::int_scalar(DType::I64, 0))
}

/// For each carry a value of its type: preferably a new one, and now and then what another carry was.
fn add_carries(body: &mut Garden, sampler: &mut Sampler, first: usize, n: usize) -> Option<()> {
    for idx in 0..n {
        let ty = body.graph.type_of(body.known[first + idx].value).clone();
        let fits = |known: &&Known| *body.graph.type_of(known.value) == ty;
        let carried = first..first + n;
        let others: Vec<Known> = body.known[carried].iter().filter(fits).cloned().collect();
        let fitting: Vec<Known> = body.known.iter().skip(first + idx).filter(fits).cloned().collect();
        let takes_another = others.len() > 1 && sampler.flip();
        let mut chosen = sampler.pick(if takes_another { &others } else { &fitting }).clone();
        if !takes_another && chosen.value == body.known[first + idx].value && ty.dtype.is_float() {
            body.apply(ops::find("sin")?, &[chosen], &Attrs::none(), Vec::new())?;
            chosen = body.known.last()?.clone();
        }
        body.graph.add_output(format!("c{idx}"), Role::Data, chosen.value);
    }
    Some(())
}

/// A body over these arguments, of which `n_carries` from `first` on are carried.
fn body(
    garden: &Garden,
    sampler: &mut Sampler,
    depth: usize,
    given: &[(Type, Tensor)],
    carries: std::ops::Range<usize>,
) -> Option<Garden> {
    let mut body = garden.region("body", given);
    let n_nodes = sampler.int(1, 4) as usize;
    body.grow(sampler, n_nodes, depth + 1);
    add_carries(&mut body, sampler, carries.start, carries.len())?;
    Some(body)
}

fn grow_loop(garden: &mut Garden, sampler: &mut Sampler, depth: usize) -> Option<Vec<Value>> {
    let (carries, captures) = (some(garden, sampler, 3), some(garden, sampler, 2));
    if carries.is_empty() {
        return None;
    }
    let (from, to) = (sampler.int(-1, 2), sampler.int(0, 5));
    let turns = Dim::constant((to - from).max(0));
    let (from, to) = (counter(garden, from)?, counter(garden, to)?);
    let given: Vec<_> =
        [index()].into_iter().chain(arguments(garden, &[carries.clone(), captures.clone()].concat())).collect();
    let body = body(garden, sampler, depth, &given, 1..1 + carries.len())?;
    let attrs = Attrs::none().with("carries", carries.len() as i64).with("turns", turns);
    garden.apply(ops::find("loop")?, &[vec![from, to], carries, captures].concat(), &attrs, vec![body.graph])
}

fn grow_while(garden: &mut Garden, sampler: &mut Sampler, depth: usize) -> Option<Vec<Value>> {
    let (others, captures) = (some(garden, sampler, 2), some(garden, sampler, 2));
    let start = sampler.int(0, 3);
    let carries = [vec![counter(garden, start)?], others].concat();
    let given = arguments(garden, &[carries.clone(), captures.clone()].concat());
    let bound = sampler.int(0, 6);
    let mut test = garden.region("condition", &given);
    let limit = counter(&mut test, bound)?;
    let now = test.known[0].clone();
    let goes_on = test.apply(ops::find("lt")?, &[now, limit], &Attrs::none(), Vec::new())?;
    test.graph.add_output("test", Role::Data, goes_on[0]);
    let mut body = garden.region("body", &given);
    let one = counter(&mut body, 1)?;
    let now = body.known[0].clone();
    let next = body.apply(ops::find("add")?, &[now, one], &Attrs::none(), Vec::new())?;
    let n_nodes = sampler.int(1, 4) as usize;
    body.grow(sampler, n_nodes + 2, depth + 1);
    body.graph.add_output("next", Role::Data, next[0]);
    add_carries(&mut body, sampler, 1, carries.len() - 1)?;
    let mut attrs = Attrs::none().with("carries", carries.len() as i64);
    if sampler.flip() {
        attrs = attrs.with("at_most", Dim::constant(sampler.int(0, 8)));
    }
    garden.apply(ops::find("while")?, &[carries, captures].concat(), &attrs, vec![test.graph, body.graph])
}

fn grow_scan(garden: &mut Garden, sampler: &mut Sampler, depth: usize) -> Option<Vec<Value>> {
    let (carries, captures) = (some(garden, sampler, 2), some(garden, sampler, 2));
    let given: Vec<_> =
        [index()].into_iter().chain(arguments(garden, &[carries.clone(), captures.clone()].concat())).collect();
    let mut body = body(garden, sampler, depth, &given, 1..1 + carries.len())?;
    let n_outs = sampler.int(i64::from(carries.is_empty()), 2);
    for idx in 0..n_outs {
        let value = sampler.pick(&body.known).value;
        body.graph.add_output(format!("o{idx}"), Role::Data, value);
    }
    let trip = garden.open_size(sampler).unwrap_or_else(|| Dim::constant(sampler.int(0, 5)));
    let attrs = Attrs::none().with("carries", carries.len() as i64).with("trip", trip);
    garden.apply(ops::find("scan")?, &[carries, captures].concat(), &attrs, vec![body.graph])
}

fn grow_cond(garden: &mut Garden, sampler: &mut Sampler, depth: usize) -> Option<Vec<Value>> {
    let captures = some(garden, sampler, 3);
    let test = garden.find_or_make(sampler, &Type::scalar(DType::Bool), DEFAULT_DOMAIN)?;
    let given = arguments(garden, &captures);
    let mut branches = [garden.region("then", &given), garden.region("else", &given)];
    for branch in &mut branches {
        let n_nodes = sampler.int(1, 3) as usize;
        branch.grow(sampler, n_nodes, depth + 1);
    }
    // The first branch decides what comes out; the other finds or makes as much.
    let chosen = sampler.pick(&branches[0].known).value;
    let ty = branches[0].graph.type_of(chosen).clone();
    branches[0].graph.add_output("r", Role::Data, chosen);
    let other = branches[1].find_or_make(sampler, &ty, DEFAULT_DOMAIN)?.value;
    branches[1].graph.add_output("r", Role::Data, other);
    let regions: Vec<Graph> = branches.into_iter().map(|branch| branch.graph).collect();
    garden.apply(ops::find("cond")?, &[vec![test], captures].concat(), &Attrs::none(), regions)
}
