//! Measuring: a graph goes the whole road to machine code and runs on one thread, in turns with what the machine can do.
//!
//! Invariant: every figure is the best of many calls, and every limit is measured in the same run, so that shares mean
//! something on a busy machine. An argument chooses the cases whose names contain it.

use std::time::{Duration, Instant};

use tilewright::compiler::graph::DType;
use tilewright::{Cache, Options, Session, SessionOptions, Tensor, TensorRef, Weights, compile, model_from_text};

#[path = "../../src/cli/bench/peak.rs"]
mod peak;

/// How long one case may run.
const TIME: Duration = Duration::from_millis(800);
const LEAST_CALLS: usize = 5;

pub struct Case {
    pub name: String,
    /// A graph with constant sizes.
    pub graph: String,
    pub work: Work,
}

pub enum Work {
    /// Multiply-adds: compared with fused multiply-adds in registers.
    Macs(u64),
    /// Bytes read and written: compared with a copy of as many.
    Bytes(u64),
}

pub fn run(cases: impl IntoIterator<Item = Case>) {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for case in cases {
        if wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part)) {
            measure(&case);
        }
    }
}

fn measure(case: &Case) {
    let model = model_from_text("bench", &case.graph).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let options = Options { threads: 1, verify: false, cache: Cache::off(), ..Options::default() };
    let executable = compile(&model, &options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let compiling = executable.times.total();
    let session_options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let mut session = executable.open(Weights::Synthetic, session_options).expect("a session");
    let inputs: Vec<(String, Tensor)> = executable.program.entries[0].inputs.iter().map(made_up).collect();
    let entry = executable.program.entries[0].name.clone();
    let views: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
    // Outputs are made once: new pages for each call would be what is measured.
    let mut outputs = session.run(&entry, &views).expect("a result");
    let mut best = f64::INFINITY;
    let mut limit = limit(&case.work);
    let (start, mut calls) = (Instant::now(), 0);
    while calls < LEAST_CALLS || start.elapsed() < TIME {
        best = best.min(call(&mut session, &entry, &views, &mut outputs));
        calls += 1;
        if calls % 16 == 0 {
            limit = limit.max(self::limit(&case.work));
        }
    }
    let (amount, unit) = match case.work {
        Work::Macs(macs) => (2.0 * macs as f64, "GFLOP/s"),
        Work::Bytes(bytes) => (bytes as f64, "GB/s"),
    };
    let rate = amount / best;
    println!(
        "{:<34} {:>9.1} µs  {:>7.1} {unit:<7} {:>5.1} % of {:>6.1}   compiled in {compiling:.1?}",
        case.name,
        best * 1e6,
        rate / 1e9,
        100.0 * rate / limit,
        limit / 1e9,
    );
}

fn call(session: &mut Session, entry: &str, inputs: &[(&str, TensorRef)], outputs: &mut [(String, Tensor)]) -> f64 {
    let mut views: Vec<_> = outputs.iter_mut().map(|(name, tensor)| (name.as_str(), tensor.view_mut())).collect();
    let start = Instant::now();
    session.run_into(entry, inputs, &mut views).expect("a result");
    let time = start.elapsed().as_secs_f64();
    std::hint::black_box(&views);
    time
}

fn limit(work: &Work) -> f64 {
    match *work {
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
