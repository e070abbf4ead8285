//! Help pages and exit codes.

use crate::command::tw;

const COMMANDS: [&str; 10] = ["check", "fmt", "inspect", "compile", "run", "ir", "opt", "ops", "graph", "bench"];

#[test]
fn every_command_has_examples() {
    for command in COMMANDS {
        let said = tw(&[command, "--help"]);
        assert_eq!(said.code, 0, "{command}: {}", said.err);
        assert!(said.out.contains("Examples:"), "{command}:\n{}", said.out);
        assert!(said.out.contains(&format!("tw {command} ")), "{command}:\n{}", said.out);
    }
}

#[test]
fn the_first_page() {
    let said = tw(&["--help"]);
    assert_eq!(said.code, 0);
    insta::assert_snapshot!(said.out);
}

#[test]
fn wrong_usage_is_two() {
    for args in
        [&["frobnicate"][..], &[], &["run"], &["check"], &["run", "a.tw", "--dim", "N"], &["fmt", "--chek", "x"]]
    {
        let said = tw(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.all());
        assert!(said.out.is_empty() || args.is_empty(), "{args:?} writes to stdout");
    }
}

#[test]
fn the_version_names_the_backends() {
    let said = tw(&["--version"]);
    assert!(said.out.contains("backend cranelift: ") && said.out.contains("target "), "{}", said.out);
    assert_eq!(tw(&["-V"]).out.lines().count(), 1);
}

#[test]
fn what_a_spec_can_call_is_listed() {
    let said = tw(&["ops"]);
    assert_eq!(said.code, 0, "{}", said.all());
    let line = |start: &str| said.out.lines().find(|line| line.starts_with(start));
    for start in ["softmax(x; axis = -1) ", "pad(x, axis, before?, after?, value?) ", "relu(x) ", "zip(..)"] {
        assert!(line(start).is_some(), "{start}: {}", said.out);
    }
    // What graphs have and specs write otherwise.
    assert!(line("cond(").is_none() && line("attend(").is_none(), "{}", said.out);
    assert!(said.out.lines().all(|line| line.chars().count() <= 121), "{}", said.out);
    let rows: serde_json::Value = serde_json::from_str(&tw(&["ops", "--json"]).out).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), said.out.lines().count());
}

#[test]
fn an_op_has_a_page_and_a_misspelt_one_its_neighbours() {
    let said = tw(&["ops", "convolve"]);
    assert_eq!(said.code, 0, "{}", said.all());
    for words in ["convolve(x, w; stride?", "The kernel is not flipped", "groups", "where left out it is 1", "gradient"]
    {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = tw(&["ops", "pad"]);
    for words in ["pad(x, axis, before?", "pad(x; low, high, value = 0.0)"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    for (name, words) in
        [("sofmax", "`softmax`"), ("pool", "`max_pool`"), ("unsqueeze", "write `x[:, new]`"), ("xyzzy", "`tw ops`")]
    {
        let said = tw(&["ops", name]);
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}
