//! How a tile lies in vectors: row by row, each row cut into vectors of the target's lanes.
//!
//! Invariant: a last axis of extent 1 is kept as scalars. Lanes of a row's last vector beyond the extent hold anything.

use super::Lower;
use crate::graph::Scalar;
use crate::kernel::types::*;

#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub shape: Vec<u64>,
    /// Row-major.
    pub parts: Vec<Value>,
}

/// One vector (or scalar) of a tile: where it starts, and how many of its lanes count.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The position of its first element.
    pub index: Vec<i64>,
    pub valid: u32,
    pub vector: bool,
}

/// Parts per row.
pub(super) fn row_parts(shape: &[u64], lanes: u32) -> u64 {
    match shape.last() {
        None | Some(1) => 1,
        Some(&extent) => extent.div_ceil(lanes.into()),
    }
}

pub(super) fn is_vector(shape: &[u64], lanes: u32) -> bool {
    lanes > 1 && shape.last().is_some_and(|&extent| extent > 1)
}

/// The parts of a tile of this shape, in order.
pub(super) fn parts(shape: &[u64], lanes: u32) -> Vec<Part> {
    let Some((&width, leading)) = shape.split_last() else {
        return vec![Part { index: Vec::new(), valid: 1, vector: false }];
    };
    let vector = is_vector(shape, lanes);
    let n_rows: u64 = leading.iter().product();
    let mut parts = Vec::new();
    for row in 0..n_rows {
        for part in 0..row_parts(shape, lanes) {
            let start = part * u64::from(lanes);
            let mut index = unflatten(row, leading);
            index.push(start as i64);
            let valid = if vector { (width - start).min(lanes.into()) as u32 } else { 1 };
            parts.push(Part { index, valid, vector });
        }
    }
    parts
}

fn unflatten(flat: u64, shape: &[u64]) -> Vec<i64> {
    let (mut index, mut rest) = (vec![0; shape.len()], flat);
    for (at, &extent) in index.iter_mut().zip(shape).rev() {
        *at = (rest % extent) as i64;
        rest /= extent;
    }
    index
}

impl Lower<'_> {
    /// The type of a part of a tile.
    pub(super) fn part_type(&self, ty: &Type) -> Type {
        if is_vector(&ty.shape, self.lanes) && !self.is_block() {
            Type::new(ty.dtype, [u64::from(self.lanes)])
        } else {
            Type::scalar(ty.dtype)
        }
    }

    pub(super) fn n_parts(&self, ty: &Type) -> usize {
        let n_rows: u64 = ty.shape.iter().rev().skip(1).product();
        (n_rows * row_parts(&ty.shape, self.lanes)) as usize
    }

    /// The same of a value of the source, wherever its elements are.
    pub(super) fn n_parts_of(&self, value: Value) -> usize {
        if self.held.of(value).is_some() {
            return 0;
        }
        self.shares.n_parts(value).unwrap_or_else(|| self.n_parts(self.source.type_of(value)))
    }

    pub(super) fn map(&mut self, ty: &Type, mut make: impl FnMut(&mut Self, usize) -> Value) -> Tile {
        let parts = (0..self.n_parts(ty)).map(|part| make(self, part)).collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn fill(&mut self, ty: &Type, literal: Literal) -> Tile {
        let part = self.part_type(ty);
        let value = self.literal(&part, literal);
        self.map(ty, |_, _| value)
    }

    pub(super) fn elementwise(&mut self, scalar: Scalar, operands: &[Value], ty: &Type) -> Tile {
        let tiles: Vec<Tile> = operands.iter().map(|&value| self.tile(value)).collect();
        self.map(ty, |lower, part| {
            let operands: Vec<Value> = tiles.iter().map(|tile| tile.parts[part]).collect();
            lower.scalar(scalar, &operands)
        })
    }

    /// One element of a tile, as a scalar.
    pub(super) fn element(&mut self, tile: &Tile, index: &[i64]) -> Value {
        let width = tile.shape.last().copied().unwrap_or(1) as i64;
        let flat = index.iter().zip(&tile.shape).fold(0, |flat, (&at, &extent)| flat * extent as i64 + at);
        let (row, column) = (flat / width, flat % width);
        let per_row = row_parts(&tile.shape, self.lanes) as i64;
        let lanes = i64::from(self.lanes);
        let part = tile.parts[(row * per_row + column / lanes) as usize];
        match is_vector(&tile.shape, self.lanes) {
            true if self.is_block() => self.tell_all(part, (column % lanes) as u32),
            true => self.extract(part, (column % lanes) as u32),
            false => part,
        }
    }
}
