//! Joins groups that compute as many elements from the same memory, so that one kernel reads it once and stores the result
//! of each: the moments and the weight of an optimizer, a value and what it becomes.
//!
//! Two groups join when all of these hold.
//!
//! | condition | why |
//! |---|---|
//! | neither reduces nor only moves, and their results have one shape | one kernel visits each point once |
//! | what they read that is as large as their results, they read element by element | each point reads and writes its own place alone, in any order |
//! | both read such a value, or one the result of the other | memory is read once instead of twice, which is all that is gained |
//! | one of them can wait for the other, or run as early | the graph of groups has no cycle |
//! | they are neighbours in the graph | no result lives long before it is needed |
//! | together they have few members, operands and results | registers hold them |

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::grow::{Group, MAX_MEMBERS};
use super::{Kind, Survey};
use crate::graph::{NodeId, Value};

/// Operands and results of one kernel.
const MAX_STREAMS: usize = 12;
/// Nodes between the roots of neighbours.
const NEAR: usize = 128;

pub fn join(survey: &Survey, groups: &mut FxHashMap<NodeId, Group>) {
    let mut found = Found::new(survey, groups);
    let roots: Vec<NodeId> = found.straight.keys().copied().collect();
    for root in roots {
        // It may have joined another.
        let Some(mut group) = groups.remove(&root) else { continue };
        while let Some(other) = found.partner(&group, groups) {
            let Some(other) = groups.remove(&other) else { break };
            found.merge(&mut group, other);
        }
        groups.insert(group.root, group);
    }
    forget_results(survey, groups);
}

/// What only its own group reads need not be stored.
fn forget_results(survey: &Survey, groups: &mut FxHashMap<NodeId, Group>) {
    let read: BTreeSet<NodeId> =
        groups.values().flat_map(|group| group.captures(survey.graph)).map(|value| value.node).collect();
    let several: Vec<NodeId> =
        groups.values().filter(|group| !group.others.is_empty()).map(|group| group.root).collect();
    for root in several {
        let Some(group) = groups.remove(&root) else { continue };
        let is_stored = |node: &NodeId| read.contains(node) || survey.is_output(*node);
        let stored: Vec<NodeId> = group.results().filter(is_stored).collect();
        let [root, others @ ..] = stored.as_slice() else { continue };
        groups.insert(*root, Group { root: *root, others: others.to_vec(), ..group });
    }
}

struct Found<'a> {
    survey: &'a Survey<'a>,
    /// What each group that can join others reads element by element, and is as large as its results.
    straight: BTreeMap<NodeId, BTreeSet<Value>>,
    /// The main root of the group that makes a value, and those of the groups that read it.
    makers: FxHashMap<NodeId, NodeId>,
    readers: FxHashMap<NodeId, BTreeSet<NodeId>>,
    /// An order of the groups: each comes after those that it needs.
    moments: FxHashMap<NodeId, usize>,
}

