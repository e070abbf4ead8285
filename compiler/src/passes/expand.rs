//! Opens composites until only primitives are left.
//!
//! ```text
//! y = f(x)   =>   y = expansion of f at x        when f means `Expand`
//! ```
//! The expansion may hold composites, which are opened in turn, at most `MAX_ROUNDS` deep. New nodes have the origin of
//! the composite. The types must not change.

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::{Builder, Graph, Meaning, NodeId, Type};

pub static PASS: Pass = Pass { name: "expand", doc: "Replaces composite ops by primitives.", run };

const MAX_ROUNDS: usize = 32;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut graph = graph.clone();
    for _ in 0..MAX_ROUNDS {
        if !has_composites(&graph) {
            return Ok(graph);
        }
        graph = round(&graph, context)?;
    }
    let message = format!("composites are still left after {MAX_ROUNDS} expansions");
    Err(PassError { pass: PASS.name, origin: Default::default(), message })
}

fn has_composites(graph: &Graph) -> bool {
    graph
        .node_ids()
        .map(|id| graph.node(id))
        .any(|node| matches!(node.op.meaning, Meaning::Expand(_)) || node.regions.iter().any(has_composites))
}

fn round(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        match graph.node(id).op.meaning {
            Meaning::Expand(expand) => open(&mut rebuild, id, expand)?,
            _ => rebuild.copy_with(id, |region| round(region, context))?,
        }
    }
    Ok(rebuild.finish())
}

type Expand = fn(
    &mut Builder,
    &crate::graph::Call,
    &[crate::graph::Value],
) -> Result<Vec<crate::graph::Value>, crate::graph::OpError>;

fn open(rebuild: &mut Rebuild, id: NodeId, expand: Expand) -> Result<(), PassError> {
    let node = rebuild.old.node(id);
    let operands = rebuild.operands(id);
    let mut builder = Builder::new(&mut rebuild.new, node.origin.clone());
    let results = rebuild.old.with_call(id, |call| expand(&mut builder, call, &operands));
    let results = results.map_err(PassError::at(PASS.name, &node.origin))?;
    let types: Vec<Type> = results.iter().map(|&value| rebuild.new.type_of(value).clone()).collect();
    if types != node.types {
        let message = format!("`{}` has the types {:?}, but its expansion {types:?}", node.op.name, node.types);
        return Err(PassError { pass: PASS.name, origin: node.origin.clone(), message });
    }
    rebuild.set(id, results);
    Ok(())
}
