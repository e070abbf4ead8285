//! From the body of a scan to the terms of one round, all in one space.
//!
//! Invariant: every read of a carry is at the very element that the round gives, and every reduction lies along the short
//! axes and is read at one place of the others.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::graph::rows::{Stage, axis_of, divides};
use crate::graph::{Dim, Graph, Meaning, Nest, NestIndex, NodeId, Ranges, ScalarNode, Value, reshape_index};
use crate::schedule::body::{Load, Number, Position, Term, TermId};
use crate::schedule::compose::Composer;
use crate::schedule::{Loops, Reduce, ScheduleError};

/// One round: `loops` has the axes of the space, then the number of the round.
pub struct Recurrence {
    pub loops: Loops,
    pub round: usize,
    /// Axes of the space along which the stages run, in ascending order.
    pub short: Vec<usize>,
    /// The carried values where a round starts, and what they become.
    pub carries: Vec<TermId>,
    pub next: Vec<TermId>,
    pub outputs: Vec<Output>,
    /// All terms that are needed.
    pub roots: Vec<TermId>,
}

/// What each round gives besides.
pub struct Output {
    pub term: TermId,
    /// Where it lies in the stack of all rounds.
    pub at: Vec<Dim>,
    pub has_short_axes: bool,
}

/// Nodes of a round at most: what is composed of them is written out for each vector of a tile.
const MAX_NODES: usize = 256;

fn refused<T>(reason: &str) -> Result<T, ScheduleError> {
    Err(ScheduleError::new(reason))
}

/// The round that a region computes, with its index, `n_carries` carries and captures as arguments.
pub fn compose(region: &Graph, sizes: &Ranges, n_carries: usize, trip: &Dim) -> Result<Recurrence, ScheduleError> {
    let flat = flat(region);
    if flat.n_nodes() > MAX_NODES {
        return refused("its body is long");
    }
    let Some((index, operands)) = flat.arguments().split_first() else { return refused("its body takes no index") };
    let Some(first) = operands.first().filter(|_| n_carries > 0) else { return refused("it carries nothing") };
    let space = flat.type_of(first.value).shape.clone();
    let is_in_space = |value: Value| flat.type_of(value).shape == space;
    if !operands[..n_carries].iter().all(|carry| is_in_space(carry.value)) {
        return refused("its carries have different shapes");
    }
    let captures = operands.iter().enumerate().map(|(idx, argument)| (argument.value, idx)).collect();
    let mut composer = Composer::new(&flat, sizes, captures);
    let axes: Vec<Dim> = space.iter().chain([trip]).cloned().collect();
    for (idx, extent) in axes.iter().enumerate() {
        composer.ranges.declare(Loops::symbol(idx), Dim::constant(0), Some(extent - 1));
    }
    let round = space.len();
    composer.round = Some((index.value, Dim::from(&Loops::symbol(round))));
    let carried: Vec<Value> = operands[..n_carries].iter().map(|carry| carry.value).collect();
    let (stages, short) = stages(&flat, &composer.nests, &space, &carried)?;
    composer.stages = stages;
    let here = places(&space, 0..round);
    let mut parts = Parts { flat: &flat, composer, space: &space, here, short: short.into_iter().collect() };
    let stages = (0..parts.composer.stages.len()).map(|idx| parts.composer.stage(idx)).collect::<Result<_, _>>()?;
    let next = (0..n_carries).map(|idx| parts.next(idx)).collect::<Result<Vec<TermId>, _>>()?;
    let outputs = (n_carries..flat.outputs().len()).map(|idx| parts.output(idx)).collect::<Result<Vec<Output>, _>>()?;
    let carries = (0..n_carries).map(|idx| parts.carry(idx, carried[idx])).collect();
    let operands = operands.iter().map(|argument| flat.type_of(argument.value).clone()).collect();
    parts.finish(axes, stages, carries, next, outputs, operands)
}

struct Parts<'g> {
    flat: &'g Graph,
    composer: Composer<'g>,
    space: &'g [Dim],
    /// A point of the space.
    here: Vec<Dim>,
    short: Vec<usize>,
}

