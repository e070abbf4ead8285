//! The README is true: its spec elaborates, its commands work.

use crate::command::tw;

const README: &str = include_str!("../../README.md");

/// The code blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = README;
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let (block, after) = after.split_once("```").unwrap_or((after, ""));
        blocks.push(block.to_string());
        rest = after;
    }
    blocks
}

#[test]
fn the_spec_elaborates_and_is_laid_out_as_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    for (idx, spec) in blocks("tw").into_iter().enumerate() {
        let file = folder.path().join(format!("readme{idx}.tw"));
        std::fs::write(&file, &spec).unwrap();
        let file = file.to_string_lossy().into_owned();
        for command in [&["check", &file][..], &["fmt", "--check", &file]] {
            let said = tw(command);
            assert_eq!(said.code, 0, "{}\n{spec}", said.all());
        }
    }
}

#[test]
fn the_commands_work() {
    let shell = blocks("sh").join("\n").replace("\\\n", " ");
    let mut n_run = 0;
    for line in shell.lines().filter(|line| line.starts_with("tw ")) {
        let line = line.split(" #").next().unwrap_or(line);
        let args: Vec<&str> = line.split_whitespace().skip(1).collect();
        // What writes files or takes long is left out; its arguments are those of the others.
        if !["check", "inspect", "run", "ir"].contains(&args[0]) {
            continue;
        }
        let said = tw(&args);
        assert_eq!(said.code, 0, "{line}\n{}", said.err);
        n_run += 1;
    }
    assert!(n_run >= 4);
}
