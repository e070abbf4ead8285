//! `tw train`: what it learns, what it keeps, and that an interrupted run goes on as if it had not been.

use std::path::{Path, PathBuf};

use tilewright::Tensor;
use tilewright::runtime::data::{read_npz, write_npz};
use tilewright::runtime::weights::{WeightFiles, write_safetensors};

use crate::command::{backends, command, tw};

const SPEC: &str = "\
use nn { Linear }
use optim { Adam, Sgd }

module Noisy() {
    fc   = Linear(2, 8)
    head = Linear(8, 1)

    fn call(x: [B, 2]) -> [B] { head(tanh(fc(x + 0.01 * randn(B, 2))))[:, 0] }
}

train Fit() {
    net   = Noisy()
    judge = Linear(1, 1)

    step learn(x: [B, 2], y: [B]) {
        minimize mean((net(x) - y) ^ 2) over net using Adam(lr: 0.02)
    }

    step judge_it(x: [B, 2]) {
        minimize mean(judge(stop_gradient(net(x))[:, new]) ^ 2) over judge using Sgd(lr: 0.01, momentum: 0.5)
        metric bias = judge.bias[0]
    }

    loop { learn * 3, judge_it }
}

train Bare() {
    net = Noisy()

    step learn(x: [B, 2], y: [B]) { minimize mean(log(net(x) - y)) over net using Sgd(lr: 0.1) }
}

train Diverging() {
    net = Noisy()

    step learn(x: [B, 2], y: [B]) { minimize mean(log(net(x) - 100)) over net using Sgd(lr: 0.1) }

    loop { learn }
}
";

fn written(folder: &Path) -> (String, String) {
    let (spec, data) = (folder.join("fit.tw"), folder.join("points.npz"));
    std::fs::write(&spec, SPEC).unwrap();
    let x: Vec<f32> = (0..128).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks(2).map(|x| (2.0 * x[0]).sin() - x[1] * x[1]).collect();
    let (x, y) = (Tensor::from_slice(&[64, 2], &x).unwrap(), Tensor::from_slice(&[64], &y).unwrap());
    write_npz(&data, &[("x".to_string(), x.view()), ("y".to_string(), y.view())]).unwrap();
    (text(spec), text(data))
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

fn losses(path: &str) -> Vec<f64> {
    let lines = std::fs::read_to_string(path).unwrap();
    let reports = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    reports.filter(|report| report["step"] == "learn").map(|report| report["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_run_that_was_interrupted_goes_on_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, data) = written(folder.path());
    let file = |name: &str| text(folder.path().join(name));
    for backend in backends() {
        let train = |rounds: &str, checkpoint: &str, more: &[&str]| {
            let common = ["train", &spec, "--model", "Fit", "--data", &data, "--batch", "16", "--seed", "7"];
            let own = ["--rounds", rounds, "--checkpoint", checkpoint, "--backend", backend];
            let said = tw(&[&common, &own[..], more].concat());
            assert_eq!(said.code, 0, "{}", said.all());
            said
        };
        let (whole, parts, metrics) = (file("whole"), file("parts"), file("metrics.jsonl"));
        let said = train("40", &whole, &["--metrics", &metrics, "--json"]);
        let facts: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(facts["rounds"], 40);
        assert!(facts["last"]["judge_it"]["bias"].is_f64(), "{facts}");
        let losses = losses(&metrics);
        assert_eq!(losses.len(), 120);
        assert!(losses[117..].iter().sum::<f64>() < 0.2 * losses[..3].iter().sum::<f64>(), "{losses:?}");
        train("13", &parts, &[]);
        train("40", &parts, &["--save", &format!("net={}", file("net.safetensors"))]);
        assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&parts).unwrap(), "on {backend}");
        std::fs::remove_file(&whole).unwrap();
        std::fs::remove_file(&parts).unwrap();
        let saved = tilewright::runtime::weights::WeightFiles::open(&[file("net.safetensors")]).unwrap();
        let mut names: Vec<&str> = saved.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["fc.bias", "fc.weight", "head.bias", "head.weight"]);
    }
}

