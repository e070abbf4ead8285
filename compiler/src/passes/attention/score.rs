//! The scores of attention: one sum of products over queries and keys, and whatever is computed from it element by
//! element.
//!
//! | a node before the scores | joins |
//! |---|---|
//! | element by element, of as many elements as the scores | always; if others use it too, they have their own copy |
//! | movement, positions, numbers, cheap work | always |
//! | the first sum of products of that many elements | if nothing else uses it |
//! | movement of the factor that has the rows | always |
//! | anything else | never: it is computed before |

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::reads::Reads;
use crate::graph::{Dim, Meaning, NodeId, Value};
use crate::passes::facts::{Facts, only_splits};
use crate::passes::fuse::CHEAP;
use crate::passes::panels::{Factor, factors};

/// A score of more ops than this would not stay in registers.
const MAX_MEMBERS: usize = 48;

pub struct Scores {
    pub members: BTreeSet<NodeId>,
    pub product: NodeId,
    /// The operand of the product that has the keys.
    pub keys: usize,
}

pub fn find(reads: &Reads, scores: Value) -> Result<Scores, &'static str> {
    let n_elements = reads.graph.type_of(scores).n_elements();
    let mut search = Search { reads, n_elements, members: BTreeSet::new(), product: None };
    let mut candidates = BTreeMap::from([(scores.node, false)]);
    while let Some((id, is_factor)) = candidates.pop_last() {
        if search.members.len() >= MAX_MEMBERS {
            return Err("its scores take too many ops");
        }
        if search.joins(id, is_factor) {
            search.members.insert(id);
            for (operand, value) in reads.graph.operands(id).into_iter().enumerate() {
                match search.product {
                    Some((product, keys)) if product == id => {
                        if operand != keys {
                            candidates.entry(value.node).or_insert(true);
                        }
                    }
                    _ => {
                        let entry = candidates.entry(value.node).or_insert(is_factor);
                        *entry &= is_factor;
                    }
                }
            }
        }
    }
    let (product, keys) = search.product.ok_or("its scores are no sum of products")?;
    Ok(Scores { members: search.members, product, keys })
}

struct Search<'a> {
    reads: &'a Reads<'a>,
    n_elements: Dim,
    members: BTreeSet<NodeId>,
    product: Option<(NodeId, usize)>,
}

impl Search<'_> {
    fn joins(&mut self, id: NodeId, is_factor: bool) -> bool {
        let graph = self.reads.graph;
        let node = graph.node(id);
        let is_full = node.types[0].n_elements() == self.n_elements;
        match node.op.meaning {
            Meaning::View => only_splits(&graph.type_of(graph.operands(id)[0]).shape, &node.types[0].shape),
            Meaning::Source => node.attrs.iter().next().is_some() && node.types[0].n_elements().is(1),
            _ => match Facts::of(graph, id) {
                Some(facts) if facts.reduces => !is_factor && is_full && self.take_product(id),
                Some(facts) if is_factor => {
                    facts.arithmetic + facts.casts == 0 && facts.reads.iter().all(|read| read.is_plain)
                }
                Some(facts) => is_full || facts.arithmetic + facts.casts <= CHEAP,
                None => false,
            },
        }
    }

    fn take_product(&mut self, id: NodeId) -> bool {
        let value = Value { node: id, result: 0 };
        let Some(nest) = self.reads.nest(value).filter(|_| self.product.is_none()) else { return false };
        let keys = factors(&nest).and_then(|factors| column_factor(&factors, nest.n_parallel.checked_sub(1)?));
        if let Some(keys) = keys {
            self.product = Some((id, keys));
        }
        keys.is_some()
    }
}

/// The operand that alone has this axis of the nest.
pub fn column_factor([a, b]: &[Factor<'_>; 2], column: usize) -> Option<usize> {
    match (a.mentions(column), b.mentions(column)) {
        (true, false) if a.operand != b.operand => Some(a.operand),
        (false, true) if a.operand != b.operand => Some(b.operand),
        _ => None,
    }
}
