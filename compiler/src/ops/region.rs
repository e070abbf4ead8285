//! What the ops with regions share: the types of a region's arguments and results, and making regions of regions.
//!
//! Invariant: a region's arguments are its index, if it has one, then the carries, then the captures, in the order of the
//! operands.

use rustc_hash::FxHashMap;

use crate::graph::{
    ARGUMENT, Builder, Call, Eval, EvalError, Gradient, Graph, Node, NodeId, OpError, Role, Tensor, Type, Value,
};

/// The result types of a region, after checking that it takes these arguments.
pub fn results(call: &Call, region: usize, arguments: &[Type]) -> Result<Vec<Type>, OpError> {
    let Some(graph) = call.regions.get(region) else {
        return Err(OpError::new(format!("`{}` lacks its region {region}", call.op.name)));
    };
    let found: Vec<Type> = graph.arguments().iter().map(|argument| graph.type_of(argument.value).clone()).collect();
    agree(call, "the arguments of its body", arguments, &found)?;
    Ok(graph.outputs().iter().map(|output| graph.type_of(output.value).clone()).collect())
}

/// The result types of an op with two regions: the first takes the first operands, the second its one result and the
/// other operands.
pub fn in_turn(call: &Call) -> Result<Vec<Type>, OpError> {
    count(call, 2)?;
    let (first, others) = call.operands.split_at(n_first_captures(call));
    let mut arguments = results(call, 0, first)?;
    if arguments.len() != 1 {
        let message = format!("`{}`: its first region has one result, found {}", call.op.name, arguments.len());
        return Err(OpError::new(message));
    }
    arguments.extend_from_slice(others);
    results(call, 1, &arguments)
}

/// What such an op means.
pub fn eval_in_turn(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let (first, others) = eval.operands.split_at(n_first_captures(eval.call));
    let mut arguments = eval.region(0, first.to_vec())?;
    arguments.extend_from_slice(others);
    eval.region(1, arguments)
}

fn n_first_captures(call: &Call) -> usize {
    call.regions.first().map_or(0, |first| first.arguments().len()).min(call.operands.len())
}

/// That there are exactly so many regions.
pub fn count(call: &Call, wanted: usize) -> Result<(), OpError> {
    match call.regions.len() == wanted {
        true => Ok(()),
        false => {
            let message = format!("`{}` has {wanted} regions, found {}", call.op.name, call.regions.len());
            Err(OpError::new(message))
        }
    }
}

pub fn agree(call: &Call, what: &str, wanted: &[Type], found: &[Type]) -> Result<(), OpError> {
    if wanted == found {
        return Ok(());
    }
    let differ = wanted.iter().zip(found).enumerate().find(|(_, (wanted, found))| wanted != found);
    let message = match differ {
        Some((idx, (wanted, found))) => format!("number {} of {what} is {wanted} outside and {found} inside", idx + 1),
        None => format!("{what} are {} outside and {} inside", wanted.len(), found.len()),
    };
    Err(OpError::new(format!("`{}`: {message}", call.op.name)))
}

/// How many of the operands from `first` on are carries.
pub fn n_carries(call: &Call, first: usize) -> Result<usize, OpError> {
    let n = call.attrs.int("carries");
    let available = call.operands.len().saturating_sub(first);
    match usize::try_from(n).ok().filter(|&n| n <= available) {
        Some(n) => Ok(n),
        None => Err(OpError::attr("carries", format!("{n} carries of {available} operands"))),
    }
}

/// A region to be filled, which knows the sizes of the graph around it.
pub fn with_arguments(around: &Graph, name: &str, types: &[Type]) -> Graph {
    let mut region = Graph::new(name);
    region.sizes = around.sizes.clone();
    for (idx, ty) in types.iter().enumerate() {
        region.add_argument(format!("c{idx}"), Role::Data, ty.clone());
    }
    region
}

pub fn set_outputs(region: &mut Graph, values: &[Value]) {
    values.iter().enumerate().for_each(|(idx, value)| region.add_output(format!("r{idx}"), Role::Data, *value));
}

