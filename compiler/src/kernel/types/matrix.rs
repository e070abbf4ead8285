//! Registers of a CPU that hold matrices, and what is done with them.
//!
//! Invariant: unlike values they are changed, in the order of the statements. Each is used only after `shapes`, which gives
//! all of them a shape and zeros, and within that shape.

use super::{Place, Value};
use crate::graph::DType;

/// How many there are.
pub const REGISTERS: usize = 8;
/// The most that one has of either: rows, and words of four bytes in a row.
pub const SIDE: u64 = 16;

/// The number of a register.
pub type Register = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// Rows of each register, and words of a row; those after the last have none.
    Shapes(Vec<[u8; 2]>),
    Zero(Register),
    /// Rows whose beginnings are `step` elements apart, from a place on.
    Load(Register, Place, Value),
    Store(Register, Place, Value),
    /// Adds to `acc`, rows × columns of f32, or of i32 for bytes, the products of a, rows × words, and b, words × columns.
    Dot {
        of: DType,
        acc: Register,
        a: Register,
        b: Register,
    },
    /// Nothing holds anything any more, so that the system need not keep it.
    Release,
}

impl Matrix {
    /// Where it reads or writes, and how far rows are apart.
    pub fn access(&self) -> Option<(&Place, Value)> {
        match self {
            Matrix::Load(_, place, step) | Matrix::Store(_, place, step) => Some((place, *step)),
            _ => None,
        }
    }

    pub fn access_mut(&mut self) -> Option<(&mut Place, &mut Value)> {
        match self {
            Matrix::Load(_, place, step) | Matrix::Store(_, place, step) => Some((place, step)),
            _ => None,
        }
    }

    /// The registers that it names.
    pub fn registers(&self) -> Vec<Register> {
        match self {
            Matrix::Shapes(_) | Matrix::Release => Vec::new(),
            Matrix::Zero(register) | Matrix::Load(register, ..) | Matrix::Store(register, ..) => vec![*register],
            Matrix::Dot { acc, a, b, .. } => vec![*acc, *a, *b],
        }
    }
}
