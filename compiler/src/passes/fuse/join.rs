//! Joins groups that reduce along the same rows, and what lies between them, so that one kernel takes each row through
//! all of them while it is in the cache: softmax, normalisations, variances.
//!
//! A group c joins the group g that reads its result when all of these hold.
//!
//! | condition | otherwise |
//! |---|---|
//! | g alone reads the result of c, perhaps as views, and one of them reduces | |
//! | together they have rows (`graph::rows`): each reduction has one result a row, and goes once over its points | it goes along other rows, … |
//! | each reduction reads some operand only once: sums of products that share factors are tiled instead | it reads its operands many times over |
//! | none reads narrow numbers that lie in words: those are multiplied word by word, each sum on its own | its numbers lie in words, … |
//! | the result of c is read at one place, and computed no more often than it has elements | it would be computed many times over |
//! | no member is made of many elements that its neighbours are made of too | neighbours share what it reads, … |
//! | rows are known to be short enough for the cache, or their length is not known, or one operand has all that is read along them; long ones are many | its rows are too long for the cache, too few |
//! | what would be computed again in later stages is cheap, or can be kept | it costs too much to compute again |

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::grow::{APART, CHEAP, Group, MAX_MEMBERS};
use super::{Kind, Survey};
use crate::graph::rows::{Rows, Visit, divides};
use crate::graph::{Dim, Meaning, NodeId, Value};
use crate::passes::frozen::lies_in_words;

/// Reductions of one kernel.
const MAX_STAGES: usize = 8;
/// Points of a row that stay in the second-level cache.
const CACHED: i64 = 128 << 10;
/// Points of a row that are worth a thread of their own, and how few such rows would leave threads without work.
const LONG: i64 = 16 << 10;
const FEW: i64 = 8;
/// Points of a row for which values can be kept; where rows are longer, work that is rather done again.
const KEPT: i64 = 16 << 10;
const REPEATABLE: u32 = 32;

/// Joins as many groups as possible. They are given by their roots.
pub fn join(survey: &Survey, groups: &mut FxHashMap<NodeId, Group>) {
    let mut readers: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for (&root, group) in groups.iter() {
        for value in group.captures(survey.graph) {
            readers.entry(value.node).or_default().insert(root);
        }
    }
    let mut roots: Vec<NodeId> = groups.keys().copied().collect();
    roots.sort_unstable();
    for root in roots {
        // It may have joined another.
        let Some(mut group) = groups.remove(&root) else { continue };
        let mut passed: BTreeSet<NodeId> = BTreeSet::new();
        while let Some((next, views)) = candidate(survey, &group, groups, &readers, &passed) {
            passed.insert(next);
            match joined(survey, &group, &groups[&next], &views) {
                Ok(members) => {
                    group.members = members;
                    for gone in views.iter().chain([&next]).filter_map(|gone| groups.remove(gone)) {
                        for value in gone.captures(survey.graph) {
                            let readers = readers.entry(value.node).or_default();
                            readers.remove(&gone.root);
                            readers.insert(root);
                        }
                        group.refused.extend(gone.refused);
                    }
                }
                Err(reason) => group.refused.extend(reason.map(|reason| (next, reason))),
            }
        }
        groups.insert(root, group);
    }
}

/// The last group whose result this one alone reads, and which has not been tried; with the views through which it does.
fn candidate(
    survey: &Survey,
    group: &Group,
    groups: &FxHashMap<NodeId, Group>,
    readers: &BTreeMap<NodeId, BTreeSet<NodeId>>,
    passed: &BTreeSet<NodeId>,
) -> Option<(NodeId, Vec<NodeId>)> {
    let read_by = |id: NodeId, reader: NodeId| {
        groups.contains_key(&id)
            && !survey.is_output(id)
            && readers.get(&id).is_some_and(|readers| readers.iter().eq([&reader]))
    };
    let behind_views = |value: Value| {
        let (mut id, mut reader, mut views) = (value.node, group.root, Vec::new());
        while read_by(id, reader) && matches!(survey.graph.node(id).op.meaning, Meaning::View) {
            views.push(id);
            (reader, id) = (id, survey.graph.operands(id)[0].node);
        }
        let is_kernel = matches!(survey.kind(id), Kind::Pointwise(_) | Kind::Reduction(_));
        (is_kernel && read_by(id, reader) && !passed.contains(&id)).then_some((id, views))
    };
    group.captures(survey.graph).into_iter().filter_map(behind_views).max()
}

