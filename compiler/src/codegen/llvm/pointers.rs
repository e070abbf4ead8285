//! Pointers from which a loop counts, and those that it moves on: LLVM's own search for them takes most of its time, and is
//! turned off.
//!
//! Invariant: an offset that is a sum is taken apart into a part from outside of the loop that adds it up, and a part from
//! inside. The first one makes a base, which is written right behind it; where the second one is so many times the number
//! of the step, the loop carries a pointer.

use std::collections::{BTreeSet, HashMap};

use super::print::{Printer, memory_element};
use crate::codegen::CodegenError;
use crate::graph::Scalar;
use crate::kernel::{Block, Kernel, Loop, Memory, Op, Place, Value};

/// A loop that carried more would lack registers: it adds to bases instead.
const MOST_CARRIED: usize = 8;

/// An offset, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    pub base: Option<Value>,
    pub rest: Value,
}

/// A pointer that a loop carries, and by how many elements of the memory a step of one moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carried {
    pub memory: Memory,
    pub sum: Sum,
    pub pace: i64,
}

pub struct Pointers<'k> {
    kernel: &'k Kernel,
    sums: HashMap<Value, Sum>,
    bases: HashMap<Value, BTreeSet<Memory>>,
    /// What each loop carries, by its index.
    carried: HashMap<Value, BTreeSet<Carried>>,
    /// Of a value that is so many times the index of the loop that it is made in: that index, and how many times.
    paces: HashMap<Value, (Value, i64)>,
    literals: HashMap<Value, i64>,
    /// In how many loops a value is made, if a base can be written behind it.
    depths: Vec<Option<usize>>,
}

impl Pointers<'_> {
    pub fn of(kernel: &Kernel) -> Pointers<'_> {
        let mut pointers = Pointers {
            kernel,
            sums: HashMap::new(),
            bases: HashMap::new(),
            carried: HashMap::new(),
            paces: HashMap::new(),
            literals: HashMap::new(),
            depths: vec![None; kernel.values.len()],
        };
        pointers.visit(&kernel.body, &mut Vec::new());
        pointers
    }

    pub fn sum(&self, offset: Value) -> Option<Sum> {
        self.sums.get(&offset).copied()
    }

    /// Whether a loop carries the pointer to this memory and offset.
    pub fn is_carried(&self, memory: Memory, sum: Sum) -> bool {
        let Some((index, pace)) = self.paces.get(&sum.rest) else { return false };
        self.carried.get(index).is_some_and(|carried| carried.contains(&Carried { memory, sum, pace: *pace }))
    }

    pub fn carried_by(&self, index: Value) -> Vec<Carried> {
        self.carried.get(&index).into_iter().flatten().copied().collect()
    }

    /// Memories of which there is a base behind this value.
    pub fn bases_behind(&self, value: Value) -> Vec<Memory> {
        self.bases.get(&value).into_iter().flatten().copied().collect()
    }

    /// `around` are the indices of the loops around a block.
    fn visit(&mut self, block: &Block, around: &mut Vec<Value>) {
        for stmt in &block.stmts {
            match (&stmt.op, stmt.results.as_slice()) {
                (Op::Loop(inner), _) => self.visit_loop(inner, around),
                (Op::If(inner), _) => {
                    self.visit(&inner.then, around);
                    self.visit(&inner.otherwise, around);
                }
                (Op::Const(literal), &[result]) => {
                    self.literals.insert(result, literal.as_i64());
                }
                (Op::Argument(_), _) => {}
                (op, &[result]) => {
                    self.depths[result.0 as usize] = Some(around.len());
                    self.take_apart(op, result, around);
                }
                _ => {}
            }
            if let Some(place) = place(&stmt.op) {
                self.want(place);
            }
        }
    }

    fn visit_loop(&mut self, inner: &Loop, around: &mut Vec<Value>) {
        around.push(inner.index);
        self.depths[inner.index.0 as usize] = Some(around.len());
        self.paces.insert(inner.index, (inner.index, 1));
        self.sums.insert(inner.index, Sum { base: None, rest: inner.index });
        self.visit(&inner.body, around);
        if self.carried.get(&inner.index).is_some_and(|carried| carried.len() > MOST_CARRIED) {
            self.carried.remove(&inner.index);
        }
        around.pop();
    }

    fn take_apart(&mut self, op: &Op, result: Value, around: &[Value]) {
        let Op::Scalar(scalar, operands) = op else { return };
        let &[a, b] = operands.as_slice() else { return };
        if !self.kernel.type_of(result).is_scalar() {
            return;
        }
        let is_outside = |value: Value| self.depths[value.0 as usize].is_some_and(|depth| depth < around.len());
        match scalar {
            Scalar::Mul if around.last() == Some(&a) => {
                if let Some(&times) = self.literals.get(&b) {
                    self.paces.insert(result, (a, times));
                    self.sums.insert(result, Sum { base: None, rest: result });
                }
            }
            Scalar::Add if is_outside(a) && !is_outside(b) => {
                self.sums.insert(result, Sum { base: Some(a), rest: b });
            }
            Scalar::Add if is_outside(b) && !is_outside(a) => {
                self.sums.insert(result, Sum { base: Some(b), rest: a });
            }
            _ => {}
        }
    }

    fn want(&mut self, place: &Place) {
        let Some(sum) = self.sum(place.offset) else { return };
        let memory = place.memory;
        if let Some(base) = sum.base {
            self.bases.entry(base).or_default().insert(memory);
        }
        if let Some(&(index, pace)) = self.paces.get(&sum.rest) {
            self.carried.entry(index).or_default().insert(Carried { memory, sum, pace });
        }
    }
}

