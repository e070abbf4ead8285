//! Schedules: one graph node, or one fused group, becomes one tile-level kernel.
//!
//! Nodes are judged by their nests alone, never by name. Kernels are canonical: equal groups of different models, or of
//! different layers, give equal text, so that each is compiled once.

mod attention;
mod bands;
pub mod body;
mod collapse;
pub mod compose;
mod contraction;
mod emit;
mod epilogue;
mod exponentials;
mod groups;
mod interleave;
mod keep;
mod opaque;
mod order;
mod pieces;
mod pointwise;
mod recurrence;
mod reduction;
mod residues;
mod settle;
mod stream;
mod sums;
#[cfg(test)]
mod tests;
mod tiles;
mod transpose;
mod windows;

use std::fmt;

use self::body::{Body, Number, Term, TermId};
use crate::graph::rows::{axis_of, is_stored_whole};
use crate::graph::{Dim, Graph, Meaning, NodeId, Ranges, Scalar, Symbol, Type};
use crate::kernel::Kernel;

pub use tiles::Machine;

/// A composed nest: `axes` are `i0, i1, …`, the first `n_parallel` index the result. Along the inner axes reductions run:
/// those that do not index the result, or some that do, where every element of a row is stored.
#[derive(Clone, Debug)]
pub struct Loops {
    pub axes: Vec<Dim>,
    pub n_parallel: usize,
    pub operands: Vec<Type>,
    pub result: Type,
    /// Where the result's first element lies along each of its axes: it is a part of what is stored.
    pub start: Vec<Dim>,
    pub body: Body,
    /// In ascending order.
    pub inner: Vec<usize>,
    /// Reductions along the inner axes: the element of each may use the results of those before it.
    pub stages: Vec<Reduce>,
    /// What is stored: over the parallel axes, with `Term::Reduced` for the results of the stages.
    pub stored: TermId,
    /// Further results of the same shape, each stored where the first is; only where nothing is reduced.
    pub more: Vec<TermId>,
    /// Sizes, then the axes.
    pub ranges: Ranges,
}

