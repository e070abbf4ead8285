//! Reading for several rounds at once what lies side by side from round to round, while lanes lie apart: squares are read
//! in the order of memory, turned, and kept until their rounds come.
//!
//! Invariant: a round gets the elements that it would have read, and nothing beyond the last round is read.

use super::Rounds;
use super::compose::Recurrence;
use crate::graph::Dim;
use crate::kernel::{Builder, Memory, Span, lane};
use crate::schedule::body::{Term, TermId};
use crate::schedule::emit::{Kept, Tile};
use crate::schedule::order::{self, Stride};
use crate::schedule::tiles::Machine;

/// What is read so, by squares of so many lanes.
pub struct Ahead {
    lanes: u64,
    terms: Vec<(TermId, Memory)>,
}

impl Ahead {
    /// The loads of a recurrence of which each item has whole vectors, and no short axes.
    pub fn of(b: &mut Builder, rounds: &Rounds, lanes: Option<usize>, machine: &Machine) -> Option<Ahead> {
        let Recurrence { loops, roots, carries, round, .. } = rounds.recurrence;
        let lanes = lanes?;
        let [width] = rounds.shape[..] else { return None };
        let is_whole = machine.lanes > 1 && width % machine.lanes == 0 && rounds.guards.is_empty();
        if !is_whole || machine.is_block() {
            return None;
        }
        let is_ahead = |id: &TermId| match loops.body.term(*id) {
            Term::Load(load) => {
                load.guards.is_empty()
                    && loops.operands[load.operand].dtype.size_of() == 4
                    && order::stride(loops, load, *round) == Stride::One
                    && order::stride(loops, load, lanes) == Stride::Other
            }
            _ => false,
        };
        let loads = loops.body.needed(roots).into_iter().filter(|id| !carries.contains(id)).filter(is_ahead);
        let shape = [machine.lanes, width];
        let memory = |(n, id)| (id, b.local(format!("ahead{n}"), loops.body.dtype(id), shape));
        let terms: Vec<(TermId, Memory)> = loads.enumerate().map(memory).collect();
        (!terms.is_empty()).then_some(Ahead { lanes: machine.lanes, terms })
    }

    /// How many rounds are read for at once, and how often there are as many.
    pub fn rounds(&self, trip: &Dim) -> (i64, Dim) {
        (self.lanes as i64, trip.floor_div(&Dim::constant(self.lanes as i64)))
    }

    /// Reads for the rounds from `first` on.
    pub fn read(&self, b: &mut Builder, rounds: &Rounds, lanes: usize, first: &Dim) {
        let width = (rounds.shape[0] / self.lanes) as i64;
        b.for_loop(Span::new("v", 0, width, 1), &[], |b, v, _| {
            let column = v * self.lanes as i64;
            for &(term, memory) in &self.terms {
                let mut at = rounds.at.clone();
                at[rounds.recurrence.round] = first + &lane(0);
                at[lanes] = &(&(&at[lanes] - &lane(0)) + &column) + &lane(1);
                let shape = vec![self.lanes, self.lanes];
                let square = Tile::new(&rounds.recurrence.loops, rounds.operands, at, shape, Vec::new()).full(b, term);
                b.store(memory, [lane(0), &column + &lane(1)], [], square);
            }
            Vec::new()
        });
    }

    /// Where a round finds what was read for it.
    pub fn kept(&self, round: &Dim) -> Vec<Kept> {
        self.terms.iter().map(|&(term, memory)| Kept { term, memory, index: vec![round.clone(), lane(0)] }).collect()
    }
}
