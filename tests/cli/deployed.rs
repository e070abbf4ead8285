//! A compiled model with the runtime alone: it gives what `tw run` gives, and is small.

use std::path::{Path, PathBuf};
use std::process::Command;

use tilewright::runtime::data::read_npz;

use crate::command::{said, tw};

/// What the program and a binary that runs it may take together.
const LARGEST: u64 = 10 << 20;

const WEIGHTS: &str = "specs/vision/digits/weights.safetensors";
const INPUTS: &str = "specs/vision/digits/held_out.npz";

/// The example of the runtime, from the profile of this test.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "tilewright-runtime", "--example", "run_program"]).current_dir(root);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo can be started").success());
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("examples").join(format!("run_program{}", std::env::consts::EXE_SUFFIX))
}

#[test]
fn a_compiled_model_runs_with_the_runtime_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let compiled = tw(&["compile", "specs/vision/vit.tw", "--preset", "digits", "-o", &path("vit.twprog")]);
    assert_eq!(compiled.code, 0, "{}", compiled.all());
    let binary = binary();
    let mut command = Command::new(&binary);
    command.args([path("vit.twprog").as_str(), WEIGHTS, INPUTS, &path("alone.npz")]);
    let alone = said(command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap());
    assert_eq!(alone.code, 0, "{}", alone.all());
    let run = ["run", "specs/vision/vit.tw", "--preset", "digits", "--weights", WEIGHTS, "--input", INPUTS, "-o"];
    let whole = tw(&[&run[..], &[&path("whole.npz")]].concat());
    assert_eq!(whole.code, 0, "{}", whole.all());
    let outputs = |name: &str| read_npz(Path::new(&path(name))).unwrap();
    assert_eq!(outputs("alone.npz"), outputs("whole.npz"));

    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len();
    let together = bytes(&binary) + bytes(Path::new(&path("vit.twprog")));
    // What is built for debugging carries its lines along.
    assert!(cfg!(debug_assertions) || together <= LARGEST, "{together} bytes");
}
