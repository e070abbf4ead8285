//! Every case of `tests/passes/<pass>/<case>.twir`: the pass runs on the graph, and before and after are kept together.
//! The cases of `pipeline` go through all passes.
//!
//! A case begins with comments: what it shows, and optionally `// unchanged` (a near miss: the pass must leave the graph
//! as it is), `// bf16` and `// int4` (what contractions may read), `// seen` (data was looked at) and `// sizes: B = 2, N = 3`. Each case is also read back from print, verified before and after, run through
//! the pass twice (nothing may change any more), and interpreted before and after on the same random inputs, also with
//! infinities and NaN among them. A graph that asks for gradients means nothing before they are written out: those are held
//! against finite differences.

#[path = "passes/random.rs"]
mod random;
#[path = "passes/slopes.rs"]
mod slopes;

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::graph::{DType, Data, Graph, Precision, Sampler, Symbol, Tensor, Type, interpret};
use tilewright::compiler::ops;
use tilewright::compiler::passes::calibration::{Calibration, Seen};
use tilewright::compiler::passes::{Context, Narrowing, Pass, pipeline, run_pipeline};

/// Columns in a panel.
const PANEL: u64 = 4;

fn cases(pass: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passes").join(pass);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "twir"));
    paths.sort();
    assert!(paths.len() >= 4 || pass == "pipeline", "{pass} has too few cases");
    let mut failures = Vec::new();
    for path in paths {
        let case = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| {
            let report = run_case(pass, &text);
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(&folder);
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(case, report));
        });
        if outcome.is_err() {
            failures.push(case.to_string());
        }
    }
    assert!(failures.is_empty(), "{pass}: {}", failures.join(", "));
}

fn read(text: &str) -> Graph {
    parse(text, Library::of_ops(&|name| ops::find(name))).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn check(graph: &Graph) {
    verify(graph).unwrap_or_else(|violations| panic!("{violations:#?}\n{graph}"));
    assert_eq!(read(&graph.to_string()), *graph);
}

fn run_case(name: &str, text: &str) -> String {
    let before = read(text);
    check(&before);
    let pass: Option<&Pass> = pipeline::find(name);
    let passes = pass.as_ref().map_or(pipeline::PIPELINE, std::slice::from_ref);
    let mut context = Context::default();
    context.panel = Some(&|_, _, _| PANEL);
    let says = |word: &str| text.lines().any(|line| line.strip_prefix("// ") == Some(word));
    context.narrowing = match name {
        "quantize" => Narrowing::Scaled { bits: if says("int4") { 4 } else { 8 }, group: 8 },
        _ if matches!(name, "even" | "narrow") || says("bf16") => Narrowing::Factors(DType::BF16),
        _ => Narrowing::None,
    };
    context.narrow_products = !says("narrow products are slow");
    context.matrices = says("matrices");
    if says("seen") {
        let mut seen = Seen::default();
        seen.add(&before.name, 0, &[2.0, 0.0]);
        context.calibration = Calibration::Seen(Arc::new(seen));
    }
    let after = run_pipeline(&before, passes, &context).unwrap();
    check(&after);
    let remarks = context.take_remarks();
    if pass.is_some() {
        assert_eq!(run_pipeline(&after, passes, &context).unwrap(), after, "the pass changes its own result");
    }
    if text.lines().any(|line| line.trim() == "// unchanged") {
        assert_eq!(after, before, "a near miss fired");
    }
    let sizes = sizes(text, &before);
    // An infinite scale leaves nothing of the rest of its group; an infinite tap meets no zeros between elements; in a tile
    // what is infinite meets all; behind a mask it meets nothing.
    for (seed, special) in [
        (1, false),
        (2, false),
        (3, !matches!(name, "quantize" | "phases" | "padding" | "groups" | "winograd" | "hidden")),
    ] {
        compare(name, &before, &after, &sizes, seed, special);
    }
    let mut report = format!("{before}=====\n{after}");
    for remark in remarks {
        writeln!(report, "remark: {} {}", remark.origin, remark.message).unwrap();
    }
    report
}

/// Values for the sizes: those that the case states, else small ones within the ranges.
fn sizes(text: &str, graph: &Graph) -> HashMap<Symbol, i64> {
    let mut sizes = HashMap::new();
    for (idx, range) in graph.sizes.iter().enumerate() {
        let lookup = |symbol: &Symbol| sizes.get(symbol).copied();
        let low = range.low.eval(&lookup).unwrap();
        let high = range.high.as_ref().map_or(i64::MAX, |high| high.eval(&lookup).unwrap());
        sizes.insert(range.symbol.clone(), [3, 2, 5][idx % 3].clamp(low, high));
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("// sizes:")) {
        for binding in line.split(',') {
            let (name, value) = binding.split_once('=').unwrap();
            sizes.insert(Symbol::new(name.trim()), value.trim().parse().unwrap());
        }
    }
    sizes
}

fn input(ty: &Type, sizes: &HashMap<Symbol, i64>, sampler: &mut Sampler, special: bool) -> Tensor {
    let size =
        |dim: &tilewright::compiler::graph::Dim| dim.eval(&|symbol| sizes.get(symbol).copied()).unwrap() as usize;
    let shape: Vec<usize> = ty.shape.iter().map(size).collect();
    let n: usize = shape.iter().product();
    let specials = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0, -1.0];
    let float = |sampler: &mut Sampler| match special && sampler.int(0, 3) == 0 {
        true => *sampler.pick(&specials),
        false => f64::from(sampler.float(-2.0, 2.0) as f32),
    };
    match ty.dtype {
        dtype if dtype.is_float() => Tensor::floats(dtype, shape, (0..n).map(|_| float(sampler)).collect()).cast(dtype),
        DType::Bool => Tensor::ints(DType::Bool, shape, (0..n).map(|_| sampler.int(0, 1)).collect()),
        dtype => Tensor::ints(dtype, shape, (0..n).map(|_| sampler.int(-3, 5)).collect()).cast(dtype),
    }
}

