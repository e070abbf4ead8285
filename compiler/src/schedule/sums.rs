//! The order of the summed axes of a sum of products: that in which memory has them, so that what is read next lies near,
//! and neighbouring axes become one.
//!
//! Invariant: the nest has the same points, and each sum the same terms, perhaps in another order.

use super::{Loops, order};
use crate::graph::{Dim, Scalar};

/// The nest with its summed axes from the widest steps to the narrowest, if all steps are known.
pub fn in_memory_order(loops: Loops) -> Loops {
    let [reduce] = loops.stages.as_slice() else { return loops };
    let summed = loops.n_parallel..loops.axes.len();
    let is_sum =
        reduce.combine == Scalar::Add && !loops.stores_rows() && loops.inner.iter().copied().eq(summed.clone());
    if !is_sum || summed.len() < 2 {
        return loops;
    }
    let loads = loops.body.loads(&[reduce.element]);
    let step = |axis: usize| {
        loads.iter().try_fold(0i64, |sum, load| {
            let step = order::step(&loops, load, axis)?.as_constant()?;
            sum.checked_add(step.checked_abs()?)
        })
    };
    let Some(mut steps) = summed.map(|axis| Some((step(axis)?, axis))).collect::<Option<Vec<(i64, usize)>>>() else {
        return loops;
    };
    if steps.is_sorted_by_key(|&(step, _)| std::cmp::Reverse(step)) {
        return loops;
    }
    steps.sort_by_key(|&(step, axis)| (std::cmp::Reverse(step), axis));
    let old: Vec<usize> = (0..loops.n_parallel).chain(steps.into_iter().map(|(_, axis)| axis)).collect();
    reordered(&loops, &old)
}

/// `old` says which axis stands at each place.
fn reordered(loops: &Loops, old: &[usize]) -> Loops {
    let axes = old.iter().map(|&axis| loops.axes[axis].clone()).collect();
    loops.over(axes, &|axis| old.iter().position(|&old| old == axis).map(|new| Dim::from(&Loops::symbol(new))))
}
