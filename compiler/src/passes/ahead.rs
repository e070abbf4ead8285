//! Multiplies ahead of a scan, for all rounds at once, what no round needs the one before for.
//!
//! ```text
//! scan(c…, x, w) {t, …contract(f(x[t]), w)…}   =>   y = contract(f(x), w)      with all rounds along a new axis
//!                                                   scan(c…, x, w, y) {t, …y[t]…}
//! ```
//! `x` has as many elements along the axis of the rounds as there are rounds; `f` is movement and elementwise work on
//! `x[t]` and on captures; `w` is made of captures. One large product has its weight at hand for many rows, where each
//! round would read it anew. Products that grow more than `GROWTH` times stay inside, for their memory. Each element is
//! the same sum of products as before.

use rustc_hash::FxHashMap;

use super::facts::{Facts, is_elementwise};
use super::hoist::{n_captures, outside};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::{Attrs, Dim, Graph, Meaning, Node, NodeId, OpError, Value};

pub static PASS: Pass =
    Pass { name: "ahead", doc: "Multiplies for all rounds of a scan at once what they do not change.", run };

/// How many times larger than what it is made of a product may be.
const GROWTH: i64 = 16;
/// Products of an element that make it worth taking out.
const FEW: i64 = 4;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let regions: Vec<Graph> = node.regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        match (node.op.name, regions.as_slice()) {
            ("scan", [region]) => scan(&mut rebuild, id, region, context)?,
            _ => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

fn scan(rebuild: &mut Rebuild, id: NodeId, region: &Graph, context: &Context) -> Result<(), PassError> {
    let node = rebuild.old.node(id);
    let mut operands = rebuild.operands(id);
    let n_captures = n_captures(node, operands.len()).unwrap_or(0);
    let rounds = Rounds::of(region, n_captures, node.attrs.dim("trip"));
    let products = rounds.products();
    let inside = region.arguments()[region.arguments().len() - n_captures..].iter();
    let captures = inside.map(|argument| argument.value).zip(operands[operands.len() - n_captures..].iter().copied());
    let mut stacks = Stacks { rounds: &rounds, rebuild, captures: captures.collect(), known: FxHashMap::default() };
    for &product in &products {
        let origin = &region.node(product.node).origin;
        operands.push(stacks.of(product).map_err(PassError::at(PASS.name, origin))?);
        context.remark(PASS.name, origin, "multiplied for all rounds at once, ahead of the scan".to_string());
    }
    let region = with_slices(region, &products, &rounds).map_err(PassError::at(PASS.name, &node.origin))?;
    let region = (dce::PASS.run)(&region, context)?;
    let new = rebuild.new.push(Node { regions: vec![region], ..node.clone() }, &operands);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
    Ok(())
}

/// What the values of a round depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On captures alone.
    Same,
    /// On captures and the number of the round, in a way that can be computed for all rounds at once.
    Each,
}

struct Rounds<'g> {
    region: &'g Graph,
    trip: Dim,
    kinds: FxHashMap<NodeId, Kind>,
}

