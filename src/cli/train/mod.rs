//! `tw train`: the steps of a `train`, in the order of its schedule, on batches of data.

mod batches;
mod blame;
mod checkpoint;
mod metrics;
mod samples;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tilewright::compiler::graph::Member;
use tilewright::runtime::data::read_npz;
use tilewright::runtime::program::Port;
use tilewright::runtime::weights::{WeightMap, WeightSet, write_safetensors};
use tilewright::{Error, Executable, Model, Session, SessionOptions, Tensor, Weights, compile};

use self::batches::Batches;
use self::checkpoint::Checkpoint;
use self::metrics::Metrics;
use super::options::{Compilation, pair};
use super::output;
use super::run::{Wanted, WeightSource, load};
use super::source::{Loaded, Source};
use super::stages;
use super::term::{Failure, Outcome, hide_progress, note, progress, while_compiling};

/// Train a model on data
///
/// The `loop { … }` of a `train` is a round: its steps are taken in order, each on a batch of its own. A batch is drawn
/// without repetition until the data is through; then it is shuffled anew, by the seed. Everything that is learned, and the
/// optimizers' states, is in the checkpoint, so that a run that was interrupted goes on as if it had not been.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw train fit.tw --data points.npz --rounds 500 --save net=net.safetensors\n  \
    tw train gan.tw --data digits.npz --batch 64 --rounds 2000 --checkpoint gan.checkpoint --metrics gan.jsonl\n  \
    tw train gan.tw --data digits.npz --batch 64 --rounds 2000 --samples sample=grid.png")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Arrays by the names of the steps' inputs; their first axis is that of the examples, of which those of one step have
    /// as many. An input whose first size is a number takes an array of just that size whole
    #[arg(long, value_name = "FILE.npz")]
    data: Option<PathBuf>,
    /// How often the schedule is gone through
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u64,
    /// Examples in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Of first values, draws and the order of the data
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    seed: i64,
    /// First values from safetensors files, by the model's own names: of all that is frozen, while what is learned and
    /// not in them starts as the model says
    #[arg(long, short, value_name = "FILE", num_args = 1..)]
    weights: Vec<PathBuf>,
    /// Where everything is kept; if the file is there, training goes on from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Rounds between checkpoints
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Write what each step reports, one JSON object a line
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Write a module's params and states under its own names: MODULE=FILE.safetensors
    #[arg(long, value_name = "MODULE=FILE", value_parser = pair)]
    save: Vec<(String, String)>,
    /// Draw what an entry makes of nothing, as one picture, with each checkpoint and at the end: ENTRY=FILE.png
    #[arg(long, value_name = "ENTRY=FILE", value_parser = pair)]
    samples: Vec<(String, String)>,
    #[command(flatten)]
    compilation: Compilation,
    /// Say how it ended as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    if args.compilation.interprets() {
        return Err(Failure::Usage("the interpreter is too slow to train: use `llvm` or `cranelift`".to_string()));
    }
    if args.compilation.narrows() {
        let why = "`--precision` is for inference: steps are taken, and weights learned, in f32";
        return Err(Failure::Usage(why.to_string()));
    }
    if args.json {
        hide_progress();
    }
    args.checkpoint.as_deref().map(output::check).transpose()?;
    args.metrics.as_deref().map(output::check).transpose()?;
    args.save.iter().chain(&args.samples).try_for_each(|(_, path)| output::check(path))?;
    let loaded = args.source.load(&[])?;
    check_schedule(&loaded)?;
    let model = loaded.model;
    args.save.iter().try_for_each(|(module, _)| check_saved(&model, module))?;
    let mut steps: Vec<String> = model.schedule.iter().map(|(step, _)| step.clone()).collect();
    for (entry, _) in &args.samples {
        model.entry(entry).ok_or_else(|| {
            let names = model.entries.iter().map(|entry| entry.name.as_str());
            Error::unknown("entry", entry, names)
        })?;
        steps.push(entry.clone());
    }
    steps.sort();
    steps.dedup();
    let options = args.compilation.options(steps)?;
    let executable = while_compiling(&options, |options| compile(&model, options))?;
    stages::compiled(&executable.times, executable.program.kernels.len());
    args.samples.iter().try_for_each(|(entry, _)| samples::check(&executable.program, entry))?;
    let arrays = args.data.as_deref().map(read_npz).transpose()?.unwrap_or_default();
    let ports = |step| executable.program.entry(step).map_or(&[][..], |entry| &entry.inputs);
    let taken = model.schedule.iter().map(|(step, _)| (step.as_str(), ports(step)));
    let batches = Batches::new(arrays, taken, args.batch as usize, args.seed)?;
    let source = match args.weights.is_empty() {
        false => WeightSource::Files(args.weights.clone()),
        true => WeightSource::Init { asked: true },
    };
    let wanted = Wanted::of(&executable.program);
    let weights = load(&source, &wanted, &WeightMap::default(), Some(&model), &options, args.seed)?;
    let mut training = Training::start(&args, &executable, weights, batches)?;
    if let Some(path) = &args.metrics {
        training.metrics = Some(Metrics::open(path, training.checkpoint.round)?);
    }
    training.rounds(&model)?;
    training.finish(&model)
}

