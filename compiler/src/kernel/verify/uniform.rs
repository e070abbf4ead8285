//! Which values are the same for all threads of a block, and whether all threads reach every barrier and every `mma`.
//!
//! Invariant: sound: what is called uniform is the same in every thread, provided that threads do not race. A value is not
//! uniform if it comes from the number of a thread, from memory of one thread, from a place that differs between threads,
//! or from a choice that does. What was found to differ stays so, so the walk ends.

use super::VerifyError;
use crate::kernel::types::*;

/// Barriers, and products of warps, that some threads might not reach.
pub(super) fn check(kernel: &Kernel) -> Vec<VerifyError> {
    if kernel.threads == 1 {
        return Vec::new();
    }
    let mut walk = Walk { kernel, differs: vec![false; kernel.values.len()], errors: Vec::new() };
    walk.block(&kernel.body, false);
    walk.errors
}

struct Walk<'a> {
    kernel: &'a Kernel,
    /// By value.
    differs: Vec<bool>,
    errors: Vec<VerifyError>,
}

impl Walk<'_> {
    /// `apart`: some threads may not come here, or not as often.
    fn block(&mut self, block: &Block, apart: bool) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt, apart));
    }

    fn stmt(&mut self, stmt: &Stmt, apart: bool) {
        match &stmt.op {
            Op::Barrier | Op::Mma(..) if apart => {
                if self.errors.is_empty() {
                    let message = "not every thread of the block reaches it".to_string();
                    let place = if stmt.op == Op::Barrier { "barrier" } else { "mma" };
                    self.errors.push(VerifyError { place: place.to_string(), message });
                }
            }
            Op::Loop(inner) => self.loop_stmt(inner, &stmt.results, apart),
            Op::If(inner) => {
                let Condition::Value(condition) = inner.condition else { return };
                let split = self.is(condition);
                self.block(&inner.then, apart || split);
                self.block(&inner.otherwise, apart || split);
                let yields = inner.then.yields.iter().zip(&inner.otherwise.yields);
                for ((&then, &otherwise), &result) in yields.zip(&stmt.results) {
                    let differs = split || self.is(then) || self.is(otherwise);
                    self.set(result, differs);
                }
            }
            op => {
                let own = match op {
                    Op::Argument(Argument::Thread) | Op::Mma(..) => true,
                    Op::LoadAt(Place { memory: Memory::Local(at), .. }) => {
                        self.kernel.locals[*at as usize].scope == Scope::Local
                    }
                    _ => false,
                };
                let differs = own || op.operands().iter().any(|&operand| self.is(operand));
                stmt.results.iter().for_each(|&result| self.set(result, differs));
            }
        }
    }

    /// A carried value differs if it does in any round.
    fn loop_stmt(&mut self, inner: &Loop, results: &[Value], apart: bool) {
        let split = self.is(inner.start) || self.is(inner.end);
        self.set(inner.index, split);
        for (&param, &init) in inner.params.iter().zip(&inner.inits) {
            let differs = split || self.is(init);
            self.set(param, differs);
        }
        loop {
            self.block(&inner.body, apart || split);
            let mut changed = false;
            for (&param, &next) in inner.params.iter().zip(&inner.body.yields) {
                if self.is(next) && !self.is(param) {
                    self.set(param, true);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        for (&result, &param) in results.iter().zip(&inner.params) {
            let differs = self.is(param);
            self.set(result, differs);
        }
    }

    fn is(&self, value: Value) -> bool {
        self.differs[value.0 as usize]
    }

    fn set(&mut self, value: Value, differs: bool) {
        self.differs[value.0 as usize] |= differs;
    }
}