/// The members of both groups, or why they stay apart, where that is worth a remark.
fn joined(
    survey: &Survey,
    group: &Group,
    other: &Group,
    views: &[NodeId],
) -> Result<BTreeSet<NodeId>, Option<&'static str>> {
    let graph = survey.graph;
    if !matches!(survey.kind(group.root), Kind::Pointwise(_) | Kind::Reduction(_)) {
        return Err(None);
    }
    let members: BTreeSet<NodeId> = group.members.iter().chain(&other.members).chain(views).copied().collect();
    let reductions = members.iter().filter(|&&id| matches!(survey.kind(id), Kind::Reduction(_)));
    let reductions: Vec<NodeId> = reductions.copied().collect();
    if reductions.is_empty() {
        return Err(None);
    }
    if members.len() > MAX_MEMBERS || reductions.len() > MAX_STAGES {
        return Err(Some("the kernel would be too large"));
    }
    if members.iter().any(|&id| survey.is_shared(id)) {
        return Err(Some(APART));
    }
    let rows = Rows::of(graph, Value { node: group.root, result: 0 }, &members).map_err(Some)?;
    judge_repetition(survey, &rows, other).map_err(Some)?;
    if !reductions.iter().all(|&id| reads_once(survey, id)) {
        return Err(Some("it reads its operands many times over"));
    }
    if reductions.iter().any(|&id| graph.operands(id).iter().any(|value| lies_in_words(graph, value.node))) {
        return Err(Some("its numbers lie in words, which a kernel of their own takes whole"));
    }
    judge_length(survey, &rows, &members).map_err(Some)?;
    Ok(members)
}

/// Some operand has as many elements as the reduction has points, so that none of it is read twice.
fn reads_once(survey: &Survey, id: NodeId) -> bool {
    let graph = survey.graph;
    let Kind::Reduction(facts) = survey.kind(id) else { return true };
    let sizes = graph.operands(id).into_iter().map(|value| graph.type_of(value).n_elements());
    sizes.into_iter().any(|size| at_most(survey, &facts.domain, &size))
}

fn at_most(survey: &Survey, a: &Dim, b: &Dim) -> bool {
    a == b || survey.graph.sizes.proves_le(a, b)
}

/// Where no cache holds a row, one that is read anew costs less than storing and loading what lies between, but two do not.
fn judge_length(survey: &Survey, rows: &Rows, members: &BTreeSet<NodeId>) -> Result<(), &'static str> {
    let graph = survey.graph;
    let Some(length) = rows.row_length().as_constant() else { return Ok(()) };
    let points = &rows.n_rows() * &rows.row_length();
    let operands = members.iter().flat_map(|&member| graph.operands(member));
    let is_read_along =
        |value: &Value| !members.contains(&value.node) && at_most(survey, &points, &graph.type_of(*value).n_elements());
    let read_along: BTreeSet<Value> = operands.filter(is_read_along).collect();
    if length > CACHED && read_along.len() > 1 {
        return Err("its rows are too long for the cache");
    }
    match rows.n_rows().as_constant() {
        Some(n_rows) if n_rows < FEW && length > LONG => Err("its rows are too few to be shared out"),
        _ => Ok(()),
    }
}

fn judge_repetition(survey: &Survey, rows: &Rows, other: &Group) -> Result<(), &'static str> {
    let none = BTreeSet::new();
    let visits_of = |id: NodeId| rows.visits.get(&id).unwrap_or(&none);
    let visits = visits_of(other.root);
    let Some(Visit { at: Some(at), is_inner, .. }) = visits.first() else {
        return Err("where it is read is known only at run time");
    };
    if visits.iter().any(|visit| visit.at.as_ref() != Some(at)) {
        return Err("it is read at several places of a row");
    }
    if at.iter().any(divides) {
        return Err("it goes along rows of another shape");
    }
    let points = if *is_inner { &rows.n_rows() * &rows.row_length() } else { rows.n_rows() };
    let elements = survey.graph.node(other.root).types[0].n_elements();
    if !at_most(survey, &points, &elements) {
        return Err("it would be computed many times over");
    }
    let work: u32 = other
        .members
        .iter()
        .map(|&id| match survey.kind(id) {
            Kind::Pointwise(facts) if visits_of(id).iter().any(|visit| visit.is_inner) => {
                facts.arithmetic + facts.casts
            }
            _ => 0,
        })
        .sum();
    let repeated = work * (visits.len() as u32 - 1);
    let is_kept = rows.row_length().as_constant().is_none_or(|length| length <= KEPT);
    match repeated > CHEAP && !is_kept && repeated > REPEATABLE {
        true => Err("its rows are too long to keep, and it costs too much to compute again"),
        false => Ok(()),
    }
}
