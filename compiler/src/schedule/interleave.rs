//! Results whose last axis is short, such as two images whose channels alternate: lanes run along the axis before it, and
//! the elements of the last one are computed in one tile. Each is read from memory of its own, and lowering stores them
//! side by side.
//!
//! Invariant: elements of a last tile that lies over the one before are stored twice, with the same values.

mod turned;

use self::turned::Turned;
use super::Loops;
use super::body::{Body, TermId};
use super::emit::{Tile, begin};
use super::order::{Stride, stride};
use super::pointwise::{chunk, chunk_size};
use super::residues::specialised;
use super::settle::settle;
use super::tiles::{Machine, each_tile, segments_of};
use crate::graph::Dim;
use crate::kernel::{Builder, Kernel, Span, Value, lane};

/// Elements of the last axis; lowering makes whole vectors of as many.
const COUNTS: [i64; 2] = [2, 4];

/// Along which axis the lanes run, and what each element of the last axis is.
pub struct Plan {
    lanes: usize,
    loops: Loops,
    members: Vec<TermId>,
    /// Where each lane comes from a line of its own.
    turned: Option<Turned>,
}

pub fn find(loops: &Loops, machine: &Machine) -> Option<Plan> {
    let lanes = loops.n_parallel.checked_sub(2)?;
    let count = loops.axes[lanes + 1].as_constant().filter(|count| COUNTS.contains(count))?;
    let is_short = loops.axes[lanes].as_constant().is_some_and(|extent| extent < machine.lanes as i64);
    if machine.is_block() || machine.lanes == 1 || is_short {
        return None;
    }
    let mut body = Body::default();
    let symbols: Vec<Dim> = (0..loops.axes.len()).map(|axis| Dim::from(&Loops::symbol(axis))).collect();
    let member = |number: i64| {
        let mut at = symbols.clone();
        at[lanes + 1] = Dim::constant(number);
        specialised(loops, &mut body, &at, &loops.ranges, &[])
    };
    let mut members: Vec<TermId> = (0..count).map(member).collect();
    let mut settled = Body::default();
    body.map_to(&mut settled, &mut members, |settled, id, term| settle(settled, &body, id, term, &loops.ranges));
    let nest = Loops { body: settled, stored: members[0], more: members[1..].to_vec(), ..loops.clone() };
    let loads = nest.body.loads(&members);
    let is_straight = !loads.is_empty() && loads.iter().all(|load| stride(&nest, load, lanes) != Stride::Other);
    let turned = if is_straight { None } else { Some(Turned::find(&nest, &members, lanes, machine)?) };
    Some(Plan { lanes, loops: nest, members, turned })
}

pub fn kernel(plan: &Plan, machine: &Machine) -> Kernel {
    if let Some(turned) = &plan.turned {
        return turned::kernel(plan, turned, machine);
    }
    let Plan { lanes, loops, members, .. } = plan;
    let (mut b, operands, result) = begin(loops);
    let mut at: Vec<Dim> = (0..loops.axes.len())
        .map(|axis| match axis < *lanes {
            true => b.grid(&format!("g{axis}"), loops.axes[axis].clone()),
            false => Dim::constant(0),
        })
        .collect();
    let extent = loops.axes[*lanes].clone();
    let (start, length) = chunk(&mut b, &extent, chunk_size(machine));
    let mut tile = |b: &mut Builder, first: &Dim, width: u64, guarded: bool| {
        at[*lanes] = &(&start + first) + &lane(0);
        let guards = if guarded { vec![Builder::below(&at[*lanes], &extent)] } else { Vec::new() };
        let mut tile = Tile::new(loops, &operands, at.clone(), vec![width], guards.clone());
        let values: Vec<Value> = members.iter().map(|&member| tile.full(b, member)).collect();
        for (number, value) in values.into_iter().enumerate() {
            let mut place = at.clone();
            place[lanes + 1] = Dim::constant(number as i64);
            b.store(result, place, guards.clone(), value);
        }
        Vec::new()
    };
    let width = machine.lanes as i64;
    match length.as_constant().filter(|&length| length >= width) {
        Some(length) => {
            let last = Dim::constant(length - width);
            let first = |j: &Dim| if length % width == 0 { j * width } else { (j * width).least(&last) };
            let span = Span::new("j", 0, (length + width - 1) / width, 1);
            b.for_loop(span, &[], |b, j, _| tile(b, &first(j), machine.lanes, false));
        }
        None => {
            let segments = segments_of(&length, machine.lanes, machine);
            each_tile(&mut b, "j", &segments, &[], &mut |b, first, segment, _| {
                tile(b, first, segment.width, segment.guarded)
            });
        }
    }
    b.finish()
}
