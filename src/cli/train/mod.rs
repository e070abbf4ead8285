//! `tw train`: the steps of a `train`, in the order of its schedule, on batches of data.

mod batches;
mod checkpoint;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tilewright::runtime::data::read_npz;
use tilewright::runtime::program::Port;
use tilewright::runtime::weights::{WeightMap, WeightSet, write_safetensors};
use tilewright::{
    Error, Executable, Model, Options, Session, SessionOptions, Tensor, Weights, compile, initial_weights,
};

use self::batches::Batches;
use self::checkpoint::Checkpoint;
use super::options::{Compilation, pair};
use super::source::Source;
use super::term::{Failure, Outcome, hide_progress, note, progress, while_compiling};

/// Train a model on data
///
/// The `loop { … }` of a `train` is a round: its steps are taken in order, each on a batch of its own. A batch is drawn
/// without repetition until the data is through; then it is shuffled anew, by the seed. Everything that is learned, and the
/// optimizers' states, is in the checkpoint, so that a run that was interrupted goes on as if it had not been.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw train fit.tw --data points.npz --rounds 500 --save net=net.safetensors\n  \
    tw train gan.tw --data digits.npz --batch 64 --rounds 2000 --checkpoint gan.checkpoint --metrics gan.jsonl")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Arrays by the names of the steps' inputs; their first axis is that of the examples
    #[arg(long, value_name = "FILE.npz")]
    data: Option<PathBuf>,
    /// How often the schedule is gone through
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u64,
    /// Examples in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Of first values, draws and the order of the data
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: i64,
    /// First values from safetensors files, by the model's own names; what they lack starts as the model says
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
    /// Write a module's weights under its own names: MODULE=FILE.safetensors
    #[arg(long, value_name = "MODULE=FILE", value_parser = pair)]
    save: Vec<(String, String)>,
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
    if args.json {
        hide_progress();
    }
    let model = args.source.load()?.model;
    if model.schedule.is_empty() {
        let message = format!("`{}` says of no steps in which order they are taken", model.name);
        let help = "write `loop { step }` in a `train`, and choose that with `--model`".to_string();
        return Err(Error::Request { message, help: Some(help) }.into());
    }
    for (module, _) in &args.save {
        if !model.learned().any(|member| is_within(&member.path, module)) {
            let modules = model.tree.children.iter().map(|child| child.path.as_str());
            return Err(Error::unknown("module", module, modules).into());
        }
    }
    let mut steps: Vec<String> = model.schedule.iter().map(|(step, _)| step.clone()).collect();
    steps.sort();
    steps.dedup();
    let options = args.compilation.options(steps)?;
    let executable = while_compiling(&options, |options| compile(&model, options))?;
    let arrays = args.data.as_deref().map(read_npz).transpose()?.unwrap_or_default();
    let batches = Batches::new(arrays, args.batch as usize, args.seed)?;
    let mut training = Training::start(&args, &model, &executable, &options, batches)?;
    training.rounds(&model)?;
    training.finish(&model)
}

/// A session on its way.
struct Training<'a> {
    args: &'a Args,
    session: Session,
    batches: Batches,
    checkpoint: Checkpoint,
    metrics: Option<BufWriter<File>>,
    /// What each step last reported.
    last: BTreeMap<String, Vec<(String, f64)>>,
    started: Instant,
}