impl<'g> Rounds<'g> {
    fn of(region: &'g Graph, n_captures: usize, trip: Dim) -> Rounds<'g> {
        let mut rounds = Rounds { region, trip, kinds: FxHashMap::default() };
        let arguments = region.arguments();
        for capture in &arguments[arguments.len() - n_captures..] {
            rounds.kinds.insert(capture.value.node, Kind::Same);
        }
        for id in Rebuild::live(region) {
            if let Some(kind) = rounds.kind(id) {
                rounds.kinds.insert(id, kind);
            }
        }
        rounds
    }

    fn kind(&self, id: NodeId) -> Option<Kind> {
        let node = self.region.node(id);
        if self.is_slice_of_round(id) {
            return Some(Kind::Each);
        }
        let operands = self.region.operands(id);
        let kinds =
            operands.iter().map(|operand| self.kinds.get(&operand.node).copied()).collect::<Option<Vec<_>>>()?;
        let is_plain = matches!(node.op.meaning, Meaning::Structured { .. } | Meaning::View | Meaning::Source);
        match kinds.contains(&Kind::Each) {
            false => is_plain.then_some(Kind::Same),
            true => {
                let moves = ["reshape", "permute", "broadcast", "contract"].contains(&node.op.name);
                (moves || is_elementwise(self.region, id)).then_some(Kind::Each)
            }
        }
    }

    /// `x[t]`, with as many `x` as rounds: none is out of range.
    fn is_slice_of_round(&self, id: NodeId) -> bool {
        let (node, operands) = (self.region.node(id), self.region.operands(id));
        if node.op.name != "slice_at" || operands[1] != self.region.arguments()[0].value {
            return false;
        }
        let shape = &self.region.type_of(operands[0]).shape;
        let is_capture = self.kinds.get(&operands[0].node) == Some(&Kind::Same);
        is_capture && node.attrs.dim("size").is(1) && shape[axis_of(node, shape.len())] == self.trip
    }

    fn is_each(&self, id: NodeId) -> bool {
        self.kinds.get(&id) == Some(&Kind::Each)
    }

    /// Products of which few are summed are elementwise work.
    fn sums(&self, id: NodeId) -> bool {
        let n_elements = self.region.node(id).types[0].n_elements();
        let Some(facts) = Facts::of(self.region, id) else { return false };
        match (facts.domain.as_constant(), n_elements.as_constant()) {
            (Some(products), Some(elements)) => products >= FEW * elements,
            _ => facts.domain != n_elements,
        }
    }

    /// Products of each round that are worth taking out.
    fn products(&self) -> Vec<Value> {
        let size = |value: Value| self.region.type_of(value).n_elements().as_constant();
        let is_worth = |&id: &NodeId| {
            let operands = self.region.operands(id);
            let is_each = |value: &&Value| self.is_each(value.node);
            let made_of: Option<i64> = operands.iter().filter(is_each).map(|&value| size(value)).sum();
            let result = size(Value { node: id, result: 0 });
            // Open sizes are those of a batch: both sides have them.
            let grows = result.zip(made_of).is_some_and(|(result, made_of)| result > made_of.saturating_mul(GROWTH));
            self.is_each(id) && self.region.node(id).op.name == "contract" && self.sums(id) && !grows
        };
        let live = Rebuild::live(self.region);
        live.into_iter().filter(is_worth).map(|node| Value { node, result: 0 }).collect()
    }
}

fn axis_of(node: &Node, rank: usize) -> usize {
    let axis = node.attrs.int("axis");
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).unwrap_or(0).min(rank.saturating_sub(1))
}

/// Values of all rounds, the number of the round along a new first axis.
struct Stacks<'a, 'g> {
    rounds: &'a Rounds<'a>,
    rebuild: &'a mut Rebuild<'g>,
    captures: FxHashMap<Value, Value>,
    known: FxHashMap<Value, Value>,
}

impl Stacks<'_, '_> {
    fn of(&mut self, root: Value) -> Result<Value, OpError> {
        let (rounds, region) = (self.rounds, self.rounds.region);
        let mut needed = vec![root.node];
        for id in region.node_ids().rev() {
            if needed.contains(&id) && rounds.is_each(id) && !rounds.is_slice_of_round(id) {
                needed.extend(region.operands(id).into_iter().map(|operand| operand.node));
            }
        }
        for id in region.node_ids().filter(|id| needed.contains(id) && rounds.is_each(*id)) {
            let value = Value { node: id, result: 0 };
            if !self.known.contains_key(&value) {
                let stack = self.stack(id)?;
                self.known.insert(value, stack);
            }
        }
        Ok(self.known[&root])
    }

    fn apply(&mut self, id: NodeId, name: &str, operands: &[Value], attrs: Attrs) -> Result<Value, OpError> {
        let origin = &self.rounds.region.node(id).origin;
        let node = self.rebuild.new.apply(op(name)?, operands, &attrs, Vec::new(), origin)?;
        Ok(Value { node, result: 0 })
    }