fn compare(pass: &str, before: &Graph, after: &Graph, sizes: &HashMap<Symbol, i64>, seed: u64, special: bool) {
    // Passes that round are compared as rounded; the others to the last bits of f64.
    let (precision, tolerance) = match pass {
        "fold" | "precision" | "pipeline" => (Precision::Declared, 1e-5),
        // Half a step of four bits for each of few products.
        "quantize" => (Precision::Declared, 0.3),
        _ => (Precision::Wide, 1e-12),
    };
    let mut sampler = Sampler::new(seed);
    let inputs: Vec<Tensor> = before
        .arguments()
        .iter()
        .map(|argument| input(before.type_of(argument.value), sizes, &mut sampler, special))
        .collect();
    if slopes::has_gradients(before) {
        if !special {
            slopes::hold(after, &inputs, sizes);
        }
        return;
    }
    let decided = after.arguments().iter().zip(&inputs);
    let decided: Vec<Tensor> = decided.map(|(argument, x)| x.cast(after.type_of(argument.value).dtype)).collect();
    let lookup = |symbol: &Symbol| sizes.get(symbol).copied();
    let run = |graph: &Graph, inputs: &[Tensor]| {
        interpret(graph, inputs, &lookup, precision).unwrap_or_else(|error| panic!("{error}\n{before}\n{graph}"))
    };
    let (expected, found) = (run(before, &inputs), run(after, &decided));
    assert_eq!(expected.len(), found.len());
    for (idx, (a, b)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(a.shape, b.shape);
        let largest = (0..a.n_elements()).map(|i| a.float_at(i).abs()).filter(|v| v.is_finite()).fold(1.0, f64::max);
        for i in 0..a.n_elements() {
            let (x, y) = (a.float_at(i), b.float_at(i));
            let agree = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * largest;
            assert!(agree, "output {idx}, element {i}: {x} before, {y} after (seed {seed})\n{before}\n{after}");
        }
        if let (Data::Int(x), Data::Int(y)) = (&a.data, &b.data) {
            assert_eq!(x, y, "output {idx}");
        }
    }
}

macro_rules! passes {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            cases($name);
        })*

        #[test]
        fn every_pass_has_cases() {
            let tested = [$($name),*];
            for pass in pipeline::PASSES {
                assert!(tested.contains(&pass.name), "{} is not tested", pass.name);
            }
        }
    };
}

passes! {
    ahead "ahead"
    canonicalize "canonicalize"
    cse "cse"
    dce "dce"
    differentiate "differentiate"
    even "even"
    expand "expand"
    fold "fold"
    fuse "fuse"
    groups "groups"
    hidden "hidden"
    hoist "hoist"
    layout "layout"
    narrow "narrow"
    attention "attention"
    pack "pack"
    padding "padding"
    phases "phases"
    precision "precision"
    quantize "quantize"
    running "running"
    split "split"
    winograd "winograd"
    whole_pipeline "pipeline"
}
