//! What an entry costs: multiply-accumulates by module, and the memory of its intermediate values.
//!
//! A contraction or convolution costs one for each point of its nest; whatever else is computed is not counted. Bodies of
//! loops count as often as they run, where that is known.

use std::collections::BTreeMap;

use tilewright::compiler::driver::{CompileError, plan_graphs};
use tilewright::compiler::graph::{Dim, Graph, Meaning, Model, Role, Symbol};
use tilewright::compiler::passes::{Context, PassError, differentiate, expand, pipeline, run_pipeline};
use tilewright::compiler::plan::{Interface, State};
use tilewright::runtime::exec::arena::{Request, pack};
use tilewright::runtime::program::Storage;
use tilewright::{Error, Options, check_extents};

#[derive(Default)]
pub struct Costs {
    /// By the path of the module.
    pub macs: BTreeMap<String, Dim>,
    /// Where all sizes are known.
    pub activation_bytes: Option<u64>,
}

/// What an entry of this model costs. One that no memory holds is counted, but not planned.
pub fn costs(model: &Model, graph: &Graph, sizes: &BTreeMap<String, i64>) -> Result<Costs, Error> {
    let macs = macs(graph)?;
    if check_extents(model).is_err() {
        return Ok(Costs { macs, activation_bytes: None });
    }
    let lowered = run_pipeline(graph, pipeline::PIPELINE, &Context::default()).map_err(failed)?;
    Ok(Costs { macs, activation_bytes: memory(lowered, sizes) })
}

/// All multiply-accumulates of an entry.
pub fn total_macs(graph: &Graph) -> Result<Dim, Error> {
    Ok(macs(graph)?.values().fold(Dim::constant(0), |sum, macs| &sum + macs))
}

fn macs(graph: &Graph) -> Result<BTreeMap<String, Dim>, Error> {
    let passes = [&differentiate::PASS, &expand::PASS];
    let expanded = run_pipeline(graph, &passes, &Context::default()).map_err(failed)?;
    let mut macs = BTreeMap::new();
    count(&expanded, &Dim::constant(1), &mut macs);
    Ok(macs)
}

fn failed(error: PassError) -> Error {
    Error::Compile(CompileError::Pass(error))
}

fn count(graph: &Graph, times: &Dim, macs: &mut BTreeMap<String, Dim>) {
    for id in graph.node_ids() {
        let node = graph.node(id);
        if let ("contract" | "convolve", Meaning::Structured { nest, .. }) = (node.op.name, node.op.meaning) {
            let points = Dim::product(&graph.with_call(id, nest).axes);
            let sum = macs.entry(node.origin.path.to_string()).or_insert_with(|| Dim::constant(0));
            *sum = &*sum + &(&points * times);
        }
        let rounds = match node.op.name {
            "scan" => node.attrs.dim("trip"),
            "loop" => {
                let bounds = graph.operands(id);
                let known = |idx: usize| bounds.get(idx).and_then(|value| number_of(graph, *value));
                known(1).zip(known(0)).map_or(Dim::constant(1), |(to, from)| &to - &from)
            }
            _ => Dim::constant(1),
        };
        node.regions.iter().for_each(|region| count(region, &(times * &rounds), macs));
    }
}

fn number_of(graph: &Graph, value: tilewright::compiler::graph::Value) -> Option<Dim> {
    let node = graph.node(value.node);
    match node.op.name {
        "constant" => Some(node.attrs.tensor("value").int_at(0).into()),
        "dim" => Some(node.attrs.dim("size")),
        _ => None,
    }
}

/// Bytes of the arena that the plan of an entry asks for at these sizes.
fn memory(lowered: Graph, sizes: &BTreeMap<String, i64>) -> Option<u64> {
    let members = |role: Role| {
        let mine = lowered.arguments().iter().filter(move |argument| argument.role == role);
        mine.map(|argument| (argument.name.clone(), lowered.type_of(argument.value).clone()))
    };
    let state = |(name, ty)| State { name, ty, initial: None };
    let interface = Interface {
        name: String::new(),
        params: members(Role::Param).collect(),
        prepared: None,
        states: members(Role::State).map(state).collect(),
    };
    let planned = plan_graphs(&interface, std::slice::from_ref(&lowered), &Options::default()).ok()?;
    let lookup = |symbol: &Symbol| sizes.get(symbol.name()).copied();
    let request = |value: &tilewright::runtime::program::ValueDecl| {
        let elements = Dim::product(&value.shape).eval(&lookup).and_then(|n| usize::try_from(n).ok())?;
        let bytes = elements.checked_mul(value.dtype.size_of())?;
        let bytes = if value.storage == Storage::Arena { bytes } else { 0 };
        Some(Request { bytes, first: value.lifetime.0, last: value.lifetime.1 })
    };
    let requests: Option<Vec<Request>> = planned.program.entries.first()?.values.iter().map(request).collect();
    Some(pack(&requests?)?.len as u64)
}
