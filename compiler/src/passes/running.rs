//! Turns running values along long axes into scans: one step an element, where a sum for each has one for each pair.
//!
//! ```text
//! cumulate(x, f)              =>   (_, y) = scan(c = identity, x) {t, c' = f(c, x[t]); (c', c')}
//! cumulate(x, f) {exclusive}  =>   the same with (c', c)
//! cumulate(x, f) {reverse}    =>   reversed(the same on reversed(x))
//! ```
//! for numbers, along axes of at least `LONG` elements and such whose number is open. Each value is combined in the order
//! in which it stands; sums and products of floats are carried in the next wider type, if the machine has it, and rounded
//! where they are read.

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{Attrs, Builder, DType, Dim, Graph, Node, NodeId, OpError, Role, Type, Value};

pub static PASS: Pass = Pass { name: "running", doc: "Turns running values along long axes into scans.", run };

/// Along shorter axes a sum for each element is cheap, and joins the kernels around it.
const LONG: i64 = 32;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        match along(graph, id) {
            Some(axis) => {
                let scanned = scan(&mut rebuild, id, axis, context).map_err(PassError::at(PASS.name, &node.origin))?;
                rebuild.set(id, vec![scanned]);
            }
            None => rebuild.copy_with(id, |region| run(region, context))?,
        }
    }
    Ok(rebuild.finish())
}

/// The axis of a running value that is worth a scan.
fn along(graph: &Graph, id: NodeId) -> Option<usize> {
    let node = graph.node(id);
    let ty = &node.types[0];
    if node.op.name != "cumulate" {
        return None;
    }
    let axis = graph.with_call(id, |call| call.axis("axis", ty.rank())).ok()?;
    ty.shape[axis].as_constant().is_none_or(|extent| extent >= LONG).then_some(axis)
}

fn scan(rebuild: &mut Rebuild, id: NodeId, axis: usize, context: &Context) -> Result<Value, OpError> {
    let node = rebuild.old.node(id);
    let (combine, identity) = match node.attrs.str("combine").as_str() {
        "add" => ("add", 0.0),
        "mul" => ("mul", 1.0),
        _ => ("max", f64::NEG_INFINITY),
    };
    let is_reverse = node.attrs.bool("reverse");
    let ty = node.types[0].clone();
    let wide = match ty.dtype {
        DType::F16 | DType::BF16 => DType::F32,
        DType::F32 if combine != "max" && context.wide_sums => DType::F64,
        other => other,
    };
    let mut others = ty.shape.clone();
    let trip = others.remove(axis);
    let mut x = rebuild.operands(id)[0];
    let mut b = Builder::new(&mut rebuild.new, node.origin.clone());
    if is_reverse {
        x = b.reversed(x, axis)?;
    }
    let carried = Type::new(wide, others);
    let start = b.filled(identity, carried.clone())?;
    let mut body = Graph::new("body");
    body.sizes = b.graph.sizes.clone();
    round(&mut body, node, axis, &carried, combine)?;
    let attrs = Attrs::none().with("carries", 1).with("trip", trip);
    let scanned = b.apply_with(op("scan")?, &[start, x], attrs, vec![body])?;
    // The axis of the rounds comes first.
    let mut order: Vec<usize> = (1..ty.rank()).collect();
    order.insert(axis, 0);
    let y = b.permute(scanned[1], &order)?;
    if is_reverse { b.reversed(y, axis) } else { Ok(y) }
}

/// One round: the next value of the carry, and what is read at this place.
fn round(graph: &mut Graph, node: &Node, axis: usize, carried: &Type, combine: &str) -> Result<(), OpError> {
    let x = &node.types[0];
    let index = graph.add_argument("t", Role::Data, Type::scalar(DType::I64));
    let before = graph.add_argument("before", Role::Data, carried.clone());
    let all = graph.add_argument("x", Role::Data, x.clone());
    let mut b = Builder::new(graph, node.origin.clone());
    let attrs = Attrs::none().with("axis", axis as i64).with("size", Dim::constant(1));
    let here = b.apply(op("slice_at")?, &[all, index], attrs)?;
    let here = b.reshape(here, &carried.shape)?;
    let here = b.cast(here, carried.dtype)?;
    let after = b.apply(op(combine)?, &[before, here], Attrs::none())?;
    let shown = b.cast(if node.attrs.bool("exclusive") { before } else { after }, x.dtype)?;
    graph.add_output("after", Role::Data, after);
    graph.add_output("shown", Role::Data, shown);
    Ok(())
}