fn place(op: &Op) -> Option<&Place> {
    match op {
        Op::LoadAt(place) | Op::PrefetchAt(place) | Op::StoreAt(place, _) => Some(place),
        Op::Matrix(matrix) => matrix.access().map(|(place, _)| place),
        _ => None,
    }
}

impl Printer<'_> {
    /// Writes the bases behind a value.
    pub fn bases_behind(&mut self, value: Value) -> Result<(), CodegenError> {
        for memory in self.pointers.bases_behind(value) {
            let element = memory_element(self.kernel.memory_dtype(memory))?;
            let (base, from, offset) = (self.base(memory, value), self.memory(memory), self.typed(value)?);
            self.line(format_args!("  {base} = getelementptr {element}, ptr {from}, {offset}"));
        }
        Ok(())
    }

    /// Where the pointers are that a loop carries when it begins.
    pub fn starts(&mut self, inner: &Loop) -> Result<Vec<(Carried, String)>, CodegenError> {
        let carried = self.pointers.carried_by(inner.index);
        carried.into_iter().map(|carried| Ok((carried, self.start(&carried, inner.start)?))).collect()
    }

    fn start(&mut self, carried: &Carried, start: Value) -> Result<String, CodegenError> {
        let from = match carried.sum.base {
            Some(base) => self.base(carried.memory, base),
            None => self.memory(carried.memory),
        };
        if self.known(start) == Some(0) {
            return Ok(from);
        }
        let element = memory_element(self.kernel.memory_dtype(carried.memory))?;
        let offset = self.temp(format!("mul i64 {}, {}", self.operand(start), carried.pace));
        Ok(self.temp(format!("getelementptr {element}, ptr {from}, i64 {offset}")))
    }

    /// Moves the pointers on at the end of a step.
    pub fn move_on(&mut self, inner: &Loop, carried: &[(Carried, String)]) {
        for (carried, _) in carried {
            let pointer = self.carried(carried.memory, carried.sum);
            let size = self.kernel.memory_dtype(carried.memory).size_of() as i64;
            let bytes = carried.pace.wrapping_mul(inner.step).wrapping_mul(size);
            self.line(format_args!("  {pointer}.next = getelementptr i8, ptr {pointer}, i64 {bytes}"));
        }
    }

    pub fn pointer_phis(&mut self, carried: &[(Carried, String)], before: &str, latch: &str) {
        for (carried, start) in carried {
            let pointer = self.carried(carried.memory, carried.sum);
            self.line(format_args!("  {pointer} = phi ptr [ {start}, %{before} ], [ {pointer}.next, %{latch} ]"));
        }
    }

    pub fn base(&self, memory: Memory, value: Value) -> String {
        format!("{}.v{}", self.memory(memory), value.0)
    }

    pub fn carried(&self, memory: Memory, sum: Sum) -> String {
        let from = sum.base.map_or_else(|| self.memory(memory), |base| self.base(memory, base));
        format!("{from}.p{}", sum.rest.0)
    }

    /// The pointer so many bytes behind another one.
    pub fn further(&mut self, pointer: String, bytes: i64) -> String {
        if bytes == 0 { pointer } else { self.temp(format!("getelementptr i8, ptr {pointer}, i64 {bytes}")) }
    }
}
