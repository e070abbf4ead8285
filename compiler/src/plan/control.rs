//! Loops and branches: regions become nested steps, carried values and results become memory that every round writes.
//!
//! `loop(from, to, carries…, captures…)` is `r = carry; repeat { …; r = next }`, and the copies are for `forward` to
//! remove. All copies at the end of a round happen as if at once: a value that an earlier one would overwrite is saved.

use tilewright_runtime::program::{Bound, SliceMove, Storage, ValueId};

use super::PlanError;
use super::build::{Planner, Site, bound};
use super::draft::{Action, Step};
use crate::graph::{Graph, Type};
use crate::seeded::{Fault, is};

impl Planner<'_, '_> {
    pub fn control(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        match site.node().op.name {
            "loop" => self.counted(site, steps),
            "scan" => self.scan(site, steps),
            "while" => self.until(site, steps),
            "cond" => self.branch(site, steps),
            other => Err(PlanError::of(site.graph, format!("`{other}` has no plan"))),
        }
    }

    fn counted(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let (node, operands) = (site.node(), site.operands);
        let bounds = site.graph.operands(site.id);
        let n_carries = node.types.len();
        let [from, to] = [0, 1].map(|idx| bound(site.graph, bounds[idx], operands[idx]));
        let label = site.label();
        let carries = self.carries(&node.types, &operands[2..2 + n_carries], &label, steps);
        let counter = self.counter();
        let arguments = [&[counter], &carries[..], &operands[2 + n_carries..]].concat();
        let (mut body, next) = self.graph(&node.regions[0], &arguments)?;
        self.move_all(&next, &carries, &label, &mut body);
        steps.push(Step { label, action: Action::Repeat { counter, from, to, body } });
        Ok(carries)
    }

    /// One kernel where there is one, else a loop of steps.
    fn scan(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let (node, operands) = (site.node(), site.operands);
        let n_carries = node.attrs.int("carries") as usize;
        let label = site.label();
        match self.kernels.of_node(site.graph, site.id) {
            Ok(_) => return self.launch(site, steps),
            Err(problem) => self.remarks.push(format!("{label}: a scan runs step by step: {problem}")),
        }
        let carries = self.carries(&node.types, &operands[..n_carries], &label, steps);
        let stacks = self.draft.arena(&node.types[n_carries..]);
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

    fn until(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let (node, operands) = (site.node(), site.operands);
        let n_carries = node.types.len();
        let label = site.label();
        let at_most = node.attrs.get("at_most").map(|_| Bound::Size(node.attrs.dim("at_most")));
        let carries = self.carries(&node.types, &operands[..n_carries], &label, steps);
        let arguments = [&carries[..], &operands[n_carries..]].concat();
        let (test, cond) = self.graph(&node.regions[0], &arguments)?;
        let (mut body, next) = self.graph(&node.regions[1], &arguments)?;
        self.move_all(&next, &carries, &label, &mut body);
        steps.push(Step { label, action: Action::While { at_most, cond: cond[0], test, body } });
        Ok(carries)
    }

    fn branch(&mut self, site: Site, steps: &mut Vec<Step>) -> Result<Vec<ValueId>, PlanError> {
        let (node, operands) = (site.node(), site.operands);
        let label = site.label();
        let results = self.draft.arena(&node.types);
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

    /// Memory for the carried values, the first of these types, with the initial ones copied into it.
    fn carries(&mut self, types: &[Type], initial: &[ValueId], label: &str, steps: &mut Vec<Step>) -> Vec<ValueId> {
        let carries = self.draft.arena(&types[..initial.len()]);
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
