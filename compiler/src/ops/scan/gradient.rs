//! The gradient of a scan: a scan through the same steps, from the last to the first.
//!
//! ```text
//! (c', o) = body(t, c, k)    =>    (dc, dk) = (dc, dk) + body's pull back of (dc', do[t]) at (t, c[t], k), t = T-1 … 0
//! ```
//! Invariant: the steps are computed again from the carries that entered them, which a keeping scan puts out; draws depend
//! on the index, so they come out the same. A weight's cotangent that is a product in every step is one contraction over
//! all steps, after the scan.

use super::OP;
use crate::graph::{Attrs, Builder, Call, Cotangents, DType, Dim, Graph, OpError, Pull, Type, Value};
use crate::ops::reverse::{Activity, given, or_zeros, pull_back};
use crate::ops::{contract, elementwise, fill, pattern, region, scatter, slice_at, update};

/// The scan with every carry among its outputs.
pub fn keep(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    keeping(b, call.attrs.clone(), operands, call.regions[0].clone())
}

/// A scan that puts out each carry as it enters a step, unless it does already.
pub fn keeping(b: &mut Builder, attrs: Attrs, operands: &[Value], body: Graph) -> Result<Vec<Value>, OpError> {
    let n_carries = attrs.int("carries") as usize;
    let mut body = body;
    for idx in 0..n_carries {
        let carry = body.arguments()[1 + idx].value;
        if kept(&body, n_carries, idx).is_none() {
            let name = format!("r{}", body.outputs().len());
            body.add_output(name, crate::graph::Role::Data, carry);
        }
    }
    b.apply_with(&OP, operands, attrs, vec![body])
}

/// The output that is the carry as it entered the step.
fn kept(body: &Graph, n_carries: usize, idx: usize) -> Option<usize> {
    let carry = body.arguments()[1 + idx].value;
    (n_carries..body.outputs().len()).find(|&output| body.outputs()[output].value == carry)
}

/// What a reverse scan is made of: operands by what they are for.
struct Reverse<'a> {
    pull: &'a Pull<'a>,
    body: &'a Graph,
    n_carries: usize,
    trip: Dim,
    /// By operand: whether a cotangent of it is carried back through the steps.
    active: Vec<bool>,
    /// The carries at each step, by carry.
    stacks: Vec<Value>,
    /// Outputs with a cotangent, and the cotangent.
    outputs: Vec<(usize, Value)>,
}

pub fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (body, n_carries) = (&pull.call.regions[0], pull.call.attrs.int("carries") as usize);
    let stacks: Option<Vec<Value>> =
        (0..n_carries).map(|idx| kept(body, n_carries, idx).map(|output| pull.results[output])).collect();
    let Some(stacks) = stacks else { return crate::ops::reverse::through(b, pull, keep) };
    let trip = pull.call.attrs.dim("trip");
    if trip.is(0) {
        let carried = |idx: usize| if idx < n_carries { pull.cotangents[idx] } else { None };
        return Ok((0..pull.operands.len()).map(carried).collect());
    }
    let active = active(body, n_carries, pull.wanted);
    let outputs = given(b.graph, pull).into_iter().filter(|(output, _)| *output >= n_carries).collect();
    Reverse { pull, body, n_carries, trip, active, stacks, outputs }.run(b)
}

/// The operands through which the wanted ones act, from step to step.
fn active(body: &Graph, n_carries: usize, wanted: &[bool]) -> Vec<bool> {
    let mut active = wanted.to_vec();
    loop {
        let chosen = body.arguments()[1..].iter().zip(&active).filter(|(_, active)| **active);
        let inputs: Vec<Value> = chosen.map(|(argument, _)| argument.value).collect();
        let activity = Activity::of(body, 0, &inputs);
        let grown = |idx: &usize| !active[*idx] && activity.reaches(body, body.outputs()[*idx].value);
        match (0..n_carries).find(grown) {
            Some(idx) => active[idx] = true,
            None => return active,
        }
    }
}

/// The cotangent of a captured value: a sum over the steps. Some terms are products, which are made after the scan; some
/// are pieces among zeros, which are added in their place.
struct Sum {
    operand: usize,
    /// The rest, as a value of the step.
    whole: Option<Value>,
    /// Values of the step that wrote into zeros.
    pieces: Vec<Value>,
    /// Products of two values of the step, by pattern.
    products: Vec<(Value, Value, String)>,
}

impl Sum {
    /// Whether something is added up from step to step.
    fn is_carried(&self) -> bool {
        self.whole.is_some() || !self.pieces.is_empty()
    }
}

