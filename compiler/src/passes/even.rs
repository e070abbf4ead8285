//! Gives images of an odd number of channels one more, of zeros, where products of pairs are wanted: colours, above all.
//!
//! ```text
//! convolve(x, w)   =>   convolve(pad(x), pad(w))      one more channel
//! ```
//! Exact: what is added are products of zeros. Only convolutions whose weight is frozen, which `narrow` would leave in f32
//! for nothing but their odd number.

use super::frozen::{frozen, frozen_in_region};
use super::narrow::{RESULT, is_wide};
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, dce, op, pack};
use crate::graph::{Attrs, DType, Dim, Graph, NodeId, OpError, Value};

pub static PASS: Pass = Pass {
    name: "even",
    doc: "Gives images of an odd number of channels one more, so that they fall into pairs.",
    run,
};

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let wants_pairs = context.narrowing == Narrowing::Factors(DType::BF16) && context.narrow_products;
    let Some(panel) = context.panel.filter(|_| wants_pairs && !context.staged) else { return Ok(graph.clone()) };
    let is_frozen = frozen(graph, &Rebuild::live(graph));
    let graph = evened(graph, &is_frozen, panel)?;
    (dce::PASS.run)(&graph, context)
}

fn evened(graph: &Graph, is_frozen: &[bool], panel: &pack::Width) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        if is_odd(graph, id, is_frozen, panel) {
            even(&mut rebuild, id).map_err(PassError::at(PASS.name, &graph.node(id).origin))?;
            continue;
        }
        rebuild.copy_with(id, |region| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            evened(region, &is_frozen, panel)
        })?;
    }
    Ok(rebuild.finish())
}

/// Whether a convolution has no pairs of channels, and nothing else keeps it from reading narrow numbers.
fn is_odd(graph: &Graph, id: NodeId, is_frozen: &[bool], panel: &pack::Width) -> bool {
    let node = graph.node(id);
    if node.op.name != "convolve" || !is_wide(graph, id) || node.attrs.get(RESULT).is_none() {
        return false;
    }
    let has_channels_last = node.attrs.get("channels_last").is_some() && node.attrs.bool("channels_last");
    let channels = graph.type_of(graph.operands(id)[0]).shape.last().and_then(Dim::as_constant);
    let is_meant = has_channels_last && node.attrs.int("groups") == 1 && channels.is_some_and(|n| n % 2 == 1);
    is_meant && pack::weight(graph, id, is_frozen, panel).is_ok_and(|weight| !weight.pairs && !weight.is_shared)
}

fn even(rebuild: &mut Rebuild, id: NodeId) -> Result<(), OpError> {
    let [x, w] = rebuild.old.operands(id)[..] else { return Err(OpError::new("a convolution has two operands")) };
    let last = rebuild.old.type_of(x).shape.len() - 1;
    let node = rebuild.old.node(id);
    let operands = [with_zeros(rebuild, x, last, 1)?, with_zeros(rebuild, w, 1, 1)?];
    let new = rebuild.new.apply(node.op, &operands, &node.attrs, Vec::new(), &node.origin)?;
    rebuild.set(id, vec![Value { node: new, result: 0 }]);
    Ok(())
}

/// An old value with so many zeros at the end of an axis; if it has zeros around it already, they are put there at once.
pub fn with_zeros(rebuild: &mut Rebuild, value: Value, axis: usize, n: i64) -> Result<Value, OpError> {
    if n == 0 {
        return Ok(rebuild.get(value));
    }
    let node = rebuild.old.node(value.node);
    let rank = rebuild.old.type_of(value).shape.len();
    let is_padded = node.op.name == "pad" && node.attrs.float("value").to_bits() == 0;
    let (from, mut high, attrs) = match is_padded {
        true => (rebuild.old.operands(value.node)[0], node.attrs.dims("high"), node.attrs.clone()),
        false => {
            let zeros = vec![Dim::constant(0); rank];
            (value, zeros.clone(), Attrs::none().with("low", zeros).with("value", 0.0))
        }
    };
    high[axis] = &high[axis] + n;
    let from = rebuild.get(from);
    let padded = rebuild.new.apply(op("pad")?, &[from], &attrs.with("high", high), Vec::new(), &node.origin)?;
    Ok(Value { node: padded, result: 0 })
}
