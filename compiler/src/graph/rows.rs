//! Rows: how the reductions of a group of nodes share their outer axes, so that one kernel can take row after row and do
//! all reductions of a row before it goes on.
//!
//! The space is that of the group's result. Its axes at which results of reductions are read are the *outer* ones; the
//! others, the *inner* ones, run along a row. If none is left, the result has one element a row, and the inner axes are
//! those of a reduction. Each reduction must have one result a row, and run once over each point of the row. Where the
//! result has merged axes of the rows, such as channels in groups, the space has them apart.
//!
//! Invariant: computing the stages in order, and then the result, at the positions given here computes what the group
//! computes: a stage reads results of earlier stages of the same row only.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Atom, Dim, Graph, Meaning, Nest, NestIndex, NodeId, Ranges, ScalarNode, Symbol, Value, axis, reshape_index,
};

/// A group reads no value at more positions than this.
const MAX_POSITIONS: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The space: the axes of the result, perhaps split, and after them the inner ones if the result has one element a row.
    pub axes: Vec<Dim>,
    /// How many of them the result has.
    pub n_parallel: usize,
    /// In ascending order.
    pub inner: Vec<usize>,
    /// Where the result is, in its own shape.
    pub start: Vec<Dim>,
    /// In an order in which each depends on earlier ones only.
    pub stages: Vec<Stage>,
    /// The positions at which each member is computed, along which stages (the result counts as the last).
    pub visits: BTreeMap<NodeId, BTreeSet<Visit>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub node: NodeId,
    /// Where its result is read.
    pub at: Vec<Dim>,
    /// Where a point of the row lies along the axes that the node reduces.
    pub along: Vec<Dim>,
}

/// A member is computed somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Visit {
    /// The reduction that it is computed for; none for the result.
    pub stage: Option<NodeId>,
    /// `None` where a position is known only at run time, or is guarded.
    pub at: Option<Vec<Dim>>,
    /// It changes along the row.
    pub is_inner: bool,
}

impl Rows {
    /// The rows of the group that has `root` as its result; why it has none, if it has not.
    pub fn of(graph: &Graph, root: Value, members: &BTreeSet<NodeId>) -> Result<Rows, &'static str> {
        let shape = &graph.type_of(root).shape;
        let rows = Rows::over(graph, root, members, shape);
        if rows.is_ok() {
            return rows;
        }
        let views = members.iter().filter(|&&id| matches!(graph.node(id).op.meaning, Meaning::View));
        let mut split = views.filter(|&&id| graph.node(id).types[0].shape == *shape);
        let with_axes_of = |&id: &NodeId| {
            let finer = &graph.type_of(graph.operands(id)[0]).shape;
            Rows::over(graph, root, members, finer).ok()
        };
        split.find_map(with_axes_of).map_or(rows, Ok)
    }

    /// The same in a space of this shape, which the result has when its axes are split.
    fn over(graph: &Graph, root: Value, members: &BTreeSet<NodeId>, shape: &[Dim]) -> Result<Rows, &'static str> {
        let mut walk = Walk::new(graph, members);
        declare(&mut walk.ranges, 0, shape);
        let here: Vec<Dim> = shape.iter().enumerate().map(|(idx, size)| position(idx, size)).collect();
        let own = &graph.type_of(root).shape;
        let start = if own == shape { here } else { walk.simplified(&reshape_index(own, shape, &here)) };
        if start.iter().any(divides) {
            return Err("it goes along rows of another shape");
        }
        walk.visit(root, Some(start.clone()), None)?;
        let read: BTreeSet<usize> = walk.found.values().flatten().flat_map(mentioned).collect();
        let is_outer = |axis: &usize| read.contains(axis) || shape[*axis].is(1);
        let mut inner: Vec<usize> = (0..shape.len()).filter(|axis| !is_outer(axis)).collect();
        let mut axes = shape.to_vec();
        let nests: Vec<Nest> = walk.found.keys().map(|&id| nest_of(graph, id)).collect();
        if nests.is_empty() {
            inner.clear();
        } else if inner.is_empty() {
            let finest = nests.iter().max_by_key(|nest| nest.axes.len() - nest.n_parallel);
            let reduced = finest.map_or(&[][..], |nest| &nest.axes[nest.n_parallel..]);
            declare(&mut walk.ranges, axes.len(), reduced);
            inner = (axes.len()..axes.len() + reduced.len()).collect();
            axes.extend_from_slice(reduced);
        }
        let mut rows =
            Rows { axes, n_parallel: shape.len(), inner, start, stages: Vec::new(), visits: BTreeMap::new() };
        while let Some((id, at)) = walk.found.pop_last() {
            let stage = rows.stage(graph, id, &at, &walk.ranges)?;
            walk.visit_stage(&stage)?;
            rows.stages.push(stage);
        }
        rows.stages.reverse();
        rows.visits = walk.visits(&rows.inner);
        Ok(rows)
    }

    /// Checks that a reduction has one result a row, and takes each point of a row once.
    fn stage(&self, graph: &Graph, id: NodeId, at: &[Vec<Dim>], ranges: &Ranges) -> Result<Stage, &'static str> {
        let nest = nest_of(graph, id);
        let [at] = at else { return Err("its result is read at several places of a row") };
        if mentioned(at).iter().any(|axis| self.inner.contains(axis)) {
            return Err("its result is not the same along the row");
        }
        let outer = (0..self.n_parallel).filter(|axis| !self.inner.contains(axis));
        let n_rows = Dim::product(outer.map(|axis| &self.axes[axis]));
        let along: Vec<Dim> = self.inner.iter().map(|&axis| self.axes[axis].clone()).collect();
        let reduced = &nest.axes[nest.n_parallel..];
        if n_rows != Dim::product(&nest.axes[..nest.n_parallel]) || Dim::product(&along) != Dim::product(reduced) {
            return Err("it goes along other rows");
        }
        let here: Vec<Dim> = self.inner.iter().map(|&idx| position(idx, &self.axes[idx])).collect();
        let along = reshape_index(reduced, &along, &here);
        let along: Vec<Dim> = along.iter().map(|dim| ranges.simplify(dim)).collect();
        match at.iter().chain(&along).any(divides) {
            true => Err("it goes along rows of another shape"),
            false => Ok(Stage { node: id, at: at.clone(), along }),
        }
    }

    pub fn n_rows(&self) -> Dim {
        Dim::product((0..self.axes.len()).filter(|axis| !self.inner.contains(axis)).map(|axis| &self.axes[axis]))
    }

    /// Points of a row.
    pub fn row_length(&self) -> Dim {
        Dim::product(self.inner.iter().map(|&axis| &self.axes[axis]))
    }

    /// Every element of a row is stored, not one for the row.
    pub fn stores_rows(&self) -> bool {
        is_stored_whole(&self.inner, self.n_parallel)
    }
}

