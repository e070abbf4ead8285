//! `tw bench`: how fast an entry runs, against what this machine can do.

mod memory;
mod paced;
mod peak;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tilewright::compiler::graph::{DType, Dim, Symbol};
use tilewright::runtime::exec::StepTime;
use tilewright::runtime::program::Port;
use tilewright::runtime::weights::WeightMap;
use tilewright::{Error, Executable, Options, SessionOptions, Tensor, Weights, compile};

use self::memory::Memory;
use super::calibrate::Calibrate;
use super::options::Compilation;
use super::run::{Given, WeightSource, duration as report_duration, load, parse_given, ports, wanted};
use super::source::{Loaded, Source};
use super::stages;
use super::term::{Failure, Outcome, detail, note, print};

/// Time an entry on made-up input
///
/// Every symbolic size needs a value; B is 1 unless it is given. The peak is that of fused multiply-adds in registers,
/// measured in the same run on as many threads. With `--paced` another program decides when calls are made, so that two
/// engines can take turns.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw bench specs/vision/vit.tw --preset b16\n  \
    tw bench specs/vision/resnet.tw --preset 50 --dim H=224 --dim W=224 --threads 1\n  \
    tw bench matmul.twir --backend cranelift --json")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Which entry [default: `call`, or the only one]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// How often it is called; the median counts
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// An input that is not made up: NAME=FILE[:ARRAY], NAME=NUMBER or NAME=[1,2,3]; FILE.npz alone gives every input
    /// it has an array for
    #[arg(long = "input", short, value_name = "NAME=VALUE", value_parser = parse_given)]
    inputs: Vec<Given>,
    /// Weights from safetensors files, by the model's own names [default: a function of names and shapes]
    #[arg(long, short, value_name = "FILE", num_args = 1..)]
    weights: Vec<PathBuf>,
    /// Make as many calls as each line on stdin says, and answer with their seconds; JSON, line by line
    #[arg(long, conflicts_with_all = ["runs", "profile", "json"])]
    paced: bool,
    /// Show each kernel's share of the time, how many steps it is, and the shortest time of the first one
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    compilation: Compilation,
    #[command(flatten)]
    calibrate: Calibrate,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    if args.compilation.interprets() {
        return Err(Failure::Usage("the interpreter is not for timing".to_string()));
    }
    let begin = Instant::now();
    let Compiled { loaded, entry, options, executable } = compiled(&args)?;
    let mut sizes: HashMap<String, i64> = args.source.dims.iter().cloned().collect();
    sizes.entry("B".to_string()).or_insert(1);
    let plan = executable.program.entry(&entry).ok_or_else(|| Error::unknown("entry", &entry, []))?;
    let inputs = all_inputs(&plan.inputs, &args.inputs, &sizes)?;
    let session_options = SessionOptions { threads: options.threads, profile: args.profile, ..Default::default() };
    let weights = match args.weights.is_empty() {
        true => Weights::Synthetic,
        false => Weights::Files { paths: args.weights, map: WeightMap::default() },
    };
    let before = memory::taken_now();
    let mut session = stages::timed("read and packed weights", || executable.open(weights, session_options))?;
    let views: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
    // One call warms caches, threads and the plan; its outputs are written over by the others.
    let mut outputs = session.run(&entry, &views)?;
    let mut outputs: Vec<_> = outputs.iter_mut().map(|(name, tensor)| (name.as_str(), tensor.view_mut())).collect();
    let footprint = session.footprint(&entry, &views)?;
    let started = begin.elapsed().as_secs_f64();
    let graph = loaded.model.entry(&entry).ok_or_else(|| Error::unknown("entry", &entry, []))?;
    let total = super::inspect::total_macs(graph)?;
    let flops = total.eval(&|symbol: &Symbol| sizes.get(symbol.name()).copied()).map(|macs| 2.0 * macs as f64);
    let peak = peak::measure(options.n_threads());
    if args.paced {
        let facts = serde_json::json!({
            "start_seconds": started, "compile_seconds": executable.times.total().as_secs_f64(),
            "flops": flops, "peak_flops_per_second": peak, "threads": options.n_threads(),
            "narrow_products": options.narrow_products(), "planned_bytes": footprint.total(), "before_bytes": before,
            "file_bytes": memory::files_now(),
        });
        return paced::answer(&facts, || session.run_into(&entry, &views, &mut outputs));
    }
    let mut times = paced::seconds(args.runs as usize, || session.run_into(&entry, &views, &mut outputs))?;
    times.sort_by(f64::total_cmp);
    let (taken, files) = (memory::most_taken(), memory::files_now());
    let memory = Memory { planned: footprint, taken, before, files };
    let (median, best) = (times[times.len() / 2], times[0]);
    let result = Measured { median, best, flops, peak, threads: options.n_threads(), memory };
    if args.profile {
        profile(&session);
    }
    match args.json {
        true => print(&format!("{:#}\n", result.json(&loaded.model.name, &entry, options.backend.name()))),
        false => print(&result.text(&loaded.model.name, &entry, options.backend.name())),
    }
}

