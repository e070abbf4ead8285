//! Passes: graph in, graph out, one rewrite each; `pipeline` is the list in the order of running.
//!
//! Invariant: a pass keeps what the graph computes (up to rounding), its arguments, outputs, sizes and checks, and does
//! the same inside every region. It never edits a graph: it builds a new one.

pub mod ahead;
pub mod attention;
pub mod calibration;
pub mod canonicalize;
pub mod cse;
pub mod dce;
pub mod differentiate;
pub mod even;
pub mod expand;
mod facts;
pub mod fold;
mod frozen;
pub mod fuse;
pub mod groups;
pub mod hidden;
pub mod hoist;
pub mod layout;
pub mod narrow;
pub mod pack;
pub mod padding;
mod panels;
pub mod part;
pub mod phases;
pub mod pipeline;
pub mod precision;
pub mod prepare;
pub mod quantize;
pub mod rebuild;
mod recompute;
pub mod running;
pub mod split;
pub mod winograd;

use std::cell::RefCell;
use std::fmt;

use crate::graph::verify::{Violation, verify};
use crate::graph::{DType, Graph, OpDef, OpError, Origin};
use crate::ops;

pub use calibration::Calibration;

/// One rewrite, as a record.
pub struct Pass {
    /// In kebab form, as the command line names it.
    pub name: &'static str,
    pub doc: &'static str,
    pub run: fn(&Graph, &Context) -> Result<Graph, PassError>,
}

/// What a run of the pipeline is told, and what it tells.
pub struct Context<'a> {
    /// Verify the graph before the first pass and after each.
    pub verify: bool,
    /// What undecided floats become.
    pub float: DType,
    /// What contractions with weights read.
    pub narrowing: Narrowing,
    /// What scales of integers are computed from.
    pub calibration: Calibration,
    /// How many columns of a contraction lie in a panel. Without it weights stay as they are.
    pub panel: Option<&'a pack::Width<'a>>,
    /// Factors pass through memory that threads share, so that what is computed at run time need not be packed.
    pub staged: bool,
    /// Running sums are carried in f64, which the machine has.
    pub wide_sums: bool,
    /// Vector accesses can leave lanes out, so that lanes may run along lines of an image up to its edges.
    pub masks: bool,
    /// How many threads share the work of a kernel.
    pub threads: u64,
    /// Convolutions are not replaced by faster algorithms that round more.
    pub exact: bool,
    /// The machine loses nothing by multiplying numbers as narrow as `narrowing` says. Otherwise only weights are
    /// narrowed, and widened again when they are read.
    pub narrow_products: bool,
    /// Registers of a CPU hold matrices of bf16.
    pub matrices: bool,
    /// Weights of f16 lie in pairs, as those of bf16 do.
    pub f16_pairs: bool,
    /// Called after each pass with its name and the graph.
    pub dump: Option<&'a dyn Fn(&'static str, &Graph)>,
    remarks: RefCell<Vec<Remark>>,
}

/// Which factors of contractions and convolutions with weights are narrower than what is computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Narrowing {
    #[default]
    None,
    /// Both, in this type.
    Factors(DType),
    /// Weights in integers of so many bits, the other factor in 8, each group of neighbours with a scale of its own.
    Scaled { bits: i64, group: i64 },
}

impl std::default::Default for Context<'_> {
    fn default() -> Self {
        Context {
            verify: true,
            float: DType::F32,
            narrowing: Narrowing::None,
            calibration: Calibration::None,
            panel: None,
            staged: false,
            wide_sums: true,
            masks: true,
            threads: 1,
            exact: false,
            narrow_products: true,
            matrices: false,
            f16_pairs: false,
            dump: None,
            remarks: RefCell::default(),
        }
    }
}

impl Context<'_> {
    pub fn remark(&self, pass: &'static str, origin: &Origin, message: impl Into<String>) {
        self.remarks.borrow_mut().push(Remark { pass, origin: origin.clone(), message: message.into() });
    }

    /// The remarks made since they were last taken.
    pub fn take_remarks(&self) -> Vec<Remark> {
        self.remarks.take()
    }
}

/// A decision of a pass, and the line of the spec that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub pass: &'static str,
    pub origin: Origin,
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.pass, self.message)
    }
}

/// A bug of ours: a pass failed, or left a malformed graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassError {
    pub pass: &'static str,
    pub origin: Origin,
    pub message: String,
}

impl PassError {
    /// The error of an application that a pass made for a node of this origin.
    pub fn at(pass: &'static str, origin: &Origin) -> impl Fn(OpError) -> PassError {
        move |error| PassError { pass, origin: origin.clone(), message: error.message }
    }

    fn malformed(pass: &'static str, violations: &[Violation], graph: &Graph) -> PassError {
        let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
        PassError { pass, origin: Origin::default(), message: format!("{}\n{graph}", list.join("\n")) }
    }
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "internal error in the pass `{}`: {}", self.pass, self.message)?;
        if self.origin == Origin::default() { Ok(()) } else { write!(f, " ({})", self.origin) }
    }
}

impl std::error::Error for PassError {}

/// Runs passes one after another.
pub fn run_pipeline(graph: &Graph, passes: &[&Pass], context: &Context) -> Result<Graph, PassError> {
    check("input", graph, context)?;
    let mut graph = graph.clone();
    for pass in passes {
        graph = (pass.run)(&graph, context)?;
        check(pass.name, &graph, context)?;
        if let Some(dump) = context.dump {
            dump(pass.name, &graph);
        }
    }
    Ok(graph)
}

fn check(pass: &'static str, graph: &Graph, context: &Context) -> Result<(), PassError> {
    match context.verify {
        true => verify(graph).map_err(|violations| PassError::malformed(pass, &violations, graph)),
        false => Ok(()),
    }
}

/// The record of an op that passes build with.
fn op(name: &str) -> Result<&'static OpDef, OpError> {
    ops::find(name).ok_or_else(|| OpError::new(format!("there is no op `{name}`")))
}
