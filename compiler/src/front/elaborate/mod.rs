//! From a parsed program and a choice of config to a model: graphs, members and the tree of modules.
//!
//! Invariant: pure, total and bounded. Whatever the input, the answer is a model or diagnostics: depth, steps, list lengths
//! and nodes are limited, and every limit is an error that names the place where it was reached.

mod branch;
mod builtins;
mod call;
mod callable;
mod config;
mod control;
mod einops;
mod elementwise;
pub mod elsewhere;
mod entry;
mod expr;
mod fields;
mod fixed;
mod fractions;
mod frame;
mod implied;
mod index;
mod members;
mod model;
mod names;
mod ops;
mod places;
mod random;
mod relations;
mod report;
mod scalars;
mod scope;
mod settings;
mod spoken;
mod statement;
mod structure;
mod train;
mod types;
mod unmade;
mod value;
mod wheres;

use std::rc::Rc;
use std::sync::Arc;

pub use callable::Callable;
pub use settings::{Choice, Options, Setting};

use self::frame::Frame;
use self::report::{Outcome, Poisoned, Reports};
use self::value::{Instance, Value};
use crate::diag::{Diagnostic, Span};
use crate::front::load::Program;
use crate::graph::{Dim, Model, NamedSize, Symbol};

/// Deep enough for any model, and small enough for the stack below.
const MAX_DEPTH: usize = 3_000;
const STACK: usize = 512 << 20;
/// Evaluated expressions and elements of lists.
const FUEL: u64 = 5_000_000;
/// Parts of a path that a message shows.
const MAX_SHOWN_PARTS: usize = 12;
/// Graphs within each other that a program may have, the entry's among them.
const MAX_GRAPHS: usize = tilewright_runtime::program::check::MAX_NESTING - 1;
/// Elements of one list.
const MAX_LIST: usize = 65_536;

/// Elaborates the item `name` of the program's first file.
pub fn elaborate(program: &Program, name: &str, options: &Options) -> Result<Model, Vec<Diagnostic>> {
    let elaborated = on_stack(STACK, || {
        let mut elaborator = Elaborator::new(program, options);
        let model = elaborator.model(name);
        let reports = std::mem::take(&mut elaborator.reports);
        match model {
            Ok(model) if !reports.has_errors() => Ok(model),
            _ => Err(reports.finish()),
        }
    });
    elaborated.unwrap_or_else(|diagnostic| Err(vec![diagnostic]))
}

/// What can be said about the program as it stands: each model and train with its defaults.
pub fn check(program: &Program) -> Vec<Diagnostic> {
    let checked = on_stack(STACK, || {
        let mut diagnostics = program.diagnostics.clone();
        let options = Options::default();
        let mut elaborator = Elaborator::new(program, &options);
        elaborator.check_all();
        let found = std::mem::take(&mut elaborator.reports).finish();
        let fresh = found.into_iter().filter(|found| !on_a_line_of(found, &program.diagnostics, program));
        let fresh: Vec<Diagnostic> = fresh.collect();
        diagnostics.extend(fresh);
        diagnostics
    });
    checked.unwrap_or_else(|diagnostic| vec![diagnostic])
}

/// A line that cannot be read is repaired to go on; what the repair means is not worth a message.
fn on_a_line_of(found: &Diagnostic, syntax: &[Diagnostic], program: &Program) -> bool {
    let line = |diagnostic: &Diagnostic| {
        let span = diagnostic.span()?;
        Some((span.file, program.sources.line_index(span.file, span.start as usize)?))
    };
    line(found).is_some_and(|place| syntax.iter().any(|known| line(known) == Some(place)))
}

/// On a thread whose stack the limit on depth was chosen for; the caller's may be too small for it.
fn on_stack<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> Result<T, Diagnostic> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, run).map_err(|reason| {
            let message = format!("a thread with a stack of {} MiB cannot be started: {reason}", bytes >> 20);
            Diagnostic::error("E0407", message)
                .help("raise the limits on memory and on threads (`ulimit -v`, `ulimit -u`)")
        })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

struct Elaborator<'a> {
    program: &'a Program,
    options: &'a Options,
    file_names: Vec<Arc<str>>,
    reports: Reports,
    fuel: u64,
    depth: usize,
    serial: u64,
    /// Graphs being built, the innermost last; none while modules are put together.
    frames: Vec<Frame<'a>>,
    /// Instances whose parts are being elaborated, outermost first.
    context: Vec<Rc<Instance<'a>>>,
    /// The calls that are being read, outermost first.
    calls: Vec<Span>,
    /// The function that was entered last.
    entered: &'a str,
    /// Every declared member, with its initialiser.
    members: Vec<members::Declared<'a>>,
    /// Consts that have been evaluated, by file and item.
    consts: std::collections::HashMap<(usize, usize), Option<Value<'a>>>,
    /// What stands for a symbolic size within the entry: `H` is `8*H_8` where its `where` says so.
    substitution: Vec<(Symbol, Dim)>,
    /// The symbols of the entry that are parts of a size, such as `H_8`.
    parts: Vec<spoken::Part>,
    entry: entry::EntryState<'a>,
    training: bool,
    /// The paths of params that steps update.
    trained: std::collections::BTreeSet<String>,
    /// Within an optimizer: the shape of what it updates, which `[..]` stands for.
    leaf: Option<Vec<Dim>>,
    /// States are not written: a module is evaluated, not trained.
    evaluating: bool,
    skipped: Vec<(String, String)>,
    assertions: Vec<(String, String)>,
    /// What the spec calls the sizes of the entries.
    sizes: Vec<NamedSize>,
}

