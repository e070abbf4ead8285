//! From a draft to the entry of a program: values that are still used get their final numbers, lifetimes and sizes.
//!
//! Invariant: a value's number is larger than that of the value it is an alias of.

use std::collections::BTreeSet;

use tilewright_runtime::program::{
    self, Bound, Check, Entry, Relation, ScalarDecl, SizeDecl, Storage, Symbol, ValueDecl, ValueId,
};

use super::draft::{Action, Draft, Launch, Step};
use super::grain::grain;
use super::kernels::Kernels;
use super::ports::Ports;
use super::uses::Uses;
use crate::graph::{Argument, Check as Asserted, Dim, Graph};
use crate::seeded::{Fault, is};

pub fn entry(draft: Draft, graph: &Graph, ports: Ports, kernels: &mut Kernels) -> Entry {
    let numbers = Numbers::of(&draft);
    let uses = Uses::of(&draft);
    let values = numbers.order.iter().map(|&old| {
        let slot = draft.slot(old);
        let storage = match slot.storage {
            Storage::Alias(of) => Storage::Alias(numbers.new(of)),
            storage => storage,
        };
        let lifetime = match storage {
            Storage::Arena => uses.lifetime(old).map_or((0, 0), |(first, last)| {
                let last = if is(Fault::LifetimeTooShort) { last.saturating_sub(1).max(first) } else { last };
                (first as u32, last as u32)
            }),
            _ => (0, 0),
        };
        ValueDecl { dtype: slot.ty.dtype, shape: slot.ty.shape.clone(), storage, lifetime }
    });
    let values: Vec<ValueDecl> = values.collect();
    let mut labels = Vec::new();
    let steps = draft.steps.iter().map(|step| finish_step(step, &numbers, kernels, &mut labels)).collect();
    let mut entry = Entry {
        name: graph.name.clone(),
        graph: graph.to_string(),
        sizes: Vec::new(),
        names: Vec::new(),
        scalars: scalars(graph, &ports),
        checks: checks(graph),
        inputs: ports.inputs,
        outputs: ports.outputs,
        values,
        steps,
        labels,
    };
    entry.sizes = sizes(graph, &entry);
    entry
}

/// Old numbers of the values that steps use, in their new order, and the way back.
struct Numbers {
    order: Vec<ValueId>,
    by_old: Vec<Option<ValueId>>,
}

impl Numbers {
    fn of(draft: &Draft) -> Numbers {
        let mut used = BTreeSet::new();
        draft.steps.iter().for_each(|step| collect(step, &mut used));
        let mut depths: Vec<(usize, ValueId)> = Vec::new();
        let mut seen = BTreeSet::new();
        for &id in &used {
            let mut chain = vec![id];
            while let Storage::Alias(of) = draft.slot(chain[chain.len() - 1]).storage {
                chain.push(of);
            }
            for (idx, &id) in chain.iter().enumerate() {
                if seen.insert(id) {
                    depths.push((chain.len() - 1 - idx, id));
                }
            }
        }
        depths.sort_unstable();
        let order: Vec<ValueId> = depths.into_iter().map(|(_, id)| id).collect();
        let mut by_old = vec![None; draft.values.len()];
        for (new, old) in order.iter().enumerate() {
            by_old[old.0 as usize] = Some(ValueId(new as u32));
        }
        Numbers { order, by_old }
    }

    fn new(&self, old: ValueId) -> ValueId {
        self.by_old[old.0 as usize].expect("every value that a step uses is numbered")
    }

    fn bound(&self, bound: &Bound) -> Bound {
        match bound {
            Bound::Size(dim) => Bound::Size(dim.clone()),
            Bound::Value(id) => Bound::Value(self.new(*id)),
        }
    }
}

fn collect(step: &Step, used: &mut BTreeSet<ValueId>) {
    let bound = |bound: &Bound, used: &mut BTreeSet<ValueId>| {
        if let Bound::Value(id) = bound {
            used.insert(*id);
        }
    };
    match &step.action {
        Action::Launch(launch) => used.extend(&launch.args),
        Action::Copy { from, to } => used.extend([from, to]),
        Action::CopySlice { from, to, at, .. } => used.extend([from, to, at]),
        Action::Repeat { counter, from, to, .. } => {
            used.insert(*counter);
            bound(from, used);
            bound(to, used);
        }
        Action::While { at_most, cond, .. } => {
            used.insert(*cond);
            at_most.iter().for_each(|at_most| bound(at_most, used));
        }
        Action::Cond { cond, .. } => _ = used.insert(*cond),
    }
    step.action.blocks().into_iter().flatten().for_each(|step| collect(step, used));
}

fn finish_step(step: &Step, numbers: &Numbers, kernels: &mut Kernels, labels: &mut Vec<String>) -> program::Step {
    labels.push(step.label.clone());
    let mut block = |steps: &[Step]| -> Vec<program::Step> {
        steps.iter().map(|step| finish_step(step, numbers, kernels, labels)).collect()
    };
    match &step.action {
        Action::Repeat { counter, from, to, body } => program::Step::Repeat {
            counter: numbers.new(*counter),
            from: numbers.bound(from),
            to: numbers.bound(to),
            body: block(body),
        },
        Action::While { at_most, cond, test, body } => program::Step::While {
            at_most: at_most.as_ref().map(|bound| numbers.bound(bound)),
            cond: numbers.new(*cond),
            test: block(test),
            body: block(body),
        },
        Action::Cond { cond, then, otherwise } => {
            program::Step::Cond { cond: numbers.new(*cond), then: block(then), otherwise: block(otherwise) }
        }
        Action::Copy { from, to } => program::Step::Copy { from: numbers.new(*from), to: numbers.new(*to) },
        Action::CopySlice { from, to, at, direction } => program::Step::CopySlice {
            from: numbers.new(*from),
            to: numbers.new(*to),
            at: numbers.new(*at),
            direction: *direction,
        },
        Action::Launch(launch) => finish_launch(launch, numbers, kernels),
    }
}

