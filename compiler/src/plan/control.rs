//! Loops and branches: regions become nested steps, carried values and results become memory that every round writes.
//!
//! `loop(from, to, carries…, captures…)` is `r = carry; repeat { …; r = next }`, and the copies are for `forward` to
//! remove. All copies at the end of a round happen as if at once: a value that an earlier one would overwrite is saved.

use tilewright_runtime::program::{Bound, SliceMove, Storage, ValueId};

use super::PlanError;
use super::build::{Planner, label};
use super::draft::{Action, Step};
use crate::graph::{Graph, NodeId};
use crate::seeded::{Fault, is};

impl Planner<'_, '_> {
    pub fn control(
        &mut self,
        graph: &Graph,
        id: NodeId,
        operands: &[ValueId],
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ValueId>, PlanError> {
        match graph.node(id).op.name {
            "loop" => self.counted(graph, id, operands, steps),
            "scan" => self.scan(graph, id, operands, steps),
            "while" => self.until(graph, id, operands, steps),
            "cond" => self.branch(graph, id, operands, steps),
            other => Err(PlanError::of(graph, format!("`{other}` has no plan"))),
        }
    }

    fn counted(
        &mut self,
        graph: &Graph,
        id: NodeId,
        operands: &[ValueId],
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ValueId>, PlanError> {
        let node = graph.node(id);
        let sources = graph.operands(id);
        let n_carries = node.types.len();
        let (from, to) = (self.bound(graph, sources[0], operands[0]), self.bound(graph, sources[1], operands[1]));
        let label = label(&node.origin);
        let carries = self.carries(graph, id, &operands[2..2 + n_carries], &label, steps);
        let counter = self.counter();
        let arguments = [&[counter], &carries[..], &operands[2 + n_carries..]].concat();
        let (mut body, next) = self.graph(&node.regions[0], &arguments)?;
        self.move_all(&next, &carries, &label, &mut body);
        steps.push(Step { label, action: Action::Repeat { counter, from, to, body } });
        Ok(carries)
    }

    fn scan(
        &mut self,
        graph: &Graph,
        id: NodeId,
        operands: &[ValueId],
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ValueId>, PlanError> {
        let node = graph.node(id);
        let n_carries = node.attrs.int("carries") as usize;
        let label = label(&node.origin);
        let carries = self.carries(graph, id, &operands[..n_carries], &label, steps);
        let stacks: Vec<ValueId> =
            node.types[n_carries..].iter().map(|ty| self.draft.add(ty.clone(), Storage::Arena)).collect();
        let counter = self.counter();
        let arguments = [&[counter], &carries[..], &operands[n_carries..]].concat();
        let (mut body, next) = self.graph(&node.regions[0], &arguments)?;
        for (&from, &to) in next[n_carries..].iter().zip(&stacks) {
            let action = Action::CopySlice { from, to, at: counter, direction: SliceMove::Write };
            body.push(Step { label: label.clone(), action });
        }
        if !is(Fault::ScanForgetsCarries) {
            self.move_all(&next[..n_carries], &carries, &label, &mut body);
        }
        let (from, to) = (Bound::Size(0.into()), Bound::Size(node.attrs.dim("trip")));
        steps.push(Step { label, action: Action::Repeat { counter, from, to, body } });
        Ok([carries, stacks].concat())
    }

    fn until(
        &mut self,
        graph: &Graph,
        id: NodeId,
        operands: &[ValueId],
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ValueId>, PlanError> {
        let node = graph.node(id);
        let n_carries = node.types.len();
        let label = label(&node.origin);
        let at_most = node.attrs.get("at_most").map(|_| Bound::Size(node.attrs.int("at_most").into()));
        let carries = self.carries(graph, id, &operands[..n_carries], &label, steps);
        let arguments = [&carries[..], &operands[n_carries..]].concat();
        let (test, cond) = self.graph(&node.regions[0], &arguments)?;
        let (mut body, next) = self.graph(&node.regions[1], &arguments)?;
        self.move_all(&next, &carries, &label, &mut body);
        steps.push(Step { label, action: Action::While { at_most, cond: cond[0], test, body } });
        Ok(carries)
    }

    fn branch(
        &mut self,
        graph: &Graph,
        id: NodeId,
        operands: &[ValueId],
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ValueId>, PlanError> {
        let node = graph.node(id);
        let label = label(&node.origin);
        let results: Vec<ValueId> = node.types.iter().map(|ty| self.draft.add(ty.clone(), Storage::Arena)).collect();
        let mut side = |region: &Graph| {
            let (mut block, values) = self.graph(region, &operands[1..])?;
            self.move_all(&values, &results, &label, &mut block);
            Ok::<_, PlanError>(block)
        };
        let then = side(&node.regions[0])?;
        let otherwise = side(&node.regions[1])?;
        steps.push(Step { label, action: Action::Cond { cond: operands[0], then, otherwise } });
        Ok(results)
    }

    /// Memory for the carried values, with the initial ones copied into it.
    fn carries(
        &mut self,
        graph: &Graph,
        id: NodeId,
        initial: &[ValueId],
        label: &str,
        steps: &mut Vec<Step>,
    ) -> Vec<ValueId> {
        let types = &graph.node(id).types;
        let carries: Vec<ValueId> =
            initial.iter().zip(types).map(|(_, ty)| self.draft.add(ty.clone(), Storage::Arena)).collect();
        self.move_all(initial, &carries, label, steps);
        carries
    }

    /// `to = from` for all pairs at once.
    pub fn move_all(&mut self, from: &[ValueId], to: &[ValueId], label: &str, steps: &mut Vec<Step>) {
        let mut copy = |from, to| steps.push(Step { label: label.to_string(), action: Action::Copy { from, to } });
        let mut sources = from.to_vec();
        for idx in 0..from.len() {
            let root = self.draft.root(from[idx]);
            let overwritten = to[..idx].iter().any(|&earlier| self.draft.root(earlier) == root);
            if overwritten && !is(Fault::CarriesOverwriteEachOther) && root != self.draft.root(to[idx]) {
                sources[idx] = self.draft.add(self.draft.slot(from[idx]).ty.clone(), Storage::Arena);
                copy(from[idx], sources[idx]);
            }
        }
        for (&from, &to) in sources.iter().zip(to) {
            if self.draft.root(from) != self.draft.root(to) {
                copy(from, to);
            }
        }
    }
}
