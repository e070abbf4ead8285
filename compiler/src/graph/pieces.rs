//! Pieces: which part of an operand one tile of a result needs.
//!
//! The axes of the result are cut into tiles of equal size; along the others a tile is as long as the axis. Positions in
//! the operand are affine in the axes `i0, i1, …` of the nest that reads it.
//!
//! Invariant: every position inside the operand that a tile reads lies in its piece.

use super::rows::axis_of;
use super::{Dim, Ranges, Symbol, axis};

/// The number of a tile along an axis.
pub fn tile_symbol(axis: usize) -> Symbol {
    Symbol::new(format!("t{axis}"))
}

pub struct Tiles<'a> {
    /// Of the nest: those of the result, then the reduced ones.
    pub axes: &'a [Dim],
    /// The size of a tile along each axis of the result.
    pub sizes: &'a [i64],
}

/// A part of an axis: what lies outside of the axis is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub start: Dim,
    pub extent: i64,
}

impl Tiles<'_> {
    pub fn is_cut(&self, axis: usize) -> bool {
        self.sizes.get(axis).is_some_and(|&size| !self.axes[axis].is(size))
    }

    /// How many tiles there are along an axis.
    pub fn count(&self, axis: usize) -> Dim {
        self.axes[axis].floor_div(&Dim::constant(self.sizes[axis]))
    }

    /// Where a tile begins.
    pub fn start(&self, axis: usize) -> Dim {
        if self.is_cut(axis) { &Dim::from(&tile_symbol(axis)) * self.sizes[axis] } else { Dim::constant(0) }
    }

    /// How far a tile, or the nest along a reduced axis, goes.
    pub fn extent(&self, axis: usize) -> Dim {
        self.sizes.get(axis).map_or_else(|| self.axes[axis].clone(), |&size| Dim::constant(size))
    }

    /// A position of the nest, by the number of the tile and the position within it.
    pub fn within(&self, dim: &Dim) -> Dim {
        dim.substitute(&|symbol| {
            let idx = axis_of(symbol)?;
            self.is_cut(idx).then(|| &self.start(idx) + &axis(idx))
        })
    }

    /// The numbers of tiles, beside what else is known.
    pub fn declare_numbers(&self, ranges: &mut Ranges) {
        for axis in (0..self.sizes.len()).filter(|&axis| self.is_cut(axis)) {
            ranges.declare(tile_symbol(axis), Dim::constant(0), Some(&self.count(axis) - 1));
        }
    }

    /// The piece of an axis of this extent that is read at these positions; none if it is not known how long it is.
    pub fn piece(&self, positions: &[&Dim], extent: &Dim) -> Option<Piece> {
        let mut ranges = Ranges::default();
        self.declare_numbers(&mut ranges);
        for axis in 0..self.axes.len() {
            ranges.declare(Symbol::new(format!("i{axis}")), Dim::constant(0), Some(&self.extent(axis) - 1));
        }
        let first = self.within(positions.first()?);
        let base = first.substitute(&|symbol| axis_of(symbol).map(|_| Dim::constant(0)));
        let mut bounds: Option<(i64, i64)> = None;
        for position in positions {
            let beyond = &self.within(position) - &base;
            let (low, high) = (ranges.lower_bound(&beyond)?, ranges.upper_bound(&beyond)?);
            bounds = Some(bounds.map_or((low, high), |(least, most)| (least.min(low), most.max(high))));
        }
        let (low, high) = bounds?;
        let reaches = high - low + 1;
        let moves = (0..self.sizes.len()).any(|idx| base.mentions(&tile_symbol(idx)));
        match extent.as_constant() {
            Some(extent) if reaches >= extent || !moves => Some(Piece { start: Dim::constant(0), extent }),
            None if !moves => None,
            _ => Some(Piece { start: &base + low, extent: reaches }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(text: &str) -> Vec<Dim> {
        text.split(' ').map(|dim| dim.parse().unwrap()).collect()
    }

    #[test]
    fn a_piece_has_the_neighbours_that_windows_reach() {
        // 3 × 3 windows with a stride of 2 over an image of 16 × 16: tiles of 2 lines and 8 channels.
        let axes = dims("N 8 8 32 3 3");
        let tiles = Tiles { axes: &axes, sizes: &[1, 2, 8, 8] };
        let piece = |position: &str, extent: &str| {
            let (position, extent) = (position.parse().unwrap(), extent.parse().unwrap());
            tiles.piece(&[&position], &extent).map(|piece| (piece.start.to_string(), piece.extent))
        };
        assert_eq!(piece("i0", "N"), Some(("t0".to_string(), 1)));
        assert_eq!(piece("2*i1 + i4 - 1", "16"), Some(("4*t1 - 1".to_string(), 5)));
        assert_eq!(piece("2*i2 + i5 - 1", "16"), Some(("0".to_string(), 16)));
        assert_eq!(piece("i3", "32"), Some(("8*t3".to_string(), 8)));
        // Longer than the axis, or of unknown length.
        assert_eq!(piece("2*i1 + 4*i4", "10"), Some(("0".to_string(), 10)));
        assert_eq!(piece("i1*N", "N"), None);
        assert_eq!(piece("i2 + i5", "N"), None);
    }

    #[test]
    fn several_positions_lie_in_one_piece() {
        let axes = dims("8 4");
        let tiles = Tiles { axes: &axes, sizes: &[2] };
        let positions = dims("i0 i0+3 7-i0");
        let piece = |positions: &[&Dim]| tiles.piece(positions, &Dim::constant(12));
        assert_eq!(
            piece(&[&positions[0], &positions[1]]),
            Some(Piece { start: &Dim::from(&tile_symbol(0)) * 2, extent: 5 })
        );
        // They move apart: the piece is the axis.
        assert_eq!(piece(&[&positions[0], &positions[2]]), Some(Piece { start: Dim::constant(0), extent: 12 }));
    }
}
