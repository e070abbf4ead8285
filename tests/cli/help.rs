//! Help pages and exit codes.

use crate::command::tw;

const COMMANDS: [&str; 9] = ["check", "fmt", "inspect", "compile", "run", "ir", "opt", "graph", "bench"];

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
