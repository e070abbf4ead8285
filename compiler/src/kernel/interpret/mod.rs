//! Runs kernels of both levels, statement by statement, over shadowed memory.
//!
//! Invariant: a run either gives what the declared types say (each operation rounded or wrapped to its type) or a fault
//! naming the statement: uninitialised reads, accesses outside, items that touch each other's elements. Nothing depends on
//! the order of items unless the kernel is sequential. A [`Thread`](thread) holds the state of one thread and [`Memories`]
//! what threads share. The threads of a GPU kernel's block run between barriers, one after the other: see `block`.

mod block;
mod matrices;
mod memory;
mod mma;
mod number;
mod statements;
mod thread;
mod tiles;
mod vectors;

pub use memory::Memories;
pub use number::Number;

use std::fmt;

use super::types::*;
use crate::graph::{Dim, Symbol};
use block::Strand;
use thread::Thread;

/// What a run did that no kernel may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Fault {}

/// In which order the items of the grid run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forward,
    Reverse,
    /// In one call of a loop kernel; forward, at the tile level.
    Whole,
}

/// Elements a run may touch before it is stopped.
const FUEL: u64 = 1 << 32;

/// Runs the kernel over the buffers' bytes (native byte order, row-major). Buffers that may only be written count as
/// uninitialised; the bytes of elements that are never written stay as they were.
pub fn interpret(kernel: &Kernel, sizes: &[i64], buffers: &mut [Vec<u8>], order: Order) -> Result<(), Fault> {
    let fault = |message: String| Fault { place: format!("kernel {}", kernel.name), message };
    if sizes.len() != kernel.sizes.len() {
        return Err(fault(format!("it takes {} sizes, not {}", kernel.sizes.len(), sizes.len())));
    }
    for (param, &size) in kernel.sizes.iter().zip(sizes) {
        if size < param.low || param.high.is_some_and(|high| size > high) {
            return Err(fault(format!("{} = {size} is outside its range", param.symbol)));
        }
    }
    let symbols: Vec<(Symbol, i64)> =
        kernel.sizes.iter().zip(sizes).map(|(param, &size)| (param.symbol.clone(), size)).collect();
    let mut memories = Memories::new(kernel, &symbols, buffers).map_err(fault)?;
    let extents: Option<Vec<i64>> = kernel.grid.iter().map(|axis| eval(&axis.extent, &symbols)).collect();
    let extents = extents.ok_or_else(|| fault("an extent of the grid has no value".into()))?;
    let n_items = extents.iter().try_fold(1i64, |product, &extent| product.checked_mul(extent.max(0)));
    let n_items = n_items.ok_or_else(|| fault("the grid is too large".into()))?;
    let strand = |number| Strand::new(Thread::new(kernel, sizes, Vec::new(), FUEL).numbered(number));
    let mut strands: Vec<Strand> = (0..kernel.threads).filter(|_| kernel.threads > 1).map(strand).collect();
    let mut thread = Thread::new(kernel, sizes, symbols, FUEL);
    let mut run = |begin: i64, end: i64| match kernel.level {
        Level::Tile => (begin..end).try_for_each(|item| thread.run_item(&mut memories, item, &extents)),
        Level::Loop if kernel.threads > 1 => block::run(&mut strands, &mut memories, begin, end),
        Level::Loop => thread.run_range(&mut memories, begin, end),
    };
    match order {
        Order::Whole if kernel.level == Level::Loop => run(0, n_items)?,
        Order::Reverse if !kernel.sequential => (0..n_items).rev().try_for_each(|item| run(item, item + 1))?,
        _ => (0..n_items).try_for_each(|item| run(item, item + 1))?,
    }
    memories.write_back(buffers);
    Ok(())
}

fn eval(dim: &Dim, symbols: &[(Symbol, i64)]) -> Option<i64> {
    // The innermost symbol of a name is last.
    dim.eval(&|symbol| symbols.iter().rev().find(|(other, _)| other == symbol).map(|&(_, value)| value))
}
