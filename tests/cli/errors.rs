//! What the command says about wrong requests.

use crate::command::tw;

const VIT: &str = "specs/vision/vit.tw";
const HELD_OUT: &str = "specs/vision/digits/held_out.npz";
const WEIGHTS: &str = "specs/vision/digits/weights.safetensors";

#[test]
fn names_that_are_not_there_are_answered_with_those_that_are() {
    for (args, close) in [
        (&["run", VIT, "--preset", "digit"][..], "digits"),
        (&["run", VIT, "--preset", "digits", "--entry", "cal"], "call"),
        (&["run", VIT, "--preset", "digits", "-w", WEIGHTS, "-i", "pixel=1"], "pixels"),
        (
            &["run", VIT, "--preset", "digits", "-w", WEIGHTS, "-i", "pixels=specs/vision/digits/held_out.npz:pixel"],
            "pixels",
        ),
        (&["run", VIT, "--set", "dept=3"], "depth"),
        (&["inspect", VIT, "--dim", "b=3"], "B"),
        (&["run", VIT, "--model", "Vit"], "ViT"),
        (&["run", VIT, "--preset", "digits", "-w", WEIGHTS, "--map", "torchvison"], "torchvision"),
    ] {
        let said = tw(args);
        assert_eq!(said.code, 1, "{args:?}: {}", said.all());
        assert!(said.err.contains(&format!("did you mean `{close}`?")), "{args:?}: {}", said.err);
        assert!(said.out.is_empty(), "errors go to stderr");
    }
}

#[test]
fn what_is_wrong_with_an_input_is_said() {
    let run = |more: &[&str]| tw(&[&["run", VIT, "--preset", "digits", "-w", WEIGHTS][..], more].concat());
    for (args, says) in [
        (&[][..], "needs the input `pixels`"),
        (&["-i", "pixels=missing.npy"], "missing.npy"),
        (&["-i", "pixels=[1, [2]]"], "different"),
        (&["-i", &format!("pixels={HELD_OUT}")], "several arrays"),
        (&["-i", &format!("pixels={HELD_OUT}:labels")], "pixels"),
        (&["-i", "pixels=Cargo.toml"], "no file of a kind that can be read"),
    ] {
        let said = run(args);
        assert_eq!(said.code, 1, "{args:?}: {}", said.all());
        assert!(said.err.contains(says), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_spec_with_errors_shows_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.tw");
    std::fs::write(&file, "model A() {\n    fn call(x: [B]) -> [B] { y }\n    fn other(x: [B]) -> [B] { z }\n}\n")
        .unwrap();
    let said = tw(&["check", &file.to_string_lossy()]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("`y`") && said.err.contains("`z`") && said.err.contains("2 errors"), "{}", said.err);
}

#[test]
fn a_promise_that_does_not_hold_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.tw");
    std::fs::write(
        &file,
        "model A(n: int = 3) {\n    w = param [n] = zeros\n    fn call(x: [n]) -> [n] { x + w }\n}\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("small.toml"), "[preset.four]\nn = 4\nexpect = { params = 5 }\n").unwrap();
    let file = file.to_string_lossy();
    let said = tw(&["check", &file]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("has 4 parameters, not 5"), "{}", said.err);
    assert_eq!(tw(&["inspect", &file, "--preset", "four"]).code, 1);
}
