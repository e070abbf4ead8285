//! The stages one by one, for the driver and for everyone who wants to look between them.

use tilewright_runtime::threads::on_threads;

use super::machine::machine;
use super::{CompileError, Options, initial_states};
use crate::graph::{DType, Dim, Graph, Member, Model, Output, Type};
use crate::kernel::lower::lower;
use crate::kernel::{Kernel, verify};
use crate::passes::pipeline::{self, PIPELINE};
use crate::passes::{Context, prepare, run_pipeline};
use crate::plan::{Interface, Planned, State, plan};
use crate::schedule::schedule;

/// Entries after all passes.
pub struct Lowered {
    /// Those that were asked for; then the one that prepares weights and the one that makes initial states, where there is
    /// something to prepare or to make.
    pub entries: Vec<Graph>,
    pub remarks: Vec<String>,
}

/// Runs the passes over the entries that the options name.
pub fn lower_entries(model: &Model, options: &Options) -> Result<Lowered, CompileError> {
    let mut chosen: Vec<&Graph> = Vec::new();
    for name in &options.entries {
        let entry = model.entry(name).ok_or_else(|| CompileError::unknown_entry(model, name))?;
        if !chosen.iter().any(|other| other.name == entry.name) {
            chosen.push(entry);
        }
    }
    if options.entries.is_empty() {
        chosen = model.entries.iter().collect();
    }
    let chosen: Vec<Graph> = chosen.into_iter().cloned().collect();
    let mut lowered = lower_graphs(chosen, options)?;
    if let Some(initial) = initial_states(model) {
        let (graph, remarks) = lower_graph(&initial, options)?;
        lowered.entries.push(graph);
        lowered.remarks.extend(remarks);
    }
    Ok(lowered)
}

/// Runs the passes over entries that share their weights, and splits off what is prepared of them.
pub fn lower_graphs(entries: Vec<Graph>, options: &Options) -> Result<Lowered, CompileError> {
    lower_watched(entries, options, None)
}

/// The same; `watch` sees each graph after each pass.
pub fn lower_watched(
    entries: Vec<Graph>,
    options: &Options,
    watch: Option<&dyn Fn(&'static str, &Graph)>,
) -> Result<Lowered, CompileError> {
    let machine = machine(options.backend, &options.target, options.n_threads());
    let panel = |columns: &Dim, dtype: DType, rows: Option<i64>| machine.panel_width(columns, dtype, rows);
    let mut context = Context::default();
    (context.verify, context.float) = (options.verify, options.float);
    context.panel = Some(&panel);
    context.f16_pairs = machine.mma;
    context.matrices = machine.matrices;
    context.masks = machine.masks && !machine.is_block();
    context.threads = machine.threads;
    context.narrowing = options.narrowing;
    context.narrow_products = options.narrow_products();
    // GPUs have other limits than those that the pass weighs.
    context.exact = options.exact || options.backend.is_for_gpus();
    context.staged = options.backend.is_for_gpus();
    context.wide_sums = !options.backend.is_for_gpus();
    context.calibration = options.calibration.clone();
    context.dump = watch;
    let (whole, grouping) = pipeline::parts();
    let entries = entries.iter().map(|graph| run_pipeline(graph, whole, &context)).collect::<Result<Vec<_>, _>>()?;
    let split = prepare::split(entries, &context)?;
    let grouped = split.entries.iter().chain(&split.prepared).map(|graph| run_pipeline(graph, grouping, &context));
    let entries = grouped.collect::<Result<_, _>>()?;
    let remarks = context.take_remarks().iter().map(|remark| remark.to_string()).collect();
    Ok(Lowered { entries, remarks })
}

/// Runs the passes over one graph, whose weights stay as they are.
fn lower_graph(graph: &Graph, options: &Options) -> Result<(Graph, Vec<String>), CompileError> {
    let mut context = Context::default();
    (context.verify, context.float) = (options.verify, options.float);
    let lowered = run_pipeline(graph, PIPELINE, &context)?;
    let remarks = context.take_remarks().iter().map(|remark| remark.to_string()).collect();
    Ok((lowered, remarks))
}

/// What the other entries may take as params: the outputs of the entry that prepares them, and its number.
pub fn prepared_values(entries: &[Graph]) -> Option<(usize, Vec<(String, Type)>)> {
    let number = entries.iter().position(|entry| entry.name == prepare::ENTRY)?;
    let entry = &entries[number];
    let value = |output: &Output| (output.name.clone(), entry.type_of(output.value).clone());
    Some((number, entry.outputs().iter().map(value).collect()))
}

/// Kernels, steps and memory for lowered entries.
pub fn plan_entries(model: &Model, lowered: &Lowered, options: &Options) -> Result<Planned, CompileError> {
    let decided = |ty: &Type| if ty.dtype == DType::Real { ty.with_dtype(options.float) } else { ty.clone() };
    let initial = lowered.entries.iter().position(|entry| entry.name == super::initial::STATES);
    let output = |member: &Member| {
        let entry = initial?;
        let outputs = lowered.entries[entry].outputs();
        Some((entry, outputs.iter().position(|output| output.name == member.path)?))
    };
    let state = |member: &Member| State { name: member.path.clone(), ty: decided(&member.ty), initial: output(member) };
    let interface = Interface {
        name: model.name.clone(),
        params: model.params.iter().map(|member| (member.path.clone(), decided(&member.ty))).collect(),
        prepared: prepared_values(&lowered.entries),
        states: model.states.iter().map(state).collect(),
    };
    plan_graphs(&interface, &lowered.entries, options)
}

/// The same for graphs that belong to no model.
pub fn plan_graphs(interface: &Interface, entries: &[Graph], options: &Options) -> Result<Planned, CompileError> {
    let machine = machine(options.backend, &options.target, options.n_threads());
    let scheduler = |graph: &Graph, id| schedule(graph, id, &machine).map_err(|error| error.to_string());
    Ok(plan(interface, entries, &scheduler)?)
}

/// Tile kernels become loop kernels, on several threads.
pub fn lower_kernels(kernels: &[Kernel], options: &Options) -> Result<Vec<Kernel>, CompileError> {
    let desc = options.target.desc(options.backend);
    let lower_one = |kernel: &Kernel| {
        let lowered = lower(kernel, &desc).map_err(|errors| malformed(kernel, &errors, "does not verify"))?;
        if options.verify {
            verify(&lowered).map_err(|errors| malformed(&lowered, &errors, "does not verify once lowered"))?;
        }
        Ok(lowered)
    };
    on_threads(options.n_threads(), kernels.len(), |idx| lower_one(&kernels[idx]))
}

fn malformed(kernel: &Kernel, errors: &[crate::kernel::VerifyError], what: &str) -> CompileError {
    let problems: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    let message = format!("kernel `{}` {what}: {}", kernel.name, problems.join("; "));
    CompileError::Kernel { message, dump: crate::kernel::print(kernel) }
}
