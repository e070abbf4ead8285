//! Queries in the form in which they are multiplied: where they do not lie so, an item brings those of its rows into it once,
//! and not for each panel of keys.
//!
//! Invariant: what is kept is what the row factor of the scores gives, for each row of the item and each position that is
//! summed over.

use super::Attention;
use super::emit::Item;
use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Memory, Span, lane};
use crate::schedule::body::Term;
use crate::schedule::contraction::matrices::lies_in_words;
use crate::schedule::emit::Tile;
use crate::schedule::tiles::{each_tile, segments};

/// Longer queries are read as they lie: those of a group of rows would not fit the stack.
const LONGEST: i64 = 4096;

impl Attention<'_> {
    /// How many numbers, or words, are kept of each query; none where they are read as they lie.
    pub fn query_length(&self) -> Option<u64> {
        let (loops, plan) = (&self.score.loops, &self.score.plan);
        let mut factor = plan.row_factor;
        while let Term::Cast(arg) = loops.body.term(factor) {
            factor = *arg;
        }
        let lies_so = match &self.matrices {
            Some(_) => lies_in_words(loops, plan),
            None => matches!(loops.body.term(factor), Term::Load(_)) || self.is_direct(),
        };
        let is_single = loops.axes.len() == loops.n_parallel + 1;
        let depth = loops.axes[loops.n_parallel].as_constant().filter(|_| is_single && !lies_so)?;
        (1..=LONGEST).contains(&depth).then_some(depth as u64)
    }

    /// Where those of so many rows are kept.
    pub fn queries(&self, b: &mut Builder, rows: u64) -> Option<Memory> {
        let length = self.query_length()?;
        let is_of_words = matches!(self.score.loops.body.term(self.score.loops.stages[0].element), Term::Dot(..));
        let dtype = if is_of_words { DType::U32 } else { self.score.plan.dtype };
        Some(b.local("queries", dtype, [rows, length]))
    }
}

impl Item<'_> {
    /// Keeps the queries of all rows of the item.
    pub fn keep_queries(&self, b: &mut Builder) {
        let (Some(queries), Some(length)) = (self.queries, self.of.query_length()) else { return };
        let (loops, plan) = (&self.of.score.loops, &self.of.score.plan);
        let length = Dim::constant(length as i64);
        b.for_loop(Span::new("x", 0, self.n_rows.clone(), 1), &[], |b, row, _| {
            let (mut at, _) = self.score_place(&(row + &lane(0)), &Dim::constant(0), false);
            each_tile(b, "y", &segments(&length, self.of.machine), &[], &mut |b, base, segment, _| {
                let place = base + &lane(1);
                let inside = if segment.guarded { vec![Builder::below(&place, &length)] } else { Vec::new() };
                at[loops.n_parallel] = place.clone();
                let shape = vec![1, segment.width];
                let mut tile = Tile::new(loops, self.score_operands, at.clone(), shape, inside.clone());
                let mut query = tile.full(b, plan.row_factor);
                if b.type_of(query).dtype != DType::U32 {
                    query = b.cast(query, plan.dtype);
                }
                b.store(queries, [&(row + &lane(0)), &place], inside, query);
                Vec::new()
            });
            Vec::new()
        });
    }
}