struct Compiled {
    loaded: Loaded,
    entry: String,
    options: Options,
    executable: Executable,
}

fn compiled(args: &Args) -> Result<Compiled, Failure> {
    let loaded = args.source.load_one(args.entry.as_deref())?;
    let entry = loaded.entry(args.entry.as_deref())?;
    let mut options = args.compilation.options(vec![entry.clone()])?;
    args.calibrate.check(&args.compilation)?;
    let weights = match args.weights.is_empty() {
        true => WeightSource::Synthetic,
        false => WeightSource::Files(args.weights.clone()),
    };
    let whole = options.clone();
    args.calibrate.look(&mut options, &loaded.model, &entry, || {
        load(&weights, &wanted(&loaded.model, whole.float), &WeightMap::default(), None, &whole, 0)
    })?;
    let executable = compile(&loaded.model, &options)?;
    stages::compiled(&executable.times, executable.program.kernels.len());
    Ok(Compiled { loaded, entry, options, executable })
}

/// Those that are given, and numbers for the others.
fn all_inputs(
    wanted: &[Port],
    given: &[Given],
    sizes: &HashMap<String, i64>,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut inputs = ports(wanted, given)?;
    for port in wanted {
        if !inputs.iter().any(|(name, _)| *name == port.name) {
            inputs.push(made_up(port, sizes)?);
        }
    }
    Ok(inputs)
}

/// Kernels that a profile lists without `-v`.
const LINES: usize = 24;

/// One line for each kernel: equal layers share one.
fn profile(session: &tilewright::Session) {
    let mut lines: Vec<(Duration, u32, StepTime)> = Vec::new();
    for step in session.profile() {
        let shortest = step.counter.best * step.counter.calls as u32;
        match lines.iter_mut().find(|(_, _, first)| first.what == step.what) {
            Some((total, n_steps, _)) => (*total, *n_steps) = (*total + shortest, *n_steps + 1),
            None => lines.push((shortest, 1, step)),
        }
    }
    lines.sort_by_key(|(total, ..)| std::cmp::Reverse(*total));
    let all: Duration = lines.iter().map(|(total, ..)| *total).sum();
    for (at, (total, n_steps, first)) in lines.iter().enumerate() {
        let share = 100.0 * total.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
        let (what, label) = (&first.what, &first.label);
        let line = format!("{share:>5.1} %  {n_steps:>4} × {:>9.2?}  {what}  {label}", first.counter.best);
        if at < LINES { note(line) } else { detail(line) }
    }
    detail(format!("{} kernels", lines.len()));
}

/// Numbers for an input: small floats, zeros for the rest.
fn made_up(port: &Port, sizes: &HashMap<String, i64>) -> Result<(String, Tensor), Error> {
    let size = |dim: &Dim| {
        let value = dim.eval(&|symbol: &Symbol| sizes.get(symbol.name()).copied());
        value.and_then(|value| usize::try_from(value).ok()).ok_or_else(|| {
            let help = Some("give it with `--dim NAME=N`".to_string());
            Error::Request { message: format!("the input `{}` has an axis of size {dim}", port.name), help }
        })
    };
    let shape = port.shape.iter().map(size).collect::<Result<Vec<usize>, Error>>()?;
    let tensor = match port.dtype.is_float() {
        true => {
            let mut tensor = Tensor::zeros(DType::F32, &shape)?;
            let values = tensor.as_mut_slice::<f32>().into_iter().flatten().enumerate();
            values.for_each(|(idx, value)| *value = ((idx * 37) % 101) as f32 / 50.0 - 1.0);
            if port.dtype == DType::F32 { tensor } else { tensor.view().cast(port.dtype)? }
        }
        false => Tensor::zeros(port.dtype, &shape)?,
    };
    Ok((port.name.clone(), tensor))
}

struct Measured {
    median: f64,
    best: f64,
    flops: Option<f64>,
    peak: f64,
    threads: usize,
    memory: Memory,
}

impl Measured {
    fn text(&self, model: &str, entry: &str, backend: &str) -> String {
        let mut text = format!(
            "{model}.{entry} on {backend}, {} threads: {} median, {} best\n",
            self.threads,
            report_duration(self.median),
            report_duration(self.best)
        );
        if let Some(flops) = self.flops.filter(|&flops| flops > 0.0) {
            let rate = flops / self.median;
            text += &format!(
                "{:.1} GFLOP/s, {:.0} % of the peak of {:.1}\n",
                rate / 1e9,
                100.0 * rate / self.peak,
                self.peak / 1e9
            );
        }
        text + &self.memory.text()
    }

    fn json(&self, model: &str, entry: &str, backend: &str) -> serde_json::Value {
        let rate = self.flops.map(|flops| flops / self.median);
        serde_json::json!({
            "model": model, "entry": entry, "backend": backend, "threads": self.threads,
            "median_seconds": self.median, "best_seconds": self.best, "flops": self.flops,
            "flops_per_second": rate, "peak_flops_per_second": self.peak,
            "share_of_peak": rate.map(|rate| rate / self.peak),
            "memory": self.memory.json(),
        })
    }
}