impl Parts<'_> {
    fn carry(&mut self, operand: usize, value: Value) -> TermId {
        let index = self.here.iter().cloned().map(Position::Dim).collect();
        let load = Load { operand, index, guards: Vec::new(), otherwise: Number::new(0.0) };
        self.composer.body.add(Term::Load(load), self.flat.type_of(value).dtype)
    }

    fn next(&mut self, idx: usize) -> Result<TermId, ScheduleError> {
        let at: Vec<Position> = self.here.iter().cloned().map(Position::Dim).collect();
        self.composer.value(self.flat.outputs()[idx].value, &at, &[])
    }

    /// An output has all axes of the space or all but the short ones, perhaps in another shape.
    fn output(&mut self, idx: usize) -> Result<Output, ScheduleError> {
        let value = self.flat.outputs()[idx].value;
        let shape = &self.flat.type_of(value).shape;
        let rank = self.space.len();
        let has_short_axes = Dim::product(shape) == Dim::product(self.space);
        let axes: Vec<usize> = (0..rank).filter(|axis| has_short_axes || !self.short.contains(axis)).collect();
        let extents: Vec<Dim> = axes.iter().map(|&axis| self.space[axis].clone()).collect();
        if Dim::product(shape) != Dim::product(&extents) {
            return refused("a stacked value has another shape than its carries");
        }
        let at = reshape_index(shape, &extents, &places(self.space, axes.into_iter()));
        let at: Vec<Dim> = at.iter().map(|dim| self.composer.ranges.simplify(dim)).collect();
        if at.iter().any(divides) {
            return refused("a stacked value has another shape than its carries");
        }
        let positions: Vec<Position> = at.iter().cloned().map(Position::Dim).collect();
        let term = self.composer.value(value, &positions, &[])?;
        let at = [Dim::from(&Loops::symbol(rank))].into_iter().chain(at).collect();
        Ok(Output { term, at, has_short_axes })
    }

    fn finish(
        self,
        axes: Vec<Dim>,
        stages: Vec<Reduce>,
        carries: Vec<TermId>,
        next: Vec<TermId>,
        outputs: Vec<Output>,
        operands: Vec<crate::graph::Type>,
    ) -> Result<Recurrence, ScheduleError> {
        let Parts { composer, short, space, flat, .. } = self;
        let elements = stages.iter().map(|stage| stage.element);
        let roots: Vec<TermId> = elements.chain(next.iter().copied()).chain(outputs.iter().map(|o| o.term)).collect();
        let strays = |id: TermId| match composer.body.term(id) {
            Term::Load(load) => load.operand < carries.len() && !carries.contains(&id),
            _ => false,
        };
        if composer.body.needed(&roots).into_iter().any(strays) {
            return refused("a round reads other elements of a carry than it gives");
        }
        let result = flat.type_of(flat.outputs()[0].value).clone();
        let (round, stored) = (space.len(), next[0]);
        let (body, ranges) = (composer.body, composer.ranges);
        let loops = Loops {
            axes,
            n_parallel: round,
            inner: short.clone(),
            operands,
            start: vec![Dim::constant(0); round],
            result,
            body,
            stages,
            stored,
            more: Vec::new(),
            ranges,
        };
        Ok(Recurrence { loops, round, short, carries, next, outputs, roots })
    }
}

/// Where a point of the space lies along these axes.
fn places(space: &[Dim], axes: impl Iterator<Item = usize>) -> Vec<Dim> {
    axes.map(|axis| if space[axis].is(1) { Dim::constant(0) } else { Dim::from(&Loops::symbol(axis)) }).collect()
}

