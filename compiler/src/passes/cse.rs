//! Common subexpressions: equal computations are done once.
//!
//! ```text
//! y = f(x) {a}; z = f(x) {a}   =>   y = f(x) {a}; z = y
//! ```
//! when op, operands, attributes and regions are equal. This is exact: every op is a function of those (random bits
//! too, whose key, stream and word are attributes and operands). The first origin stays.

use rustc_hash::FxHashMap;

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::{Attrs, Graph, NodeId, Value};
use crate::seeded::{Fault, is};

pub static PASS: Pass = Pass { name: "cse", doc: "Does equal computations once.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    let mut known: FxHashMap<(&'static str, Vec<Value>, Attrs), Vec<NodeId>> = FxHashMap::default();
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let regions: Vec<Graph> = node.regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        let attrs = if is(Fault::CseIgnoresAttributes) { Attrs::none() } else { node.attrs.clone() };
        let same = known.entry((node.op.name, rebuild.operands(id), attrs)).or_default();
        match same.iter().find(|&&other| rebuild.new.node(other).regions == regions || is(Fault::CseIgnoresRegions)) {
            Some(&other) => {
                let results = rebuild.new.results(other).collect();
                rebuild.set(id, results);
            }
            None => same.push(rebuild.copy(id, regions)),
        }
    }
    Ok(rebuild.finish())
}
