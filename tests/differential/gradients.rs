//! Gradients of random graphs, as cases of their own.
//!
//! Every float result gets a cotangent, which is one more argument, and goes back to every float argument. What the pass
//! `differentiate` writes is an ordinary graph, so it goes the same way as the others.

use tilewright::compiler::graph::{Attrs, Builder, Graph, Origin, Precision, Role, Value, interpret};
use tilewright::compiler::ops;
use tilewright::compiler::ops::reverse::{depends, obstacle};
use tilewright::compiler::passes::{Context, pipeline};

use super::rewrite::{Fate, part};
use super::{Case, size_lookup, values};

/// The case of a case's gradients, unless nothing depends on anything or it cannot be differentiated.
pub fn of(case: &Case) -> Result<Option<Case>, String> {
    let Some(asked) = asked(&case.graph) else { return Ok(None) };
    let pass = pipeline::find("differentiate").ok_or("there is no pass `differentiate`")?;
    let graph = (pass.run)(&asked, &Context::default()).map_err(|error| format!("{error}\n{asked}"))?;
    // What only results needed is left out, and the arguments with it.
    let graph = part(&graph, &|_| true, &|_| Fate::Keep);
    let name = format!("{} back", case.name);
    // Infinities would be all that comes back.
    let back = Case { name, graph, has_specials: false, ..case.clone() };
    Ok((!on_a_kink(&back)).then_some(back))
}

/// Whether something is compared with its equal: there the side is a matter of rounding, and with it the gradient.
fn on_a_kink(case: &Case) -> bool {
    let mut probed = without_outputs(&case.graph);
    for id in case.graph.node_ids() {
        let operands = case.graph.operands(id);
        let compares = matches!(case.graph.node(id).op.name, "lt" | "gt" | "le" | "ge");
        if compares && is_float(&case.graph, operands[0]) {
            let mut b = Builder::new(&mut probed, Origin::default());
            let Ok(ties) = b.eq(operands[0], operands[1]) else { continue };
            let axes: Vec<usize> = (0..b.shape_of(ties).len()).collect();
            let Ok(any) = b.reduce(&ops::reduction::ANY, ties, &axes, false) else { continue };
            probed.add_output(format!("tie{}", id.index()), Role::Data, any);
        }
    }
    case.sizes.iter().any(|&sizes| {
        let Some(arguments) = values::arguments(case, sizes) else { return false };
        let ties = interpret(&probed, &arguments, &size_lookup(sizes), Precision::Wide);
        ties.is_ok_and(|ties| ties.iter().any(|tie| tie.int_at(0) != 0))
    })
}

fn is_float(graph: &Graph, value: Value) -> bool {
    graph.type_of(value).dtype.is_float()
}

/// The graph with gradients as its only outputs.
fn asked(graph: &Graph) -> Option<Graph> {
    let inputs = graph.arguments().iter().filter(|argument| argument.role != Role::State);
    let inputs: Vec<_> = inputs.filter(|argument| is_float(graph, argument.value)).cloned().collect();
    let values: Vec<Value> = inputs.iter().map(|input| input.value).collect();
    let mut results: Vec<Value> = graph.outputs().iter().map(|output| output.value).collect();
    results.sort_unstable();
    results.dedup();
    results.retain(|result| is_float(graph, *result) && values.iter().any(|input| depends(graph, *result, *input)));
    if results.is_empty() || results.iter().any(|result| obstacle(graph, *result, &values).is_some()) {
        return None;
    }
    let mut asked = without_outputs(graph);
    let mut sums: Vec<Option<Value>> = vec![None; values.len()];
    for (idx, result) in results.into_iter().enumerate() {
        let cotangent = asked.add_argument(format!("cotangent{idx}"), Role::Data, asked.type_of(result).clone());
        let operands = [&[result, cotangent], &values[..]].concat();
        let mut b = Builder::new(&mut asked, Origin::default());
        let found = b.apply_with(&ops::vjp::OP, &operands, Attrs::none(), Vec::new()).ok()?;
        for (sum, found) in sums.iter_mut().zip(found) {
            *sum = Some(match *sum {
                Some(sum) => b.add(sum, found).ok()?,
                None => found,
            });
        }
    }
    for (input, sum) in inputs.iter().zip(sums) {
        asked.add_output(format!("d {}", input.name), Role::Data, sum?);
    }
    Some(asked)
}

/// The same nodes under the same names of values.
fn without_outputs(graph: &Graph) -> Graph {
    let mut copy = Graph::new(graph.name.clone());
    (copy.sizes, copy.checks) = (graph.sizes.clone(), graph.checks.clone());
    for id in graph.node_ids() {
        match graph.arguments().iter().find(|argument| argument.value.node == id) {
            Some(argument) => {
                _ = copy.add_argument(argument.name.clone(), argument.role, graph.type_of(argument.value).clone())
            }
            None => _ = copy.push(graph.node(id).clone(), &graph.operands(id)),
        }
    }
    copy
}
