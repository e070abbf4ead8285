//! Ops that no nest states: each brings a kernel of its own, found by its record.
//!
//! Invariant: the buffers are the operands, the results, then working memory of the kernel, which holds nothing before or
//! after.

mod scatter;
mod sort;

use super::ScheduleError;
use super::tiles::Machine;
use crate::graph::{Call, Dim, Graph, NodeId, OpDef, Symbol, Type};
use crate::kernel::{Builder, Kernel, Memory, Rights};
use crate::ops;

/// Builds the kernel of an op.
type Build = fn(&Opaque, &Machine) -> Result<Kernel, ScheduleError>;

const KERNELS: &[(&OpDef, Build)] =
    &[(&ops::scatter::OP, scatter::kernel), (&ops::sort::SORT, sort::kernel), (&ops::sort::TOPK, sort::kernel)];

/// An application of such an op.
struct Opaque<'a> {
    call: &'a Call<'a>,
    results: &'a [Type],
}

pub fn schedule(graph: &Graph, id: NodeId, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let node = graph.node(id);
    let found = KERNELS.iter().find(|(op, _)| std::ptr::eq(*op, node.op));
    let (_, build) = found.ok_or_else(|| ScheduleError::new(format!("`{}` has no kernel", node.op.name)))?;
    graph.with_call(id, |call| build(&Opaque { call, results: &node.types }, machine))
}

impl Opaque<'_> {
    /// A kernel with the sizes that these shapes mention, and nothing else yet.
    fn begin(&self) -> Builder {
        let mut b = Builder::new("kernel");
        let shapes = || self.call.operands.iter().chain(self.results).flat_map(|ty| &ty.shape);
        let is_used = |symbol: &Symbol| shapes().any(|dim| dim.mentions(symbol));
        super::emit::declare_sizes(&mut b, self.call.sizes, &is_used);
        b
    }
}

fn buffer(b: &mut Builder, name: &str, ty: &Type, shape: impl Into<Vec<Dim>>, rights: Rights) -> Memory {
    b.buffer(name, ty.dtype, shape, rights)
}
