//! The table of matrix products that the threads of a warp compute together.
//!
//! Invariant: each element of a matrix is in one register of one thread. Where, the maps say: thread t of a warp has in its
//! register r the element at `quarter · (t / 4) + rest · (t mod 4) + registers[r]`. Factors are words of two numbers, which
//! are neighbours along the summed axis; a position along it counts words.

use crate::graph::DType;

/// Threads that compute a product together.
pub const WARP: u32 = 32;

/// Which elements of a matrix the threads of a warp have: rows and columns.
#[derive(Debug, PartialEq, Eq)]
pub struct LaneMap {
    pub quarter: [u32; 2],
    pub rest: [u32; 2],
    pub registers: &'static [[u32; 2]],
}

/// `acc + a·b`.
#[derive(Debug, PartialEq, Eq)]
pub struct MmaDef {
    /// Of the factors; sums are f32.
    pub of: DType,
    /// As NVIDIA writes it, in numbers.
    pub shape: &'static str,
    /// Rows, columns, and words along the summed axis.
    pub rows: u64,
    pub columns: u64,
    pub words: u64,
    pub acc: LaneMap,
    /// Rows × words.
    pub a: LaneMap,
    /// Words × columns.
    pub b: LaneMap,
}

const fn m16n8k16(of: DType) -> MmaDef {
    MmaDef {
        of,
        shape: "m16n8k16",
        rows: 16,
        columns: 8,
        words: 8,
        acc: LaneMap { quarter: [1, 0], rest: [0, 2], registers: &[[0, 0], [0, 1], [8, 0], [8, 1]] },
        a: LaneMap { quarter: [1, 0], rest: [0, 1], registers: &[[0, 0], [8, 0], [0, 4], [8, 4]] },
        b: LaneMap { quarter: [0, 1], rest: [1, 0], registers: &[[0, 0], [4, 0]] },
    }
}

static MMA: [MmaDef; 2] = [m16n8k16(DType::BF16), m16n8k16(DType::F16)];

impl MmaDef {
    /// The product of matrices of such numbers.
    pub fn find(of: DType) -> Option<&'static MmaDef> {
        MMA.iter().find(|def| def.of == of)
    }

    /// Registers of a thread.
    pub fn n_operands(&self) -> usize {
        self.acc.registers.len() + self.a.registers.len() + self.b.registers.len()
    }
}

impl LaneMap {
    /// Row and column of the element that a thread of a warp has in a register.
    pub fn position(&self, thread: u32, register: usize) -> [usize; 2] {
        let (quarter, rest) = (thread / 4, thread % 4);
        [0, 1].map(|axis| {
            (self.quarter[axis] * quarter + self.rest[axis] * rest + self.registers[register][axis]) as usize
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_in_one_register() {
        for def in &MMA {
            let sizes = [
                (&def.acc, [def.rows, def.columns]),
                (&def.a, [def.rows, def.words]),
                (&def.b, [def.words, def.columns]),
            ];
            for (map, [rows, columns]) in sizes {
                let mut seen = vec![0; (rows * columns) as usize];
                for thread in 0..WARP {
                    for register in 0..map.registers.len() {
                        let [row, column] = map.position(thread, register);
                        seen[row * columns as usize + column] += 1;
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{map:?}");
            }
        }
    }

    /// Rows of NVIDIA's figures of `mma.m16n8k16` ("Parallel Thread Execution ISA", 9.7.14).
    #[test]
    fn lanes_are_where_the_manual_has_them() {
        let def = MmaDef::find(DType::BF16).expect("bf16");
        assert_eq!(def.a.position(0, 1), [8, 0]);
        assert_eq!(def.a.position(5, 2), [1, 5]);
        assert_eq!(def.a.position(31, 3), [15, 7]);
        assert_eq!(def.b.position(1, 0), [1, 0]);
        assert_eq!(def.b.position(6, 1), [6, 1]);
        assert_eq!(def.acc.position(3, 1), [0, 7]);
        assert_eq!(def.acc.position(4, 2), [9, 0]);
    }
}
