//! The steps of an entry: indices, what is written, and lifetimes.
//!
//! A loop runs its steps again, so a value that enters or leaves it must be alive during all of
//! it; only values that live inside one iteration may share memory with others of that loop. What a
//! kernel writes is no other argument's memory, for its code is made for buffers that do not overlap.

use std::collections::{HashMap, HashSet};

use super::{Checked, MAX_NESTING, ensure, get, only_mentions};
use crate::program::{Bound, DType, Entry, Kernel, Program, Step, Storage, Symbol, ValueId};

pub(super) fn check(program: &Program, entry: &Entry, sizes: &HashSet<&Symbol>) -> Checked {
    let mut walk = Walk { program, entry, sizes, number: 0, loops: Vec::new(), depth: 0, counters: Vec::new() };
    walk.block(&entry.steps)?;
    let n_steps = walk.number;
    ensure(entry.labels.is_empty() || entry.labels.len() == n_steps, || {
        format!("{} labels for {n_steps} steps", entry.labels.len())
    })?;
    for (index, value) in entry.values.iter().enumerate() {
        let (first, last) = value.lifetime;
        let sane = first <= last && (last as usize) < n_steps.max(1);
        ensure(value.storage != Storage::Arena || sane, || {
            format!("value {index} lives from step {first} to {last} of {n_steps}")
        })?;
    }
    Ok(())
}

/// Whose bytes a value has: arena values have their own, others those of their storage.
type Memory = (Storage, Option<ValueId>);

struct Walk<'a> {
    program: &'a Program,
    entry: &'a Entry,
    sizes: &'a HashSet<&'a Symbol>,
    /// The number of the next step.
    number: usize,
    /// First and last step of each loop around the current one, outermost first.
    loops: Vec<(usize, usize)>,
    depth: usize,
    /// Of the loops around the current step; their loops alone write to them.
    counters: Vec<ValueId>,
}

