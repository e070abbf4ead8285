//! Drops what no output depends on.
//!
//! ```text
//! y = f(x), y unused   =>   (nothing)      every op is pure; arguments stay, they are the interface
//! ```

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::Graph;

pub static PASS: Pass = Pass { name: "dce", doc: "Drops nodes that no output depends on.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let regions = graph.node(id).regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        rebuild.copy(id, regions);
    }
    Ok(rebuild.finish())
}
