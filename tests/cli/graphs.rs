//! Files of graphs and compiled programs through the command.

use std::io::Write;
use std::process::Stdio;

use crate::command::{backends, command, said, tw};

const GRAPH: &str = r#"graph @call(%0 "x": data f32[B, 3], %1 "w": param f32[3, 2]) where B in 1.. {
  %2: f32[B, 2] = contract(%0, %1) {pattern = "b k, k j -> b j"}
  %3: f32[B, 2] = tanh(%2)
  return %3 "y": data
}
"#;

/// A folder with the graph above in it.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.twir");
    std::fs::write(&file, GRAPH).unwrap();
    let file = file.to_string_lossy().into_owned();
    (folder, file)
}

const INPUT: &str = "x=[[1, 2, 3], [0.5, 0, -1]]";

fn outputs(args: &[&str]) -> serde_json::Value {
    let said = tw(args);
    assert_eq!(said.code, 0, "{}", said.all());
    serde_json::from_str::<serde_json::Value>(&said.out).unwrap()["outputs"].clone()
}

#[test]
fn every_backend_gives_what_the_interpreter_gives() {
    let (_folder, file) = folder();
    let run = |backend| {
        let outputs = outputs(&["run", &file, "-w", "synthetic", "-i", INPUT, "--json", "--backend", backend]);
        (outputs[0]["min"].as_f64().unwrap(), outputs[0]["max"].as_f64().unwrap(), outputs[0]["mean"].as_f64().unwrap())
    };
    let expected = run("interpreter");
    for backend in backends() {
        let found = run(backend);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(
            near(found.0, expected.0) && near(found.1, expected.1) && near(found.2, expected.2),
            "{backend}: {found:?}"
        );
    }
}

#[test]
fn a_compiled_file_runs_without_its_source() {
    let (folder, file) = folder();
    let program = folder.path().join("model.twprog").to_string_lossy().into_owned();
    let said = tw(&["compile", &file, "-o", &program]);
    assert_eq!(said.code, 0, "{}", said.all());
    let run = |file: &str, more: &[&str]| {
        outputs(&[&["run", file, "-w", "synthetic", "-i", INPUT, "--json"][..], more].concat())
    };
    let direct = run(&file, &[]);
    assert_eq!(run(&program, &[]), direct);
    assert_eq!(run(&program, &["--trust"]), direct);
    let mut bytes = std::fs::read(&program).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&program, bytes).unwrap();
    let said = tw(&["run", &program, "-w", "synthetic", "-i", INPUT]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("damaged"), "{}", said.err);
}

#[test]
fn outputs_are_written_and_read_again() {
    let (folder, file) = folder();
    let path = folder.path().join("y.npz").to_string_lossy().into_owned();
    let said = tw(&["run", &file, "-w", "synthetic", "-i", INPUT, "-o", &path]);
    assert_eq!(said.code, 0, "{}", said.all());
    let identity = folder.path().join("identity.twir");
    std::fs::write(&identity, "graph @call(%0 \"y\": data f32[B, 2]) where B in 1.. {\n  return %0 \"z\": data\n}\n")
        .unwrap();
    let again = outputs(&["run", &identity.to_string_lossy(), "-i", &path, "--json"]);
    assert_eq!(again[0]["shape"], serde_json::json!([2, 2]));
}

#[test]
fn every_stage_can_be_printed() {
    let (_folder, file) = folder();
    for (stage, holds) in
        [("graph", "contract("), ("plan", "entry call"), ("kernel", "kernel"), ("loop", "loop"), ("clif", "function")]
    {
        let said = tw(&["ir", &file, "--stage", stage]);
        assert_eq!(said.code, 0, "{stage}: {}", said.all());
        assert!(said.out.contains(holds), "{stage}: {}", said.out);
    }
    let after = tw(&["ir", &file, "--after", "fuse"]);
    assert!(after.out.contains("fused("), "{}", after.all());
}

#[test]
fn passes_run_by_name() {
    let (_folder, file) = folder();
    let said = tw(&["opt", &file, "--passes", "cse,dce", "--verify"]);
    assert_eq!((said.code, said.out.as_str()), (0, GRAPH), "{}", said.err);
    assert_eq!(tw(&["opt", &file, "--passes", "fus"]).code, 1);
    assert!(tw(&["graph", &file]).out.starts_with("digraph"));
}

#[test]
fn stdin_is_laid_out_to_stdout() {
    let mut child = command(&["fmt", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"const   a=1\nconst bb =  2\n").unwrap();
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.out.contains("const a"), "{}", said.out);
    assert_eq!(said.out.lines().count(), 2);
}
