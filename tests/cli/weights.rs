//! What `tw run` reads from weight files, and what it says of them.

use std::path::Path;

use tilewright::Tensor;
use tilewright::runtime::data::read_npz;
use tilewright::runtime::weights::write_safetensors;

use crate::command::{Said, backends, tw};

const SPEC: &str = "\
use nn { BatchNorm2d }

model Norms() {
    first  = BatchNorm2d(2)
    second = BatchNorm2d(2)
    calls  = state i64[] = 0

    fn call(x: [B, 2, H, W]) -> ([B, 2, H, W], i64[]) {
        calls <- calls + 1
        (second(first(x)), calls)
    }
}
";
const NAMES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
const FIRST: [[f32; 2]; 4] = [[1.5, -0.5], [0.25, 2.0], [0.75, -3.0], [4.0, 0.25]];

/// The spec and a file as PyTorch saves one: the second norm has no running statistics.
fn write(folder: &Path) -> (String, String) {
    let (spec, file) = (folder.join("norms.tw"), folder.join("norms.safetensors"));
    std::fs::write(&spec, SPEC).unwrap();
    let pair = |values: &[f32]| Tensor::from_slice(&[2], values).unwrap();
    let mut tensors = vec![
        ("first.num_batches_tracked".to_string(), Tensor::from_slice(&[], &[100i64]).unwrap()),
        ("calls".to_string(), Tensor::from_slice(&[], &[41i64]).unwrap()),
        ("second.weight".to_string(), pair(&[1.0, 1.0])),
        ("second.bias".to_string(), pair(&[0.0, 0.0])),
    ];
    tensors.extend(NAMES.iter().zip(FIRST).map(|(name, values)| (format!("first.{name}"), pair(&values))));
    let views: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.view())).collect();
    write_safetensors(&file, &views).unwrap();
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    (text(spec), text(file))
}

fn run(model: &str, weights: &str, folder: &Path, more: &[&str]) -> (Said, Vec<(String, Tensor)>) {
    let output = folder.join("out.npz").to_string_lossy().into_owned();
    let input = "x=[[[[1.0, -2.0]], [[0.5, 3.0]]]]";
    let said = tw(&[&["run", model, "--weights", weights, "--input", input, "--output", &output], more].concat());
    assert_eq!(said.code, 0, "{}", said.all());
    (said, read_npz(Path::new(&output)).unwrap())
}

/// PyTorch's formula in f64; the second norm has a mean of 0 and a variance of 1.
fn expected() -> Vec<f64> {
    let x = [[1.0, -2.0], [0.5, 3.0]];
    let [weight, bias, mean, var] = FIRST.map(|values| values.map(f64::from));
    let one = |channel: usize, x: f64| {
        let first = (x - mean[channel]) / (var[channel] + 1e-5).sqrt() * weight[channel] + bias[channel];
        first / (1.0f64 + 1e-5).sqrt()
    };
    (0..2).flat_map(|channel| x[channel].map(|x| one(channel, x))).collect()
}

fn check(said: &Said, outputs: &[(String, Tensor)], what: &str) {
    let floats = outputs.iter().find(|(_, tensor)| tensor.shape().len() == 4).expect("the floats").1.view().to_f64();
    for (found, expected) in floats.iter().zip(expected()) {
        assert!((found - expected).abs() <= 1e-5, "{what}: {floats:?}");
    }
    let calls = outputs.iter().find_map(|(_, tensor)| tensor.as_slice::<i64>()).expect("the count");
    assert_eq!(calls, [42], "{what}");
    for note in [
        "unused in the file: first.num_batches_tracked",
        "states that are not in the file and start as the model says: second.running_mean, second.running_var",
    ] {
        assert!(said.err.contains(note), "{what}: {}", said.err);
    }
}

#[test]
fn states_are_read_from_weight_files() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, weights) = write(folder.path());
    for backend in backends().iter().chain(&["interpreter"]) {
        let (said, outputs) = run(&spec, &weights, folder.path(), &["--backend", backend]);
        check(&said, &outputs, backend);
    }
    let program = folder.path().join("norms.twprog").to_string_lossy().into_owned();
    let said = tw(&["compile", &spec, "-o", &program]);
    assert_eq!(said.code, 0, "{}", said.all());
    let (said, outputs) = run(&program, &weights, folder.path(), &[]);
    check(&said, &outputs, "a compiled file");
}

