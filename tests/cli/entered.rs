//! What an entry is called with and cannot take: each refusal names the sizes, and nothing is computed.

use crate::command::{Said, tw};

const SPEC: &str = "\
model Images() {
    fn held(x: [B, H]) -> [B, H] where 2 * B <= H and H < 3 * B + 2 { x }
}
";

fn run(args: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("images.tw").to_string_lossy().into_owned();
    std::fs::write(&spec, SPEC).unwrap();
    tw(&[&["run", &spec], args].concat())
}

#[test]
fn a_condition_that_does_not_hold_shows_both_sides() {
    let held = |values: &str| run(&["--entry", "held", "--input", values]);
    assert_eq!(held("x=[[1, 2]]").code, 0, "{}", held("x=[[1, 2]]").all());
    for (values, says) in [("x=[[1]]", "2*B <= H does not hold: 2 <= 1"), ("x=[[1, 2, 3, 4, 5]]", "5 <= 4")] {
        let said = held(values);
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.err.contains(says), "{says}: {}", said.err);
    }
}