impl Reverse<'_> {
    fn run(&self, b: &mut Builder) -> Cotangents {
        let operands = self.pull.operands;
        let types = |b: &Builder, values: &[Value]| values.iter().map(|v| b.type_of(*v).clone()).collect::<Vec<Type>>();
        let back: Vec<usize> = (0..self.n_carries).filter(|idx| self.active[*idx]).collect();
        let sums_of: Vec<usize> = (self.n_carries..operands.len()).filter(|idx| self.active[*idx]).collect();
        let seeds: Vec<Value> = self.outputs.iter().map(|(_, g)| *g).collect();
        let outer = [&operands[self.n_carries..], &self.stacks, &seeds].concat();
        let carried: Vec<Value> = back.iter().chain(&sums_of).map(|&idx| operands[idx]).collect();
        let all = [&[Type::scalar(DType::I64)], &types(b, &carried)[..], &types(b, &outer)].concat();
        let mut region = region::with_arguments(b.graph, "back", &all);
        let arguments: Vec<Value> = region.arguments().iter().map(|argument| argument.value).collect();
        let (back_in, rest) = arguments[1..].split_at(back.len());
        let (sums_in, outer_in) = rest.split_at(sums_of.len());
        let mut inner = Builder::new(&mut region, b.origin.clone());
        let (mut results, sums) = self.step(&mut inner, arguments[0], back_in, outer_in, &back, &sums_of)?;
        for (sum, old) in sums.iter().zip(sums_in).filter(|(sum, _)| sum.is_carried()) {
            results.push(added(&mut inner, sum, *old)?);
        }
        let n_carried = results.len();
        for value in sums.iter().flat_map(|sum| &sum.products).flat_map(|(left, right, _)| [*left, *right]) {
            if !results[n_carried..].contains(&value) {
                results.push(value);
            }
        }
        region::set_outputs(&mut region, &results);
        let (region, stays) = region::pruned(&region, 1 + back.len());
        let mut given = Vec::new();
        for &idx in &back {
            given.push(self.pull.cotangents[idx].map_or_else(|| b.number(0.0, operands[idx]), Ok)?);
        }
        for sum in sums.iter().filter(|sum| sum.is_carried()) {
            given.push(b.number(0.0, operands[sum.operand])?);
        }
        given.extend(
            outer.iter().zip(&stays[1 + carried.len()..]).filter(|(_, stays)| **stays).map(|(value, _)| *value),
        );
        let attrs = Attrs::none().with("carries", n_carried as i64).with("trip", self.trip.clone());
        let found = b.apply_with(&OP, &given, attrs, vec![region])?;
        let mut cotangents = vec![None; operands.len()];
        back.iter().zip(&found).for_each(|(&idx, found)| cotangents[idx] = Some(*found));
        let mut carried = found[back.len()..n_carried].iter().copied();
        let stack =
            |value: &Value| found[n_carried + results[n_carried..].iter().position(|v| v == value).unwrap_or(0)];
        for sum in &sums {
            let carried = if sum.is_carried() { carried.next() } else { None };
            cotangents[sum.operand] = after_all(b, sum, carried, stack)?;
        }
        Ok(cotangents)
    }

    /// One step back: the cotangents of what is carried, and those of what is captured.
    fn step(
        &self,
        b: &mut Builder,
        index: Value,
        back_in: &[Value],
        outer: &[Value],
        back: &[usize],
        sums_of: &[usize],
    ) -> Result<(Vec<Value>, Vec<Sum>), OpError> {
        let (captured, rest) = outer.split_at(self.pull.operands.len() - self.n_carries);
        let (stacks, seeds) = rest.split_at(self.n_carries);
        let last = b.size_like(&(&self.trip - 1), index)?;
        let step = b.sub(last, index)?;
        let carries = stacks.iter().map(|stack| element(b, *stack, step)).collect::<Result<Vec<_>, _>>()?;
        let seeds = seeds.iter().map(|stack| element(b, *stack, step)).collect::<Result<Vec<_>, _>>()?;
        let since = b.graph.n_nodes();
        let results = region::inline_kept(b, self.body, &[&[step], &carries[..], captured].concat())?;
        let of_carries = back.iter().zip(back_in).map(|(&idx, g)| (results[idx], *g));
        let of_outputs = self.outputs.iter().zip(&seeds).map(|((idx, _), g)| (results[*idx], *g));
        let given: Vec<(Value, Value)> = of_carries.chain(of_outputs).collect();
        let inside = |&idx: &usize| if idx < self.n_carries { carries[idx] } else { captured[idx - self.n_carries] };
        let inputs: Vec<Value> = back.iter().chain(sums_of).map(inside).collect();
        let found = pull_back(b, since, &given, &inputs)?;
        let (of_back, of_sums) = found.split_at(back.len());
        let carried = or_zeros(b, of_back, &inputs[..back.len()])?;
        let sums = sums_of.iter().zip(of_sums).map(|(&operand, found)| sorted(b, operand, *found));
        Ok((carried, sums.collect::<Result<_, _>>()?))
    }
}

