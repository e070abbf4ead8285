//! One case through everything: verifier and round trip at each stage, the interpreter after each pass, both backends.
//!
//! Invariant: the first stage that goes wrong is the one that is reported, so a wrong pass is named and not its victims.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tilewright::compiler::codegen::Backend;
use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::graph::{Dim, Graph, Precision, Role, Tensor, interpret::interpret_within};
use tilewright::compiler::passes::{Context, phases, pipeline};
use tilewright::compiler::{driver, ops};
use tilewright::runtime::exec::Session;

use super::compare::{Expected, Tolerance, difference, tolerance};
use super::coverage::Coverage;
use super::{Case, SYMBOLS, Sizes, apart, listed, machine, noise, size_lookup, values};

const N_NOISY: i64 = 3;
const MAX_ELEMENTS: usize = 1 << 22;

#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// `after expand`, `kernels for llvm`, `run on cranelift`, …
    pub stage: String,
    pub message: String,
}

/// What calls at some sizes give.
#[derive(Clone)]
struct Reference {
    sizes: Sizes,
    arguments: Vec<Tensor>,
    calls: Vec<Vec<Expected>>,
}

thread_local! {
    static STAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

fn enter(stage: impl Into<String>) {
    STAGE.with(|current| *current.borrow_mut() = stage.into());
}

/// Panics inside [`check`] are findings: their message is not printed.
pub fn silence_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IS_QUIET.with(Cell::get) {
            before(info);
        }
    }));
}

pub fn check(case: &Case, backends: &[Backend], coverage: &mut Coverage) -> Result<(), Failure> {
    let mut seen = Coverage::default();
    IS_QUIET.with(|quiet| quiet.set(true));
    let outcome = catch_unwind(AssertUnwindSafe(|| check_stages(case, backends, &mut seen)));
    IS_QUIET.with(|quiet| quiet.set(false));
    let message = match outcome {
        Ok(Ok(())) => {
            coverage.merge(seen);
            return Ok(());
        }
        Ok(Err(message)) => message,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            format!("panicked: {}", text.unwrap_or_default())
        }
    };
    Err(Failure { stage: STAGE.with(|stage| stage.borrow().clone()), message })
}

fn check_stages(case: &Case, backends: &[Backend], coverage: &mut Coverage) -> Result<(), String> {
    enter("as generated");
    check_graph(&case.graph)?;
    let references = references(case)?;
    for expected in references.iter().flat_map(|reference| reference.calls.iter().flatten()) {
        match expected.tolerance {
            Tolerance::Skipped => coverage.skipped += 1,
            _ => coverage.compared += 1,
        }
    }
    let apart = taken_apart(case, &references)?;
    check_passes(case, &references, &apart, coverage)?;
    for &backend in backends {
        check_backend(case, &apart, backend)?;
        coverage.count(&case.graph, backend.name());
        *coverage.runs.entry(backend.name()).or_insert(0) += references.len() as u64;
    }
    coverage.graphs += 1;
    coverage.symbolic += u64::from(case.sizes.len() > 1);
    coverage.nodes += case.graph.n_nodes() as u64;
    Ok(())
}

fn check_graph(graph: &Graph) -> Result<(), String> {
    if let Err(violations) = verify(graph) {
        let list: Vec<String> = violations.iter().map(|violation| violation.to_string()).collect();
        return Err(format!("does not verify: {}\n{graph}", list.join("; ")));
    }
    let text = graph.to_string();
    let parsed = parse(&text, Library::of_ops(&|name| ops::find(name)));
    // Large constants print as hashes, which only their owner can resolve.
    match parsed {
        Ok(parsed) if parsed == *graph => Ok(()),
        Ok(parsed) => Err(format!("reads back differently:\n{graph}\n{parsed}")),
        Err(_) if text.contains("blake3:") => Ok(()),
        Err(error) => Err(format!("does not read back: {error}\n{graph}")),
    }
}

/// The results of some calls in a row; each call finds the states that the last one left.
fn run(graph: &Graph, arguments: &[Tensor], sizes: Sizes, n_calls: usize) -> Result<Vec<Vec<Tensor>>, String> {
    run_with(graph, arguments, sizes, n_calls, Precision::Wide)
}

fn run_with(
    graph: &Graph,
    arguments: &[Tensor],
    sizes: Sizes,
    n_calls: usize,
    precision: Precision,
) -> Result<Vec<Vec<Tensor>>, String> {
    let mut arguments = arguments.to_vec();
    let lookup = size_lookup(sizes);
    let mut calls = Vec::new();
    for _ in 0..n_calls {
        let results = interpret_within(graph, &arguments, &lookup, precision, MAX_ELEMENTS);
        let results = results.map_err(|error| error.to_string())?;
        for (output, result) in graph.outputs().iter().zip(&results) {
            let is_it = |argument: &&_| state_name(argument) == Some(&output.name);
            if let Some(at) = graph.arguments().iter().position(|argument| is_it(&argument))
                && output.role == Role::State
            {
                arguments[at] = result.clone();
            }
        }
        calls.push(results);
    }
    Ok(calls)
}

