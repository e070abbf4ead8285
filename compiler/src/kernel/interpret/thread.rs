//! The state of one thread: its values and symbols, and the control flow.
//!
//! Invariant: a value holds as many numbers as its type has elements, row-major; an undefined one holds none.

use super::matrices::Contents;
use super::number::Number;
use super::{Dim, Fault, Memories, Symbol, eval};
use crate::kernel::print;
use crate::kernel::types::*;

pub(super) struct Thread<'k> {
    pub kernel: &'k Kernel,
    pub sizes: Vec<i64>,
    pub symbols: Vec<(Symbol, i64)>,
    pub range: (i64, i64),
    /// In its block.
    pub number: u32,
    pub matrices: Vec<Contents>,
    values: Vec<Vec<Number>>,
    fuel: u64,
}

/// What went wrong in a statement, before its place is known.
pub(super) type Ran<T> = Result<T, String>;

impl<'k> Thread<'k> {
    pub fn new(kernel: &'k Kernel, sizes: &[i64], symbols: Vec<(Symbol, i64)>, fuel: u64) -> Thread<'k> {
        let values = vec![Vec::new(); kernel.values.len()];
        Thread { kernel, sizes: sizes.to_vec(), symbols, range: (0, 0), number: 0, matrices: Vec::new(), values, fuel }
    }

    /// The thread of this number in its block.
    pub fn numbered(self, number: u32) -> Thread<'k> {
        Thread { number, ..self }
    }

    /// One item of a tile kernel.
    pub fn run_item(&mut self, memories: &mut Memories, item: i64, extents: &[i64]) -> Result<(), Fault> {
        let n_symbols = self.symbols.len();
        let mut rest = item;
        for (axis, &extent) in self.kernel.grid.iter().zip(extents).rev() {
            self.symbols.push((axis.symbol.clone(), rest % extent));
            rest /= extent;
        }
        memories.start_item(item);
        let ran = self.block(memories, &self.kernel.body);
        self.symbols.truncate(n_symbols);
        ran
    }

    /// One call of a loop kernel.
    pub fn run_range(&mut self, memories: &mut Memories, begin: i64, end: i64) -> Result<(), Fault> {
        self.range = (begin, end);
        memories.start_item(begin);
        self.block(memories, &self.kernel.body)
    }

    fn block(&mut self, memories: &mut Memories, block: &Block) -> Result<(), Fault> {
        let n_symbols = self.symbols.len();
        for stmt in &block.stmts {
            self.control(memories, stmt)?;
        }
        self.symbols.truncate(n_symbols);
        Ok(())
    }

    fn control(&mut self, memories: &mut Memories, stmt: &Stmt) -> Result<(), Fault> {
        let fault = |kernel: &Kernel, message: String| Fault { place: print::statement(kernel, stmt), message };
        let kernel = self.kernel;
        match &stmt.op {
            Op::If(inner) => {
                let taken = self.condition(&inner.condition).map_err(|message| fault(kernel, message))?;
                let block = if taken { &inner.then } else { &inner.otherwise };
                self.block(memories, block)?;
                self.assign(&stmt.results, &block.yields).map_err(|message| fault(kernel, message))
            }
            Op::For(inner) => {
                let bounds = self.dim(&inner.start).and_then(|start| Ok((start, self.dim(&inner.end)?)));
                let bounds = bounds.map_err(|message| fault(kernel, message))?;
                self.assign(&inner.params, &inner.inits).map_err(|message| fault(kernel, message))?;
                self.repeat(memories, bounds, inner.step, &inner.body, &inner.params, &mut |thread, at| {
                    thread.symbols.push((inner.symbol.clone(), at));
                })?;
                self.assign(&stmt.results, &inner.params).map_err(|message| fault(kernel, message))
            }
            Op::Loop(inner) => {
                let bounds = self.int(inner.start).and_then(|start| Ok((start, self.int(inner.end)?)));
                let bounds = bounds.map_err(|message| fault(kernel, message))?;
                self.assign(&inner.params, &inner.inits).map_err(|message| fault(kernel, message))?;
                self.repeat(memories, bounds, inner.step, &inner.body, &inner.params, &mut |thread, at| {
                    thread.set(inner.index, vec![Number::int(at)]);
                })?;
                self.assign(&stmt.results, &inner.params).map_err(|message| fault(kernel, message))
            }
            Op::Symbol(def) => self.declare(def).map_err(|message| fault(kernel, message)),
            _ => {
                let results = self.statement(memories, stmt).map_err(|message| fault(kernel, message))?;
                if let [result] = stmt.results[..] {
                    self.set(result, results);
                }
                Ok(())
            }
        }
    }

    fn repeat(
        &mut self,
        memories: &mut Memories,
        (start, end): (i64, i64),
        step: i64,
        body: &Block,
        params: &[Value],
        enter: &mut dyn FnMut(&mut Self, i64),
    ) -> Result<(), Fault> {
        let fault = |message: String| Fault { place: "a loop".into(), message };
        let mut at = start;
        while at < end {
            self.spend(1).map_err(fault)?;
            let n_symbols = self.symbols.len();
            enter(self, at);
            let ran = self.block(memories, body);
            self.symbols.truncate(n_symbols);
            ran?;
            self.assign(params, &body.yields).map_err(fault)?;
            at = match at.checked_add(step) {
                Some(next) if step > 0 => next,
                _ => return Err(fault("its index does not advance".into())),
            };
        }
        Ok(())
    }

    pub fn condition(&self, condition: &Condition) -> Ran<bool> {
        match condition {
            Condition::Value(value) => Ok(self.int(*value)? != 0),
            Condition::Guards(guards) => guards.iter().try_fold(true, |all, guard| Ok(all && self.dim(guard)? >= 0)),
        }
    }

    fn declare(&mut self, def: &SymbolDef) -> Ran<()> {
        let (low, high) = (self.dim(&def.low)?, self.dim(&def.high)?);
        let value = self.int(def.value)?.min(high).max(low);
        self.symbols.push((def.symbol.clone(), value));
        Ok(())
    }

    /// All values are read before any is set, as carried values may be swapped.
    pub fn assign(&mut self, targets: &[Value], sources: &[Value]) -> Ran<()> {
        let numbers: Ran<Vec<Vec<Number>>> = sources.iter().map(|&value| Ok(self.get(value)?.to_vec())).collect();
        for (&target, numbers) in targets.iter().zip(numbers?) {
            self.set(target, numbers);
        }
        Ok(())
    }

    pub fn get(&self, value: Value) -> Ran<&[Number]> {
        match self.values.get(value.0 as usize) {
            Some(numbers) if !numbers.is_empty() => Ok(numbers),
            _ => Err(format!("{value} has no value")),
        }
    }

    pub fn set(&mut self, value: Value, numbers: Vec<Number>) {
        self.values[value.0 as usize] = numbers;
    }

    /// What each of these scalars is.
    pub fn scalars(&self, values: &[Value]) -> Ran<Vec<Number>> {
        values.iter().map(|&value| Ok(self.get(value)?[0])).collect()
    }

    pub fn int(&self, value: Value) -> Ran<i64> {
        Ok(self.get(value)?[0].as_int())
    }

    pub fn dim(&self, dim: &Dim) -> Ran<i64> {
        eval(dim, &self.symbols).ok_or_else(|| format!("`{dim}` has no value"))
    }

    pub fn spend(&mut self, elements: usize) -> Ran<()> {
        let left = self.fuel.checked_sub(elements as u64);
        self.fuel = left.ok_or("the run takes too long")?;
        Ok(())
    }
}
