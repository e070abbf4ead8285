//! Which operands a step may write its result over.
//!
//! Invariant: an operand is named here only if every element of it is read at the very position where the result's
//! element is written, and not after that, or if the kernel for it touches nothing but what changes. Buffers of a kernel
//! never overlap, so the kernel for it has one buffer where the other had two.

use std::rc::Rc;

use super::draft::InPlace;
use crate::graph::rows::{Rows, Visit};
use crate::graph::{Dim, Graph, Meaning, Nest, NestIndex, NodeId, ScalarNode, Value, axis};
use crate::kernel::{self, Access, Block, Builder, Kernel, Memory, Op, Rights, lane};

/// The ways to run a node in place, given its kernel.
pub fn ways(graph: &Graph, id: NodeId, kernel: &Kernel) -> Vec<InPlace> {
    let node = graph.node(id);
    let n_operands = graph.operands(id).len();
    let over = |operand: usize, kernel: Kernel| InPlace { operand, result: n_operands, kernel: Rc::new(kernel) };
    match node.op.name {
        "update" if piece_fits(graph, id) => return vec![over(0, update_kernel(graph, id))],
        "update" => return Vec::new(),
        "scatter" => {
            let joined = joined(kernel, 0, n_operands);
            return joined.map(|joined| over(0, without_copies(joined))).into_iter().collect();
        }
        _ => {}
    }
    let straight = |operand: usize, nth: usize| match (node.op.name, node.regions.as_slice()) {
        ("fused", [region]) => {
            let (argument, result) = (region.arguments()[operand].value, region.outputs()[nth].value);
            reaches_in_place(region, argument, result) || is_read_in_rows(region, argument)
        }
        _ => reads_in_place(graph, id, operand),
    };
    let mut ways = Vec::new();
    for nth in 0..node.types.len() {
        for operand in (0..n_operands).filter(|&operand| straight(operand, nth)) {
            let result = n_operands + nth;
            let kernel = joined(kernel, operand, result);
            ways.extend(kernel.map(|kernel| InPlace { operand, result, kernel: Rc::new(kernel) }));
        }
    }
    ways
}

/// The ways that are left once one has been taken: other results over other operands.
pub fn ways_after(taken: &InPlace, ways: &[InPlace]) -> Vec<InPlace> {
    let renumbered = |at: usize| if at > taken.operand { at - 1 } else { at };
    let others = ways.iter().filter(|way| way.operand != taken.operand && way.result != taken.result);
    let others = others.filter_map(|way| {
        let (operand, result) = (renumbered(way.operand), renumbered(way.result));
        Some(InPlace { operand, result, kernel: Rc::new(joined(&taken.kernel, operand, result)?) })
    });
    others.collect()
}

/// The kernel with one buffer for an operand and a result: the latter, which it reads and writes.
fn joined(kernel: &Kernel, operand: usize, result: usize) -> Option<Kernel> {
    let (from, to) = (&kernel.buffers[operand], &kernel.buffers[result]);
    if (from.dtype, &from.shape) != (to.dtype, &to.shape) || may_store_twice(kernel, result as u32) {
        return None;
    }
    let mut joined = kernel.clone();
    joined.buffers[result].rights = Rights::ReadWrite;
    // The caches have what was just read.
    joined.buffers[result].streamed = false;
    joined.buffers.remove(operand);
    let mut renumber = |access: &mut Access| {
        if let Memory::Buffer(at) = &mut access.memory {
            *at = match *at as usize {
                at if at == operand => result as u32 - 1,
                at if at > operand => at as u32 - 1,
                at => at as u32,
            };
        }
    };
    joined.body.for_each_access(&mut renumber);
    Some(joined)
}

/// The kernel without stores of what was loaded from the same place: a scatter copies its base, and leaves what lies there.
fn without_copies(mut kernel: Kernel) -> Kernel {
    drop_copies(&mut kernel.body);
    kernel
}

fn drop_copies(block: &mut Block) {
    let mut loads: Vec<(kernel::Value, Access)> = Vec::new();
    block.stmts.retain_mut(|stmt| {
        stmt.op.blocks_mut().into_iter().for_each(drop_copies);
        match &stmt.op {
            Op::Load(access, _) => loads.push((stmt.results[0], (**access).clone())),
            Op::Store(access, value) => {
                return !loads.iter().any(|(loaded, from)| loaded == value && *from == **access);
            }
            _ => {}
        }
        true
    });
}

/// Contractions make their last tile whole by moving it back over the one before: what they read there must not have been
/// written yet.
fn may_store_twice(kernel: &Kernel, result: u32) -> bool {
    has_contraction(&kernel.body) && stores_on_a_path(&kernel.body, result) > 1
}

fn has_contraction(block: &Block) -> bool {
    let inside = |op: &Op| op.blocks().into_iter().any(has_contraction);
    block.stmts.iter().any(|stmt| matches!(stmt.op, Op::Contract { .. }) || inside(&stmt.op))
}

fn stores_on_a_path(block: &Block, result: u32) -> usize {
    let stores = |op: &Op| match op {
        Op::Store(access, _) => usize::from(access.memory == Memory::Buffer(result)),
        _ => op.blocks().into_iter().map(|inner| stores_on_a_path(inner, result)).max().unwrap_or(0),
    };
    block.stmts.iter().map(|stmt| stores(&stmt.op)).sum()
}

/// Whether the node reads an operand only where it writes.
fn reads_in_place(graph: &Graph, id: NodeId, operand: usize) -> bool {
    let from = graph.operands(id)[operand];
    graph.type_of(from) == &graph.node(id).types[0] && reads_straight(graph, id, &[operand])
}

