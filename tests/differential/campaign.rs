//! Many cases on all cores: what was covered, and what failed, shrunk and written down.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tilewright::compiler::codegen::Backend;
use tilewright::compiler::graph::{Attrs, DType, Dim, Graph, Origin, Role, Type, Value};
use tilewright::compiler::ops;
use tilewright::compiler::passes::{Context, Narrowing, pipeline, run_pipeline};

use super::check::{Failure, PANEL, check};
use super::coverage::Coverage;
use super::{Case, file, generate, gradients, shrink};

/// What of the random graphs is checked.
#[derive(Clone, Copy)]
pub enum Subject {
    Graphs,
    /// Their gradients instead.
    Gradients,
    /// With layers whose weights are of bf16, and the other factors too, if such products are fast.
    Narrowed {
        narrow_products: bool,
    },
}

pub struct Campaign<'a> {
    pub seed: u64,
    pub first: u64,
    pub n_graphs: u64,
    pub subject: Subject,
    pub backends: &'a [Backend],
    /// Stop after this many failures.
    pub max_failures: usize,
    pub shrink_for: Duration,
    /// Where shrunk failures go, and the case that is being run, in case the process dies of it.
    pub folder: &'a Path,
}

#[derive(Default)]
pub struct Outcome {
    pub coverage: Coverage,
    /// The case as it was found, and what is left of it.
    pub failures: Vec<(String, Case, Failure)>,
}

/// Runs the cases on as many threads as there are cores.
pub fn run(campaign: &Campaign) -> Outcome {
    std::fs::create_dir_all(campaign.folder).expect("a folder for failures");
    let next = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..n_threads {
            let work = std::thread::Builder::new().stack_size(64 << 20);
            let (next, outcome) = (&next, &outcome);
            work.spawn_scoped(scope, move || serve(campaign, thread, next, outcome)).expect("a thread");
        }
    });
    outcome.into_inner().expect("no thread panics while it holds the lock")
}

/// The case with narrow factors: rounded as the pass does, it is a case like any other, whose tolerance follows from the
/// types in it. None where nothing could be rounded.
fn narrowed(mut case: Case, narrow_products: bool) -> Option<Case> {
    add_layers(&mut case.graph);
    let mut context = Context::default();
    context.panel = Some(&|_, _, _| PANEL);
    (context.narrowing, context.narrow_products) = (Narrowing::Factors(DType::BF16), narrow_products);
    let before = pipeline::PIPELINE.iter().take_while(|pass| pass.name != "pack").copied();
    let graph = run_pipeline(&case.graph, &before.collect::<Vec<_>>(), &context).ok()?;
    let is_narrow = |id| matches!(graph.node(id).op.name, "cast") && graph.node(id).types[0].dtype == DType::BF16;
    let changed = graph.node_ids().any(is_narrow);
    changed.then(|| Case { name: format!("{}:narrow", case.name), graph, ..case })
}

/// Sizes of the layers that follow an output: sums of an even number of products, and weights large enough to be packed.
const LAYERS: [i64; 3] = [8, 16, 10];

/// Puts layers with weights behind outputs whose type nobody decided: random graphs have few weights of their own.
fn add_layers(graph: &mut Graph) {
    let outputs: Vec<Value> = graph.outputs().iter().map(|output| output.value).collect();
    for (idx, mut x) in outputs.into_iter().enumerate() {
        let mut width = match graph.type_of(x) {
            ty if ty.dtype == DType::Real && (1..=3).contains(&ty.rank()) => ty.shape[ty.rank() - 1].as_constant(),
            _ => None,
        };
        for (layer, size) in LAYERS.into_iter().enumerate() {
            let Some(from) = width.replace(size) else { break };
            let ty = Type::new(DType::Real, [from, size].map(Dim::constant).to_vec());
            let w = graph.add_argument(format!("layer{idx}.{layer}"), Role::Param, ty);
            let before = ["a", "b"][..graph.type_of(x).rank() - 1].join(" ");
            let pattern = format!("{before} i, i o -> {before} o");
            let mut apply = |op: &str, operands: &[Value], attrs: Attrs| {
                let op = ops::find(op).expect("an op");
                let node = graph.apply(op, operands, &attrs, Vec::new(), &Origin::default()).expect("a layer");
                Value { node, result: 0 }
            };
            let y = apply("contract", &[x, w], Attrs::none().with("pattern", pattern));
            x = apply(["tanh", "relu", "abs"][(idx + layer) % 3], &[y], Attrs::none());
        }
        if width == LAYERS.last().copied() {
            graph.add_output(format!("layers{idx}"), Role::Data, x);
        }
    }
}

/// Functions of which shaders promise fewer digits than are compared.
const LOOSE: &[&str] = &["acos", "acosh", "asin", "asinh", "atanh", "sinh", "tan"];

/// Compilers of shaders take numbers for finite: they make `x - x` zero. They have no f64, nor an i64: what is shifted
/// beyond 32 bits is an error there.
fn suits_shaders(case: &Case) -> bool {
    let text = case.graph.to_string();
    let calls = |name: &&str| text.contains(&format!(" {name}("));
    let shifts_far = text.lines().any(|line| line.contains(": i64") && line.contains(" shl("));
    !case.has_specials && !shifts_far && !text.contains("f64") && !LOOSE.iter().any(calls)
}

fn serve(campaign: &Campaign, thread: usize, next: &AtomicU64, outcome: &Mutex<Outcome>) {
    let mut coverage = Coverage::default();
    let current = campaign.folder.join(format!("current.{thread}.twir"));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let n_failures = outcome.lock().expect("whole").failures.len();
        if number >= campaign.n_graphs || n_failures >= campaign.max_failures {
            break;
        }
        let case = generate::case(campaign.seed, campaign.first + number);
        let case = match campaign.subject {
            Subject::Graphs => Some(case),
            Subject::Narrowed { narrow_products } => narrowed(case, narrow_products),
            Subject::Gradients => match gradients::of(&case) {
                Ok(back) => back,
                Err(message) => {
                    let failure = Failure { stage: "differentiate".to_string(), message };
                    outcome.lock().expect("whole").failures.push((case.name.clone(), case, failure));
                    None
                }
            },
        };
        let is_exact = !campaign.backends.iter().any(|backend| backend.is_for_gpus());
        let Some(case) = case.filter(|case| is_exact || suits_shaders(case)) else { continue };
        std::fs::write(&current, file::print(&case, &case.name)).expect("a file");
        if let Err(failure) = check(&case, campaign.backends, &mut coverage) {
            let (small, reason) = shrink::shrink(&case, &failure, campaign.backends, campaign.shrink_for);
            let path = campaign.folder.join(format!("{}.twir", case.name.replace(':', "_")));
            let remark = format!("{}: {}\n{}", case.name, reason.stage, reason.message);
            std::fs::write(path, file::print(&small, &remark)).expect("a file");
            outcome.lock().expect("whole").failures.push((case.name, small, reason));
        }
    }
    let _ = std::fs::remove_file(current);
    outcome.lock().expect("whole").coverage.merge(coverage);
}