/// The same as `run`, rounded to the declared types after each op.
fn rounded(graph: &Graph, arguments: &[Tensor], sizes: Sizes, n_calls: usize) -> Result<Vec<Vec<Tensor>>, String> {
    let mut context = Context::default();
    context.verify = false;
    let precision = pipeline::find("precision").ok_or("there is no pass `precision`")?;
    let decided = (precision.run)(graph, &context).map_err(|error| error.to_string())?;
    let types = decided.arguments().iter().map(|argument| decided.type_of(argument.value).dtype);
    let arguments: Vec<Tensor> = arguments.iter().zip(types).map(|(value, dtype)| value.cast(dtype)).collect();
    run_with(&decided, &arguments, sizes, n_calls, Precision::Declared)
}

fn state_name(argument: &tilewright::compiler::graph::Argument) -> Option<&String> {
    (argument.role == Role::State).then_some(&argument.name)
}

fn n_calls(graph: &Graph) -> usize {
    1 + usize::from(graph.arguments().iter().any(|argument| argument.role == Role::State))
}

fn references(case: &Case) -> Result<Vec<Reference>, String> {
    let mut context = Context::default();
    context.verify = false;
    let expand = pipeline::find("expand").ok_or("there is no pass `expand`")?;
    let expanded = (expand.run)(&case.graph, &context).map_err(|error| error.to_string())?;
    let mut references = Vec::new();
    for &sizes in &case.sizes {
        let Some(arguments) = values::arguments(case, sizes) else { continue };
        let n_calls = n_calls(&case.graph);
        // A graph grew at its first size; at others it may have no meaning, such as a slice past the end.
        let Ok(exact) = run(&case.graph, &arguments, sizes, n_calls) else { continue };
        let noisy: Result<Vec<_>, _> =
            (0..N_NOISY).map(|seed| run(&noise::noisy(&expanded, seed), &arguments, sizes, n_calls)).collect();
        let base = run(&expanded, &arguments, sizes, n_calls)?;
        let mut noisy = noisy?;
        // What rounding alone does to exact comparisons and to the ends of the range no small noise shows.
        noisy.push(rounded(&expanded, &arguments, sizes, n_calls)?);
        let expect = |call: usize, idx: usize, tensor: Tensor| {
            let others: Vec<&Tensor> = noisy.iter().map(|calls| &calls[call][idx]).collect();
            // The noise is measured on the opened graph alone, so that a wrong `expand` cannot excuse itself.
            let tolerance = tolerance(&base[call][idx], &others);
            Expected { name: case.graph.outputs()[idx].name.clone(), tensor, tolerance }
        };
        let calls = exact.into_iter().enumerate().map(|(call, results)| {
            results.into_iter().enumerate().map(|(idx, tensor)| expect(call, idx, tensor)).collect()
        });
        references.push(Reference { sizes, arguments, calls: calls.collect() });
    }
    Ok(references)
}

/// What is expected after the pass `phases`: the same, but for tensors in which a tap that is infinite or NaN met the zeros
/// of a spread image.
fn taken_apart(case: &Case, references: &[Reference]) -> Result<Vec<Reference>, String> {
    let mut apart = references.to_vec();
    let Some(graph) = apart::of(&case.graph) else { return Ok(apart) };
    let others = self::references(&Case { graph, ..case.clone() })?;
    for reference in &mut apart {
        let other = others.iter().find(|other| other.sizes == reference.sizes).ok_or("a size was lost")?;
        for (expected, other) in reference.calls.iter_mut().flatten().zip(other.calls.iter().flatten()) {
            if difference(expected, &other.tensor).is_some() {
                *expected = other.clone();
            }
        }
    }
    Ok(apart)
}

/// Columns in a panel: few, so that small weights have several.
pub const PANEL: u64 = 4;