fn reads_straight(graph: &Graph, id: NodeId, operands: &[usize]) -> bool {
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return false };
    let nest = graph.with_call(id, nest);
    let (sources, shape) = (graph.operands(id), &graph.node(id).types[0].shape);
    let same_shape = operands.iter().all(|&operand| graph.type_of(sources[operand]).shape == *shape);
    nest.reduce.is_none() && same_shape && loads_straight(&nest, operands)
}

fn loads_straight(nest: &Nest, operands: &[usize]) -> bool {
    let straight = |index: &[NestIndex]| {
        index.iter().enumerate().all(|(idx, at)| matches!(at, NestIndex::Affine(dim) if *dim == axis(idx)))
    };
    nest.body.iter().all(|node| match node {
        ScalarNode::Load { operand, index, guards, .. } if operands.contains(operand) => {
            index.len() == nest.n_parallel && guards.is_empty() && straight(index)
        }
        _ => true,
    })
}

/// Whether everything that depends on an argument of a fused region is elementwise, up to a result of its type.
fn reaches_in_place(region: &Graph, argument: Value, result: Value) -> bool {
    if region.type_of(argument) != region.type_of(result) {
        return false;
    }
    let mut reached = vec![argument];
    for id in region.node_ids() {
        let operands = region.operands(id);
        let touched: Vec<usize> = (0..operands.len()).filter(|&idx| reached.contains(&operands[idx])).collect();
        if touched.is_empty() {
            continue;
        }
        if region.node(id).types.len() != 1 || !reads_straight(region, id, &touched) {
            return false;
        }
        reached.push(Value { node: id, result: 0 });
    }
    true
}

/// Whether an argument of a region that takes its result row by row is read only where the result's element lies: a row
/// is read for the last time just before its elements are stored.
fn is_read_in_rows(region: &Graph, argument: Value) -> bool {
    let [output] = region.outputs() else { return false };
    if region.type_of(argument) != region.type_of(output.value) {
        return false;
    }
    let others: Vec<NodeId> = region.arguments().iter().map(|other| other.value.node).collect();
    let is_followed = |id: &NodeId| *id == argument.node || !others.contains(id);
    let Ok(rows) = Rows::of(region, output.value, &region.node_ids().filter(is_followed).collect()) else {
        return false;
    };
    let is_here = |visit: &Visit| visit.at.as_ref() == Some(&rows.start);
    rows.stores_rows() && rows.visits.get(&argument.node).is_some_and(|visits| visits.iter().all(is_here))
}

/// Elements of a row that one step moves.
const STRIP: i64 = 16;

/// Whether the piece of an `update` is known to be no longer than what it is written over.
fn piece_fits(graph: &Graph, id: NodeId) -> bool {
    let [x, piece, _] = graph.operands(id)[..] else { return false };
    let (x, piece) = (graph.type_of(x), graph.type_of(piece));
    x.rank() > 0 && piece.shape.iter().zip(&x.shape).all(|(piece, x)| graph.sizes.proves_le(piece, x))
}

/// `update(x, piece, at) {axis}` where the result lies over `x`: writes the piece and nothing else.
fn update_kernel(graph: &Graph, id: NodeId) -> Kernel {
    let [x, piece, _] = graph.operands(id)[..] else { unreachable!("`update` has three operands") };
    let (x, piece) = (graph.type_of(x).clone(), graph.type_of(piece).clone());
    let along = graph.with_call(id, |call| call.axis("axis", x.rank())).expect("inference has checked the axis");
    let mut b = Builder::new("update_in_place");
    declare_sizes(&mut b, graph, x.shape.iter().chain(&piece.shape));
    let from = b.buffer("piece", piece.dtype, piece.shape.clone(), Rights::Read);
    let offset = b.buffer("at", crate::graph::DType::I64, [], Rights::Read);
    let to = b.buffer("x", x.dtype, x.shape.clone(), Rights::ReadWrite);
    let last = x.rank() - 1;
    let mut at: Vec<Dim> = (0..last).map(|axis| b.grid(&format!("g{axis}"), piece.shape[axis].clone())).collect();
    let strip = b.grid("c", piece.shape[last].ceil_div(&Dim::constant(STRIP)));
    at.push(&(&strip * STRIP) + &lane(0));
    let start = b.load(offset, [], Vec::<Dim>::new(), [], 0.0);
    let start = b.symbol("s", start, 0, &x.shape[along] - &piece.shape[along]);
    let guards = match piece.shape[last].as_constant() {
        Some(extent) if extent % STRIP == 0 => Vec::new(),
        _ => vec![Builder::below(&at[last], &piece.shape[last])],
    };
    let moved = b.load(from, [STRIP as u64], at.iter(), guards.clone(), 0.0);
    at[along] = &at[along] + &start;
    b.store(to, at.iter(), guards, moved);
    b.finish()
}

/// Declares the symbols of these sizes, with what the graph knows about them.
fn declare_sizes<'a>(b: &mut Builder, graph: &Graph, dims: impl Iterator<Item = &'a Dim>) {
    let mut symbols = Vec::new();
    dims.for_each(|dim| dim.for_each_symbol(&mut |symbol| symbols.push(symbol.clone())));
    symbols.sort();
    symbols.dedup();
    for symbol in symbols {
        let dim = Dim::from(&symbol);
        let low = graph.sizes.lower_bound(&dim).unwrap_or(0).max(0);
        b.size(symbol.name(), low, graph.sizes.upper_bound(&dim));
    }
}