impl Walk<'_> {
    fn block(&mut self, steps: &[Step]) -> Checked {
        self.depth += 1;
        ensure(self.depth <= MAX_NESTING, || format!("control flow nests deeper than {MAX_NESTING}"))?;
        for step in steps {
            let number = self.number;
            self.number += 1;
            self.step(step, number).map_err(|problem| match number + 1 == self.number {
                true => format!("step {number}: {problem}"),
                false => problem,
            })?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn step(&mut self, step: &Step, number: usize) -> Checked {
        match step {
            Step::Launch { kernel, args, sizes, grid, grain } => {
                let kernel = get(&self.program.kernels, kernel.0, "kernel")?;
                let (n_args, n_sizes) = (kernel.args.len(), kernel.sizes.len());
                ensure(args.len() == n_args && sizes.len() == n_sizes, || {
                    format!("`{}` takes {n_args} values, {n_sizes} sizes", kernel.name)
                })?;
                self.args(kernel, args, number)?;
                let mut dims = sizes.iter().chain([grid, grain]);
                dims.try_for_each(|dim| only_mentions(dim, self.sizes))
            }
            Step::Copy { from, to } => {
                self.uses(*from, number)?;
                self.uses(*to, number)?;
                self.writes(*to)
            }
            Step::CopySlice { from, to, at, .. } => {
                self.uses(*from, number)?;
                self.uses(*to, number)?;
                self.writes(*to)?;
                self.scalar(*at, DType::I64, number)
            }
            Step::Repeat { counter, from, to, body } => {
                self.bound(from, number)?;
                self.bound(to, number)?;
                self.counter(*counter, number, number + step.n_steps() - 1)?;
                self.writes(*counter)?;
                self.counters.push(*counter);
                self.inside_loop(step, number, |walk| walk.block(body))?;
                self.counters.pop();
                Ok(())
            }
            Step::While { at_most, cond, test, body } => {
                if let Some(at_most) = at_most {
                    self.bound(at_most, number)?;
                }
                self.inside_loop(step, number, |walk| {
                    walk.block(test)?;
                    walk.scalar(*cond, DType::Bool, walk.number - 1)?;
                    walk.block(body)
                })
            }
            Step::Cond { cond, then, otherwise } => {
                self.scalar(*cond, DType::Bool, number)?;
                self.block(then)?;
                self.block(otherwise)
            }
        }
    }

    fn args(&self, kernel: &Kernel, args: &[ValueId], number: usize) -> Checked {
        let mut written: HashMap<Memory, bool> = HashMap::new();
        for (&arg, declared) in args.iter().zip(&kernel.args) {
            self.uses(arg, number)?;
            let dtype = self.entry.value(arg).dtype;
            ensure(dtype == declared.dtype, || {
                format!("`{}` takes {} where value {} is {dtype}", kernel.name, declared.dtype, arg.0)
            })?;
            let writes = declared.access.writes();
            if writes {
                self.writes(arg)?;
            }
            let other = written.insert(self.memory(arg), writes);
            ensure(other.is_none_or(|other| !writes && !other), || {
                format!("`{}` writes memory of value {} that is another argument's too", kernel.name, arg.0)
            })?;
        }
        Ok(())
    }

    fn memory(&self, id: ValueId) -> Memory {
        let root = self.entry.root(id);
        match self.entry.value(root).storage {
            Storage::Arena => (Storage::Arena, Some(root)),
            kept => (kept, None),
        }
    }

    fn inside_loop(&mut self, step: &Step, number: usize, body: impl FnOnce(&mut Self) -> Checked) -> Checked {
        self.loops.push((number, number + step.n_steps() - 1));
        body(self)?;
        self.loops.pop();
        Ok(())
    }

    fn uses(&self, id: ValueId, number: usize) -> Checked {
        get(&self.entry.values, id.0, "value")?;
        let root = self.entry.root(id);
        let value = self.entry.value(root);
        if value.storage != Storage::Arena {
            return Ok(());
        }
        let (first, last) = (value.lifetime.0 as usize, value.lifetime.1 as usize);
        ensure((first..=last).contains(&number), || {
            format!("value {} is used outside its life {first}..={last}", root.0)
        })?;
        for &(start, end) in &self.loops {
            let throughout = first <= start && end <= last;
            let within = start < first && last <= end;
            ensure(throughout || within, || {
                let n = root.0;
                format!("value {n} crosses the edge of the loop {start}..={end} but does not live through it")
            })?;
        }
        Ok(())
    }

    fn writes(&self, id: ValueId) -> Checked {
        let root = self.entry.root(id);
        let storage = self.entry.value(root).storage;
        let writable = matches!(storage, Storage::Arena | Storage::Output(_) | Storage::State(_));
        ensure(writable, || format!("value {} is written, but it is read-only", id.0))?;
        ensure(!self.counters.contains(&root), || format!("value {} is written, but it counts a loop around", id.0))
    }

    fn scalar(&self, id: ValueId, dtype: DType, number: usize) -> Checked {
        self.uses(id, number)?;
        let value = self.entry.value(id);
        ensure(value.dtype == dtype && value.shape.is_empty(), || format!("value {} is no {dtype} scalar", id.0))
    }

    fn counter(&self, id: ValueId, start: usize, end: usize) -> Checked {
        self.scalar(id, DType::I64, start)?;
        let value = self.entry.value(id);
        let throughout = value.lifetime.0 as usize <= start && end <= value.lifetime.1 as usize;
        ensure(value.storage == Storage::Arena && throughout, || {
            format!("the counter, value {}, must be an arena value that lives through its loop", id.0)
        })
    }

    fn bound(&self, bound: &Bound, number: usize) -> Checked {
        match bound {
            Bound::Size(dim) => only_mentions(dim, self.sizes),
            Bound::Value(id) => self.scalar(*id, DType::I64, number),
        }
    }
}
