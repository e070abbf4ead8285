//! The same where each lane comes from a line of its own, along which the elements of the last axis lie side by side: as in
//! a weight whose numbers come into pairs along its rows. Squares of it are turned on their way through local memory.
//!
//! Invariant: each element is computed from the same load as otherwise.

use super::Plan;
use crate::graph::Dim;
use crate::kernel::{Builder, Kernel, Memory, Span, lane};
use crate::schedule::Loops;
use crate::schedule::body::{Load, Position, Term, TermId};
use crate::schedule::emit::{Tile, begin};
use crate::schedule::order::{Stride, step, stride};
use crate::schedule::tiles::Machine;

/// What is turned.
pub struct Turned {
    /// The load of each element of the last axis.
    loads: Vec<TermId>,
    /// Along which positions further on lie.
    along: usize,
    /// Elements of the last axis have a position of their own in the operand, after the one that goes along.
    is_split: bool,
}

impl Turned {
    /// Whether squares fill what `members`, which lanes run along axis `lanes` of, are computed from.
    pub fn find(nest: &Loops, members: &[TermId], lanes: usize, machine: &Machine) -> Option<Turned> {
        let along = lanes.checked_sub(1)?;
        let is_whole = |axis: usize| {
            nest.axes[axis].as_constant().is_some_and(|extent| extent > 0 && extent % machine.lanes as i64 == 0)
        };
        let one_load = |&member: &TermId| {
            let needed = nest.body.needed(&[member]).into_iter();
            let mut found = needed.filter(|&id| matches!(nest.body.term(id), Term::Load(_)));
            found.next().filter(|_| found.next().is_none())
        };
        let loads: Vec<TermId> = members.iter().map(one_load).collect::<Option<_>>()?;
        let first = load(nest, loads[0])?;
        let count = members.len() as i64;
        let extent = nest.operands[first.operand].shape.last()?;
        let is_split = extent.is(count) && first.index.last().is_some_and(|position| !moves(position, along));
        let at = first.index.len().checked_sub(1 + usize::from(is_split))?;
        let follows =
            |(number, &id): (usize, &TermId)| load(nest, id).is_some_and(|own| is_neighbour(first, own, number as i64));
        let fits = step(nest, first, along)? == Dim::constant(count)
            && nest.operands[first.operand].dtype.size_of() == 4
            && stride(nest, first, lanes) == Stride::Other
            && first.index.iter().enumerate().all(|(axis, position)| axis == at || !moves(position, along))
            && (!is_split || matches!(first.index.last(), Some(Position::Dim(dim)) if dim.is(0)));
        (is_whole(along) && is_whole(lanes) && fits && loads.iter().enumerate().all(follows)).then_some(Turned {
            loads,
            along,
            is_split,
        })
    }
}

fn load(nest: &Loops, id: TermId) -> Option<&Load> {
    match nest.body.term(id) {
        Term::Load(load) => Some(load),
        _ => None,
    }
}

fn moves(position: &Position, axis: usize) -> bool {
    matches!(position, Position::Dim(dim) if dim.mentions(&Loops::symbol(axis)))
}

/// Whether a load reads so many elements after another, along the last position of the index.
fn is_neighbour(first: &Load, own: &Load, number: i64) -> bool {
    let at = first.index.len() - 1;
    let each = first.index.iter().zip(&own.index).enumerate();
    let mut gaps = each.map(|(axis, pair)| match pair {
        (Position::Dim(from), Position::Dim(to)) => {
            (to - from).as_constant() == Some(if axis == at { number } else { 0 })
        }
        _ => false,
    });
    first.operand == own.operand
        && first.guards == own.guards
        && first.index.len() == own.index.len()
        && gaps.all(|is| is)
}

pub fn kernel(plan: &Plan, turned: &Turned, machine: &Machine) -> Kernel {
    let Plan { lanes, loops, members, .. } = plan;
    let (mut b, operands, result) = begin(loops);
    let side = machine.lanes as i64;
    let mut at: Vec<Dim> = (0..loops.axes.len())
        .map(|axis| match axis {
            axis if axis > *lanes => Dim::constant(0),
            axis if axis == *lanes || axis == turned.along => {
                &b.grid(&format!("g{axis}"), loops.axes[axis].floor_div(&Dim::constant(side))) * side
            }
            axis => b.grid(&format!("g{axis}"), loops.axes[axis].clone()),
        })
        .collect();
    // Rows that lie a power of two apart would share lines of the cache.
    let shape = [machine.lanes * members.len() as u64, machine.lanes + 1];
    let local = b.local("turned", loops.body.dtype(turned.loads[0]), shape);
    let (start, first) = (at[*lanes].clone(), at[turned.along].clone());
    read(&mut b, (plan, turned), &operands, local, (&at, &start), machine);
    at[*lanes] = &start + &lane(0);
    b.for_loop(Span::new("o", 0, side, 1), &[], |b, o, _| {
        at[turned.along] = &first + o;
        let mut tile = Tile::new(loops, &operands, at.clone(), vec![machine.lanes], Vec::new());
        for (&id, number) in turned.loads.iter().zip(0..) {
            let row = &(o * members.len() as i64) + number;
            let value = b.load(local, [machine.lanes], [&row, &lane(0)], [], 0.0);
            tile.memo.insert(id, value);
        }
        let values: Vec<_> = members.iter().map(|&member| tile.full(b, member)).collect();
        for (number, value) in values.into_iter().enumerate() {
            let mut place = at.clone();
            place[lanes + 1] = Dim::constant(number as i64);
            b.store(result, place, [], value);
        }
        Vec::new()
    });
    b.finish()
}

/// Squares of the operand, turned: rows are positions side by side, lanes are its lines.
fn read(
    b: &mut Builder,
    (plan, turned): (&Plan, &Turned),
    operands: &[Memory],
    local: Memory,
    (at, start): (&[Dim], &Dim),
    machine: &Machine,
) {
    let Term::Load(load) = plan.loops.body.term(turned.loads[0]) else { return };
    let mut at = at.to_vec();
    at[plan.lanes] = start + &lane(1);
    let tile = Tile::new(&plan.loops, operands, at, vec![machine.lanes, machine.lanes], Vec::new());
    let Some(index) = tile.places(load) else { return };
    b.for_loop(Span::new("s", 0, plan.members.len() as i64, 1), &[], |b, square, _| {
        let row = &(square * machine.lanes as i64) + &lane(0);
        let mut index = index.clone();
        let (last, count) = (index.len() - 1, Dim::constant(plan.members.len() as i64));
        match turned.is_split {
            true => {
                index[last - 1] = &index[last - 1] + &row.floor_div(&count);
                index[last] = row.modulo(&count);
            }
            false => index[last] = &index[last] + &row,
        }
        let guards: Vec<Dim> = load.guards.iter().map(|guard| tile.place(guard)).collect();
        let value =
            b.load(operands[load.operand], [machine.lanes, machine.lanes], index, guards, load.otherwise.value());
        b.store(local, [&row, &lane(1)], [], value);
        Vec::new()
    });
}