/// Sorts the terms of a step's cotangent.
fn sorted(b: &mut Builder, operand: usize, cotangent: Option<Value>) -> Result<Sum, OpError> {
    let mut sum = Sum { operand, whole: None, pieces: Vec::new(), products: Vec::new() };
    let mut terms: Vec<Value> = cotangent.into_iter().collect();
    while let Some(term) = terms.pop() {
        let node = b.graph.node(term.node);
        let operands = b.graph.operands(term.node);
        if std::ptr::eq(node.op, &elementwise::ADD) {
            terms.extend(operands);
        } else if std::ptr::eq(node.op, &contract::OP) {
            sum.products.push((operands[0], operands[1], node.attrs.str("pattern")));
        } else if writes_into_zeros(b.graph, term) {
            sum.pieces.push(term);
        } else {
            sum.whole = Some(match sum.whole {
                Some(known) => b.add(known, term)?,
                None => term,
            });
        }
    }
    Ok(sum)
}

fn writes_into_zeros(graph: &Graph, value: Value) -> bool {
    let node = graph.node(value.node);
    let adds = std::ptr::eq(node.op, &scatter::OP) && node.attrs.str("combine") == "add";
    let base = graph.operands(value.node).first().map(|base| graph.node(base.node));
    let zeros = base.is_some_and(|base| std::ptr::eq(base.op, &fill::OP) && base.attrs.float("value") == 0.0);
    zeros && (adds || std::ptr::eq(node.op, &update::OP))
}

/// What a step leaves of a sum.
fn added(b: &mut Builder, sum: &Sum, old: Value) -> Result<Value, OpError> {
    let mut total = match sum.whole {
        Some(value) => b.add(old, value)?,
        None => old,
    };
    for piece in &sum.pieces {
        let node = b.graph.node(piece.node).clone();
        let mut operands = b.graph.operands(piece.node);
        if std::ptr::eq(node.op, &update::OP) {
            let (axis, size) = (node.attrs.int("axis"), b.shape_of(operands[1]));
            let along = usize::try_from(axis.rem_euclid(size.len().max(1) as i64)).unwrap_or(0);
            let attrs = Attrs::none().with("axis", axis).with("size", size[along].clone());
            let there = b.apply(&slice_at::OP, &[total, operands[2]], attrs)?;
            operands[1] = b.add(there, operands[1])?;
        }
        operands[0] = total;
        total = b.apply(node.op, &operands, node.attrs)?;
    }
    Ok(total)
}

/// The whole cotangent: what was added up, and one contraction over all steps for each product.
fn after_all(
    b: &mut Builder,
    sum: &Sum,
    carried: Option<Value>,
    stack: impl Fn(&Value) -> Value,
) -> Result<Option<Value>, OpError> {
    let mut total = carried;
    for (left, right, text) in &sum.products {
        let pattern = pattern::parse(text)?;
        let mut step = "step".to_string();
        while pattern.operands.iter().flatten().any(|item| item.kind == pattern::Kind::Name(step.clone())) {
            step.push('_');
        }
        let (operands, result) = text.split_once("->").unwrap_or((text, ""));
        let (a, c) = operands.split_once(',').unwrap_or((operands, ""));
        let text = format!("{step} {}, {step} {} -> {}", a.trim(), c.trim(), result.trim());
        let attrs = Attrs::none().with("pattern", text);
        let product = b.apply(&contract::OP, &[stack(left), stack(right)], attrs)?;
        total = Some(match total {
            Some(known) => b.add(known, product)?,
            None => product,
        });
    }
    Ok(total)
}

/// What a stack holds for one step.
fn element(b: &mut Builder, stack: Value, step: Value) -> Result<Value, OpError> {
    let shape = b.shape_of(stack);
    let attrs = Attrs::none().with("axis", 0i64).with("size", Dim::constant(1));
    let piece = b.apply(&slice_at::OP, &[stack, step], attrs)?;
    b.reshape(piece, &shape[1..])
}