fn check_passes(
    case: &Case,
    references: &[Reference],
    apart: &[Reference],
    coverage: &mut Coverage,
) -> Result<(), String> {
    let mut context = Context::default();
    context.verify = false;
    context.panel = Some(&|_, _, _| PANEL);
    let (mut graph, mut references) = (case.graph.clone(), references);
    for pass in pipeline::PIPELINE {
        if pass.name == phases::PASS.name {
            references = apart;
        }
        enter(format!("after {}", pass.name));
        let next = (pass.run)(&graph, &context).map_err(|error| error.to_string())?;
        check_graph(&next)?;
        if next == graph {
            continue;
        }
        coverage.count(&graph, pass.name);
        for reference in references {
            let calls = run(&next, &reference.arguments, reference.sizes, reference.calls.len())?;
            for (expected, found) in reference.calls.iter().zip(&calls) {
                compare(expected, found, reference.sizes)
                    .map_err(|text| format!("{text}\nbefore: {graph}\nafter: {next}"))?;
            }
        }
        graph = next;
    }
    Ok(())
}

fn compare(expected: &[Expected], found: &[Tensor], sizes: Sizes) -> Result<(), String> {
    let differences = expected.iter().zip(found).filter_map(|(expected, found)| difference(expected, found));
    match differences.into_iter().next() {
        Some(text) => Err(format!("{text} ({})", listed(sizes))),
        None => Ok(()),
    }
}

fn check_backend(case: &Case, references: &[Reference], backend: Backend) -> Result<(), String> {
    let name = backend.name();
    let options = machine::options(backend);
    enter(format!("plan for {name}"));
    let entries = driver::lower_graphs(vec![case.graph.clone()], &options).map_err(|error| error.to_string())?.entries;
    let planned = machine::planned(&case.graph, &entries, &options)?;
    let lowered = &entries[0];
    enter(format!("kernels for {name}"));
    planned.kernels.iter().try_for_each(machine::check_kernel)?;
    let loops = driver::lower_kernels(&planned.kernels, &options).map_err(|error| error.to_string())?;
    loops.iter().try_for_each(machine::check_kernel)?;
    enter(format!("code of {name}"));
    let Some(first) = references.first() else { return Ok(()) };
    let arguments = || lowered.arguments().iter().zip(&first.arguments);
    let params = arguments().filter(|(argument, _)| argument.role == Role::Param);
    let params = params.map(|(argument, tensor)| machine::array(tensor, lowered.type_of(argument.value)));
    let params: Vec<_> = params.collect::<Result<_, _>>()?;
    let program = machine::compiled(planned.program, &options)?;
    enter(format!("run on {name}"));
    let entry = &program.entries[0];
    let tells = |dim: &Dim, name: &str| dim.as_symbol().is_some_and(|symbol| symbol.name() == name);
    let is_told = |name: &str| entry.inputs.iter().any(|port| port.shape.iter().any(|dim| tells(dim, name)));
    let untold: Vec<&str> = entry.sizes.iter().map(|size| size.symbol.name()).filter(|name| !is_told(name)).collect();
    let sizes_of = |reference: &Reference| -> Vec<(String, i64)> {
        let all = SYMBOLS.iter().zip(reference.sizes).filter(|(name, _)| untold.contains(name));
        all.map(|(name, size)| (name.to_string(), size)).collect()
    };
    let threads = 1 + (case.seed % 2) as usize;
    let open = |sizes| {
        let params = params.iter().map(|param| param.view().to_tensor().map_err(|error| error.to_string()));
        machine::open(program.clone(), params.collect::<Result<_, _>>()?, threads, sizes)
    };
    let mut session = open(sizes_of(first))?;
    for (idx, reference) in references.iter().enumerate() {
        if idx > 0 && !sizes_of(reference).is_empty() {
            session = open(sizes_of(reference))?;
        }
        check_session(&mut session, lowered, reference)?;
    }
    Ok(())
}

fn check_session(session: &mut Session, graph: &Graph, reference: &Reference) -> Result<(), String> {
    let mut inputs = Vec::new();
    for (argument, tensor) in graph.arguments().iter().zip(&reference.arguments) {
        if argument.role == Role::Data {
            inputs.push((argument.name.as_str(), machine::array(tensor, graph.type_of(argument.value))?));
        }
    }
    for expected in &reference.calls {
        let views: Vec<_> = inputs.iter().map(|(name, array)| (*name, array.view())).collect();
        let found =
            session.run(&graph.name, &views).map_err(|error| format!("{error} ({})", listed(reference.sizes)))?;
        for expected in expected {
            let found = match graph.outputs().iter().find(|output| output.name == expected.name).map(|o| o.role) {
                Some(Role::State) => session
                    .state(&expected.name)
                    .ok()
                    .and_then(|state| state.to_tensor().ok())
                    .map(|a| machine::tensor(&a)),
                _ => found.iter().find(|(name, _)| *name == expected.name).map(|(_, array)| machine::tensor(array)),
            };
            let found = found.ok_or_else(|| format!("`{}` is missing", expected.name))?;
            if let Some(text) = difference(expected, &found) {
                return Err(format!("{text} ({})", listed(reference.sizes)));
            }
        }
    }
    Ok(())
}
