//! How a group grows: candidates are taken in reverse order of the graph, so that all uses of a candidate inside the group
//! are known when it is judged. A candidate p joins when one of these holds.
//!
//! | p | joins when |
//! |---|---|
//! | number | always, as a copy |
//! | reduction | all its uses are inside; the group has no reduction yet, and no member that shares much with its neighbours; from p to the root every read is at the same position, and the shapes are equal |
//! | pointwise or view, computed once | all its uses are inside, it is read at one position, and the group visits no more points than p has elements |
//! | pointwise or view, repeated | its work, with that of what it is repeated for, costs at most `CHEAP`; into a reduction that reads it more than once per element, only plain movement and one cast |
//! | the same, made of many elements that its neighbours are made of too | never beside a reduction, nor where what stores it runs across its tiles |
//! | the same, making floats of bytes | if nothing asks for its value |
//! | the same, a cast to fewer bytes | not where that is repeated, if what it casts can store them |
//! | the same, ending the work on a reduction's result | never: it is done once, in the kernel of the reduction |
//! | the same, used outside too | moreover it reads at most one operand of its own size, and is not computed anyway (pure movement is) |
//!
//! What is packed stays in one piece: a `pack` never joins. Whatever does not join is captured and computed by a group of its own, which `join` may join to this one whole; a remark
//! says why.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Survey};
use crate::graph::{Dim, Graph, NodeId, Value};
use crate::passes::facts::{Facts, Read};

/// Work, in additions, that is rather repeated than stored and loaded.
pub const CHEAP: u32 = 8;
/// More members than this make kernels that registers do not hold.
pub const MAX_MEMBERS: usize = 96;
/// Reads of an element that are worth a copy of it.
const OFTEN: i64 = 64;
/// Why what neighbours share and a reduction have kernels of their own.
pub const APART: &str = "neighbours share what it reads, which a kernel that reduces would read for each anew";
/// A value that is read at more positions than this is not worth following.
const MAX_POSITIONS: usize = 8;

pub struct Group {
    pub root: NodeId,
    /// The roots of groups that have joined this one and keep their results.
    pub others: Vec<NodeId>,
    /// In the order of the graph.
    pub members: BTreeSet<NodeId>,
    /// What did not join, and why.
    pub refused: Vec<(NodeId, &'static str)>,
    /// A group whose result this one reads piece by piece.
    pub before: Option<Box<Before>>,
}

/// A group before another, and the tiles in which that one takes its result.
pub struct Before {
    pub group: Group,
    pub tile: Vec<i64>,
}

impl Group {
    pub fn alone(root: NodeId) -> Group {
        Group { root, others: Vec::new(), members: BTreeSet::from([root]), refused: Vec::new(), before: None }
    }

    /// The nodes whose values are stored.
    pub fn results(&self) -> impl Iterator<Item = NodeId> {
        [self.root].into_iter().chain(self.others.iter().copied())
    }

    /// The values from outside, in the order of their first use; those of the group before it come first.
    pub fn captures(&self, graph: &Graph) -> Vec<Value> {
        let Some(before) = &self.before else { return self.operands(graph) };
        let others = self.operands(graph).into_iter().filter(|value| value.node != before.group.root);
        before.group.operands(graph).into_iter().chain(others).collect()
    }

    /// What its own region takes.
    pub fn operands(&self, graph: &Graph) -> Vec<Value> {
        let mut captures: Vec<Value> = Vec::new();
        for value in self.members.iter().flat_map(|&member| graph.operands(member)) {
            if !self.members.contains(&value.node) && !captures.contains(&value) {
                captures.push(value);
            }
        }
        captures
    }
}

/// A use of a candidate by a member.
#[derive(Clone, Copy)]
struct Use {
    user: NodeId,
    operand: usize,
    is_identity: bool,
    is_plain: bool,
    is_turned: bool,
    is_window: bool,
}

/// What is known of a member.
#[derive(Clone, Default)]
struct Member {
    /// The positions at which it is computed, as numbers; zero is the position of the result.
    positions: BTreeSet<usize>,
    /// It feeds the reduction, and is computed at each of its points.
    in_reduction: bool,
    /// Every read between it and the reduction, or the root, is plain.
    is_plain: bool,
    /// Some read between it and the reduction, or the root, takes neighbours from elsewhere than side by side.
    is_turned: bool,
    /// Some read between it and the reduction is one of windows.
    is_window: bool,
    /// All its uses are inside.
    is_private: bool,
    /// The work that is repeated with it.
    repeated: u32,
}

pub struct Growth<'a> {
    survey: &'a Survey<'a>,
    asked: &'a [bool],
    group: Group,
    members: BTreeMap<NodeId, Member>,
    candidates: BTreeMap<NodeId, Vec<Use>>,
    /// The points of the reduction, once there is one.
    reduction: Option<Dim>,
    n_positions: usize,
}

