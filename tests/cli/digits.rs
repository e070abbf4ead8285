//! The digits through the command: the README's promises.

use tilewright::compiler::driver::Options;
use tilewright::compiler::graph::DType;
use tilewright::compiler::passes::Narrowing;

use crate::command::{DIGITS, DIGITS_WEIGHTS, Said, backends, tw};

/// What they are, too.
const LABELS: [&str; 2] = ["--labels", "specs/vision/digits/held_out.npz:labels"];

const SMALL: &str = "use nn { Linear }
model Small() {
    a = Linear(4, 4)
    fn call(x: [B, 4]) -> [B, 4] { a(x) }
}
";

fn labelled(more: &[&str]) -> Said {
    tw(&[&DIGITS[..], &LABELS, more].concat())
}

#[test]
fn held_out_digits_are_recognised_by_every_backend() {
    for backend in backends().iter().chain(&["interpreter"]) {
        let said = labelled(&["--backend", backend, "--json"]);
        assert_eq!(said.code, 0, "{backend}: {}", said.all());
        let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert!(report["accuracy"].as_f64().unwrap() >= 0.97, "{backend}: {}", report["accuracy"]);
        assert_eq!(report["rows"], 360);
    }
}

#[test]
fn narrow_factors_recognise_digits_too() {
    for (precision, least, most) in [("f32", 0.0, 0.0), ("bf16", 1e-4, 2e-2), ("int8", 1e-4, 6e-2)] {
        let said = labelled(&["--precision", precision, "--compare", "f32", "--json"]);
        assert_eq!(said.code, 0, "{precision}: {}", said.all());
        let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert!(report["accuracy"].as_f64().unwrap() >= 0.97, "{precision}: {}", report["accuracy"]);
        let error = report["outputs"][0]["error"].as_f64().unwrap();
        assert!((least..=most).contains(&error), "{precision}: {error}");
    }
}

#[test]
fn scales_can_come_from_data() {
    let train = "specs/vision/digits/train.npz";
    let run = |more: &[&str]| {
        let said = labelled(&[&["--precision", "int8", "--compare", "f32", "--json"], more].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert!(report["accuracy"].as_f64().unwrap() >= 0.97, "{}", report["accuracy"]);
        report["outputs"][0]["error"].as_f64().unwrap()
    };
    let (each_call, once) = (run(&[]), run(&["--calibrate", train]));
    assert!(once <= 0.1 && once != each_call, "{once} and {each_call}");
    let wrong = labelled(&["--calibrate", train]);
    assert_eq!(wrong.code, 2, "{}", wrong.all());
    let missing = labelled(&["--precision", "int8", "--calibrate", "nothing.npz"]);
    assert_eq!(missing.code, 1, "{}", missing.all());
    // A fixed batch takes the examples one by one.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("vit.twprog").to_string_lossy().into_owned();
    let compile = ["compile", "specs/vision/vit.tw", "--preset", "digits", "--dim", "B=1", "--precision", "int8"];
    let said = tw(&[&compile[..], &["--calibrate", train, "--weights", DIGITS_WEIGHTS, "-o", &program]].concat());
    assert_eq!(said.code, 0, "{}", said.all());
}

#[test]
fn what_stays_wide_is_listed() {
    let said = tw(&["inspect", "specs/vision/vit.tw", "--preset", "digits", "--dim", "B=1", "--precision", "bf16"]);
    assert_eq!(said.code, 0, "{}", said.all());
    let listed: Vec<&str> = said.out.lines().filter(|line| line.contains("stays in f32: ")).collect();
    // Where bf16 is multiplied more slowly than f32, everything stays; else what is no weight, or is small.
    let options = Options { narrowing: Narrowing::Factors(DType::BF16), ..Options::new() };
    match options.narrow_products() {
        true => {
            assert!(listed.iter().all(|line| line.contains("attn")), "{}", said.out);
            let folder = tempfile::tempdir().unwrap();
            let spec = folder.path().join("small.tw");
            std::fs::write(&spec, SMALL).unwrap();
            let said = tw(&["inspect", &spec.to_string_lossy(), "--precision", "bf16"]);
            assert!(said.out.contains("a: narrow: `contract` stays in f32: its weight is small"), "{}", said.all());
        }
        false => {
            assert!(listed.iter().any(|line| line.contains("fc1") && line.contains("slower here")), "{}", said.out)
        }
    }
}

#[test]
fn digits_are_drawn_with_their_classes() {
    let said = labelled(&["--show", "3", "--backend", "cranelift"]);
    assert_eq!(said.code, 0, "{}", said.all());
    let drawn: Vec<&str> = said.out.lines().take(9).collect();
    assert!(drawn[..8].iter().all(|line| line.chars().count() == 2 + 3 * 16 + 2 * 3), "{}", said.out);
    assert_eq!(drawn[8].split_whitespace().count(), 3, "{}", said.out);
    assert!(said.out.contains("accuracy: 9"), "{}", said.out);
}

#[test]
fn the_tree_of_a_model_is_shown_with_its_costs() {
    let said = tw(&["inspect", "specs/vision/vit.tw", "--preset", "b16", "--dim", "B=1", "--json"]);
    assert_eq!(said.code, 0, "{}", said.all());
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["params"], 86_567_656);
    insta::assert_snapshot!(tw(&["inspect", "specs/vision/vit.tw", "--preset", "digits", "--dim", "B=1"]).out);
}