impl<'a> Training<'a> {
    fn start(
        args: &'a Args,
        model: &Model,
        executable: &Executable,
        options: &Options,
        batches: Batches,
    ) -> Result<Training<'a>, Failure> {
        let weights = match args.weights.is_empty() {
            false => Weights::Files { paths: args.weights.clone(), map: WeightMap::default() },
            true if model.params.is_empty() => Weights::Given(Arc::new(WeightSet::default())),
            true => Weights::Given(Arc::new(initial_weights(model, options, args.seed)?)),
        };
        let session = SessionOptions { threads: args.compilation.threads, seed: args.seed, ..Default::default() };
        let mut session = executable.open(weights, session)?;
        let checkpoint = Checkpoint::open(args.checkpoint.clone(), &mut session)?;
        let metrics = match &args.metrics {
            Some(path) => {
                let file = match checkpoint.round {
                    0 => File::create(path),
                    _ => File::options().create(true).append(true).open(path),
                };
                let failed = |error| Error::request(format!("cannot write `{}`: {error}", path.display()));
                Some(BufWriter::new(file.map_err(failed)?))
            }
            None => None,
        };
        Ok(Training { args, session, batches, checkpoint, metrics, last: BTreeMap::new(), started: Instant::now() })
    }

    fn rounds(&mut self, model: &Model) -> Outcome {
        let bar = progress("training", self.args.rounds);
        while self.checkpoint.round < self.args.rounds {
            bar.set_position(self.checkpoint.round);
            for (step, times) in &model.schedule {
                for _ in 0..*times {
                    self.step(step)?;
                }
            }
            self.checkpoint.round += 1;
            bar.set_message(self.summary());
            if self.checkpoint.round.is_multiple_of(u64::from(self.args.every)) {
                self.keep()?;
            }
        }
        bar.finish_and_clear();
        self.keep()
    }

    fn step(&mut self, step: &str) -> Outcome {
        let inputs: Vec<Port> = self.session.program().entry(step).map_or(Vec::new(), |entry| entry.inputs.clone());
        let call = self.checkpoint.calls.entry(step.to_string()).or_insert(0);
        let mut values: Vec<(&str, Tensor)> = Vec::with_capacity(inputs.len());
        for port in &inputs {
            match port.name.as_str() {
                "seed" if port.shape.is_empty() => {}
                "step" if port.shape.is_empty() => values.push(("step", Tensor::from_slice(&[], &[*call])?)),
                name => values.push((name, self.batches.take(step, port, *call as u64)?)),
            }
        }
        *call += 1;
        let views: Vec<_> = values.iter().map(|(name, tensor)| (*name, tensor.view())).collect();
        let outputs = self.session.run(step, &views)?;
        let scalar = |(name, tensor): (String, Tensor)| Some((name, *tensor.view().to_f64().first()?));
        let reported: Vec<(String, f64)> =
            outputs.into_iter().filter(|(_, tensor)| tensor.shape().is_empty()).filter_map(scalar).collect();
        self.report(step, &reported)?;
        if let Some((name, value)) = reported.iter().find(|(_, value)| !value.is_finite()) {
            let round = self.checkpoint.round;
            let message = format!("`{name}` of the step `{step}` is {value} in round {round}");
            let help = "a lower learning rate may help; the last checkpoint is as it was".to_string();
            return Err(Error::Request { message, help: Some(help) }.into());
        }
        self.last.insert(step.to_string(), reported);
        Ok(())
    }

    fn report(&mut self, step: &str, reported: &[(String, f64)]) -> Outcome {
        let Some(file) = &mut self.metrics else { return Ok(()) };
        let mut line = serde_json::Map::new();
        line.insert("round".to_string(), self.checkpoint.round.into());
        line.insert("step".to_string(), step.into());
        line.extend(reported.iter().map(|(name, value)| (name.clone(), (*value).into())));
        let failed = |error| Error::request(format!("cannot write the metrics: {error}"));
        Ok(writeln!(file, "{}", serde_json::Value::Object(line)).map_err(failed)?)
    }

    fn keep(&mut self) -> Outcome {
        if let Some(file) = &mut self.metrics {
            file.flush().map_err(|error| Error::request(format!("cannot write the metrics: {error}")))?;
        }
        self.checkpoint.write(&self.session)
    }

    fn summary(&self) -> String {
        let value = |(name, value): &(String, f64)| format!("{name} {value:.4}");
        self.last.values().flatten().map(value).collect::<Vec<_>>().join("  ")
    }

    fn finish(&mut self, model: &Model) -> Outcome {
        for (module, path) in &self.args.save {
            let members = model.learned().chain(model.states.iter().filter(|state| !state.is_learned));
            let own = members.filter(|member| is_within(&member.path, module));
            let own = own.filter_map(|member| {
                let name = member.path[module.len()..].trim_start_matches('.').to_string();
                Some((name, self.session.state(&member.path)?))
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

fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
