//! Removes statements whose results nobody uses.
//!
//! Invariant: stores, prefetches, barriers, what is done with registers of matrices, and what they depend on stay; a loop or an `if` goes when nothing is left in it that does.

use crate::kernel::types::*;

pub(super) fn remove(mut kernel: Kernel) -> Kernel {
    let mut used = vec![false; kernel.values.len()];
    let mut body = std::mem::take(&mut kernel.body);
    sweep(&mut body, &mut used);
    kernel.body = body;
    kernel.canonical()
}

/// Backwards, so that uses are seen before definitions. Gives whether anything with an effect is left.
fn sweep(block: &mut Block, used: &mut [bool]) -> bool {
    block.yields.iter().for_each(|value| used[value.0 as usize] = true);
    let mut effects = false;
    let mut kept = Vec::with_capacity(block.stmts.len());
    for mut stmt in std::mem::take(&mut block.stmts).into_iter().rev() {
        let needed = stmt.results.iter().any(|value| used[value.0 as usize]);
        let mut acts = matches!(stmt.op, Op::StoreAt(..) | Op::PrefetchAt(_) | Op::Barrier | Op::Matrix(_));
        if needed || has_effect(&stmt.op) {
            for inner in stmt.op.blocks_mut() {
                acts |= sweep(inner, used);
            }
        }
        if needed || acts {
            stmt.op.for_each_operand(&mut |value| used[value.0 as usize] = true);
            effects |= acts;
            kept.push(stmt);
        }
    }
    kept.reverse();
    block.stmts = kept;
    effects
}

fn has_effect(op: &Op) -> bool {
    matches!(op, Op::StoreAt(..) | Op::PrefetchAt(_) | Op::Barrier | Op::Matrix(_))
        || op.blocks().iter().any(|block| block.stmts.iter().any(|stmt| has_effect(&stmt.op)))
}
