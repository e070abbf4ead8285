//! Planning: lowered graphs become a program: which kernels run, in which order, over which memory.
//!
//! The graph is walked into a draft in which every value has memory of its own and everything that must arrive somewhere
//! arrives by a copy; then copies are removed, dying operands are written over, and lifetimes are read off.
//!
//! Invariant: the result passes `Program::check`, and depends on the input alone: no addresses, no hashing order.

mod build;
mod constants;
mod control;
mod draft;
mod finish;
mod forward;
mod grain;
mod in_place;
mod kernels;
mod ports;
pub mod print;
mod reuse;
mod uses;

use std::fmt;

use tilewright_runtime::program::{Program, Target};

pub use kernels::{Schedule, declaration};

use self::build::Planner;
use self::constants::Constants;
use self::draft::Draft;
use self::kernels::Kernels;
use crate::graph::{Graph, Type};
use crate::kernel::Kernel;

/// What the entries of a program share.
pub struct Interface {
    pub name: String,
    pub params: Vec<(String, Type)>,
    /// The entry, by its number, whose outputs are params of the others: their names and types.
    pub prepared: Option<(usize, Vec<(String, Type)>)>,
    pub states: Vec<State>,
}

pub struct State {
    pub name: String,
    pub ty: Type,
    /// The entry and its output that give the initial value; zeros if there is none.
    pub initial: Option<(usize, usize)>,
}

/// A program without machine code, and the kernels it was planned with, by their number.
pub struct Planned {
    pub program: Program,
    pub kernels: Vec<Kernel>,
    /// Decisions worth knowing, each as a sentence that starts with its place.
    pub remarks: Vec<String>,
}

/// Plans entries whose ops are all structured, views, constants or control.
pub fn plan(interface: &Interface, entries: &[Graph], schedule: &Schedule) -> Result<Planned, PlanError> {
    let mut program = Program::new(interface.name.clone(), Target::default());
    ports::declare_members(&mut program, interface)?;
    let mut kernels = Kernels::new(schedule);
    let mut constants = Constants::default();
    let mut remarks = Vec::new();
    for graph in entries {
        let draft = Draft::default();
        let mut planner =
            Planner { draft, kernels: &mut kernels, constants: &mut constants, remarks: Vec::new(), depth: 0 };
        let ports = planner.entry(&program, interface, graph)?;
        remarks.append(&mut planner.remarks);
        let mut draft = planner.draft;
        forward::forward_copies(&mut draft);
        reuse::reuse_operands(&mut draft);
        program.entries.push(finish::entry(draft, graph, ports, &mut kernels));
    }
    program.kernels = kernels.chosen.iter().map(kernels::declaration).collect();
    constants.store(&mut program);
    program
        .check()
        .map_err(|malformed| PlanError { message: malformed.to_string(), dump: Some(print::program(&program)) })?;
    Ok(Planned { program, kernels: kernels.chosen, remarks })
}

/// A graph that cannot be planned: after verification, a fault of the compiler. `dump` is the graph it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    pub message: String,
    pub dump: Option<String>,
}

impl PlanError {
    pub fn new(message: impl Into<String>) -> PlanError {
        PlanError { message: message.into(), dump: None }
    }

    fn of(graph: &Graph, message: impl Into<String>) -> PlanError {
        PlanError { message: message.into(), dump: Some(graph.to_string()) }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
mod tests;