impl<'a> Found<'a> {
    fn new(survey: &'a Survey<'a>, groups: &FxHashMap<NodeId, Group>) -> Found<'a> {
        let (straight, makers, readers, moments) = Default::default();
        let mut found = Found { survey, straight, makers, readers, moments };
        for group in groups.values() {
            found.makers.insert(group.root, group.root);
            found.moments.insert(group.root, group.root.index());
            for value in group.captures(survey.graph) {
                found.readers.entry(value.node).or_default().insert(group.root);
            }
            if let Some(values) = straight_reads(survey, group) {
                found.straight.insert(group.root, values);
            }
        }
        found
    }

    /// The first group that joins this one.
    fn partner(&self, group: &Group, groups: &FxHashMap<NodeId, Group>) -> Option<NodeId> {
        let own = group.results().map(|node| Value { node, result: 0 });
        let values = self.straight[&group.root].iter().copied().chain(own);
        let sharing = |value: Value| {
            let readers = self.readers.get(&value.node).into_iter().flatten();
            readers.filter(move |reader| self.straight.get(reader).is_some_and(|values| values.contains(&value)))
        };
        let readers: BTreeSet<NodeId> = values.flat_map(sharing).copied().collect();
        readers.into_iter().find(|other| {
            let other = groups.get(other);
            other.is_some_and(|other| self.fit(group, other) && self.moment(group, other).is_some())
        })
    }

    fn fit(&self, a: &Group, b: &Group) -> bool {
        let graph = self.survey.graph;
        let shape = |group: &Group| &graph.node(group.root).types[0].shape;
        let captures: BTreeSet<Value> = a.captures(graph).into_iter().chain(b.captures(graph)).collect();
        let n_streams = captures.len() + a.results().chain(b.results()).count();
        // What one makes and the other reads otherwise than element by element is finished before the other begins.
        let is_straight = |group: &Group, of: &Group| {
            let mut reads =
                group.captures(graph).into_iter().filter(|value| of.results().any(|node| node == value.node));
            reads.all(|value| self.straight[&group.root].contains(&value))
        };
        b.root.index().abs_diff(a.root.index()) <= NEAR
            && shape(a) == shape(b)
            && n_streams <= MAX_STREAMS
            && a.members.len() + b.members.len() <= MAX_MEMBERS
            && is_straight(a, b)
            && is_straight(b, a)
    }

    /// When both can run as one: with the earlier, if the other needs nothing that is made since, or with the later, if
    /// nobody waits for the earlier one.
    fn moment(&self, a: &Group, b: &Group) -> Option<usize> {
        let at = |root: &NodeId| self.moments[root];
        let (early, late) = if at(&a.root) < at(&b.root) { (a, b) } else { (b, a) };
        let captures = late.captures(self.survey.graph);
        let mut needed = captures.iter().filter_map(|value| self.makers.get(&value.node));
        if needed.all(|maker| *maker == early.root || at(maker) < at(&early.root)) {
            return Some(at(&early.root));
        }
        let mut waiting = early.results().filter_map(|node| self.readers.get(&node)).flatten();
        waiting.all(|reader| *reader == late.root || at(reader) > at(&late.root)).then(|| at(&late.root))
    }

    fn merge(&mut self, group: &mut Group, other: Group) {
        let moment = self.moment(group, &other);
        self.moments.extend(moment.map(|moment| (group.root, moment)));
        for value in other.captures(self.survey.graph) {
            let readers = self.readers.entry(value.node).or_default();
            readers.remove(&other.root);
            readers.insert(group.root);
        }
        self.makers.extend(other.results().map(|result| (result, group.root)));
        let reads = self.straight.remove(&other.root).unwrap_or_default();
        group.others.extend(other.results());
        group.members.extend(other.members);
        group.refused.extend(other.refused);
        let straight = self.straight.entry(group.root).or_default();
        straight.extend(reads);
        straight.retain(|value| !group.members.contains(&value.node));
        for result in group.results() {
            self.readers.entry(result).or_default().remove(&group.root);
        }
    }
}

/// The values as large as the result that a group reads element by element; `None` if it reads one otherwise, or does not
/// compute anything.
fn straight_reads(survey: &Survey, group: &Group) -> Option<BTreeSet<Value>> {
    let graph = survey.graph;
    let result = &graph.node(group.root).types[0];
    let mut is_straight: FxHashMap<NodeId, bool> = FxHashMap::default();
    is_straight.insert(group.root, true);
    let mut arithmetic = 0;
    for &member in group.members.iter().rev() {
        let here = is_straight.get(&member).copied().unwrap_or(false);
        let operands = graph.operands(member);
        let mut note = |value: Value, identity: bool| {
            let slot = is_straight.entry(value.node).or_insert(true);
            *slot &= here && identity;
        };
        match survey.kind(member) {
            Kind::Pointwise(facts) if !facts.is_shared() && graph.node(member).types.len() == 1 => {
                arithmetic += facts.arithmetic + facts.casts;
                facts.reads.iter().for_each(|read| note(operands[read.operand], read.is_identity));
            }
            Kind::Split => operands.iter().for_each(|&value| note(value, false)),
            Kind::Number => {}
            _ => return None,
        }
    }
    let mut straight = BTreeSet::new();
    for value in group.captures(graph) {
        let size = graph.type_of(value).n_elements();
        let is_small = size != result.n_elements() && graph.sizes.proves_le(&size, &result.n_elements());
        match is_straight.get(&value.node) {
            Some(true) if graph.type_of(value).shape == result.shape => drop(straight.insert(value)),
            _ if is_small => {}
            _ => return None,
        }
    }
    (arithmetic > 0 && !straight.is_empty()).then_some(straight)
}