/// Only a `train` says which steps are taken, and in which order.
fn check_schedule(loaded: &Loaded) -> Result<(), Error> {
    let name = &loaded.model.name;
    if !loaded.model.schedule.is_empty() {
        return Ok(());
    }
    let trainings = loaded.spec.as_ref().map_or(Vec::new(), |spec| spec.trainings());
    let list: Vec<String> = trainings.iter().map(|training| format!("`{training}`")).collect();
    let (message, help) = match list.as_slice() {
        _ if trainings.contains(&name.as_str()) => (
            format!("`{name}` says of no steps in which order they are taken"),
            "write `loop { step }` in it".to_string(),
        ),
        [] => (
            format!("`{name}` is a `model`, and only a `train` can be trained; the file has none"),
            "write a `train` with a member that is the model, a `step` and a `loop { step }`".to_string(),
        ),
        list => (
            format!("`{name}` is a `model`, and only a `train` can be trained"),
            format!("choose one with `--model`: there is {}", list.join(", ")),
        ),
    };
    Err(Error::Request { message, help: Some(help) })
}

/// What a call of a step reported.
type Reported = Vec<(String, f64)>;

/// A session on its way.
struct Training<'a> {
    args: &'a Args,
    executable: &'a Executable,
    weights: Arc<WeightSet>,
    session: Session,
    batches: Batches,
    checkpoint: Checkpoint,
    metrics: Option<Metrics>,
    /// What each step last reported.
    last: BTreeMap<String, Reported>,
    started: Instant,
}

