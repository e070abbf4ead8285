//! An entry with numbers for its sizes: what is left is to fill in pointers and go.
//!
//! Invariant: a plan is made from a checked program and checks what only numbers can tell:
//! every value has exactly the bytes of its storage, aliases and copies agree in bytes, rows fit,
//! and each kernel gets sizes in its ranges, its own number of items and buffers long enough.
//! After that no step of the plan touches memory outside its values, kernels apart.

use std::ops::Range;

use super::arena::{Packing, Request, pack};
use super::poison::Poison;
use super::sizes::Sizes;
use crate::data::byte_len;
use crate::error::{ErrorKind, RunError};
use crate::program::{Bound, Dim, Entry, Kernel, KernelId, Port, Program, SliceMove, Step, Storage, ValueId};

pub struct Plan {
    pub sizes: Sizes,
    pub steps: Vec<PlanStep>,
    /// By value; an alias has the place of what it is an alias of.
    pub places: Vec<Place>,
    /// By value: how long it is.
    pub bytes: Vec<usize>,
    /// Every launch's arguments, one after the other.
    pub args: Vec<ValueId>,
    /// Every launch's sizes, one after the other.
    pub launch_sizes: Vec<i64>,
    pub output_shapes: Vec<Vec<usize>>,
    pub arena_len: usize,
    pub n_steps: usize,
    pub poison: Option<Poison>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Arena(usize),
    Input(u32),
    Output(u32),
    Param(u32),
    Prepared(u32),
    State(u32),
    Constant(u32),
}

/// A step of the entry under its pre-order number.
pub struct PlanStep {
    pub number: usize,
    pub action: Action,
}

pub enum Action {
    Launch(Launch),
    Copy { from: ValueId, to: ValueId, bytes: usize },
    CopySlice(CopySlice),
    Repeat { counter: ValueId, from: Limit, to: Limit, body: Vec<PlanStep> },
    While { at_most: Option<Limit>, cond: ValueId, test: Vec<PlanStep>, body: Vec<PlanStep> },
    Cond { cond: ValueId, then: Vec<PlanStep>, otherwise: Vec<PlanStep> },
}

pub struct Launch {
    pub kernel: KernelId,
    pub args: Range<usize>,
    pub sizes: Range<usize>,
    pub grid: usize,
    pub grain: usize,
}

pub struct CopySlice {
    pub rows: ValueId,
    pub outside: ValueId,
    pub at: ValueId,
    pub n_rows: usize,
    pub row_bytes: usize,
    pub direction: SliceMove,
}