fn finish_launch(launch: &Launch, numbers: &Numbers, kernels: &mut Kernels) -> program::Step {
    let kernel = &launch.kernel;
    program::Step::Launch {
        kernel: kernels.number(kernel),
        args: launch.args.iter().map(|&id| numbers.new(id)).collect(),
        sizes: kernel.sizes.iter().map(|size| Dim::from(&size.symbol)).collect(),
        grid: kernel.n_items(),
        grain: grain(kernel),
    }
}

/// The scalar inputs that the graph's assertions speak of.
fn scalars(graph: &Graph, ports: &Ports) -> Vec<ScalarDecl> {
    let declare = |scalar: &Argument| {
        let symbol = Symbol::new(&scalar.name);
        let spoken_of = graph.checks.iter().any(|check| check.not_negative.mentions(&symbol));
        let input = ports.inputs.iter().position(|port| port.name == scalar.name).filter(|_| spoken_of)?;
        Some(ScalarDecl { symbol, input: input as u32 })
    };
    graph.scalars().filter_map(declare).collect()
}

/// The graph's assertions, and the bounds of sizes that depend on other sizes.
fn checks(graph: &Graph) -> Vec<Check> {
    let at_most = |left: Dim, right: Dim, message: String| Check { left, relation: Relation::AtMost, right, message };
    let asserted = |check: &Asserted| {
        // `2*B <= M` says more than `0 <= M - 2*B` to whom it fails.
        let (taken, given) = sides(&check.not_negative);
        at_most(taken, given, check.message.clone())
    };
    let mut checks: Vec<Check> = graph.checks.iter().map(asserted).collect();
    for range in graph.sizes.iter() {
        let symbol = Dim::from(&range.symbol);
        if range.low.as_constant().is_none() {
            let message = format!("{} <= {symbol}", range.low);
            checks.push(at_most(range.low.clone(), symbol.clone(), message));
        }
        if let Some(high) = range.high.as_ref().filter(|high| high.as_constant().is_none()) {
            checks.push(at_most(symbol.clone(), high.clone(), format!("{symbol} <= {high}")));
        }
    }
    checks
}

/// What is taken away in a size, and what it is taken from.
fn sides(size: &Dim) -> (Dim, Dim) {
    let terms = size.terms().map(|(monomial, coefficient)| (monomial.clone(), coefficient));
    let (taken, given): (Vec<_>, Vec<_>) = terms.partition(|(_, coefficient)| *coefficient < 0);
    (-&Dim::from_terms(taken), Dim::from_terms(given))
}

/// The sizes that the entry speaks of, in order of declaration; undeclared ones last.
fn sizes(graph: &Graph, entry: &Entry) -> Vec<SizeDecl> {
    let mut spoken: BTreeSet<Symbol> = BTreeSet::new();
    let mut note = |dim: &Dim| dim.for_each_symbol(&mut |symbol| _ = spoken.insert(symbol.clone()));
    entry.values.iter().flat_map(|value| &value.shape).for_each(&mut note);
    entry.inputs.iter().chain(&entry.outputs).flat_map(|port| &port.shape).for_each(&mut note);
    entry.checks.iter().flat_map(|check| [&check.left, &check.right]).for_each(&mut note);
    entry.steps.iter().for_each(|step| sizes_of_step(step, &mut note));
    spoken.retain(|symbol| entry.scalars.iter().all(|scalar| scalar.symbol != *symbol));
    let declared: Vec<Symbol> = graph.sizes.iter().map(|range| range.symbol.clone()).collect();
    let (mut order, rest): (Vec<Symbol>, Vec<Symbol>) =
        spoken.into_iter().partition(|symbol| declared.contains(symbol));
    order.sort_by_key(|symbol| declared.iter().position(|other| other == symbol));
    order.extend(rest);
    let decl = |symbol: Symbol| {
        let dim = Dim::from(&symbol);
        let lo = graph.sizes.lower_bound(&dim).unwrap_or(0).max(0);
        let hi = graph.sizes.get(&symbol).and_then(|range| range.high.as_ref()).and_then(Dim::as_constant);
        SizeDecl { symbol, lo, hi }
    };
    order.into_iter().map(decl).collect()
}

fn sizes_of_step(step: &program::Step, note: &mut dyn FnMut(&Dim)) {
    match step {
        program::Step::Launch { sizes, grid, grain, .. } => sizes.iter().chain([grid, grain]).for_each(&mut *note),
        program::Step::Repeat { from, to, .. } => [from, to].into_iter().for_each(|bound| size_of_bound(bound, note)),
        program::Step::While { at_most, .. } => at_most.iter().for_each(|bound| size_of_bound(bound, note)),
        _ => {}
    }
    step.blocks().into_iter().flatten().for_each(|step| sizes_of_step(step, note));
}

fn size_of_bound(bound: &Bound, note: &mut dyn FnMut(&Dim)) {
    if let Bound::Size(dim) = bound {
        note(dim);
    }
}
