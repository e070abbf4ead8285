//! Measuring: a graph goes the whole road to machine code and runs on one thread, in turns with what the machine can do.
//!
//! Criterion times the calls and compares them with those of the last run; a table of rates and of shares of what the
//! machine can do follows. Invariant: every figure of the table is the best of many calls, and every limit is measured in
//! the same run, so that shares mean something on a busy machine.

use std::time::{Duration, Instant};

use criterion::Criterion;
use tilewright::compiler::graph::DType;
use tilewright::{Cache, Options, Session, SessionOptions, Tensor, Weights, compile, model_from_text};

#[path = "../../src/cli/bench/peak.rs"]
mod peak;

/// How long one case may warm up, and run.
const WARM_UP: Duration = Duration::from_millis(200);
const TIME: Duration = Duration::from_millis(800);

pub struct Case {
    pub name: String,
    /// A graph with constant sizes.
    pub graph: String,
    pub work: Work,
}

#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each bench has work of one kind")]
pub enum Work {
    /// Multiply-adds: compared with fused multiply-adds in registers.
    Macs(u64),
    /// Bytes read and written: compared with a copy of as many.
    Bytes(u64),
}

pub fn run(cases: impl IntoIterator<Item = Case>) {
    let criterion = Criterion::default().sample_size(10).warm_up_time(WARM_UP).measurement_time(TIME);
    let mut criterion = criterion.configure_from_args();
    let mut rows = Vec::new();
    for case in cases {
        // Criterion passes over the cases that nobody asked for.
        let mut bench = None;
        criterion.bench_function(&case.name, |bencher| {
            let bench = bench.get_or_insert_with(|| Bench::new(&case));
            bencher.iter_custom(|n| bench.calls(n));
        });
        rows.extend(bench.map(|bench| bench.row(&case.name)));
    }
    criterion.final_summary();
    rows.iter().for_each(|row| println!("{row}"));
}

struct Bench {
    session: Session,
    entry: String,
    inputs: Vec<(String, Tensor)>,
    /// Made once: new pages for each call would be what is measured.
    outputs: Vec<(String, Tensor)>,
    compiling: Duration,
    work: Work,
    /// Seconds.
    best: f64,
    /// What the machine can do in a second.
    limit: f64,
}

impl Bench {
    fn new(case: &Case) -> Bench {
        let model = model_from_text("bench", &case.graph).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let options = Options { threads: 1, verify: false, cache: Cache::off(), ..Options::default() };
        let executable = compile(&model, &options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let session_options = SessionOptions { threads: 1, ..SessionOptions::default() };
        let mut session = executable.open(Weights::Synthetic, session_options).expect("a session");
        let entry = executable.program.entries[0].name.clone();
        let inputs: Vec<_> = executable.program.entries[0].inputs.iter().map(made_up).collect();
        let views: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
        let outputs = session.run(&entry, &views).expect("a result");
        Bench {
            session,
            entry,
            outputs,
            inputs,
            compiling: executable.times.total(),
            work: case.work,
            best: f64::INFINITY,
            limit: limit(case.work),
        }
    }

    /// The time of as many calls, between which the limit is measured again.
    fn calls(&mut self, n: u64) -> Duration {
        self.limit = self.limit.max(limit(self.work));
        let views: Vec<_> = self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
        let mut total = Duration::ZERO;
        for _ in 0..n {
            let outputs = self.outputs.iter_mut().map(|(name, tensor)| (name.as_str(), tensor.view_mut()));
            let mut outputs: Vec<_> = outputs.collect();
            let start = Instant::now();
            self.session.run_into(&self.entry, &views, &mut outputs).expect("a result");
            let time = start.elapsed();
            std::hint::black_box(&outputs);
            self.best = self.best.min(time.as_secs_f64());
            total += time;
        }
        total
    }

    fn row(&self, name: &str) -> String {
        let (amount, unit) = match self.work {
            Work::Macs(macs) => (2.0 * macs as f64, "GFLOP/s"),
            Work::Bytes(bytes) => (bytes as f64, "GB/s"),
        };
        let rate = amount / self.best;
        format!(
            "{name:<34} {:>9.1} µs  {:>7.1} {unit:<7} {:>5.1} % of {:>6.1}   compiled in {:.1?}",
            self.best * 1e6,
            rate / 1e9,
            100.0 * rate / self.limit,
            self.limit / 1e9,
            self.compiling,
        )
    }
}

fn limit(work: Work) -> f64 {
    match work {
        Work::Macs(_) => peak::measure(1),
        Work::Bytes(bytes) => {
            let from = vec![1u8; bytes as usize / 2];
            let mut to = vec![2u8; from.len()];
            let mut once = || {
                let start = Instant::now();
                to.copy_from_slice(std::hint::black_box(&from));
                std::hint::black_box(&mut to);
                start.elapsed().as_secs_f64()
            };
            bytes as f64 / (0..6).map(|_| once()).fold(f64::INFINITY, f64::min)
        }
    }
}

fn made_up(port: &tilewright::runtime::program::Port) -> (String, Tensor) {
    let shape: Vec<usize> = port.shape.iter().map(|dim| dim.as_constant().expect("a constant size") as usize).collect();
    let tensor = match port.dtype == DType::F32 {
        true => {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|idx| ((idx * 37) % 101) as f32 / 50.0 - 1.0).collect();
            Tensor::from_slice(&shape, &values).expect("a tensor")
        }
        false => Tensor::zeros(port.dtype, &shape).expect("a tensor"),
    };
    (port.name.clone(), tensor)
}
