//! Nests whose element depends on what number it has within a few neighbours: an image put together from tiles, a stack of
//! transformed values. All neighbours of a group are computed in one tile, where each is free of the tests on its number
//! and they share what they have in common.
//!
//! An axis takes part if a test speaks of it, or of its remainder by a number. The last group may lack members: those
//! neither store nor read beyond an operand's end.

use super::Loops;
use super::body::{Body, Load, Number, Position, Term, TermId};
use super::emit::{Tile, begin};
use super::order::{Stride, stride};
use super::pointwise::{chunk, chunk_size};
use super::tiles::{Machine, each_tile, segments_of};
use crate::graph::{Atom, DType, Dim, Ranges, Scalar};
use crate::kernel::{Builder, Kernel, lane};
use crate::seeded::{Fault, is};

/// So many elements are computed together at most.
const MOST: i64 = 64;

/// Groups of neighbours, and what each of a group is made of.
pub struct Plan {
    lanes: usize,
    /// Per axis, how many neighbours form a group.
    group: Vec<i64>,
    loops: Loops,
    members: Vec<Member>,
}

struct Member {
    /// Its number in the group, along each axis.
    within: Vec<i64>,
    stored: TermId,
}

pub fn find(loops: &Loops) -> Option<Plan> {
    let lanes = loops.n_parallel.checked_sub(1)?;
    let group: Vec<i64> = (0..loops.axes.len()).map(|axis| neighbours(loops, axis)).collect();
    let n_members = group.iter().try_fold(1i64, |n, &size| n.checked_mul(size).filter(|&n| n <= MOST))?;
    if n_members == 1 || group[lanes] != 1 {
        return None;
    }
    let plan = Plan::new(loops, lanes, group);
    let each: usize = plan.members.iter().map(|member| plan.loops.body.needed(&[member.stored]).len()).sum();
    let stored: Vec<TermId> = plan.members.iter().map(|member| member.stored).collect();
    // Elements that lie apart are loaded one by one, but only once for all members.
    let is_scattered = |load: &&&Load| stride(&plan.loops, load, lanes) == Stride::Other;
    let n_scattered = plan.loops.body.loads(&stored).iter().filter(is_scattered).count();
    let pays = plan.loops.body.needed(&stored).len() * 2 <= each && n_scattered < stored.len();
    pays.then_some(plan)
}

/// How many neighbours along an axis the tests of the body tell apart.
fn neighbours(loops: &Loops, axis: usize) -> i64 {
    let symbol = Loops::symbol(axis);
    let Some(extent) = loops.axes[axis].as_constant() else { return 1 };
    let mut group = 1;
    for dim in tested(loops) {
        for atom in dim.terms().flat_map(|(monomial, _)| monomial).map(|(atom, _)| atom) {
            let size = match atom {
                Atom::Symbol(own) if *own == symbol => extent,
                Atom::Mod(own, size) if *own == Dim::from(&symbol) => size.as_constant().unwrap_or(1),
                _ => continue,
            };
            group = group.max(size);
        }
    }
    group.min(extent.max(1))
}

/// Index expressions that are compared with numbers.
fn tested(loops: &Loops) -> Vec<&Dim> {
    let body = &loops.body;
    let mut dims = Vec::new();
    for id in body.needed(&[loops.stored]) {
        match body.term(id) {
            Term::Test(tests) => dims.extend(tests),
            Term::Apply(Scalar::Ge, sides) => {
                if let [Term::Index(dim), Term::Const(_)] = [sides[0], sides[1]].map(|side| body.term(side)) {
                    dims.push(dim)
                }
            }
            _ => {}
        }
    }
    dims
}

impl Plan {
    fn new(loops: &Loops, lanes: usize, group: Vec<i64>) -> Plan {
        let mut ranges = loops.ranges.clone();
        for (axis, &size) in group.iter().enumerate().filter(|(_, size)| **size > 1) {
            ranges.remove(&Loops::symbol(axis));
            let count = loops.axes[axis].ceil_div(&Dim::constant(size));
            ranges.declare(Loops::symbol(axis), Dim::constant(0), Some(count - 1));
        }
        let (mut body, mut members) = (Body::default(), Vec::new());
        let n_members: i64 = group.iter().product();
        for number in 0..n_members {
            let mut rest = number;
            let mut within = vec![0; group.len()];
            for (axis, size) in group.iter().enumerate().rev() {
                (within[axis], rest) = (rest % size, rest / size);
            }
            let at: Vec<Dim> = (0..group.len()).map(|axis| place(axis, group[axis], within[axis])).collect();
            let missing = beyond(loops, &group, &within, &at);
            let stored = specialised(loops, &mut body, &at, &ranges, &missing);
            members.push(Member { within, stored });
        }
        let loops = Loops { body, ranges, stored: members[0].stored, ..loops.clone() };
        Plan { lanes, group, loops, members }
    }
}