/// Whether a result has every element of the rows along these inner axes, of all of which `n_parallel` are its own.
pub fn is_stored_whole(inner: &[usize], n_parallel: usize) -> bool {
    inner.first().is_some_and(|&axis| axis < n_parallel)
}

/// The position along an axis of this extent: 0 where there is one.
pub fn position(idx: usize, size: &Dim) -> Dim {
    if size.is(1) { Dim::constant(0) } else { axis(idx) }
}

/// Declares the positions along axes of these extents, the first of which is `i<first>`.
pub fn declare(ranges: &mut Ranges, first: usize, extents: &[Dim]) {
    for (idx, extent) in extents.iter().enumerate() {
        ranges.declare(Symbol::new(format!("i{}", first + idx)), Dim::constant(0), Some(extent - 1));
    }
}

/// The numbers of the axes that a position depends on.
fn mentioned(at: impl AsRef<[Dim]>) -> BTreeSet<usize> {
    let mut axes = BTreeSet::new();
    for dim in at.as_ref() {
        dim.for_each_symbol(&mut |symbol| axes.extend(axis_of(symbol)));
    }
    axes
}

/// The number of an axis symbol `i0, i1, …`.
pub fn axis_of(symbol: &Symbol) -> Option<usize> {
    symbol.name().strip_prefix('i')?.parse().ok()
}

/// Windows of so many points are short enough to be written out, more or less.
pub const SHORT_WINDOW: i64 = 72;

/// Whether columns in groups of this size are summed group by group: a group fills more than half of a vector, or half of
/// one where windows are long. Otherwise the lanes of a vector belong to several groups.
pub fn fills_vectors(group: i64, lanes: i64, points: Option<i64>) -> bool {
    let is_half = 2 * group == lanes && points.is_none_or(|points| points > SHORT_WINDOW);
    2 * group > lanes || is_half
}

/// What a symbol is divided by, wherever one of these mentions it, if they say nothing else of it.
pub fn divisor<'d>(dims: impl IntoIterator<Item = &'d Dim>, symbol: &Symbol) -> Option<i64> {
    let mut divisor = None;
    for (monomial, _) in dims.into_iter().flat_map(Dim::terms) {
        for (atom, _) in monomial {
            match atom {
                Atom::FloorDiv(of, by) if of.as_symbol() == Some(symbol) => {
                    let by = by.as_constant()?;
                    if *divisor.get_or_insert(by) != by {
                        return None;
                    }
                }
                Atom::Symbol(other) if other == symbol => return None,
                Atom::FloorDiv(a, b) | Atom::Mod(a, b) | Atom::Min(a, b) | Atom::Max(a, b)
                    if a.mentions(symbol) || b.mentions(symbol) =>
                {
                    return None;
                }
                _ => {}
            }
        }
    }
    divisor
}

/// Whether a quotient or remainder occurs in it.
pub fn divides(dim: &Dim) -> bool {
    dim.terms().any(|(monomial, _)| monomial.iter().any(|(atom, _)| matches!(atom, Atom::FloorDiv(..) | Atom::Mod(..))))
}

