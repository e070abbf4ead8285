//! Products of matrices by the threads of a warp.
//!
//! Invariant: what each thread brings lands where the table's maps say, and what it gets comes from there; sums are taken
//! in the order of the summed axis.

use super::number::{self, Number};
use super::thread::Ran;
use crate::graph::DType;
use crate::kernel::types::mma::{LaneMap, MmaDef, WARP};

/// The sums that each thread gets, of the operands that each thread brings.
pub(super) fn product(of: DType, registers: &[Vec<Number>]) -> Ran<Vec<Vec<Number>>> {
    let def = MmaDef::find(of).ok_or("there is no such product")?;
    if registers.len() != WARP as usize || registers.iter().any(|own| own.len() != def.n_operands()) {
        return Err("a warp is not whole, or brings too little".to_string());
    }
    let (rows, columns, words) = (def.rows as usize, def.columns as usize, def.words as usize);
    let (n_sums, n_a) = (def.acc.registers.len(), def.a.registers.len());
    let mut sums = gathered(&def.acc, registers, 0, [rows, columns]);
    let a = gathered(&def.a, registers, n_sums, [rows, words]);
    let b = gathered(&def.b, registers, n_sums + n_a, [words, columns]);
    for (at, sum) in sums.iter_mut().enumerate() {
        let (row, column) = (at / columns, at % columns);
        for k in 0..words {
            *sum = number::dot(of, a[row * words + k], b[k * columns + column], *sum);
        }
    }
    let own = |thread: u32| {
        let position = |register: usize| def.acc.position(thread, register);
        (0..n_sums)
            .map(|register| {
                let [row, column] = position(register);
                sums[row * columns + column]
            })
            .collect()
    };
    Ok((0..WARP).map(own).collect())
}

/// The matrix whose elements the threads have in their registers from `first` on, row by row.
fn gathered(map: &LaneMap, registers: &[Vec<Number>], first: usize, [rows, columns]: [usize; 2]) -> Vec<Number> {
    let mut matrix = vec![Number::default(); rows * columns];
    for (thread, own) in registers.iter().enumerate() {
        for register in 0..map.registers.len() {
            let [row, column] = map.position(thread as u32, register);
            matrix[row * columns + column] = own[first + register];
        }
    }
    matrix
}
