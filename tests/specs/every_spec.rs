//! What holds for every spec of the project: it parses, is formatted, elaborates; its graphs and kernels read back from
//! print; passes change no result; kernels are proved in bounds.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use tilewright::compiler::driver::{lower_entries, lower_kernels, plan_entries};
use tilewright::compiler::front::format::format_source;
use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::graph::verify::verify;
use tilewright::compiler::graph::{Argument, DType, Graph, Model, Precision, Role, Symbol, Tensor, interpret};
use tilewright::compiler::kernel;
use tilewright::compiler::ops;
use tilewright::compiler::passes::prepare::ENTRY;
use tilewright::{Backend, Options};

use crate::golden::{model_of, root};
use tilewright::Choice;

/// Every `.tw` file under `specs/` that is no part of the prelude.
pub fn paths() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = below(&root().join("specs")).collect();
    found.retain(|path| path.parent().is_some_and(|folder| !folder.ends_with("prelude")));
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

fn below(folder: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    Box::new(entries.flat_map(|path| match path.is_dir() {
        true => below(&path),
        false if path.extension().is_some_and(|extension| extension == "tw") => Box::new(std::iter::once(path)),
        false => Box::new(std::iter::empty()),
    }))
}

#[test]
fn specs_are_formatted() {
    for path in below(&root().join("specs")) {
        let text = fs::read_to_string(&path).unwrap();
        let formatted = format_source(&text).unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display()));
        assert!(formatted == text, "`tw fmt {}` would change it", path.display());
    }
}

/// A preset shrunk until the interpreter is quick, with a size for each symbol of its entries.
struct Small {
    spec: &'static str,
    model: &'static str,
    config: &'static [(&'static str, &'static str)],
    sizes: &'static [(&'static str, i64)],
}

const SMALL: &[Small] = &[
    Small {
        spec: "vision/vit.tw",
        model: "ViT",
        config: &[("image", "8"), ("patch", "4"), ("dim", "8"), ("depth", "2"), ("heads", "2"), ("classes", "3")],
        sizes: &[("B", 2)],
    },
    Small {
        spec: "vision/resnet.tw",
        model: "ResNet",
        config: &[("blocks", "[1, 1, 1, 1]"), ("classes", "3")],
        sizes: &[("B", 1), ("H", 32), ("W", 40)],
    },
    Small {
        spec: "vision/mobilenet_v2.tw",
        model: "MobileNetV2",
        config: &[("classes", "3")],
        sizes: &[("B", 1), ("H", 32), ("W", 32)],
    },
    Small {
        spec: "language/gpt2.tw",
        model: "GPT2",
        config: &[("vocab", "11"), ("context", "8"), ("dim", "8"), ("depth", "2"), ("heads", "2")],
        sizes: &[("B", 2), ("T", 3)],
    },
    Small {
        spec: "language/bert.tw",
        model: "BERT",
        config: &[("vocab", "11"), ("context", "8"), ("dim", "8"), ("depth", "2"), ("heads", "2")],
        sizes: &[("B", 2), ("N", 3)],
    },
    Small {
        spec: "language/llama.tw",
        model: "Llama",
        config: &[
            ("vocab", "11"),
            ("context", "8"),
            ("dim", "8"),
            ("hidden", "12"),
            ("depth", "2"),
            ("heads", "4"),
            ("groups", "2"),
        ],
        sizes: &[("B", 2), ("T", 3)],
    },
    Small {
        spec: "vision/shufflenet_v2.tw",
        model: "ShuffleNetV2",
        config: &[("widths", "[8, 12, 16]"), ("repeats", "[2, 1, 1]"), ("top", "8"), ("classes", "3")],
        sizes: &[("B", 1), ("H", 32), ("W", 40)],
    },
    Small {
        spec: "vision/efficientnet.tw",
        model: "EfficientNet",
        config: &[("width", "0.25"), ("depth", "0.25"), ("image", "32"), ("classes", "3")],
        sizes: &[("B", 1)],
    },
    Small {
        spec: "ssm/mamba.tw",
        model: "Mamba",
        config: &[("vocab", "11"), ("dim", "8"), ("depth", "2"), ("size", "4")],
        sizes: &[("B", 2), ("N", 3)],
    },
    Small {
        spec: "recurrent/lstm.tw",
        model: "LSTM",
        config: &[("input", "5"), ("hidden", "3"), ("depth", "2")],
        sizes: &[("B", 2), ("T", 4)],
    },
];

impl Small {
    fn build(&self) -> Model {
        let text = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        let config = self.config.iter().map(text).collect();
        let choice = Choice { model: Some(self.model.to_string()), config, ..Choice::default() };
        model_of(&format!("specs/{}", self.spec), &choice)
    }

