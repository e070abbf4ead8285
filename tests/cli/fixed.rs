//! `--dim`: which entries a size is fixed in, and under which names.

use crate::command::tw;

const SPEC: &str = "\
model Two(most: int = 8) {
    fn call(x: [B, T]) -> [B, T] { x + 1 }

    fn other(x: [B, T]) -> [B, T] where T <= most { x * 2 }

    fn same(x: [N], y: [M]) -> [N] where M == N { x + y }
}
";

fn run(args: &[&str]) -> crate::command::Said {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("two.tw").to_string_lossy().into_owned();
    std::fs::write(&spec, SPEC).unwrap();
    tw(&[&["run", &spec, "--backend", "interpreter"], args].concat())
}

#[test]
fn sizes_of_other_entries_are_left_alone() {
    let nine = "x=[[1, 2, 3, 4, 5, 6, 7, 8, 9]]";
    for args in [&["--dim", "T=9", "--input", nine][..], &["--entry", "call", "--dim", "T=9", "--input", nine]] {
        let said = run(args);
        assert_eq!(said.code, 0, "{}", said.all());
    }
    let said = run(&["--entry", "other", "--dim", "T=9", "--input", nine]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("`--dim T=9`: T is from 1 to 8"), "{}", said.err);
    let said = run(&["--entry", "same", "--dim", "T=9"]);
    assert!(said.err.contains("there is no size `T`: there is `M`, `N`"), "{}", said.err);
}

#[test]
fn a_size_that_is_another_can_be_fixed_by_its_own_name() {
    let same = |dim: &str| run(&["--entry", "same", "--dim", dim, "--input", "x=[1, 2]", "--input", "y=[3, 4]"]);
    assert_eq!(same("M=2").code, 0, "{}", same("M=2").all());
    let said = same("M=3");
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.err.contains("[3]"), "{}", said.err);
}

/// A compiled file knows the names of the spec, and not only those of its symbols.
#[test]
fn a_compiled_file_knows_sizes_by_the_names_of_the_spec() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (spec, program) = (path("halves.tw"), path("halves.twprog"));
    let text = "model Halves() {
        fn call(x: [B, H]) -> [B, H / 4] where H % 4 == 0 { mean(rearrange(x, \"b (h p) -> b h p\", p: 4), axes: [-1]) }
    }";
    std::fs::write(&spec, text).unwrap();
    let said = tw(&["compile", &spec, "-o", &program]);
    assert_eq!(said.code, 0, "{}", said.all());
    let run = |dim: &str| tw(&["run", &program, "--dim", dim, "--input", "x=[[1, 2, 3, 4]]"]);
    for dim in ["H=4", "B=1"] {
        assert_eq!(run(dim).code, 0, "{}", run(dim).all());
    }
    for (dim, why) in [("H=8", "H_4"), ("H=6", "H is 4*H_4, which is 6 for no number"), ("K=6", "`H`")] {
        let said = run(dim);
        assert_eq!(said.code, 1, "{}", said.all());
        assert!(said.err.contains(why), "{dim}: {}", said.err);
    }
}