#[test]
fn files_of_another_model_are_refused_and_idle_rules_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let spec = "use optim { Sgd }\n\nmodel Scale(n: int = 2) {\n    w = param [n] = ones\n    fn call(x: [B, n]) -> [B, n] { w * x }\n}\n\n\
                train Fit() {\n    net = Scale()\n    \
                step learn(x: [B, 2]) { minimize mean(net(x) ^ 2) over net using Sgd(lr: 0.1) }\n    loop { learn }\n}\n";
    std::fs::write(text("scale.tw"), spec).unwrap();
    let settings =
        |rule: &str| std::fs::write(text("scale.toml"), format!("[weights.theirs]\n\"w\" = \"v\"\n{rule}\n"));
    let weights = Tensor::from_slice(&[2], &[2f32, 3.0]).unwrap();
    write_safetensors(Path::new(&text("v.safetensors")), &[("v".to_string(), weights.view())]).unwrap();
    let run = |more: &[&str]| {
        tw(&[
            &["run", &text("scale.tw"), "--model", "Scale", "--input", "x=[[1, 1]]", "-w", &text("v.safetensors")],
            more,
        ]
        .concat())
    };

    settings("\"bdy.{i}.weight\" = \"body.{i}.weight\"").unwrap();
    let said = run(&["--map", "theirs"]);
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.err.contains("rules of the weight map that hold for no weight: bdy.{i}.weight"), "{}", said.err);

    settings("\"body.{i}.weight\" = \"b.{j}.w\"").unwrap();
    for said in [run(&["--map", "theirs"]), tw(&["check", &text("scale.tw")])] {
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.err.contains("`{j}` stands on the right"), "{}", said.err);
    }

    settings("").unwrap();
    let x = Tensor::from_slice(&[4, 2], &[0.5f32; 8]).unwrap();
    tilewright::runtime::data::write_npz(Path::new(&text("x.npz")), &[("x".to_string(), x.view())]).unwrap();
    let train = ["train", &text("scale.tw"), "--data", &text("x.npz"), "--batch", "2", "--rounds", "1"];
    let said = tw(&[&train[..], &["--model", "Fit", "--weights", &text("v.safetensors")]].concat());
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("names such as `v`, the model such as `net.w`"), "{}", said.err);
}

#[test]
fn initial_values_are_mentioned_only_if_nobody_asked_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, _) = write(folder.path());
    let run = |more: &[&str]| {
        let said = tw(&[&["run", &spec, "--input", "x=[[[[1.0]], [[2.0]]]]"][..], more].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        said.err.contains("no weights were given")
    };
    assert!(run(&[]));
    assert!(!run(&["--weights", "init"]));
}

#[test]
fn initial_values_are_saved_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, _) = write(folder.path());
    let saved = folder.path().join("init.safetensors").to_string_lossy().into_owned();
    for backend in backends().iter().chain(&["interpreter"]) {
        let (_, started) = run(&spec, "init", folder.path(), &["--backend", backend, "--save-weights", &saved]);
        let (_, again) = run(&spec, &saved, folder.path(), &["--backend", backend]);
        assert_eq!(started, again, "{backend}");
    }
    // What a `train` learns is a state, and is kept all the same.
    let fit = folder.path().join("fit.tw").to_string_lossy().into_owned();
    let spec_of_fit = "use optim { Adam }\n\ntrain Fit() {\n    w = param [2] = normal()\n    \
                       step learn(x: [B, 2]) { minimize mean((w * x) ^ 2) over w using Adam() }\n}\n";
    std::fs::write(&fit, spec_of_fit).unwrap();
    for backend in backends().iter().chain(&["interpreter"]) {
        let learn = |more: &[&str]| {
            let said = tw(&[&["run", &fit, "--input", "x=[[1, 2]]", "--backend", backend], more].concat());
            assert_eq!(said.code, 0, "{}", said.all());
            said.out.lines().next().expect("it says the loss").to_string()
        };
        let started = learn(&["--seed", "5", "--save-weights", &saved]);
        assert_eq!(started, learn(&["--weights", &saved]), "{backend}");
        assert_ne!(started, learn(&[]), "{backend}");
    }
    let said = tw(&["inspect", &spec, "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let expected = serde_json::json!({ "path": "first.weight", "type": "real", "shape": [2] });
    assert!(facts["weights"].as_array().unwrap().contains(&expected), "{}", facts["weights"]);
}
