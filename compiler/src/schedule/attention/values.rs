//! Values in pairs of keys: where they do not lie so, an item brings those of a tile of keys into pairs once for all of its
//! rows.
//!
//! Invariant: what is kept has zeros for keys that do not exist, up to a whole step of a register of matrices.

use super::emit::Item;
use super::{Attention, Part};
use crate::graph::{DType, Dim};
use crate::kernel::matrix::SIDE;
use crate::kernel::{Builder, Memory, Span, Type, lane};

/// Bytes of a tile's values, in pairs.
const MOST: u64 = 256 << 10;
/// Fewer groups of rows are mixed sooner than values are brought into pairs.
const ENOUGH_GROUPS: i64 = 4;

/// Whether the values of so many keys have room, in tiles of so many columns.
pub fn has_room(mix: &Part, width: u64, keys: u64) -> bool {
    columns_kept(mix, width).is_some_and(|columns| keys.saturating_mul(2 * columns) <= MOST)
}

/// Whether there are enough rows that read them.
pub fn has_rows(mix: &Part) -> bool {
    let rows = mix.loops.axes[mix.plan.row_axis.unwrap_or(0)].as_constant();
    rows.is_none_or(|rows| rows >= ENOUGH_GROUPS * mix.plan.tile.rows as i64)
}

/// Columns of values, in whole tiles.
fn columns_kept(mix: &Part, width: u64) -> Option<u64> {
    let columns = mix.loops.axes[mix.plan.column_axis].as_constant()?;
    Some((columns.max(0) as u64).next_multiple_of(width))
}

impl Attention<'_> {
    /// Where those of so many keys are kept, if they do not lie in pairs.
    pub fn values(&self, b: &mut Builder, keys: u64) -> Option<Memory> {
        let width = self.mix.plan.tile.vectors * self.machine.lanes;
        let columns = columns_kept(&self.mix, width).filter(|_| self.keeps_values)?;
        Some(b.local("values", DType::U32, [keys / 2, columns]))
    }
}

impl Item<'_> {
    /// Keeps the values of a tile of keys.
    pub fn keep_values(&self, b: &mut Builder, number: &Dim, keys: &Dim) {
        let (Some(pairs), Some(kept)) = (&self.of.mix_pairs, self.values) else { return };
        let first = number * (self.width * self.panels / 2) as i64;
        let of_tile = Dim::constant((self.width * self.panels / 2) as i64);
        let there = &keys.ceil_div(&Dim::constant(2)) - &first;
        let n_pairs = there.least(&of_tile).greatest(&Dim::constant(0));
        let to = n_pairs.ceil_div(&Dim::constant(SIDE as i64));
        let to = (&to * SIDE as i64).least(&of_tile);
        self.each_column_tile(b, &mut |b, start, width, guarded| {
            let column = start + &lane(1);
            b.for_loop(Span::new("v", 0, n_pairs.clone(), 1), &[], |b, pair, _| {
                let mut values = self.tile_of(&pairs.loops, &Dim::constant(0), 1, (start, width, guarded));
                values.at[pairs.loops.n_parallel] = &first + pair;
                let words = values.full(b, pairs.plan.column_factor);
                b.store(kept, [&(pair + &lane(0)), &column], [], words);
                Vec::new()
            });
            b.for_loop(Span::new("w", n_pairs.clone(), to.clone(), 1), &[], |b, pair, _| {
                let zero = b.constant(Type::new(DType::U32, [1, width]), 0.0);
                b.store(kept, [&(pair + &lane(0)), &column], [], zero);
                Vec::new()
            });
        });
    }
}
