//! What a campaign reached: which ops each pass changed graphs of, and which ops ran through which backend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use tilewright::compiler::graph::Graph;
use tilewright::compiler::ops;

#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Graphs with the op that were changed by the pass, or compared on the backend.
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    pub graphs: u64,
    pub symbolic: u64,
    pub nodes: u64,
    pub compared: u64,
    pub skipped: u64,
    pub runs: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub fn count(&mut self, graph: &Graph, stage: &'static str) {
        let mut ops = BTreeSet::new();
        collect(graph, &mut ops);
        ops.into_iter().for_each(|op| *self.counts.entry((op, stage)).or_insert(0) += 1);
    }

    pub fn merge(&mut self, other: Coverage) {
        other.counts.into_iter().for_each(|(key, n)| *self.counts.entry(key).or_insert(0) += n);
        other.runs.into_iter().for_each(|(key, n)| *self.runs.entry(key).or_insert(0) += n);
        self.graphs += other.graphs;
        self.symbolic += other.symbolic;
        self.nodes += other.nodes;
        self.compared += other.compared;
        self.skipped += other.skipped;
    }

    /// A table with a row for each op.
    pub fn table(&self, stages: &[&'static str]) -> String {
        let mut text = format!("| op | {} |\n|---|{}\n", stages.join(" | "), "---:|".repeat(stages.len()));
        for op in ops::TABLE.iter().map(|op| op.name) {
            let cells: Vec<String> = stages.iter().map(|stage| self.of(op, stage).to_string()).collect();
            let _ = writeln!(text, "| `{op}` | {} |", cells.join(" | "));
        }
        text
    }

    pub fn of(&self, op: &'static str, stage: &'static str) -> u64 {
        self.counts.get(&(op, stage)).copied().unwrap_or(0)
    }

    /// One paragraph of totals.
    pub fn summary(&self) -> String {
        let Coverage { graphs, symbolic, nodes, compared, skipped, .. } = self;
        let runs: Vec<String> = self.runs.iter().map(|(backend, n)| format!("{n} calls on {backend}")).collect();
        format!(
            "{graphs} graphs ({symbolic} with a symbolic size) of {nodes} nodes; {}; {compared} tensors compared, \
             {skipped} skipped because rounding alone moves them too far.",
            runs.join(", ")
        )
    }
}

/// The ops of a graph and of its regions.
pub fn collect(graph: &Graph, ops: &mut BTreeSet<&'static str>) {
    for id in graph.node_ids() {
        let node = graph.node(id);
        ops.insert(node.op.name);
        node.regions.iter().for_each(|region| collect(region, ops));
    }
}