fn nest_of(graph: &Graph, id: NodeId) -> Nest {
    match graph.node(id).op.meaning {
        Meaning::Structured { nest, .. } => graph.with_call(id, nest),
        _ => Nest::pointwise(&[]),
    }
}

fn reduces(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id).op.meaning, Meaning::Structured { .. }) && nest_of(graph, id).reduce.is_some()
}

/// Follows reads from the result to the reductions, then from each of these to earlier ones.
struct Walk<'g> {
    graph: &'g Graph,
    members: &'g BTreeSet<NodeId>,
    ranges: Ranges,
    /// Reductions that are read, and where; they are still to be followed.
    found: BTreeMap<NodeId, Vec<Vec<Dim>>>,
    seen: BTreeMap<NodeId, Vec<(Option<NodeId>, Option<Vec<Dim>>)>>,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g Graph, members: &'g BTreeSet<NodeId>) -> Walk<'g> {
        let (found, seen) = Default::default();
        Walk { graph, members, ranges: graph.sizes.clone(), found, seen }
    }

    /// A value is read somewhere, for a stage. Nodes have bounded numbers of positions, and operands come before users.
    fn visit(&mut self, value: Value, at: Option<Vec<Dim>>, stage: Option<NodeId>) -> Result<(), &'static str> {
        let mut todo = vec![(value.node, at)];
        while let Some((id, at)) = todo.pop() {
            if !self.members.contains(&id) {
                continue;
            }
            let seen = self.seen.entry(id).or_default();
            if seen.contains(&(stage, at.clone())) {
                continue;
            }
            if seen.len() >= MAX_POSITIONS {
                return Err("it is read at too many positions");
            }
            seen.push((stage, at.clone()));
            if reduces(self.graph, id) {
                let at = at.ok_or("where its result is read is known only at run time")?;
                let places = self.found.entry(id).or_default();
                if !places.contains(&at) {
                    places.push(at);
                }
                continue;
            }
            todo.extend(self.reads(id, at.as_deref())?);
        }
        Ok(())
    }

    /// Where the operands of a node are read that is computed at a position.
    #[expect(clippy::type_complexity, reason = "a list of pairs")]
    fn reads(&self, id: NodeId, at: Option<&[Dim]>) -> Result<Vec<(NodeId, Option<Vec<Dim>>)>, &'static str> {
        let operands = self.graph.operands(id);
        match self.graph.node(id).op.meaning {
            Meaning::View => {
                let from = &self.graph.type_of(operands[0]).shape;
                let to = &self.graph.node(id).types[0].shape;
                let index = at.map(|at| reshape_index(from, to, at));
                Ok(vec![(operands[0].node, index.map(|index| self.simplified(&index)))])
            }
            Meaning::Source => Ok(Vec::new()),
            Meaning::Structured { .. } => {
                let nest = nest_of(self.graph, id);
                let loads = nest.body.iter().filter_map(|node| match node {
                    ScalarNode::Load { operand, index, guards, .. } => {
                        let at = at.filter(|_| guards.is_empty());
                        Some((operands[*operand].node, self.place(index, at)))
                    }
                    _ => None,
                });
                Ok(loads.collect())
            }
            _ => Err("it is no part of a kernel"),
        }
    }

    fn simplified(&self, index: &[Dim]) -> Vec<Dim> {
        index.iter().map(|dim| self.ranges.simplify(dim)).collect()
    }

    fn visit_stage(&mut self, stage: &Stage) -> Result<(), &'static str> {
        let nest = nest_of(self.graph, stage.node);
        let operands = self.graph.operands(stage.node);
        let at: Vec<Dim> = stage.at.iter().chain(&stage.along).cloned().collect();
        for node in &nest.body {
            if let ScalarNode::Load { operand, index, guards, .. } = node {
                let at = Some(&at[..]).filter(|_| guards.is_empty());
                self.visit(operands[*operand], self.place(index, at), Some(stage.node))?;
            }
        }
        Ok(())
    }

    fn place(&self, index: &[NestIndex], at: Option<&[Dim]>) -> Option<Vec<Dim>> {
        let at = at?;
        let place = |entry: &NestIndex| match entry {
            NestIndex::Affine(dim) => {
                let placed = dim.substitute(&|symbol| at.get(axis_of(symbol)?).cloned());
                Some(self.ranges.simplify(&placed))
            }
            NestIndex::Value(_) => None,
        };
        index.iter().map(place).collect()
    }

    fn visits(&self, inner: &[usize]) -> BTreeMap<NodeId, BTreeSet<Visit>> {
        let visit = |(stage, at): &(Option<NodeId>, Option<Vec<Dim>>)| Visit {
            stage: *stage,
            is_inner: at.as_ref().is_none_or(|at| mentioned(at).iter().any(|axis| inner.contains(axis))),
            at: at.clone(),
        };
        self.seen.iter().map(|(&id, seen)| (id, seen.iter().map(visit).collect())).collect()
    }
}