impl<'a> Growth<'a> {
    pub fn new(survey: &'a Survey<'a>, root: NodeId, asked: &'a [bool]) -> Growth<'a> {
        Growth {
            survey,
            asked,
            group: Group::alone(root),
            members: BTreeMap::new(),
            candidates: BTreeMap::new(),
            reduction: None,
            n_positions: 1,
        }
    }

    pub fn grow(mut self) -> Group {
        let root = self.group.root;
        let member = Member { positions: BTreeSet::from([0]), is_plain: true, is_private: true, ..Member::default() };
        self.join(root, member);
        while let Some((id, uses)) = self.candidates.pop_last() {
            match self.judge(id, &uses) {
                Ok(member) => self.join(id, member),
                Err(Some(reason)) => self.group.refused.push((id, reason)),
                Err(None) => {}
            }
        }
        self.without_idle_views()
    }

    fn join(&mut self, id: NodeId, mut member: Member) {
        let graph = self.survey.graph;
        let reads = match self.survey.kind(id) {
            Kind::Pointwise(facts) => facts.reads.clone(),
            Kind::Reduction(facts) => {
                self.reduction = Some(facts.domain.clone());
                member.in_reduction = true;
                facts.reads.clone()
            }
            Kind::Split => Facts::movement().reads,
            Kind::Number | Kind::Alone => Vec::new(),
        };
        for (operand, value) in graph.operands(id).into_iter().enumerate() {
            for read in reads.iter().filter(|read| read.operand == operand) {
                let Read { is_identity, is_plain, is_turned, is_window, .. } = *read;
                let uses = self.candidates.entry(value.node).or_default();
                uses.push(Use { user: id, operand, is_identity, is_plain, is_turned, is_window });
            }
        }
        self.members.insert(id, member);
        self.group.members.insert(id);
    }

    /// Whether a candidate joins, and as what; or why not, where that is worth a remark.
    fn judge(&mut self, id: NodeId, uses: &[Use]) -> Result<Member, Option<&'static str>> {
        let survey = self.survey;
        if let Kind::Alone = survey.kind(id) {
            return Err(None);
        }
        let member = self.position(id, uses);
        match survey.kind(id) {
            Kind::Alone => Err(None),
            Kind::Number => Ok(member),
            _ if survey.graph.node(id).op.name == "pack" => Err(Some("its panels are read over and over")),
            _ if self.group.members.len() >= MAX_MEMBERS => Err(Some("the kernel would be too large")),
            Kind::Reduction(_) => self.judge_reduction(id, &member).map(|()| member).map_err(Some),
            Kind::Split => self.judge_pointwise(id, member, &Facts::movement()),
            Kind::Pointwise(facts) => self.judge_pointwise(id, member, facts),
        }
    }

    /// Where and how often a candidate would be computed.
    fn position(&mut self, id: NodeId, uses: &[Use]) -> Member {
        let mut member = Member { is_plain: true, is_private: true, ..Member::default() };
        let mut operands = BTreeSet::new();
        for use_ in uses {
            let user = &self.members[&use_.user];
            operands.insert((use_.user, use_.operand));
            member.in_reduction |= user.in_reduction;
            member.is_private &= user.is_private;
            member.is_plain &= use_.is_plain && (user.is_plain || self.is_reduction(use_.user));
            member.is_turned |= use_.is_turned || user.is_turned;
            member.is_window |= use_.is_window || user.is_window;
            member.repeated = member.repeated.max(user.repeated);
            match use_.is_identity {
                true => member.positions.extend(&user.positions),
                false => {
                    let first = self.n_positions;
                    self.n_positions += user.positions.len();
                    member.positions.extend(first..self.n_positions);
                }
            }
        }
        member.is_private &= !self.survey.is_output(id) && operands.len() == self.survey.n_uses(id);
        member
    }

    fn is_reduction(&self, id: NodeId) -> bool {
        matches!(self.survey.kind(id), Kind::Reduction(_))
    }