impl CopySlice {
    /// The row that a number read at run time names.
    pub fn row(&self, at: i64) -> Result<usize, RunError> {
        usize::try_from(at).ok().filter(|&row| row < self.n_rows).ok_or_else(|| {
            let message = format!("row {at} of a tensor with {} rows", self.n_rows);
            RunError::new(ErrorKind::Range, message)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Known(i64),
    Value(ValueId),
}

/// Makes the plan of an entry for these sizes.
pub fn plan(program: &Program, entry: &Entry, sizes: Sizes, poison: bool) -> Result<Plan, RunError> {
    let mut planner = Planner {
        program,
        entry,
        sizes: &sizes,
        bytes: Vec::new(),
        args: Vec::new(),
        launch_sizes: Vec::new(),
        number: 0,
    };
    planner.bytes =
        entry.values.iter().map(|value| planner.shape_bytes(value.dtype, &value.shape)).collect::<Result<_, _>>()?;
    planner.check_storage()?;
    let packing = planner.pack()?;
    let steps = planner.block(&entry.steps)?;
    let output_shape = |port: &Port| sizes.shape(&port.shape).ok_or_else(|| planner.unsized_value(&port.shape));
    Ok(Plan {
        output_shapes: entry.outputs.iter().map(output_shape).collect::<Result<_, _>>()?,
        places: planner.places(&packing),
        bytes: planner.bytes.clone(),
        poison: poison.then(|| Poison::new(entry, &packing.offsets, &planner.bytes)),
        arena_len: packing.len,
        n_steps: planner.number,
        args: planner.args,
        launch_sizes: planner.launch_sizes,
        steps,
        sizes,
    })
}

struct Planner<'a> {
    program: &'a Program,
    entry: &'a Entry,
    sizes: &'a Sizes,
    /// By value.
    bytes: Vec<usize>,
    args: Vec<ValueId>,
    launch_sizes: Vec<i64>,
    number: usize,
}

impl Planner<'_> {
    fn shape_bytes(&self, dtype: crate::program::DType, shape: &[Dim]) -> Result<usize, RunError> {
        let numbers = self.sizes.shape(shape).ok_or_else(|| self.unsized_value(shape))?;
        byte_len(dtype, &numbers).ok_or_else(|| self.too_large())
    }

    fn check_storage(&self) -> Result<(), RunError> {
        for (index, value) in self.entry.values.iter().enumerate() {
            let port_bytes = |port: &Port| self.shape_bytes(port.dtype, &port.shape);
            let expected = match value.storage {
                Storage::Arena => continue,
                Storage::Alias(of) => self.bytes[of.0 as usize],
                Storage::Input(of) => port_bytes(&self.entry.inputs[of as usize])?,
                Storage::Output(of) => port_bytes(&self.entry.outputs[of as usize])?,
                Storage::State(of) => {
                    let state = &self.program.states[of as usize];
                    self.shape_bytes(state.dtype, &state.shape)?
                }
                Storage::Param(of) => {
                    let param = &self.program.params[of as usize];
                    byte_len(param.dtype, &param.shape).ok_or_else(|| self.too_large())?
                }
                Storage::Prepared(of) => {
                    let prepared = &self.program.prepared[of as usize];
                    byte_len(prepared.dtype, &prepared.shape).ok_or_else(|| self.too_large())?
                }
                Storage::Constant(of) => {
                    let constant = &self.program.constants[of as usize];
                    byte_len(constant.dtype, &constant.shape).ok_or_else(|| self.too_large())?
                }
            };
            if self.bytes[index] != expected {
                let bytes = self.bytes[index];
                return Err(self.broken(format!("value {index} has {bytes} bytes, its storage {expected}")));
            }
        }
        Ok(())
    }

    fn pack(&self) -> Result<Packing, RunError> {
        let request = |(value, &bytes): (&crate::program::ValueDecl, &usize)| Request {
            bytes: if value.storage == Storage::Arena { bytes } else { 0 },
            first: value.lifetime.0,
            last: value.lifetime.1,
        };
        let requests: Vec<_> = self.entry.values.iter().zip(&self.bytes).map(request).collect();
        pack(&requests).ok_or_else(|| self.too_large())
    }

    fn places(&self, packing: &Packing) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::with_capacity(packing.offsets.len());
        for (value, &offset) in self.entry.values.iter().zip(&packing.offsets) {
            places.push(match value.storage {
                Storage::Arena => Place::Arena(offset),
                Storage::Alias(of) => places[of.0 as usize],
                Storage::Input(of) => Place::Input(of),
                Storage::Output(of) => Place::Output(of),
                Storage::Param(of) => Place::Param(of),
                Storage::Prepared(of) => Place::Prepared(of),
                Storage::State(of) => Place::State(of),
                Storage::Constant(of) => Place::Constant(of),
            });
        }
        places
    }

    fn block(&mut self, steps: &[Step]) -> Result<Vec<PlanStep>, RunError> {
        let mut planned = Vec::with_capacity(steps.len());
        for step in steps {
            let number = self.number;
            self.number += 1;
            planned.push(PlanStep { number, action: self.step(step, number)? });
        }
        Ok(planned)
    }

    fn step(&mut self, step: &Step, number: usize) -> Result<Action, RunError> {
        Ok(match step {
            Step::Launch { kernel, args, sizes, grid, grain } => {
                let (first_arg, first_size) = (self.args.len(), self.launch_sizes.len());
                self.args.extend(args);
                for size in sizes {
                    let size = self.sizes.eval(size).ok_or_else(|| self.unsized_step(number))?;
                    self.launch_sizes.push(size);
                }
                let grid = self.count(grid, number)?;
                let declared = &self.program.kernels[kernel.0 as usize];
                self.check_launch(declared, args, &self.launch_sizes[first_size..], grid, number)?;
                Action::Launch(Launch {
                    kernel: *kernel,
                    args: first_arg..self.args.len(),
                    sizes: first_size..self.launch_sizes.len(),
                    grid,
                    grain: if declared.sequential { grid } else { self.count(grain, number)? },
                })
            }
            Step::Copy { from, to } => {
                let bytes = self.bytes[from.0 as usize];
                if bytes != self.bytes[to.0 as usize] {
                    return Err(self.broken(format!("step {number} copies between values of different sizes")));
                }
                Action::Copy { from: *from, to: *to, bytes }
            }
            Step::CopySlice { from, to, at, direction } => {
                let (rows, row) = match direction {
                    SliceMove::Write => (*to, *from),
                    SliceMove::Read => (*from, *to),
                };
                self.copy_slice(rows, row, *at, *direction, number)?
            }
            Step::Repeat { counter, from, to, body } => Action::Repeat {
                counter: *counter,
                from: self.limit(from, number)?,
                to: self.limit(to, number)?,
                body: self.block(body)?,
            },
            Step::While { at_most, cond, test, body } => Action::While {
                at_most: at_most.as_ref().map(|bound| self.limit(bound, number)).transpose()?,
                cond: *cond,
                test: self.block(test)?,
                body: self.block(body)?,
            },
            Step::Cond { cond, then, otherwise } => {
                Action::Cond { cond: *cond, then: self.block(then)?, otherwise: self.block(otherwise)? }
            }
        })
    }