/// Moments that start as zeros would take training another way, without a word.
#[test]
fn a_checkpoint_without_the_states_of_an_optimizer_is_refused_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, data) = written(folder.path());
    let (whole, lacking) = (text(folder.path().join("whole")), folder.path().join("lacking"));
    let train = |checkpoint: &str| {
        let backend = ["--rounds", "1", "--backend", "cranelift", "--checkpoint", checkpoint];
        tw(&[&["train", &spec, "--model", "Fit", "--data", &data], &backend[..]].concat())
    };
    assert_eq!(train(&whole).code, 0, "{}", train(&whole).all());
    let file = WeightFiles::open(&[&whole]).unwrap();
    let kept = file.names().filter(|name| !name.starts_with("optim.learn.net.fc."));
    let kept: Vec<_> = kept.map(|name| (name.to_string(), file.get(name).unwrap())).collect();
    write_safetensors(&lacking, &kept).unwrap();
    let said = train(&text(lacking));
    assert_eq!(said.code, 1, "{}", said.all());
    for words in ["lacks 6 of ", "`optim.learn.net.fc.weight.mean`", "`optim.learn.net.fc.bias.square`", "--weights"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

/// Whoever stops a run, whenever, loses nothing: it goes on from its last checkpoint, to the same end.
#[test]
fn a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, data) = written(folder.path());
    let file = |name: &str| text(folder.path().join(name));
    let args = |checkpoint: &str, metrics: &str| {
        let common = ["train", &spec, "--model", "Fit", "--data", &data, "--batch", "16", "--rounds", "300"];
        let own = ["--every", "1", "--checkpoint", checkpoint, "--metrics", metrics, "--backend", "cranelift"];
        common.iter().chain(&own).map(|arg| arg.to_string()).collect::<Vec<String>>()
    };
    let run = |args: &[String]| command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let (whole, parts) = (file("whole"), file("parts"));
    let (of_whole, of_parts) = (file("whole.jsonl"), file("parts.jsonl"));
    assert!(run(&args(&whole, &of_whole)).output().unwrap().status.success());
    let (mut sampler, mut n_kills) = (tilewright::compiler::graph::Sampler::new(20), 0);
    while n_kills < 20 {
        let quiet = std::process::Stdio::null;
        let mut process = run(&args(&parts, &of_parts)).stdout(quiet()).stderr(quiet()).spawn().unwrap();
        // Some fall before the first step is compiled, some while a checkpoint is written.
        std::thread::sleep(std::time::Duration::from_millis(sampler.int(5, 400) as u64));
        process.kill().unwrap();
        process.wait().unwrap();
        n_kills += 1;
    }
    assert!(run(&args(&parts, &of_parts)).output().unwrap().status.success());
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&parts).unwrap());
    assert_eq!(std::fs::read_to_string(&of_whole).unwrap(), std::fs::read_to_string(&of_parts).unwrap());
}

#[test]
fn samples_are_drawn_as_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(folder.path().join(name));
    let (spec, data) = ("specs/generative/vae.tw", "specs/vision/digits/train.npz");
    let samples = format!("sample={}", file("grid.png"));
    let said = tw(&["train", spec, "--data", data, "--batch", "64", "--rounds", "20", "--samples", &samples]);
    assert_eq!(said.code, 0, "{}", said.all());
    let (layout, path) = (tilewright::runtime::data::ImageLayout::ChannelsFirst, folder.path().join("grid.png"));
    let grid = tilewright::runtime::data::read_image(&path, layout).unwrap();
    assert_eq!(grid.shape(), [3, 4 * 34 + 2, 4 * 34 + 2]);
    let drawn = grid.as_slice::<f32>().unwrap();
    assert!(drawn.iter().any(|&value| value > 0.2 && value < 0.8), "nothing but white and black");
    let said = tw(&[
        "run",
        spec,
        "--entry",
        "sample",
        "--weights",
        "init",
        "--input",
        "step=0",
        "--output",
        &file("first.png"),
    ]);
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(tilewright::runtime::data::read_image(&folder.path().join("first.png"), layout).is_ok());
}

