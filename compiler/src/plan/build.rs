//! From a graph to a draft: one step per structured node or fused group, control flow by `control`.
//!
//! Invariant: when a node is reached, every operand has its value; regions see the values of the graph around them only
//! through their arguments.

use std::collections::HashMap;

use tilewright_runtime::program::{Bound, Storage, ValueId};

use super::PlanError;
use super::constants::Constants;
use super::draft::{Action, Draft, Launch, Step};
use super::kernels::Kernels;
use crate::graph::{ARGUMENT, DType, Graph, Meaning, Node, NodeId, Origin, Type, Value};

/// As deep as a program may nest.
const MAX_NESTING: usize = tilewright_runtime::program::check::MAX_NESTING - 1;

pub struct Planner<'p, 'k> {
    pub draft: Draft,
    pub kernels: &'p mut Kernels<'k>,
    pub constants: &'p mut Constants,
    pub remarks: Vec<String>,
    pub depth: usize,
}

/// A node whose operands have their values.
#[derive(Clone, Copy)]
pub struct Site<'g> {
    pub graph: &'g Graph,
    pub id: NodeId,
    pub operands: &'g [ValueId],
}

impl<'g> Site<'g> {
    pub fn node(&self) -> &'g Node {
        self.graph.node(self.id)
    }

    /// What its steps are called.
    pub fn label(&self) -> String {
        label(&self.node().origin)
    }
}

/// Values of one graph.
pub type Scope = HashMap<Value, ValueId>;

impl Planner<'_, '_> {
    /// The steps of a graph whose arguments have these values, and the values of its outputs.
    pub fn graph(&mut self, graph: &Graph, arguments: &[ValueId]) -> Result<(Vec<Step>, Vec<ValueId>), PlanError> {
        if self.depth >= MAX_NESTING {
            return Err(PlanError::new(format!("control flow nests deeper than {MAX_NESTING}")));
        }
        self.depth += 1;
        let mut scope: Scope = graph.arguments().iter().map(|a| a.value).zip(arguments.iter().copied()).collect();
        let mut steps = Vec::new();
        for id in graph.node_ids() {
            self.node(graph, id, &mut scope, &mut steps)?;
        }
        self.depth -= 1;
        Ok((steps, graph.outputs().iter().map(|output| scope[&output.value]).collect()))
    }

    fn node(&mut self, graph: &Graph, id: NodeId, scope: &mut Scope, steps: &mut Vec<Step>) -> Result<(), PlanError> {
        let node = graph.node(id);
        let operands: Vec<ValueId> = graph.operands(id).iter().map(|value| scope[value]).collect();
        let site = Site { graph, id, operands: &operands };
        let results = match node.op.meaning {
            _ if node.op.name == ARGUMENT.name => return Ok(()),
            Meaning::Source => vec![self.constant(graph, id)?],
            Meaning::View => vec![self.draft.add(node.types[0].clone(), Storage::Alias(operands[0]))],
            Meaning::Structured { .. } | Meaning::Opaque { .. } => self.launch(site, steps)?,
            Meaning::Group { .. } => self.group(site, steps)?,
            Meaning::Control { .. } => self.control(site, steps)?,
            _ => return Err(PlanError::of(graph, format!("`{}` has no kernel", node.op.name))),
        };
        scope.extend(graph.results(id).zip(results));
        Ok(())
    }

    fn constant(&mut self, graph: &Graph, id: NodeId) -> Result<ValueId, PlanError> {
        let node = graph.node(id);
        if node.op.name != "constant" {
            return Err(PlanError::of(graph, format!("`{}` has no value", node.op.name)));
        }
        let number = self.constants.number(&node.attrs.tensor("value"));
        Ok(self.draft.add(node.types[0].clone(), Storage::Constant(number)))
    }

    pub fn launch(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let Site { graph, id, operands } = site;
        let scheduled = self.kernels.of_node(graph, id);
        let scheduled = scheduled.map_err(|problem| PlanError::of(graph, problem))?;
        let node = site.node();
        let buffers = &scheduled.kernel.buffers;
        let n_known = operands.len() + node.types.len();
        if buffers.len() < n_known {
            let (name, found) = (&scheduled.kernel.name, buffers.len());
            return Err(PlanError::of(graph, format!("kernel `{name}` takes {found} buffers, not {n_known}")));
        }
        let results = self.draft.arena(&node.types);
        let working = buffers[n_known..].iter().map(|buffer| Type::new(buffer.dtype, buffer.shape.clone()));
        let working = self.draft.arena(&working.collect::<Vec<_>>());
        let args: Vec<ValueId> = operands.iter().chain(&results).chain(&working).copied().collect();
        let launch = Launch { kernel: scheduled.kernel.clone(), args, in_place: scheduled.in_place.clone() };
        steps.push(Step { label: site.label(), action: Action::Launch(launch) });
        Ok(results)
    }

    /// A fused group is one kernel; if it cannot be, its nodes are steps of their own.
    fn group(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let node = site.node();
        if node.types.len() == 1 || node.regions.len() == 1 {
            match self.kernels.of_node(site.graph, site.id) {
                Ok(_) => return self.launch(site, steps),
                Err(problem) => {
                    let place = site.label();
                    self.remarks.push(format!("{place}: a group of nodes runs one by one: {problem}"));
                }
            }
        }
        // Each region takes the results of the one before it, then the operands that are left.
        let (mut results, mut operands) = (Vec::new(), site.operands);
        for region in &node.regions {
            let n_own = region.arguments().len().saturating_sub(results.len()).min(operands.len());
            let (own, rest) = operands.split_at(n_own);
            results.extend_from_slice(own);
            let (inner, next) = self.graph(region, &results)?;
            steps.extend(inner);
            (results, operands) = (next, rest);
        }
        Ok(results)
    }

    pub fn counter(&mut self) -> ValueId {
        self.draft.add(Type::scalar(DType::I64), Storage::Arena)
    }
}

/// A bound of a loop: a number where it is known, else the scalar.
pub fn bound(graph: &Graph, value: Value, id: ValueId) -> Bound {
    let node = graph.node(value.node);
    match node.op.name {
        "constant" => Bound::Size(node.attrs.tensor("value").int_at(0).into()),
        "dim" => Bound::Size(node.attrs.dim("size")),
        _ => Bound::Value(id),
    }
}

/// `blocks.0.attn vit.tw:16`.
pub fn label(origin: &Origin) -> String {
    let place = if origin.file.is_empty() { String::new() } else { format!("{}:{}", origin.file, origin.line) };
    format!("{} {place}", origin.path).trim().to_string()
}
