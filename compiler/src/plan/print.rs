//! A plan as text, for people and snapshots.
//!
//! ```text
//! entry call
//!   v0: f32[B, 4] = input x
//!   v1: f32[B, 4] = arena 0..=1
//!   0  exp(v0, v1) over B
//! ```

use std::fmt::Write;

use tilewright_runtime::program::{Bound, Entry, Port, Program, SliceMove, Step, Storage, ValueDecl};

use crate::graph::Shape;

pub fn program(program: &Program) -> String {
    program.entries.iter().map(|entry| print_entry(program, entry)).collect::<Vec<_>>().join("\n")
}

pub fn print_entry(program: &Program, entry: &Entry) -> String {
    let mut printer = Printer { program, entry, out: format!("entry {}\n", entry.name), number: 0 };
    for size in &entry.sizes {
        let high = size.hi.map_or(String::new(), |high| format!("={high}"));
        let _ = writeln!(printer.out, "  size {} in {}..{high}", size.symbol, size.lo);
    }
    for check in &entry.checks {
        let _ = writeln!(printer.out, "  check {} {} {}", check.left, check.relation.sign(), check.right);
    }
    for (idx, value) in entry.values.iter().enumerate() {
        let place = printer.place(value);
        let _ = writeln!(printer.out, "  v{idx}: {}{} = {place}", value.dtype, Shape(&value.shape));
    }
    printer.block(&entry.steps, 1);
    printer.out
}

struct Printer<'a> {
    program: &'a Program,
    entry: &'a Entry,
    out: String,
    number: usize,
}

impl Printer<'_> {
    fn place(&self, value: &ValueDecl) -> String {
        let port = |ports: &[Port], idx: u32| ports[idx as usize].name.clone();
        match value.storage {
            Storage::Arena => format!("arena {}..={}", value.lifetime.0, value.lifetime.1),
            Storage::Input(idx) => format!("input {}", port(&self.entry.inputs, idx)),
            Storage::Output(idx) => format!("output {}", port(&self.entry.outputs, idx)),
            Storage::Param(idx) => format!("param {}", self.program.params[idx as usize].name),
            Storage::Prepared(idx) => format!("prepared {idx}"),
            Storage::State(idx) => format!("state {}", self.program.states[idx as usize].name),
            Storage::Constant(idx) => format!("constant {idx}"),
            Storage::Alias(of) => format!("v{}", of.0),
        }
    }

    fn block(&mut self, steps: &[Step], depth: usize) {
        for step in steps {
            let text = self.head(step);
            let _ = writeln!(self.out, "{}{:<2} {text}", "  ".repeat(depth), self.number);
            self.number += 1;
            let [first, second] = step.blocks();
            self.block(first, depth + 1);
            if matches!(step, Step::Cond { .. } | Step::While { .. }) {
                let word = if matches!(step, Step::Cond { .. }) { "else" } else { "do" };
                let _ = writeln!(self.out, "{}   {word}", "  ".repeat(depth));
            }
            self.block(second, depth + 1);
        }
    }

    fn head(&self, step: &Step) -> String {
        match step {
            Step::Launch { kernel, args, grid, .. } => {
                let args: Vec<String> = args.iter().map(|id| format!("v{}", id.0)).collect();
                let name = self.program.kernels.get(kernel.0 as usize).map_or("?", |kernel| kernel.name.as_str());
                format!("{name}({}) over {grid}", args.join(", "))
            }
            Step::Copy { from, to } => format!("copy v{} to v{}", from.0, to.0),
            Step::CopySlice { from, to, at, direction: SliceMove::Write } => {
                format!("copy v{} to v{}[v{}]", from.0, to.0, at.0)
            }
            Step::CopySlice { from, to, at, direction: SliceMove::Read } => {
                format!("copy v{}[v{}] to v{}", from.0, at.0, to.0)
            }
            Step::Repeat { counter, from, to, .. } => {
                format!("repeat v{} in {}..{}", counter.0, bound(from), bound(to))
            }
            Step::While { at_most, cond, .. } => {
                let at_most = at_most.as_ref().map_or(String::new(), |limit| format!(", at most {}", bound(limit)));
                format!("while v{}{at_most}", cond.0)
            }
            Step::Cond { cond, .. } => format!("if v{}", cond.0),
        }
    }
}

fn bound(bound: &Bound) -> String {
    match bound {
        Bound::Size(dim) => dim.to_string(),
        Bound::Value(id) => format!("v{}", id.0),
    }
}