#[test]
fn what_cannot_be_trained_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, data) = written(folder.path());
    for (arguments, wanted) in [
        (vec!["--model", "Bare", "--data", &data], "in which order"),
        (vec!["--model", "Fit"], "needs `x`"),
        (vec!["--model", "Fit", "--data", &data, "--batch", "65"], "64 examples"),
        (vec!["--model", "Fit", "--data", &data, "--save", "nett=a"], "`net`"),
        (vec!["--model", "Diverging", "--data", &data], "is NaN in round 0"),
        (vec!["--model", "Diverging", "--data", &data], "fit.tw:36"),
        (vec!["--model", "Fit", "--data", &data, "--samples", "learn=a.png"], "`learn` needs `x`"),
    ] {
        let said = tw(&[&["train", &spec], &arguments[..]].concat());
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.all().contains(wanted), "{arguments:?}: {}", said.all());
    }
}

#[test]
fn a_model_is_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = text(folder.path().join("model.tw"));
    let model = "model Double() {\n    fn call(x: [B]) -> [B] { 2 * x }\n}\n";
    let train = "\ntrain Fit() {\n    net = Double()\n}\n";
    for (spec, wanted) in [
        (model.to_string(), "only a `train` can be trained; the file has none"),
        (format!("{model}{train}"), "choose one with `--model`: there is `Fit`"),
    ] {
        std::fs::write(&file, spec).unwrap();
        let said = tw(&["train", &file, "--model", "Double"]);
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.err.contains(wanted), "{}", said.err);
    }
}

#[test]
fn data_that_is_not_finite_is_blamed_before_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, data) = written(folder.path());
    let mut x = [0.5f32; 128];
    x[2 * 17 + 1] = f32::NAN;
    let (x, y) = (Tensor::from_slice(&[64, 2], &x).unwrap(), Tensor::from_slice(&[64], &[0f32; 64]).unwrap());
    write_npz(Path::new(&data), &[("x".to_string(), x.view()), ("y".to_string(), y.view())]).unwrap();
    let said = tw(&["train", &spec, "--model", "Fit", "--data", &data, "--batch", "64"]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("the data holds NaN in `x`, at [17, 1]"), "{}", said.err);
    assert!(!said.err.contains("learning rate"), "{}", said.err);
}

#[test]
fn a_module_is_saved_whole_whatever_is_learned_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(folder.path().join(name));
    let spec = "use nn { Linear }
use optim { Sgd }

module Bend() {
    fn call(x: [..]) -> [..] { relu(x) }
}

module Codes() {
    book = state [4, 2] = normal(0, 1)

    fn call(x: [B, 2]) -> [B, 2] {
        if training { book <- 0.5 * book }
        x + mean(book)
    }
}