impl<'a> Elaborator<'a> {
    fn new(program: &'a Program, options: &'a Options) -> Elaborator<'a> {
        Elaborator {
            program,
            options,
            file_names: program.files.iter().map(|file| Arc::from(file.path.as_str())).collect(),
            reports: Reports::default(),
            fuel: FUEL,
            depth: 0,
            serial: 0,
            frames: Vec::new(),
            context: Vec::new(),
            calls: Vec::new(),
            entered: "",
            members: Vec::new(),
            consts: std::collections::HashMap::new(),
            substitution: Vec::new(),
            parts: Vec::new(),
            entry: entry::EntryState::default(),
            training: false,
            trained: std::collections::BTreeSet::new(),
            leaf: None,
            evaluating: false,
            skipped: Vec::new(),
            assertions: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Records a diagnostic, with the instance in which it arose.
    fn report(&mut self, diagnostic: Diagnostic) -> Poisoned {
        let diagnostic = match self.context.last() {
            Some(instance) if !self.context[0].path.is_empty() || self.context.len() > 1 => {
                diagnostic.with_note(format!("while elaborating {}", self.place_of(instance)))
            }
            _ => diagnostic,
        };
        let diagnostic = self.in_words(self.with_call(diagnostic));
        self.reports.add(diagnostic)
    }

    /// What goes wrong within the prelude is shown with the call that led there.
    fn with_call(&self, diagnostic: Diagnostic) -> Diagnostic {
        let in_prelude = |span: Span| self.program.sources.name(span.file).starts_with("prelude/");
        if diagnostic.labels.is_empty() || diagnostic.labels.iter().any(|label| !in_prelude(label.span)) {
            return diagnostic;
        }
        match self.calls.iter().rev().find(|call| !in_prelude(**call)) {
            Some(call) => diagnostic.also(*call, "called from here"),
            None => diagnostic,
        }
    }

    fn error<T>(&mut self, code: &'static str, message: impl Into<String>, span: Span, label: &str) -> Outcome<T> {
        Err(self.report(Diagnostic::error(code, message).at(span, label)))
    }

    /// `ViT(b16).blocks[0].attn`.
    fn place_of(&self, instance: &Instance<'a>) -> String {
        let root = self.context.first().map_or("", |root| root.constructor.module.name.text.as_str());
        let mut text = root.to_string();
        if let Some(preset) = &self.options.preset {
            text += &format!("({preset})");
        }
        let parts: Vec<&str> = instance.path.split('.').filter(|part| !part.is_empty()).collect();
        for (idx, part) in parts.into_iter().enumerate() {
            if idx == MAX_SHOWN_PARTS {
                return text + "…";
            }
            match part.parse::<u64>() {
                Ok(index) => text += &format!("[{index}]"),
                Err(_) => text += &format!(".{part}"),
            }
        }
        text
    }

    /// Lists cost what they hold, so that no spec fills the memory by copying one.
    fn charge(&mut self, elements: usize, span: Span) -> Outcome<()> {
        match self.fuel.checked_sub(elements as u64) {
            Some(rest) if rest > 0 => {
                self.fuel = rest;
                Ok(())
            }
            _ if self.fuel == 0 => Err(Reports::silent()),
            _ => {
                self.fuel = 0;
                self.error("E0406", "this takes too many steps", span, "given up here")
            }
        }
    }

    /// One step deeper; the way out of what never ends.
    fn descend(&mut self, span: Span) -> Outcome<()> {
        if self.fuel == 0 {
            return Err(Reports::silent());
        }
        self.fuel -= 1;
        if self.fuel == 0 {
            return self.error("E0406", "this takes too many steps", span, "given up here");
        }
        if self.depth >= MAX_DEPTH {
            self.fuel = 0;
            let help = match ops::visible(self.entered) {
                Some(op) => {
                    format!("the op of this name is `ops.{}`: a function hides the op it is named after", op.name)
                }
                None => "an `if` must end it: `if n == 0 { 1 } else { … }`".to_string(),
            };
            let diagnostic =
                Diagnostic::error("E0406", "this calls itself without end").at(span, "given up here").help(help);
            return Err(self.report(diagnostic));
        }
        self.depth += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