    fn stack(&mut self, id: NodeId) -> Result<Value, OpError> {
        let region = self.rounds.region;
        let (node, operands) = (region.node(id), region.operands(id));
        let shape = self.with_rounds(&node.types[0].shape);
        if self.rounds.is_slice_of_round(id) {
            let whole = self.same(operands[0]);
            let rank = shape.len() - 1;
            let axis = axis_of(node, rank);
            let order: Vec<i64> =
                std::iter::once(axis).chain((0..rank).filter(|&other| other != axis)).map(|axis| axis as i64).collect();
            let first = self.apply(id, "permute", &[whole], Attrs::none().with("axes", order))?;
            return self.apply(id, "reshape", &[first], Attrs::none().with("shape", shape));
        }
        match node.op.name {
            "reshape" => self.apply(id, "reshape", &[self.known[&operands[0]]], Attrs::none().with("shape", shape)),
            "permute" => {
                let axes = node.attrs.ints("axes").into_iter().map(|axis| axis + 1);
                let axes: Vec<i64> = std::iter::once(0).chain(axes).collect();
                self.apply(id, "permute", &[self.known[&operands[0]]], Attrs::none().with("axes", axes))
            }
            "broadcast" => self.broadcast(id, operands[0], shape),
            "contract" => {
                let parts = operands.iter().map(|&operand| self.stack_or_same(operand)).collect::<Vec<_>>();
                let is_each: Vec<bool> = operands.iter().map(|operand| self.rounds.is_each(operand.node)).collect();
                let pattern = with_round(&node.attrs.str("pattern"), &is_each);
                self.apply(id, "contract", &parts, Attrs::none().with("pattern", pattern))
            }
            _ => {
                let mut parts = Vec::new();
                for &operand in &operands {
                    parts.push(match self.rounds.is_each(operand.node) {
                        true => self.known[&operand],
                        false => self.broadcast(id, operand, shape.clone())?,
                    });
                }
                let origin = &node.origin;
                let new = self.rebuild.new.apply(node.op, &parts, &node.attrs, Vec::new(), origin)?;
                Ok(Value { node: new, result: 0 })
            }
        }
    }

    fn with_rounds(&self, shape: &[Dim]) -> Vec<Dim> {
        std::iter::once(&self.rounds.trip).chain(shape).cloned().collect()
    }

    /// A value of a round repeated to a shape with rounds, whatever it depends on.
    fn broadcast(&mut self, id: NodeId, operand: Value, shape: Vec<Dim>) -> Result<Value, OpError> {
        let mut value = self.stack_or_same(operand);
        if self.rounds.is_each(operand.node) {
            let own = self.rounds.region.type_of(operand).shape.clone();
            let ones = vec![Dim::constant(1); shape.len() - 1 - own.len()];
            let spread = self.with_rounds(&[ones, own].concat());
            value = self.apply(id, "reshape", &[value], Attrs::none().with("shape", spread))?;
        }
        self.apply(id, "broadcast", &[value], Attrs::none().with("shape", shape))
    }

    fn stack_or_same(&mut self, operand: Value) -> Value {
        if self.rounds.is_each(operand.node) { self.known[&operand] } else { self.same(operand) }
    }

    /// What is the same in every round, computed outside.
    fn same(&mut self, value: Value) -> Value {
        outside(self.rebuild, self.rounds.region, &[value], &mut self.captures)[0]
    }
}

/// The pattern of a contraction in which these operands, and the result, have a new first axis.
fn with_round(pattern: &str, is_each: &[bool]) -> String {
    let mut round = "t".to_string();
    while pattern.split(|c: char| !c.is_alphanumeric() && c != '_').any(|name| name == round) {
        round.push('t');
    }
    let (operands, result) = pattern.split_once("->").unwrap_or((pattern, ""));
    let operands = operands.split(',').zip(is_each);
    let operands = operands
        .map(|(axes, is_each)| if *is_each { format!("{round} {}", axes.trim()) } else { axes.trim().to_string() });
    format!("{} -> {round} {}", operands.collect::<Vec<_>>().join(", "), result.trim())
}

/// The region that finds these values in new arguments, by the number of the round.
fn with_slices(region: &Graph, products: &[Value], rounds: &Rounds) -> Result<Graph, OpError> {
    let mut rebuild = Rebuild::new(region);
    let index = rebuild.get(region.arguments()[0].value);
    for product in products {
        let (ty, origin) = (region.type_of(*product), &region.node(product.node).origin);
        let stacked: Vec<Dim> = std::iter::once(&rounds.trip).chain(&ty.shape).cloned().collect();
        let stack = rebuild.add_capture(ty.with_shape(stacked));
        let attrs = Attrs::none().with("axis", 0).with("size", Dim::constant(1));
        let row = rebuild.new.apply(op("slice_at")?, &[stack, index], &attrs, Vec::new(), origin)?;
        let attrs = Attrs::none().with("shape", ty.shape.clone());
        let row = Value { node: row, result: 0 };
        let node = rebuild.new.apply(op("reshape")?, &[row], &attrs, Vec::new(), origin)?;
        rebuild.set(product.node, vec![Value { node, result: 0 }]);
    }
    for id in Rebuild::live(region).into_iter().filter(|id| products.iter().all(|product| product.node != *id)) {
        rebuild.keep(id);
    }
    Ok(rebuild.finish())
}
