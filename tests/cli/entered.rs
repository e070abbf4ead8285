//! What an entry is called with and cannot take: each refusal names the sizes, and nothing is computed.

use crate::command::{Said, backends, tw};

const SPEC: &str = "\
use nn { Conv2d }

model Images() {
    narrow  = Conv2d(1, 1, kernel: 5)
    strided = Conv2d(1, 1, kernel: 5, stride: 4)

    fn call(x: [B, 1, H, 8]) -> [B, 1, ..] { narrow(x) }

    fn steps(x: [B, 1, H, 8]) -> [B, 1, ..] { strided(x) }

    fn pooled(x: [B, H]) -> [B] { mean(max_pool(x[:, new], size: 3), axes: [1, 2]) }

    fn spread(x: [B, H]) -> [B, 1, ..] { avg_pool(x[:, new], size: 2, dilation: 3) }

    fn single(x: [B, H]) -> [B, 1, ..] where H >= 0 { max_pool(x[:, new], size: 1) }

    fn halves(x: [B, 2 * N]) -> [B, N] { x[:, :N] - x[:, N:] }

    fn blocks(x: [B, H / 8]) -> [H] { zeros(H) }

    fn few(x: [B]) -> [B] where B <= 2 { x }

    fn held(x: [B, H]) -> [B, H] where 2 * B <= H and H < 3 * B + 2 { x }
}
";

fn run(args: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("images.tw").to_string_lossy().into_owned();
    std::fs::write(&spec, SPEC).unwrap();
    tw(&[&["run", &spec], args].concat())
}

fn image(height: usize) -> String {
    let rows = vec![format!("{:?}", [0.5; 8]); height];
    format!("x=[[[{}]]]", rows.join(", "))
}

fn row(width: usize) -> String {
    format!("x=[{:?}]", vec![0.5; width])
}

#[test]
fn a_window_without_a_place_is_refused_when_the_entry_is_called() {
    for backend in backends().iter().copied().chain(["interpreter"]) {
        for (entry, least, fits, short) in [
            ("call", "5 <= H", image(5), image(4)),
            ("steps", "5 <= H", image(5), image(4)),
            ("pooled", "3 <= H", row(3), row(2)),
            ("spread", "4 <= H", row(4), row(3)),
        ] {
            let said = run(&["--entry", entry, "--backend", backend, "--input", &fits]);
            assert_eq!(said.code, 0, "{}", said.all());
            let said = run(&["--entry", entry, "--backend", backend, "--input", &short]);
            assert_eq!(said.code, 1, "{}", said.all());
            let says = if backend == "interpreter" { "H = " } else { least };
            assert!(said.err.contains("does not fit") && said.err.contains(says), "{says}: {}", said.err);
        }
    }
    let said = run(&["--entry", "single", "--input", "x=[[]]"]);
    assert!(!said.err.contains("does not fit"), "{}", said.all());
}

#[test]
fn a_size_out_of_its_range_is_refused() {
    for backend in backends().iter().copied().chain(["interpreter"]) {
        let run = |values: &str| run(&["--entry", "few", "--backend", backend, "--input", values]);
        assert_eq!(run("x=[1, 2]").code, 0, "{}", run("x=[1, 2]").all());
        for (values, not) in [("x=[]", "not 0"), ("x=[1, 2, 3]", "not 3")] {
            let said = run(values);
            assert_eq!(said.code, 1, "{}", said.all());
            assert!(said.err.contains("from 1 to 2") && said.err.contains(not), "{}", said.err);
        }
    }
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

#[test]
fn a_size_is_found_where_it_stands_in_an_expression_only() {
    for backend in backends().iter().copied().chain(["interpreter"]) {
        let run = |entry: &str, more: &[&str]| run(&[&["--entry", entry, "--backend", backend], more].concat());
        let said = run("halves", &["--input", "x=[[5, 6, 1, 3]]"]);
        assert!(said.code == 0 && said.out.contains("f32[1, 2]  3.000000 .. 4.000000"), "{}", said.all());
        let said = run("blocks", &["--input", "x=[[1, 2]]"]);
        assert!(said.code == 0 && said.out.contains("[16]"), "{}", said.all());
        let said = run("halves", &["--input", "x=[[1, 2, 3, 4, 5]]"]);
        assert_eq!(said.code, 1, "{}", said.all());
        for words in ["`x`", "2*N", "axis 1", "5"] {
            assert!(said.err.contains(words), "{words}: {}", said.err);
        }
    }
    let said = run(&["--entry", "halves", "--dim", "N=3", "--input", "x=[[1, 2, 3, 4]]"]);
    assert!(said.code == 1 && said.err.contains('6'), "{}", said.all());
}
