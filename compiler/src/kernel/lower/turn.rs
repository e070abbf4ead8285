//! Loads of square tiles whose neighbours along the first axis, not the last, lie side by side: they are read row by row in
//! the order of memory, and turned in registers.
//!
//! Invariant: the same elements are read, and no others; each vector has whole lanes.

use super::Lower;
use super::layout::{Tile, parts, row_parts};
use crate::graph::{DType, Dim, Symbol};
use crate::kernel::types::*;

impl Lower<'_> {
    /// The tile, if this is such a load, of vectors that fill all lanes.
    pub(super) fn load_turned(&mut self, access: &Access, otherwise: Literal, ty: &Type) -> Option<Tile> {
        let lanes = u64::from(self.lanes);
        let [rows, columns] = ty.shape[..] else { return None };
        let is_whole = lanes > 1 && rows % lanes == 0 && columns % lanes == 0;
        if !is_whole || ty.dtype == DType::Bool || ty.dtype.size_of() != 4 || !access.guards.is_empty() {
            return None;
        }
        let source = self.turned(access)?;
        let (there, here) = (parts(&[columns, rows], self.lanes), parts(&ty.shape, self.lanes));
        let is_across = here.iter().all(|part| !matches!(self.lane_slope(access, part), Some(0 | 1)));
        if !is_across || !there.iter().all(|part| self.lane_slope(&source, part) == Some(1)) {
            return None;
        }
        let part_type = self.part_type(ty);
        let read: Vec<Value> = there.iter().map(|part| self.load_row(&source, part, otherwise, &part_type)).collect();
        let (n_read, n_made) = (row_parts(&[columns, rows], self.lanes), row_parts(&ty.shape, self.lanes));
        let mut made = vec![read[0]; here.len()];
        for (row, column) in (0..n_read).flat_map(|row| (0..n_made).map(move |column| (row, column))) {
            let square = (0..lanes).map(|lane| read[((column * lanes + lane) * n_read + row) as usize]).collect();
            for (lane, vector) in self.in_turns(square).into_iter().enumerate() {
                made[((row * lanes + lane as u64) * n_made + column) as usize] = vector;
            }
        }
        Some(Tile { shape: ty.shape.clone(), parts: made })
    }

    /// The access with its two axes of lanes exchanged, where all positions are known.
    fn turned(&self, access: &Access) -> Option<Access> {
        let [first, last] = [lane_symbol(0), lane_symbol(1)];
        let exchanged = |symbol: &Symbol| match symbol {
            symbol if *symbol == first => Some(Dim::from(&last)),
            symbol if *symbol == last => Some(Dim::from(&first)),
            _ => None,
        };
        let index = access.index.iter().map(|index| match index {
            Index::Dim(dim) => Some(Index::Dim(dim.substitute(&exchanged))),
            Index::Value(_) => None,
        });
        Some(Access { index: index.collect::<Option<_>>()?, ..access.clone() })
    }
}