impl<'a> Training<'a> {
    fn start(
        args: &'a Args,
        executable: &'a Executable,
        weights: Arc<WeightSet>,
        batches: Batches,
    ) -> Result<Training<'a>, Failure> {
        let session = SessionOptions { threads: args.compilation.threads, seed: args.seed, ..Default::default() };
        let mut session = executable.open(Weights::Given(Arc::clone(&weights)), session)?;
        let checkpoint = Checkpoint::open(args.checkpoint.clone(), &mut session)?;
        let (last, started) = (BTreeMap::new(), Instant::now());
        Ok(Training { args, executable, weights, session, batches, checkpoint, metrics: None, last, started })
    }

    /// The same run again, as it was at its last checkpoint; it reports nothing.
    fn from_checkpoint(&self) -> Result<Training<'a>, Failure> {
        Training::start(self.args, self.executable, Arc::clone(&self.weights), self.batches.clone())
    }

    fn rounds(&mut self, model: &Model) -> Outcome {
        let bar = progress("training", self.args.rounds);
        while self.checkpoint.round < self.args.rounds {
            bar.set_position(self.checkpoint.round);
            if let Some((step, found)) = self.round(model, &|_, _| false)? {
                return Err(self.not_finite(model, &step, &found)?);
            }
            bar.set_message(self.summary());
            if self.checkpoint.round.is_multiple_of(u64::from(self.args.every)) {
                self.keep()?;
            }
        }
        bar.finish_and_clear();
        self.keep()
    }

    /// Takes the steps of a round, up to the one before which `stops` says so. What it reported, if a step reported a
    /// number that is not finite.
    fn round(
        &mut self,
        model: &Model,
        stops: &dyn Fn(&Training, &str) -> bool,
    ) -> Result<Option<(String, Reported)>, Failure> {
        for (step, times) in &model.schedule {
            for _ in 0..*times {
                if stops(self, step) {
                    return Ok(None);
                }
                let reported = self.step(step)?;
                if reported.iter().any(|(_, value)| !value.is_finite()) {
                    return Ok(Some((step.clone(), reported)));
                }
                self.last.insert(step.clone(), reported);
            }
        }
        self.checkpoint.round += 1;
        Ok(None)
    }

    /// What a step reports that went wrong, and where it began.
    fn not_finite(&self, model: &Model, step: &str, reported: &Reported) -> Result<Failure, Failure> {
        let odd = reported.iter().find(|(_, value)| !value.is_finite());
        let (name, value) = odd.map_or(("", f64::NAN), |(name, value)| (name.as_str(), *value));
        let mut message = format!("`{name}` of the step `{step}` is {value} in round {}", self.checkpoint.round);
        let inputs = self.session.program().entry(step).map_or(&[][..], |entry| &entry.inputs);
        if let Some(place) = inputs.iter().find_map(|port| self.batches.first_not_finite(&port.name)) {
            message += &format!("\n{place}");
            let help = "training takes what the data says: remove or replace such examples".to_string();
            return Ok(Error::Request { message, help: Some(help) }.into());
        }
        if let Some(first) = blame::first_op(self, model, step)? {
            message += &format!("\nthe first value that is not finite comes from {first}");
        }
        let help = "a lower learning rate may help; the last checkpoint is as it was".to_string();
        Ok(Error::Request { message, help: Some(help) }.into())
    }

    /// What the next call of a step is given.
    fn inputs(&mut self, step: &str) -> Result<Vec<(String, Tensor)>, Failure> {
        let inputs: Vec<Port> = self.session.program().entry(step).map_or(Vec::new(), |entry| entry.inputs.clone());
        let call = self.checkpoint.calls.get(step).copied().unwrap_or(0);
        let mut values: Vec<(String, Tensor)> = Vec::with_capacity(inputs.len());
        for port in inputs.into_iter().filter(|port| !port.is_seed()) {
            let value = match port.is_step() {
                true => Tensor::from_slice(&[], &[call])?,
                false => self.batches.take(step, &port, call as u64)?,
            };
            values.push((port.name, value));
        }
        Ok(values)
    }

    fn step(&mut self, step: &str) -> Result<Reported, Failure> {
        let values = self.inputs(step)?;
        *self.checkpoint.calls.entry(step.to_string()).or_insert(0) += 1;
        let views: Vec<_> = values.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
        let outputs = self.session.run(step, &views)?;
        let scalar = |(name, tensor): (String, Tensor)| Some((name, *tensor.view().to_f64().first()?));
        let reported: Reported =
            outputs.into_iter().filter(|(_, tensor)| tensor.shape().is_empty()).filter_map(scalar).collect();
        if let Some(metrics) = &mut self.metrics {
            metrics.report(self.checkpoint.round, step, &reported)?;
        }
        Ok(reported)
    }

    fn keep(&mut self) -> Outcome {
        if let Some(metrics) = &mut self.metrics {
            metrics.flush()?;
        }
        self.checkpoint.write(&mut self.session)?;
        for (entry, path) in &self.args.samples {
            samples::write(&mut self.session, entry, path.as_ref())?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let value = |(name, value): &(String, f64)| format!("{name} {value:.4}");
        self.last.values().flatten().map(value).collect::<Vec<_>>().join("  ")
    }

    fn finish(&mut self, model: &Model) -> Outcome {
        for (module, path) in &self.args.save {
            let program = Arc::clone(&self.executable.program);
            let frozen = program.params.iter().enumerate().map(|(idx, param)| (&*param.name, self.weights.get(idx)));
            let mut values: BTreeMap<_, _> = frozen.collect();
            values.extend(self.session.states()?);
            let own = members_of(model, module).filter_map(|member| {
                let name = member.path[module.len()..].trim_start_matches('.').to_string();
                Some((name, *values.get(&*member.path)?))
            });
            write_safetensors(path.as_ref(), &own.collect::<Vec<_>>())?;
            note(format!("wrote {path}"));
        }
        let seconds = self.started.elapsed().as_secs_f64();
        if self.args.json {
            let last = self.last.iter().map(|(step, reported)| {
                let values: serde_json::Map<_, _> =
                    reported.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
                (step.clone(), serde_json::Value::Object(values))
            });
            let last: serde_json::Map<_, _> = last.collect();
            let facts = serde_json::json!({ "rounds": self.checkpoint.round, "seconds": seconds, "last": last });
            return super::term::print(&format!("{facts:#}\n"));
        }
        super::term::print(&format!("{} rounds in {seconds:.1} s: {}\n", self.checkpoint.round, self.summary()))
    }
}

/// Only a module that keeps something can be saved.
fn check_saved(model: &Model, module: &str) -> Result<(), Error> {
    if members_of(model, module).next().is_some() {
        return Ok(());
    }
    let modules = model.tree.children.iter().map(|child| child.path.as_str());
    let keeping = modules.filter(|path| members_of(model, path).next().is_some());
    match model.tree.children.iter().any(|child| child.path == module) {
        true => Err(Error::request(format!("`{module}` has no params and no states: there is nothing to save"))),
        false => Err(Error::unknown("module", module, keeping)),
    }
}

/// The params of a module, learned or not, and its states.
fn members_of<'m>(model: &'m Model, module: &'m str) -> impl Iterator<Item = &'m Member> {
    model.params.iter().chain(&model.states).filter(move |member| is_within(&member.path, module))
}

fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