/// The reductions of a round in an order in which each uses earlier ones only, and the axes of the space they run along.
fn stages(
    flat: &Graph,
    nests: &FxHashMap<NodeId, Nest>,
    space: &[Dim],
    carries: &[Value],
) -> Result<(Vec<Stage>, BTreeSet<usize>), ScheduleError> {
    let mut follows: BTreeSet<NodeId> = carries.iter().map(|carry| carry.node).collect();
    let (mut stages, mut short) = (Vec::new(), None);
    for id in flat.node_ids() {
        if flat.operands(id).iter().any(|operand| follows.contains(&operand.node)) {
            follows.insert(id);
        }
        // A product of which nothing is summed has an element where it is read.
        let reduces = |nest: &&Nest| nest.reduce.is_some() && nest.axes.len() > nest.n_parallel;
        let Some(nest) = nests.get(&id).filter(reduces) else { continue };
        let Some((stage, along)) = stage(flat, id, nest, space, &follows) else {
            return refused("it reduces something else than what it carries");
        };
        if short.get_or_insert_with(|| along.clone()) != &along {
            return refused("it reduces along different axes");
        }
        stages.push(stage);
    }
    Ok((stages, short.unwrap_or_default()))
}

/// Where a reduction lies, by how it reads something of the shape of the carries that is made of them.
fn stage(
    flat: &Graph,
    id: NodeId,
    nest: &Nest,
    space: &[Dim],
    follows: &BTreeSet<NodeId>,
) -> Option<(Stage, BTreeSet<usize>)> {
    let operands = flat.operands(id);
    let of_carries = nest.body.iter().filter_map(|node| match node {
        ScalarNode::Load { operand, index, guards, .. } if guards.is_empty() => Some((operands[*operand], index)),
        _ => None,
    });
    let mut of_carries =
        of_carries.filter(|(value, _)| follows.contains(&value.node) && flat.type_of(*value).shape == space);
    let (_, index) = of_carries.next()?;
    // By axis of the nest, the axis of the space.
    let mut axis_of_nest: Vec<Option<usize>> = vec![None; nest.axes.len()];
    for (axis, at) in index.iter().enumerate().filter(|(axis, _)| !space[*axis].is(1)) {
        let NestIndex::Affine(dim) = at else { return None };
        let known = axis_of_nest.get_mut(axis_of(dim.as_symbol()?)?)?;
        if known.replace(axis).is_some() {
            return None;
        }
    }
    let place = |(axis, extent): (usize, &Dim)| match axis_of_nest[axis] {
        Some(axis) => Some(Dim::from(&Loops::symbol(axis))),
        None => extent.is(1).then(|| Dim::constant(0)),
    };
    let mut places = nest.axes.iter().enumerate().map(place).collect::<Option<Vec<Dim>>>()?;
    let along = places.split_off(nest.n_parallel);
    let short = axis_of_nest[nest.n_parallel..].iter().flatten().copied().collect();
    Some((Stage { node: id, at: places, along }, short))
}

/// The region with the members of its groups in their places.
fn flat(region: &Graph) -> Graph {
    let mut flat = Graph::new("round");
    flat.sizes = region.sizes.clone();
    let mut known: FxHashMap<Value, Value> = FxHashMap::default();
    for argument in region.arguments() {
        let ty = region.type_of(argument.value).clone();
        known.insert(argument.value, flat.add_argument(argument.name.clone(), argument.role, ty));
    }
    for id in region.node_ids().filter(|&id| !is_argument(region, id)) {
        let operands: Vec<Value> = region.operands(id).iter().map(|value| known[value]).collect();
        let results = match (region.node(id).op.meaning, region.node(id).regions.as_slice()) {
            (Meaning::Group { .. }, [group]) => {
                let arguments = group.arguments().iter().map(|argument| argument.value);
                let mut inside: FxHashMap<Value, Value> = arguments.zip(operands).collect();
                for member in group.node_ids().filter(|&id| !is_argument(group, id)) {
                    let operands: Vec<Value> = group.operands(member).iter().map(|value| inside[value]).collect();
                    let copy = flat.push(group.node(member).clone(), &operands);
                    inside.extend(group.results(member).zip(flat.results(copy).collect::<Vec<_>>()));
                }
                group.outputs().iter().map(|output| inside[&output.value]).collect()
            }
            _ => {
                let copy = flat.push(region.node(id).clone(), &operands);
                flat.results(copy).collect::<Vec<Value>>()
            }
        };
        known.extend(region.results(id).zip(results));
    }
    for output in region.outputs() {
        flat.add_output(output.name.clone(), output.role, known[&output.value]);
    }
    flat
}

fn is_argument(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).op.name == crate::graph::ARGUMENT.name
}