    fn judge_reduction(&self, id: NodeId, member: &Member) -> Result<(), &'static str> {
        let graph = self.survey.graph;
        let shape = |id: NodeId| &graph.node(id).types[0].shape;
        if !member.is_private {
            return Err("its result is used elsewhere too");
        }
        if self.reduction.is_some() {
            return Err("the kernel reduces already");
        }
        if self.group.members.iter().any(|&member| self.survey.is_shared(member)) {
            return Err(APART);
        }
        match member.positions == BTreeSet::from([0]) && shape(id) == shape(self.group.root) {
            true => Ok(()),
            false => Err("its result is not taken element by element"),
        }
    }

    fn judge_pointwise(&self, id: NodeId, member: Member, facts: &Facts) -> Result<Member, Option<&'static str>> {
        let work = facts.arithmetic + facts.casts;
        if facts.is_shared() && self.reduction.is_some() {
            return Err(Some(APART));
        }
        if facts.is_shared() && member.is_turned && facts.reads.iter().any(|read| read.is_tiled) {
            return Err(Some("tiles of it share what they read, and would be taken apart"));
        }
        if member.positions.len() > MAX_POSITIONS {
            return Err(Some("it is read at too many positions"));
        }
        let repeats = member.positions.len() > 1 || !self.visits_at_most(id, member.in_reduction);
        if member.is_private && !repeats {
            return Ok(member);
        }
        if facts.widens && !self.asked[id.index()] && !self.survey.is_output(id) {
            return Ok(Member { is_private: false, ..member });
        }
        if work > 0 && self.ends_reduction(id) {
            return Err(Some("it is done once, with the reduction before it"));
        }
        if repeats && facts.narrows && (member.in_reduction || self.has_maker(id)) {
            return Err(Some("what it stores is smaller than what it reads"));
        }
        let repeated = member.repeated + work;
        if repeats && member.in_reduction {
            let plain = member.is_plain && facts.reads.iter().all(|read| read.is_plain);
            if !plain || facts.arithmetic > 0 || repeated > 1 {
                return Err(Some("the reduction would compute it many times over"));
            }
            if member.is_window && facts.reads.iter().any(|read| read.is_turned) && self.is_read_often(id) {
                return Err(Some("windows would read what lies apart over and over"));
            }
        }
        if repeated > CHEAP {
            return Err(Some(match repeats {
                true => "it would be computed many times over",
                false => "it is used elsewhere, and costs too much to repeat",
            }));
        }
        let is_computed_anyway = self.asked[id.index()] || self.survey.is_output(id);
        if !member.is_private && work > 0 && is_computed_anyway {
            return Err(Some("its value is stored for others anyway"));
        }
        if !member.is_private && work > 0 && self.n_large_operands(id) > 1 {
            return Err(Some("it is used elsewhere, and repeating it would load more than its result"));
        }
        Ok(Member { is_private: false, repeated, ..member })
    }

    /// It would be the root of a group around a reduction: going back from it element by element, one is met whose uses
    /// have all been passed. Repeating it would save nothing, since the reduction's result is stored in any case.
    fn ends_reduction(&self, id: NodeId) -> bool {
        let graph = self.survey.graph;
        let mut behind = BTreeMap::from([(id, 0)]);
        for _ in 0..MAX_MEMBERS {
            let Some((from, n_passed)) = behind.pop_last() else { return false };
            let is_ours = from == id || (n_passed == self.survey.n_uses(from) && !self.survey.is_output(from));
            match self.survey.kind(from) {
                Kind::Reduction(_) if is_ours => return true,
                Kind::Pointwise(facts) if is_ours && facts.is_elementwise() => {
                    graph.operands(from).iter().for_each(|value| *behind.entry(value.node).or_insert(0) += 1);
                }
                _ => {}
            }
        }
        false
    }

    /// Its operand is made by a node that could be a member of its group.
    fn has_maker(&self, id: NodeId) -> bool {
        let maker = |value: &Value| !matches!(self.survey.kind(value.node), Kind::Alone | Kind::Number);
        self.survey.graph.operands(id).first().is_some_and(maker)
    }

    /// The group visits no more points than this node has elements.
    fn visits_at_most(&self, id: NodeId, in_reduction: bool) -> bool {
        let graph = self.survey.graph;
        let elements = |id: NodeId| graph.node(id).types[0].n_elements();
        let points = match &self.reduction {
            Some(points) if in_reduction => points.clone(),
            _ => elements(self.group.root),
        };
        points == elements(id) || graph.sizes.proves_le(&points, &elements(id))
    }

    /// The reduction reads each element many times.
    fn is_read_often(&self, id: NodeId) -> bool {
        let points = self.reduction.as_ref().and_then(Dim::as_constant);
        let elements = self.survey.graph.node(id).types[0].n_elements().as_constant();
        points.zip(elements).is_none_or(|(points, elements)| points / OFTEN >= elements)
    }

    /// Operands that are not provably smaller than the result, as broadcast ones are.
    fn n_large_operands(&self, id: NodeId) -> usize {
        let graph = self.survey.graph;
        let result = graph.node(id).types[0].n_elements();
        let mut operands = graph.operands(id);
        operands.sort_unstable();
        operands.dedup();
        let is_small = |value: &Value| match graph.node(value.node).types[0].n_elements() {
            _ if self.is_repetition(value.node) => true,
            n => n != result && graph.sizes.proves_le(&n, &result),
        };
        operands.iter().filter(|value| !is_small(value)).count()
    }

    /// Movement out of a smaller tensor, or out of nothing.
    fn is_repetition(&self, id: NodeId) -> bool {
        let graph = self.survey.graph;
        let Kind::Pointwise(facts) = self.survey.kind(id) else { return false };
        let result = graph.node(id).types[0].n_elements();
        facts.arithmetic + facts.casts == 0
            && graph.operands(id).iter().all(|&value| {
                let from = graph.type_of(value).n_elements();
                from != result && graph.sizes.proves_le(&from, &result)
            })
    }

    /// Views over what was captured go back outside: there they are free, and the kernel reads them as they are.
    fn without_idle_views(mut self) -> Group {
        for id in self.group.members.clone() {
            let operands = self.survey.graph.operands(id);
            let is_view = matches!(self.survey.kind(id), Kind::Split) && id != self.group.root;
            if is_view && !self.group.members.contains(&operands[0].node) {
                self.group.members.remove(&id);
            }
        }
        self.group
    }
}