    /// Arguments with small values that every float type holds, the same each time; integers stay within any table.
    fn arguments(&self, graph: &Graph) -> Vec<Tensor> {
        let size = |symbol: &Symbol| self.sizes.iter().find(|(name, _)| *name == symbol.name()).map(|(_, size)| *size);
        let argument = |(number, argument): (usize, &tilewright::compiler::graph::Argument)| {
            let ty = graph.type_of(argument.value);
            let shape: Vec<usize> =
                ty.shape.iter().map(|dim| dim.eval(&size).expect("a size is given") as usize).collect();
            let numbers = 0..shape.iter().product::<usize>();
            let wave = |idx: usize| (((idx * 7 + number * 13) % 31) as f64 - 15.0) / 32.0;
            // Variances are positive.
            let float = |idx| if argument.name.ends_with("var") { 1.0 + wave(idx) } else { wave(idx) };
            match ty.dtype.is_float() {
                true => Tensor::floats(ty.dtype, shape, numbers.map(float).collect()),
                false => Tensor::ints(ty.dtype, shape, numbers.map(|idx| (idx % 3) as i64).collect()),
            }
        };
        graph.arguments().iter().enumerate().map(argument).collect()
    }

    fn params(&self, graph: &Graph) -> Vec<(String, Tensor)> {
        let arguments = graph.arguments().iter().zip(self.arguments(graph));
        let params = arguments.filter(|(argument, _)| argument.role == Role::Param);
        params.map(|(argument, value)| (argument.name.clone(), value)).collect()
    }
}

fn options(backend: Backend) -> Options {
    Options { backend, verify: true, ..Options::default() }
}

fn check_graph(graph: &Graph) {
    verify(graph).unwrap_or_else(|violations| panic!("{violations:#?}\n{graph}"));
    let again = parse(&graph.to_string(), Library::of_ops(&|name| ops::find(name)));
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), *graph);
}

/// Arguments by name: those of an entry as it is written, and what is prepared of its weights.
type Known = HashMap<String, Tensor>;

/// Real floats are decided by a pass; what comes in is of the type that it decided.
fn interpreted(small: &Small, graph: &Graph, known: &Known) -> Vec<Tensor> {
    let argument = |argument: &Argument| in_type(&known[&argument.name], graph.type_of(argument.value).dtype);
    let arguments: Vec<Tensor> = graph.arguments().iter().map(argument).collect();
    let values = interpret(graph, &arguments, &|_| None, Precision::Wide);
    values.unwrap_or_else(|error| panic!("{}: {error}\n{graph}", small.spec))
}

/// What was computed in f64 is not rounded.
fn in_type(value: &Tensor, dtype: DType) -> Tensor {
    if value.dtype == dtype { value.clone() } else { value.cast(dtype) }
}

/// Adds what the entries share to the arguments of one of them, as far as its params allow.
fn prepare(small: &Small, entries: &[Graph], known: &mut Known) {
    for prepared in entries.iter().filter(|entry| entry.name == ENTRY) {
        let values = interpreted(small, prepared, known);
        known.extend(prepared.outputs().iter().map(|output| output.name.clone()).zip(values));
    }
}

#[test]
fn passes_change_no_result() {
    for small in SMALL {
        let model = small.build();
        // In f64 no number is rounded, so that what differs is a pass's doing.
        let options = Options { float: DType::F64, ..options(Backend::AVAILABLE[0]) };
        let lowered = lower_entries(&model, &options).unwrap_or_else(|error| panic!("{error}"));
        // Those of all entries: what is prepared is prepared for all.
        let params: Known = model.entries.iter().flat_map(|entry| small.params(entry)).collect();
        for (before, after) in model.entries.iter().zip(&lowered.entries) {
            check_graph(before);
            check_graph(after);
            let names = before.arguments().iter().map(|argument| argument.name.clone());
            let mut known: Known = params.clone().into_iter().chain(names.zip(small.arguments(before))).collect();
            let expected = interpreted(small, before, &known);
            prepare(small, &lowered.entries, &mut known);
            for (a, b) in expected.iter().zip(&interpreted(small, after, &known)) {
                assert_eq!(a.shape, b.shape);
                let largest = (0..a.n_elements()).fold(1e-3f64, |largest, idx| largest.max(a.float_at(idx).abs()));
                for idx in 0..a.n_elements() {
                    let (x, y) = (a.float_at(idx), b.float_at(idx));
                    assert!(x == y || (x - y).abs() < 1e-9 * largest, "{} {}: {x} and {y}", small.spec, before.name);
                }
            }
        }
    }
}

#[test]
fn kernels_are_in_bounds_and_read_back() {
    for small in SMALL {
        let model = small.build();
        for &backend in Backend::AVAILABLE {
            let options = options(backend);
            let lowered = lower_entries(&model, &options).unwrap_or_else(|error| panic!("{error}"));
            let planned = plan_entries(&model, &lowered, &options).unwrap_or_else(|error| panic!("{error}"));
            let apart: Vec<&String> = planned.remarks.iter().filter(|remark| remark.contains("one by one")).collect();
            assert!(apart.is_empty(), "groups without a kernel: {apart:#?}");
            let loops = lower_kernels(&planned.kernels, &options).unwrap_or_else(|error| panic!("{error}"));
            for kernel in planned.kernels.iter().chain(&loops) {
                kernel::verify(kernel).unwrap_or_else(|errors| panic!("{errors:#?}\n{}", kernel::print(kernel)));
                let again = kernel::parse(&kernel::print(kernel)).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(again, *kernel);
            }
        }
    }
}