/// A position along an axis whose symbol counts groups.
fn place(axis: usize, size: i64, within: i64) -> Dim {
    &(&Dim::from(&Loops::symbol(axis)) * size) + within
}

/// What must not be negative for a member to be there: the last group may end before it.
fn beyond(loops: &Loops, group: &[i64], within: &[i64], at: &[Dim]) -> Vec<Dim> {
    let guard = |axis: usize| {
        let extent = loops.axes[axis].as_constant().filter(|_| group[axis] > 1)?;
        let n_last = extent % group[axis];
        (n_last > 0 && within[axis] >= n_last).then(|| Builder::below(&at[axis], &loops.axes[axis]))
    };
    (0..group.len()).filter_map(guard).collect()
}

/// The element at these positions: tests that they decide are gone. It may be `missing`, where one of those is negative.
pub fn specialised(loops: &Loops, body: &mut Body, at: &[Dim], ranges: &Ranges, missing: &[Dim]) -> TermId {
    let axis_of = crate::graph::rows::axis_of;
    let placed = |dim: &Dim| ranges.simplify(&dim.substitute(&|symbol| at.get(axis_of(symbol)?).cloned()));
    let specialise = |body: &mut Body, id: TermId, mut term: Term| {
        term.for_each_dim_mut(&mut |dim| *dim = placed(dim));
        if let Term::Load(load) = &mut term
            && !stays_inside(load, &loops.operands[load.operand].shape, ranges)
        {
            load.guards.extend(missing.iter().cloned());
        }
        match (&term, decided(body, &term)) {
            (_, Some(truth)) => body.add(Term::Const(Number::new(f64::from(u8::from(truth)))), DType::Bool),
            (Term::Apply(Scalar::Select, args), _) => match truth_of(body, args[0]) {
                Some(truth) => args[if truth { 1 } else { 2 }],
                None => body.add(term, loops.body.dtype(id)),
            },
            _ => body.add(term, loops.body.dtype(id)),
        }
    };
    loops.body.map_to(body, &mut [loops.stored], specialise)[0]
}

fn stays_inside(load: &Load, shape: &[Dim], ranges: &Ranges) -> bool {
    load.index.iter().zip(shape).all(|(position, extent)| match position {
        Position::Dim(dim) => ranges.proves_lt(dim, extent),
        Position::Term(_) => true,
    })
}

/// Whether a test holds, where that is known.
fn decided(body: &Body, term: &Term) -> Option<bool> {
    match term {
        Term::Test(dims) => {
            let signs: Option<Vec<bool>> = dims.iter().map(|dim| dim.as_constant().map(|value| value >= 0)).collect();
            signs.map(|signs| signs.into_iter().all(|sign| sign))
        }
        Term::Apply(Scalar::Ge, sides) => match [sides[0], sides[1]].map(|side| body.term(side)) {
            [Term::Index(dim), Term::Const(number)] => Some(dim.as_constant()? as f64 >= number.value()),
            _ => None,
        },
        _ => None,
    }
}

fn truth_of(body: &Body, test: TermId) -> Option<bool> {
    match body.term(test) {
        Term::Const(number) => Some(number.value() != 0.0),
        _ => None,
    }
}

pub fn kernel(plan: &Plan, machine: &Machine) -> Kernel {
    let Plan { lanes, group, loops, .. } = plan;
    let (mut b, operands, result) = begin(loops);
    let mut at = vec![Dim::constant(0); loops.axes.len()];
    for axis in (0..loops.axes.len()).filter(|axis| axis != lanes) {
        let count = loops.axes[axis].ceil_div(&Dim::constant(group[axis]));
        at[axis] = if count.is(1) { Dim::constant(0) } else { b.grid(&format!("g{axis}"), count) };
    }
    let extent = loops.axes[*lanes].clone();
    let (start, length) = chunk(&mut b, &extent, chunk_size(machine));
    each_tile(&mut b, "j", &segments_of(&length, machine.lanes, machine), &[], &mut |b, base, segment, _| {
        at[*lanes] = &(&start + base) + &lane(0);
        let guards = if segment.guarded { vec![Builder::below(&at[*lanes], &extent)] } else { Vec::new() };
        let mut tile = Tile::new(loops, &operands, at.clone(), vec![segment.width], guards);
        for member in &plan.members {
            let first = is(Fault::NeighboursTakeTheFirst);
            let value = tile.full(b, if first { loops.stored } else { member.stored });
            let place = |axis: usize| &(&at[axis] * group[axis]) + member.within[axis];
            let index: Vec<Dim> = (0..at.len()).map(place).collect();
            let mut guards = tile.guards.clone();
            guards.extend(beyond(loops, group, &member.within, &index));
            b.store(result, index, guards, value);
        }
        Vec::new()
    });
    b.finish()
}
