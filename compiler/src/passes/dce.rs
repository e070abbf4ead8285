//! Drops what no output depends on.
//!
//! ```text
//! y = f(x), y unused             =>   (nothing)     every op is pure; arguments stay, they are the interface
//! scan(c…, x, w) {x unused}      =>   scan(c…, w)   so for whatever captures
//! ```

use super::hoist::n_captures;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::{Graph, Node, NodeId, Value};

pub static PASS: Pass = Pass { name: "dce", doc: "Drops nodes that no output depends on.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    // Regions first: what they capture for nothing is used by nothing.
    let mut swept = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let regions = graph.node(id).regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        copy_without_captures(&mut swept, id, regions);
    }
    let graph = swept.finish();
    let mut rebuild = Rebuild::new(&graph);
    for id in Rebuild::live(&graph) {
        rebuild.keep(id);
    }
    Ok(rebuild.finish())
}

/// The same node without the captures that none of its regions reads.
fn copy_without_captures(rebuild: &mut Rebuild, id: NodeId, regions: Vec<Graph>) {
    let node = rebuild.old.node(id);
    let operands = rebuild.operands(id);
    let n_captures = n_captures(node, operands.len()).unwrap_or(0);
    let last = |region: &Graph, nth: usize| region.arguments()[region.arguments().len() - 1 - nth].value;
    let is_read = |&nth: &usize| regions.iter().any(|region| region.n_uses(last(region, nth)) > 0);
    let unread: Vec<usize> = (0..n_captures).filter(|nth| !is_read(nth)).collect();
    if unread.is_empty() {
        rebuild.copy(id, regions);
        return;
    }
    let n_operands = operands.len();
    let kept = operands.into_iter().enumerate().filter(|(idx, _)| !unread.contains(&(n_operands - 1 - idx)));
    let kept: Vec<Value> = kept.map(|(_, value)| value).collect();
    let regions = regions.iter().map(|region| without_arguments(region, &unread)).collect();
    let new = rebuild.new.push(Node { regions, ..node.clone() }, &kept);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
}

/// A region without these of its arguments, counted from the last, which nothing reads.
fn without_arguments(region: &Graph, unread: &[usize]) -> Graph {
    let n_arguments = region.arguments().len();
    let mut rebuild = Rebuild::without_arguments(region, &|idx| unread.contains(&(n_arguments - 1 - idx)));
    for id in Rebuild::live(region) {
        rebuild.keep(id);
    }
    rebuild.finish()
}
