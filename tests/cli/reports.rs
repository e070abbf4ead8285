//! What `tw run` says of outputs: ranges, and classes only where there are some.

use crate::command::tw;

const SPEC: &str = "\
model Many() {
    fn call(x: [B, 3]) -> [B, 3] { 2 * x }

    fn named(x: [B, 3]) -> (logits: [B, 3]) { (logits: 2 * x) }

    fn moments(x: [N, 3]) -> (a: [N, 3], b: [N, 3]) { (a: 2 * x, b: 3 * x) }

    fn odd(x: [N, 3]) -> [N, 3] { x / 0 }
}
";

#[test]
fn classes_batches_and_ranges_are_named_only_where_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("many.tw").to_string_lossy().into_owned();
    std::fs::write(&spec, SPEC).unwrap();
    let run = |entry: &str, input: &str| {
        let said = tw(&["run", &spec, "--backend", "interpreter", "--entry", entry, "--input", input]);
        assert_eq!(said.code, 0, "{}", said.all());
        said.out
    };
    let two = "x=[[1, 2, 0], [0, 1, 3]]";
    for entry in ["call", "named"] {
        let said = run(entry, two);
        assert!(said.contains("top-1: 1, 2") && said.contains("each for 2"), "{said}");
    }
    let said = run("moments", two);
    assert!(!said.contains("top-1") && !said.contains("each for"), "{said}");
    assert!(run("odd", "x=[[0, 0, 0]]").contains("f32[1, 3]  no finite numbers, 3 not finite"));
    assert!(run("odd", "x=[[1, 0, -1]]").contains("no finite numbers"));
}

#[test]
fn each_stage_says_how_long_it_took_to_those_who_ask() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (spec, program) = (file("many.tw"), file("many.twprog"));
    std::fs::write(&spec, SPEC).unwrap();
    let compiling = ["parsed in ", "checked in ", "passes ", "plan ", "code "];
    for (args, opening) in [
        (&["compile", &spec, "-o", &program][..], &[][..]),
        (&["run", &spec, "--input", "x=[[1, 2, 3]]"], &["read weights in ", "packed weights in "]),
        (&["bench", &spec, "--entry", "call", "--runs", "1"], &["read and packed weights in "]),
    ] {
        let said = tw(&[args, &["--backend", "cranelift", "-v"]].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        for words in compiling.iter().chain(opening) {
            assert!(said.err.contains(words), "{args:?} does not say {words:?}: {}", said.err);
        }
        let said = tw(&[args, &["--backend", "cranelift"]].concat());
        assert!(!said.err.contains("passes "), "{}", said.all());
    }
}

/// No integer holds the count: it is said in about the right size, and not as the greatest integer.
#[test]
fn counts_beyond_integers_are_floats_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("huge.tw").to_string_lossy().into_owned();
    let huge = "param [4_000_000_000, 2_000_000_000] = zeros";
    let text = format!(
        "model Huge() {{\n    a = {huge}\n    b = {huge}\n    c = param [3] = zeros\n    fn call(x: [3]) -> [3] {{ x + c }}\n}}\n"
    );
    std::fs::write(&spec, text).unwrap();
    let said = tw(&["inspect", &spec, "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.all()));
    assert_eq!(facts["params"].as_f64(), Some(1.6e19), "{}", facts["params"]);
    assert_eq!(facts["tree"]["params"], facts["params"]);
}
