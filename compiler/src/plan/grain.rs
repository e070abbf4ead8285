//! How many grid items are worth handing to another thread: an estimate of the work in one item.
//!
//! The numbers only balance the cost of waking a thread against the work it takes over; results never depend on them.

use crate::graph::{Dim, Symbol};
use crate::kernel::{Block, Kernel, Op, Stmt, Value};

/// Element operations that take a few microseconds on one core.
const WORTH: f64 = 40_000.0;
/// What a size is taken for where only its lower bound is known.
const USUAL_SIZE: i64 = 128;

/// The least number of items per thread.
pub fn grain(kernel: &Kernel) -> Dim {
    if kernel.sequential {
        return kernel.n_items();
    }
    let per_item = block_work(kernel, &kernel.body).max(1.0);
    Dim::constant((WORTH / per_item).ceil().max(1.0) as i64)
}

fn block_work(kernel: &Kernel, block: &Block) -> f64 {
    block.stmts.iter().map(|stmt| work(kernel, stmt)).sum()
}

fn work(kernel: &Kernel, stmt: &Stmt) -> f64 {
    let elements = |value: Value| kernel.type_of(value).n_elements() as f64;
    match &stmt.op {
        Op::For(inner) => {
            let span = number(kernel, &(&inner.end - &inner.start)).max(0);
            (span as f64 / inner.step.max(1) as f64).ceil() * block_work(kernel, &inner.body)
        }
        Op::If(inner) => block_work(kernel, &inner.then).max(block_work(kernel, &inner.otherwise)),
        Op::Contract { acc, a, .. } => {
            let depth = kernel.type_of(*a).shape.last().copied().unwrap_or(1) as f64;
            elements(*acc) * depth
        }
        Op::Scalar(scalar, _) => {
            let each = f64::from(scalar.work());
            stmt.results.first().map_or(0.0, |&result| each * elements(result))
        }
        Op::Store(_, value) | Op::Accumulate(_, value) => elements(*value),
        _ => stmt.results.first().map_or(0.0, |&result| elements(result)),
    }
}

fn number(kernel: &Kernel, dim: &Dim) -> i64 {
    let usual = |symbol: &Symbol| {
        let size = kernel.sizes.iter().find(|size| size.symbol == *symbol);
        Some(size.map_or(0, |size| USUAL_SIZE.max(size.low).min(size.high.unwrap_or(i64::MAX))))
    };
    dim.eval(&usual).unwrap_or(USUAL_SIZE)
}