/// What a region computes from these arguments, written into the graph around.
pub fn inline(b: &mut Builder, region: &Graph, arguments: &[Value]) -> Result<Vec<Value>, OpError> {
    copy(b, region, arguments, false)
}

/// The same, where ops that can keep what their gradient needs do so.
pub fn inline_kept(b: &mut Builder, region: &Graph, arguments: &[Value]) -> Result<Vec<Value>, OpError> {
    copy(b, region, arguments, true)
}

fn copy(b: &mut Builder, region: &Graph, arguments: &[Value], keeps: bool) -> Result<Vec<Value>, OpError> {
    let mut known: FxHashMap<Value, Value> = FxHashMap::default();
    known.extend(region.arguments().iter().map(|argument| argument.value).zip(arguments.iter().copied()));
    let find = |known: &FxHashMap<Value, Value>, value: &Value| {
        known.get(value).copied().ok_or_else(|| OpError::new("a region has more arguments than it is given"))
    };
    let origin = b.origin.clone();
    let needed = needed(region);
    for id in computed(region, &needed) {
        let node = region.node(id);
        let operands = region.operands(id).iter().map(|value| find(&known, value)).collect::<Result<Vec<_>, _>>()?;
        b.origin = node.origin.clone();
        let kept = match node.op.gradient {
            // What cannot be kept may never be asked for its gradient.
            Gradient::Kept { keep, .. } if keeps && node.types.iter().any(|ty| ty.dtype.is_float()) => {
                region.with_call(id, |call| keep(b, call, &operands)).ok()
            }
            _ => None,
        };
        let copies: Vec<Value> = kept.unwrap_or_else(|| {
            let copy = b.graph.push(Node::clone(node), &operands);
            b.graph.results(copy).collect()
        });
        known.extend(region.results(id).zip(copies));
    }
    b.origin = origin;
    region.outputs().iter().map(|output| find(&known, &output.value)).collect()
}

/// By node index: whether an output needs it.
fn needed(region: &Graph) -> Vec<bool> {
    let mut needed = vec![false; region.n_nodes()];
    region.outputs().iter().for_each(|output| needed[output.value.node.index()] = true);
    for id in region.made_after(0).rev() {
        if needed[id.index()] {
            region.operands(id).iter().for_each(|operand| needed[operand.node.index()] = true);
        }
    }
    needed
}

/// The nodes that outputs need and that are no arguments.
fn computed<'a>(region: &'a Graph, needed: &'a [bool]) -> impl Iterator<Item = NodeId> + 'a {
    region.node_ids().filter(|id| needed[id.index()] && !std::ptr::eq(region.node(*id).op, &ARGUMENT))
}

/// A region without the arguments that nothing uses, but for its first `n_fixed`, and which of them stay.
pub fn pruned(region: &Graph, n_fixed: usize) -> (Graph, Vec<bool>) {
    let needed = needed(region);
    let mut smaller = Graph::new(region.name.clone());
    smaller.sizes = region.sizes.clone();
    let mut known: FxHashMap<Value, Value> = FxHashMap::default();
    let mut stays = Vec::with_capacity(region.arguments().len());
    for (idx, argument) in region.arguments().iter().enumerate() {
        stays.push(idx < n_fixed || needed[argument.value.node.index()]);
        if stays[idx] {
            let ty = region.type_of(argument.value).clone();
            known.insert(argument.value, smaller.add_argument(argument.name.clone(), argument.role, ty));
        }
    }
    for id in computed(region, &needed) {
        let operands: Vec<Value> = region.operands(id).iter().map(|value| known[value]).collect();
        let copy = smaller.push(region.node(id).clone(), &operands);
        known.extend(region.results(id).zip(smaller.results(copy).collect::<Vec<_>>()));
    }
    region
        .outputs()
        .iter()
        .for_each(|output| smaller.add_output(output.name.clone(), output.role, known[&output.value]));
    (smaller, stays)
}
