//! The registers of matrices of a thread.
//!
//! Invariant: a register holds as many numbers as its shape says, row-major. Factors are words, sums are f32 or, of bytes, i32.

use super::Memories;
use super::number::{self, Number};
use super::thread::{Ran, Thread};
use crate::graph::DType;
use crate::kernel::types::matrix::{Matrix, REGISTERS, Register};
use crate::kernel::types::*;

#[derive(Clone, Default)]
pub(super) struct Contents {
    rows: usize,
    words: usize,
    numbers: Vec<Number>,
}

impl Contents {
    fn zeros(rows: usize, words: usize) -> Contents {
        Contents { rows, words, numbers: vec![Number::default(); rows * words] }
    }
}

impl Thread<'_> {
    pub(super) fn matrix(&mut self, memories: &mut Memories, matrix: &Matrix) -> Ran<()> {
        match matrix {
            Matrix::Shapes(shapes) => {
                let zeros = |at: usize| shapes.get(at).map_or([0, 0], |&[rows, words]| [rows.into(), words.into()]);
                self.matrices = (0..REGISTERS).map(zeros).map(|[rows, words]| Contents::zeros(rows, words)).collect();
            }
            Matrix::Zero(register) => {
                let own = self.register(*register)?;
                *own = Contents::zeros(own.rows, own.words);
            }
            Matrix::Load(register, place, step) => {
                let width = self.words_of(place.memory);
                let dtype = if width > 1 { DType::U32 } else { self.kernel.memory_dtype(place.memory) };
                let each = self.elements(*register, place, *step, width)?;
                let read = each.into_iter().map(|flat| memories.read_as(place.memory, flat, dtype));
                self.register(*register)?.numbers = read.collect::<Ran<_>>()?;
            }
            Matrix::Store(register, place, step) => {
                let each = self.elements(*register, place, *step, 1)?;
                let numbers = self.register(*register)?.numbers.clone();
                for (flat, number) in each.into_iter().zip(numbers) {
                    memories.write(place.memory, flat, number)?;
                }
            }
            Matrix::Dot { of, acc, a, b } => self.multiply(*of, [*acc, *a, *b])?,
            Matrix::Release => self.matrices.clear(),
        }
        Ok(())
    }

    fn register(&mut self, at: Register) -> Ran<&mut Contents> {
        let own = self.matrices.get_mut(usize::from(at)).filter(|own| own.rows > 0 && own.words > 0);
        own.ok_or_else(|| format!("register {at} has no shape"))
    }

    /// How many numbers of a memory are a word.
    fn words_of(&self, memory: Memory) -> i64 {
        4 / self.kernel.memory_dtype(memory).size_of().clamp(1, 4) as i64
    }

    /// Where each number of a register lies.
    fn elements(&mut self, register: Register, place: &Place, step: Value, width: i64) -> Ran<Vec<i64>> {
        let (first, step) = (self.int(place.offset)?.checked_add(place.plus), self.int(step)?);
        let (rows, words) = self.register(register).map(|own| (own.rows as i64, own.words as i64))?;
        let at = |row: i64, word: i64| first?.checked_add(row.checked_mul(step)?)?.checked_add(word * width);
        let each = (0..rows).flat_map(|row| (0..words).map(move |word| at(row, word)));
        each.map(|flat| flat.ok_or_else(|| "an address overflows".to_string())).collect()
    }

    fn multiply(&mut self, of: DType, registers: [Register; 3]) -> Ran<()> {
        let [acc, a, b] = registers.map(|at| self.register(at).cloned());
        let (mut acc, a, b) = (acc?, a?, b?);
        if (acc.rows, acc.words, a.words) != (a.rows, b.words, b.rows) {
            return Err("the shapes of the registers do not fit".to_string());
        }
        for (at, sum) in acc.numbers.iter_mut().enumerate() {
            let (row, column) = (at / acc.words, at % acc.words);
            for k in 0..a.words {
                *sum = number::dot(of, a.numbers[row * a.words + k], b.numbers[k * b.words + column], *sum);
            }
        }
        *self.register(registers[0])? = acc;
        Ok(())
    }
}
