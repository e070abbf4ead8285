//! Joins groups of few channels of convolutions, so that what they make fills vectors.
//!
//! ```text
//! convolve(x, w) {groups = g}   =>   convolve(x, w') {groups = g / m}      w'[o, j n + c] = w[o, c] for j = o's group mod m
//! ```
//! and zero for the others: each of the `n` channels of a group meets zeros in the others that it is joined with. `m` is as
//! many as make one vector, if they are few; groups that are left over are joined with some of zeros, which are cut off again.
//! Exact where all is finite: the zeros of one group meet the infinities of another. Off where results must be as exact as
//! can be. Stays as it is: weights that change, groups of one channel or of many.

use super::even::with_zeros;
use super::frozen::{frozen, frozen_in_region};
use super::narrow::RESULT;
use super::pack::Width;
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, dce, op};
use crate::graph::{Attrs, Builder, DType, Dim, Graph, NodeId, OpError, Value};

pub static PASS: Pass = Pass { name: "groups", doc: "Joins groups of few channels, so that they fill vectors.", run };

/// Joining more multiplies too often by zeros; registers of matrices are many times as fast.
const MOST: i64 = 2;
const MOST_IN_MATRICES: i64 = 4;
/// Channels of a group from which on that is faster than sliding a window over each.
const CHANNELS: i64 = 4;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let Some(panel) = context.panel.filter(|_| !context.exact && !context.staged) else { return Ok(graph.clone()) };
    let has_matrices = context.narrowing == Narrowing::Factors(DType::BF16) && context.matrices;
    let is_frozen = frozen(graph, &Rebuild::live(graph));
    let graph = joined(graph, &is_frozen, panel, has_matrices)?;
    (dce::PASS.run)(&graph, context)
}

fn joined(graph: &Graph, is_frozen: &[bool], panel: &Width, has_matrices: bool) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let is_narrow = has_matrices && graph.node(id).attrs.get(RESULT).is_some();
        let most = if is_narrow { MOST_IN_MATRICES } else { MOST };
        if let Some(groups) = Groups::find(graph, id, is_frozen, panel).filter(|groups| groups.together <= most) {
            groups.join(&mut rebuild, id).map_err(PassError::at(PASS.name, &graph.node(id).origin))?;
            continue;
        }
        rebuild.copy_with(id, |region| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            joined(region, &is_frozen, panel, has_matrices)
        })?;
    }
    Ok(rebuild.finish())
}

/// The groups of a convolution.
struct Groups {
    n: i64,
    /// Channels of each, in the image and in the result.
    read: i64,
    made: i64,
    /// How many become one.
    together: i64,
}

impl Groups {
    fn find(graph: &Graph, id: NodeId, is_frozen: &[bool], panel: &Width) -> Option<Groups> {
        let node = graph.node(id);
        let has_channels_last = node.attrs.get("channels_last").is_some() && node.attrs.bool("channels_last");
        let [_, w] = graph.operands(id)[..] else { return None };
        if node.op.name != "convolve" || !has_channels_last || !is_frozen[w.node.index()] {
            return None;
        }
        let n = node.attrs.int("groups");
        let [out, read, ..] = graph.type_of(w).shape.as_slice() else { return None };
        let (made, read) = (out.as_constant()? / n.max(1), read.as_constant()?);
        let lanes = panel(&Dim::constant(1), node.types[0].dtype, None) as i64;
        let together = lanes.checked_div(made).filter(|together| made * together == lanes)?;
        (n > 1 && read >= CHANNELS && together > 1).then_some(Groups { n, read, made, together })
    }

    /// Groups of zeros that fill the last one up.
    fn n_added(&self) -> i64 {
        (-self.n).rem_euclid(self.together)
    }

    fn join(&self, rebuild: &mut Rebuild, id: NodeId) -> Result<(), OpError> {
        let [x, w] = rebuild.old.operands(id)[..] else { return Err(OpError::new("a convolution has two operands")) };
        let node = rebuild.old.node(id);
        let last = node.types[0].rank() - 1;
        let x = with_zeros(rebuild, x, last, self.n_added() * self.read)?;
        let w = rebuild.get(w);
        let mut b = Builder::new(&mut rebuild.new, node.origin.clone());
        let w = self.weight(&mut b, w)?;
        let attrs = node.attrs.clone().with("groups", (self.n + self.n_added()) / self.together);
        let y = b.apply(node.op, &[x, w], attrs)?;
        let y = b.range(y, last, Dim::constant(0), Dim::constant(self.n * self.made))?;
        rebuild.set(id, vec![y]);
        Ok(())
    }

    /// `w'`, of `w` [groups · made, read, …].
    fn weight(&self, b: &mut Builder, w: Value) -> Result<Value, OpError> {
        let taps = b.shape_of(w)[2..].to_vec();
        let w = b.pad_axis(w, 0, Dim::constant(0), Dim::constant(self.n_added() * self.made))?;
        let n_joined = (self.n + self.n_added()) / self.together;
        let shape = |sizes: &[i64]| [sizes.iter().copied().map(Dim::constant).collect(), taps.clone()].concat();
        let w = b.reshape(w, &shape(&[n_joined, self.together, self.made, self.read]))?;
        let mut parts = Vec::new();
        for number in 0..self.together {
            let part = b.range(w, 1, Dim::constant(number), Dim::constant(number + 1))?;
            let (before, after) = (number * self.read, (self.together - 1 - number) * self.read);
            parts.push(b.pad_axis(part, 3, Dim::constant(before), Dim::constant(after))?);
        }
        let diagonal = b.apply(op("concat")?, &parts, Attrs::none().with("axis", 1i64))?;
        b.reshape(diagonal, &shape(&[n_joined * self.together * self.made, self.together * self.read]))
    }
}