impl Loops {
    /// What is divided by where the last digit of the quotient decides: a maximum, or what is compared, may meet the same
    /// value computed by another kernel.
    pub fn exact_divisors(&self) -> Vec<TermId> {
        use Scalar::{Eq, Ge, Gt, Le, Lt, Max, Min, Ne};
        let extremes = self.stages.iter().filter(|stage| matches!(stage.combine, Max | Min));
        let mut roots: Vec<TermId> = extremes.map(|stage| stage.element).collect();
        for id in self.body.needed(&self.roots()) {
            if let Term::Apply(Eq | Ne | Lt | Le | Gt | Ge, sides) = self.body.term(id) {
                roots.extend(sides);
            }
        }
        let terms = self.body.needed(&roots).into_iter().map(|id| self.body.term(id));
        terms.filter_map(|term| if let Term::Apply(Scalar::Div, args) = term { Some(args[1]) } else { None }).collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Reduce {
    pub element: TermId,
    pub combine: Scalar,
    /// The neutral element of `combine`, and the result of an empty reduction.
    pub initial: Number,
}

/// A group that cannot become a kernel: a disagreement between the fuse pass and the schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError(pub String);

impl ScheduleError {
    pub fn new(message: impl Into<String>) -> ScheduleError {
        ScheduleError(message.into())
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}

/// The kernel of a structured or opaque node or of a fused group. Its buffers are the operands, in order, then the
/// results, then working memory if it needs any.
pub fn schedule(graph: &Graph, id: NodeId, machine: &Machine) -> Result<Kernel, ScheduleError> {
    let node = graph.node(id);
    let loops = match (node.op.meaning, node.regions.as_slice()) {
        (Meaning::Group { .. }, [region]) => compose::compose_region(region, &graph.sizes)?,
        (Meaning::Group { .. }, [produce, consume]) if node.op.name == "banded" => {
            return bands::schedule([produce, consume], &node.attrs.ints("tile"), &graph.sizes, machine);
        }
        (Meaning::Group { .. }, [score, mix]) => return attention::schedule(score, mix, &graph.sizes, machine),
        (Meaning::Control { .. }, [region]) if node.op.name == "scan" => {
            return recurrence::schedule(graph, id, region, machine);
        }
        (Meaning::Opaque { .. }, _) => return opaque::schedule(graph, id, machine),
        _ => compose::compose_node(graph, id)?,
    };
    Ok(schedule_loops(loops, machine))
}

/// The kernel of a composed nest.
pub fn schedule_loops(loops: Loops, machine: &Machine) -> Kernel {
    let loops = collapse::collapse(prepared(loops, machine));
    let apart = groups::apart(&loops, machine).and_then(|nest| {
        contraction::kernel_of_words(&nest, machine).or_else(|| contraction::kernel_of_sums(&nest, machine))
    });
    apart.unwrap_or_else(|| schedule_nest(loops, machine))
}

fn prepared(loops: Loops, machine: &Machine) -> Loops {
    let loops = if machine.is_block() { loops } else { exponentials::by_powers_of_two(loops, machine) };
    epilogue::with_one_rounding(sums::in_memory_order(loops))
}

/// The kernel of a nest as it is.
fn schedule_nest(loops: Loops, machine: &Machine) -> Kernel {
    if let Some(kernel) = contraction::kernel_of_words(&loops, machine) {
        return kernel;
    }
    if loops.stages.is_empty() {
        return pointwise::kernel(&loops, machine);
    }
    if let Some(kernel) = contraction::kernel_of_sums(&loops, machine) {
        return kernel;
    }
    match windows::find(&loops, machine) {
        Some(plan) => windows::kernel(&loops, &plan, machine),
        None => reduction::kernel(&loops, machine),
    }
}

impl Loops {
    /// Without guards that hold because floors grow with what they divide: a panel exists wherever one of its columns does.
    pub fn without_guards_of_panels(&self) -> Loops {
        let (mut loops, mut roots) = (self.clone(), self.roots());
        let keep = |load: &mut body::Load| load.guards.retain(|guard| !self.ranges.proves_floors(guard));
        loops.body = self.body.rewrite(&mut roots, &Dim::clone, &keep);
        loops.set_roots(&roots);
        loops
    }

    pub fn symbol(axis: usize) -> Symbol {
        Symbol::new(format!("i{axis}"))
    }

    /// Every term that is computed somewhere.
    pub fn roots(&self) -> Vec<TermId> {
        self.stages.iter().map(|stage| stage.element).chain(self.results()).collect()
    }

    /// What is stored.
    pub fn results(&self) -> Vec<TermId> {
        [self.stored].iter().chain(&self.more).copied().collect()
    }

    /// The same nest over other axes: `place` says where an old one lies, by the new ones.
    fn over(&self, axes: Vec<Dim>, place: &dyn Fn(usize) -> Option<Dim>) -> Loops {
        let mut ranges = self.ranges.clone();
        (0..self.axes.len()).for_each(|axis| ranges.remove(&Loops::symbol(axis)));
        Loops::declare(&mut ranges, &axes);
        let moved = |dim: &Dim| ranges.simplify(&dim.substitute(&|symbol| place(axis_of(symbol)?)));
        let mut roots = self.roots();
        let unproven = |load: &mut body::Load| load.guards.retain(|guard| !ranges.proves_le(&Dim::constant(0), guard));
        let body = self.body.rewrite(&mut roots, &moved, &unproven);
        let mut nest = Loops { axes, body, ranges: ranges.clone(), ..self.clone() };
        nest.set_roots(&roots);
        nest
    }

    fn declare(ranges: &mut Ranges, axes: &[Dim]) {
        for (axis, extent) in axes.iter().enumerate() {
            ranges.remove(&Loops::symbol(axis));
            ranges.declare(Loops::symbol(axis), Dim::constant(0), Some(extent - 1));
        }
    }

    /// Where the result of these positions along the axes is stored.
    fn place(&self, at: &[Dim]) -> Vec<Dim> {
        self.start.iter().zip(at).map(|(start, at)| start + at).collect()
    }

    fn set_roots(&mut self, roots: &[TermId]) {
        let (elements, results) = roots.split_at(self.stages.len());
        for (stage, &element) in self.stages.iter_mut().zip(elements) {
            stage.element = element;
        }
        self.stored = results[0];
        self.more.copy_from_slice(&results[1..]);
    }

    /// Every element of a row is stored, not one for the row.
    pub fn stores_rows(&self) -> bool {
        is_stored_whole(&self.inner, self.n_parallel)
    }

    /// A term changes along an axis.
    pub fn moves(&self, term: TermId, axis: usize) -> bool {
        let symbol = Loops::symbol(axis);
        self.body.needed(&[term]).into_iter().any(|id| self.body.term(id).mentions(&symbol))
    }
}