    /// That the kernel gets what its code was proved in bounds for.
    fn check_launch(
        &self,
        kernel: &Kernel,
        args: &[ValueId],
        sizes: &[i64],
        grid: usize,
        number: usize,
    ) -> Result<(), RunError> {
        let problem = |text: String| Err(self.broken(format!("step {number} launches `{}` {text}", kernel.name)));
        let mut own = Sizes::default();
        for (decl, &size) in kernel.sizes.iter().zip(sizes) {
            if grid > 0 && (size < decl.lo || decl.hi.is_some_and(|hi| size > hi)) {
                return problem(format!("with {} = {size}, out of its range", decl.symbol));
            }
            own.insert(&decl.symbol, size, "");
        }
        let items = own.eval(&kernel.grid).and_then(|items| usize::try_from(items).ok());
        if items != Some(grid) {
            return problem(format!("over {grid} items instead of {}", items.unwrap_or(0)));
        }
        if grid == 0 {
            return Ok(());
        }
        for (index, (arg, declared)) in args.iter().zip(&kernel.args).enumerate() {
            let needed = own.shape(&declared.shape).and_then(|shape| byte_len(declared.dtype, &shape));
            let found = self.bytes[arg.0 as usize];
            if needed.is_none_or(|needed| needed > found) {
                let needed = needed.map_or("more".to_string(), |needed| needed.to_string());
                return problem(format!("with {found} bytes as argument {index}, which takes {needed}"));
            }
        }
        Ok(())
    }

    fn copy_slice(
        &self,
        rows: ValueId,
        row: ValueId,
        at: ValueId,
        direction: SliceMove,
        number: usize,
    ) -> Result<Action, RunError> {
        let row_bytes = self.bytes[row.0 as usize];
        let n_rows = self.entry.value(rows).shape.first().map(|dim| self.count(dim, number)).transpose()?;
        let fits = n_rows.and_then(|n_rows| n_rows.checked_mul(row_bytes)) == Some(self.bytes[rows.0 as usize]);
        match n_rows {
            Some(n_rows) if fits => {
                Ok(Action::CopySlice(CopySlice { rows, outside: row, at, n_rows, row_bytes, direction }))
            }
            _ => Err(self.broken(format!("step {number} moves a row that is not one"))),
        }
    }

    fn limit(&self, bound: &Bound, number: usize) -> Result<Limit, RunError> {
        match bound {
            Bound::Value(value) => Ok(Limit::Value(*value)),
            Bound::Size(dim) => self.sizes.eval(dim).map(Limit::Known).ok_or_else(|| self.unsized_step(number)),
        }
    }

    fn count(&self, dim: &Dim, number: usize) -> Result<usize, RunError> {
        let count = self.sizes.eval(dim).and_then(|count| usize::try_from(count).ok());
        count.filter(|&count| count <= isize::MAX as usize).ok_or_else(|| self.unsized_step(number))
    }

    fn unsized_step(&self, number: usize) -> RunError {
        self.broken(format!("a size of step {number} is no number"))
    }

    fn unsized_value(&self, shape: &[Dim]) -> RunError {
        let shape = crate::error::ShapeText(shape);
        self.broken(format!("the shape {shape} comes to no number"))
    }

    fn broken(&self, problem: String) -> RunError {
        RunError::new(ErrorKind::Program, format!("malformed program: entry `{}`: {problem}", self.entry.name))
    }

    fn too_large(&self) -> RunError {
        let message = format!("`{}` needs more than any memory at these sizes", self.entry.name);
        RunError::new(ErrorKind::Memory, message)
    }
}