train Fit() {
    net    = Linear(2, 2)
    frozen = Linear(2, 3)
    unused = Linear(2, 5)
    codes  = Codes()
    both   = (a: Linear(3, 2), b: Linear(2, 2))
    bend   = Bend()

    step learn(x: [B, 2]) {
        minimize mean(both.b(both.a(frozen(codes(net(x))))) ^ 2) over (net, both.a) using Sgd(lr: 0.1)
    }

    loop { learn }
}
";
    std::fs::write(file("fit.tw"), spec).unwrap();
    let x = Tensor::from_slice(&[4, 2], &[0.5f32; 8]).unwrap();
    write_npz(Path::new(&file("x.npz")), &[("x".to_string(), x.view())]).unwrap();
    let train = |more: &[&str]| {
        let (spec, data) = (file("fit.tw"), file("x.npz"));
        tw(&[&["train", &spec, "--data", &data, "--batch", "4", "--rounds", "2"], more].concat())
    };
    for (module, names) in [
        ("frozen", &["bias", "weight"][..]),
        ("unused", &["bias", "weight"]),
        ("codes", &["book"]),
        ("both", &["a.bias", "a.weight", "b.bias", "b.weight"]),
        ("both.b", &["bias", "weight"]),
    ] {
        let path = file("saved.safetensors");
        let said = train(&["--save", &format!("{module}={path}")]);
        assert_eq!(said.code, 0, "{}", said.all());
        let saved = WeightFiles::open(&[&path]).unwrap();
        let mut found: Vec<&str> = saved.names().collect();
        found.sort_unstable();
        assert_eq!(found, names, "{module}");
        std::fs::remove_file(&path).unwrap();
    }
    assert!(train(&["--save", "bend=a"]).err.contains("`bend` has no params and no states"));
    assert!(train(&["--save", "code=a"]).err.contains("did you mean `codes`?"));
}

const APART: &str = "\
use nn { Linear }
use optim { Sgd }

train Apart() {
    net = Linear(2, 1)

    step labelled(x: [B, 2], y: [B], scale: [2], rate: []) {
        minimize mean((net(x * scale)[:, 0] - rate * y) ^ 2) over net using Sgd(lr: 0.1)
    }

    step plain(z: [B, 2]) { minimize mean(net(z) ^ 2) over net using Sgd(lr: 0.1) }

    loop { labelled, plain }
}
";

/// Steps have examples of their own, sizes of their own, and take what is no example whole.
#[test]
fn each_step_has_its_own_number_of_examples() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(folder.path().join(name));
    let (spec, data) = (path("apart.tw"), path("data.npz"));
    std::fs::write(&spec, APART).unwrap();
    let array = |shape: &[usize]| Tensor::from_slice(shape, &vec![0.5f32; shape.iter().product()]).unwrap();
    let write = |n_labels: usize| {
        let arrays = [
            ("x", array(&[8, 2])),
            ("y", array(&[n_labels])),
            ("z", array(&[20, 2])),
            ("scale", array(&[2])),
            ("rate", array(&[])),
            ("unused", array(&[3])),
        ];
        let views: Vec<_> = arrays.iter().map(|(name, tensor)| (name.to_string(), tensor.view())).collect();
        write_npz(data.as_ref(), &views).unwrap();
        tw(&["train", &spec, "--data", &data, "--batch", "4", "--rounds", "7"])
    };
    let said = write(8);
    assert_eq!(said.code, 0, "{}", said.all());
    let said = write(7);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("the step `labelled` takes one example of each array"), "{}", said.err);
    assert!(said.err.contains("`x` has 8 and `y` 7"), "{}", said.err);
}

/// A gradient that stays one moves a weight by `lr` a step, which f32 holds to its last digits.
#[test]
fn the_first_steps_of_adam_are_as_long_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, output) = (text(folder.path().join("one.tw")), folder.path().join("out.npz"));
    let one = "use optim { Adam }\n\ntrain One() {\n    w = param [] = zeros\n    step learn(x: []) {\n        \
               minimize w * x over w using Adam(lr: 0.5)\n        metric moved = w\n    }\n}\n";
    std::fs::write(&spec, one).unwrap();
    for backend in backends() {
        for calls in ["1", "2", "5"] {
            let output_text = text(output.clone());
            let said = tw(&[
                &["run", &spec, "--input", "x=1", "--repeat", calls, "--backend", backend][..],
                &["--output", &output_text],
            ]
            .concat());
            assert_eq!(said.code, 0, "{}", said.all());
            let found = read_npz(&output).unwrap();
            let moved = found.iter().find(|(name, _)| name == "moved").expect("it is reported").1.view().to_f64()[0];
            let wanted = -0.5 * calls.parse::<f64>().unwrap();
            assert!((moved / wanted - 1.0).abs() < 1e-6, "{backend}, {calls}: {moved}");
        }
    }
}
