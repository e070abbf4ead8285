//! Which integers of 64 bits are data: they may leave the 32 bits that stand for them, and that must be noticed.
//!
//! Invariant: an integer is data if it comes from a buffer or from another type, goes to a memory or into another type, is
//! computed from data or for it, or is compared with it. What is left says only where elements lie and whether there are
//! such: it is bounded by the sizes and lengths of tensors, which are checked before a launch.

use crate::graph::{DType, Scalar};
use crate::kernel::{Block, If, Kernel, Loop, Op, Stmt, Value};

/// The functions of integers that may leave their range.
pub(super) fn may_leave(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Add | Scalar::Sub | Scalar::Mul | Scalar::Neg | Scalar::Abs | Scalar::Shl)
}

/// By value: whether it is an integer of 64 bits and data.
pub(super) fn data(kernel: &Kernel) -> Vec<bool> {
    let mut flow = Flow { kernel, data: vec![false; kernel.values.len()], changed: true };
    while flow.changed {
        flow.changed = false;
        flow.block(&kernel.body);
    }
    flow.data
}

/// Whether any such is computed by a function that may leave its range.
pub(super) fn computes(block: &Block, data: &[bool]) -> bool {
    block.stmts.iter().any(|stmt| {
        let here =
            matches!(&stmt.op, Op::Scalar(scalar, operands) if may_leave(*scalar) && data[operands[0].0 as usize]);
        here || stmt.op.blocks().into_iter().any(|inner| computes(inner, data))
    })
}

struct Flow<'k> {
    kernel: &'k Kernel,
    data: Vec<bool>,
    changed: bool,
}

impl Flow<'_> {
    fn mark(&mut self, value: Value) {
        let is_wide = self.kernel.type_of(value).dtype == DType::I64;
        let data = &mut self.data[value.0 as usize];
        self.changed |= is_wide && !*data;
        *data |= is_wide;
    }

    /// If one of them is data, all are.
    fn join(&mut self, values: &[Value]) {
        if values.iter().any(|value| self.data[value.0 as usize]) {
            values.iter().for_each(|&value| self.mark(value));
        }
    }

    fn block(&mut self, block: &Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, Stmt { op, results, .. }: &Stmt) {
        match op {
            Op::LoadAt(_) => results.iter().for_each(|&result| self.mark(result)),
            Op::StoreAt(_, value) => self.mark(*value),
            Op::Cast(operand) | Op::Bitcast(operand) => {
                self.mark(*operand);
                results.iter().for_each(|&result| self.mark(result));
            }
            // Of a choice the first operand is a condition, which is no integer.
            Op::Scalar(_, operands) | Op::Call(_, operands) => {
                let all: Vec<Value> = operands.iter().chain(results).copied().collect();
                self.join(&all);
            }
            Op::Quotient(a, b) => self.join(&[*a, *b, results[0]]),
            Op::Broadcast(operand) => self.join(&[*operand, results[0]]),
            Op::Loop(inner) => {
                let Loop { inits, params, body, .. } = &**inner;
                self.block(body);
                for (at, &param) in params.iter().enumerate() {
                    self.join(&[param, inits[at], body.yields[at], results[at]]);
                }
            }
            Op::If(inner) => {
                let If { then, otherwise, .. } = &**inner;
                self.block(then);
                self.block(otherwise);
                for (at, &result) in results.iter().enumerate() {
                    self.join(&[result, then.yields[at], otherwise.yields[at]]);
                }
            }
            _ => {}
        }
    }
}
