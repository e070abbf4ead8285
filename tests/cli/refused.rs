//! What cannot be done is refused with a reason; nothing that was asked for is left out without a word.

use std::path::Path;

use crate::command::tw;

/// A folder with a spec in it, and the spec's path.
fn folder(spec: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "model.tw");
    std::fs::write(&file, spec).unwrap();
    (folder, file)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// Runs `tw`, which must fail with this code and say all of this.
fn refused(args: &[&str], code: i32, says: &[&str]) {
    let said = tw(args);
    assert_eq!(said.code, code, "{args:?}: {}", said.all());
    for text in says {
        assert!(said.err.contains(text), "{args:?} does not say {text:?}: {}", said.err);
    }
}

const DOUBLE: &str = "model Double(times: int = 2) {\n    fn call(x: [B]) -> [B] { times * x }\n}\n";

#[test]
fn a_compiled_file_takes_no_choices_of_a_spec() {
    let (folder, file) = folder(DOUBLE);
    let program = path(folder.path(), "model.twprog");
    let said = tw(&["compile", &file, "-o", &program]);
    assert_eq!(said.code, 0, "{}", said.all());
    let run = ["run", &program, "--input", "x=[1, 2]"];
    assert_eq!(tw(&run).code, 0);
    for more in [
        ["--set", "times=3"],
        ["--preset", "wide"],
        ["--model", "Double"],
        ["--float", "f64"],
        ["--precision", "bf16"],
        ["--group", "16"],
        ["--compare", "f64"],
    ] {
        refused(&[&run[..], &more].concat(), 2, &[more[0], "fixed when it was compiled"]);
    }
}

#[test]
fn outputs_are_not_written_under_the_names_of_other_kinds() {
    let (folder, file) = folder(DOUBLE);
    for name in ["y.foo", "y.npy", "y"] {
        let output = path(folder.path(), name);
        refused(&["run", &file, "--input", "x=[1]", "--output", &output], 2, &["FILE.npz", "FILE.png"]);
        assert!(!Path::new(&output).exists());
    }
}

#[test]
fn weights_of_other_kinds_are_answered_with_how_to_convert_them() {
    let spec = "model Scale(n: int = 2) {\n    w = param [n] = ones\n    fn call(x: [n]) -> [n] { w * x }\n}\n";
    let (folder, file) = folder(spec);
    for (name, says) in [
        ("w.npz", "safetensors.numpy.save_file(dict(numpy.load("),
        ("w.pt", "safetensors.torch.save_file(torch.load("),
        ("w", "read from safetensors files"),
    ] {
        let weights = path(folder.path(), name);
        std::fs::write(&weights, b"PK\x03\x04 and whatever else an archive begins with").unwrap();
        refused(&["run", &file, "--weights", &weights, "--input", "x=[1, 2]"], 1, &["no safetensors file", says]);
    }
}

#[test]
fn sizes_that_do_not_fit_are_called_what_the_spec_calls_them() {
    let spec = "model Halves() {\n    fn call(x: [B, 3, H]) -> [B, 3, H / 8] where H % 8 == 0 { x[:, :, :H / 8] }\n}\n";
    let (_folder, file) = folder(spec);
    let run = |dim: &'static str| ["run", &file, "--input", "x=[[[1], [2], [3]]]", "--dim", dim].map(str::to_string);
    for (dim, code, says) in [
        ("Q=3", 1, &["there is no size `Q`: there is `B`, `H`"][..]),
        ("H=0", 1, &["`--dim H=0`: H is at least 8"]),
        ("H=16", 1, &["axis 2 is 1, but must be 16", "`--dim` says H = 16"]),
    ] {
        let run = run(dim);
        refused(&run.iter().map(String::as_str).collect::<Vec<_>>(), code, says);
    }
    refused(&["run", &file, "--input", "x=[[[1], [2]]]"], 1, &["[B, 3, H]"]);
}

#[test]
fn internal_entries_of_a_compiled_file_are_not_offered() {
    let spec = "use nn { Linear }\n\nmodel Two() {\n    fc = Linear(64, 64)\n    fn a(x: [B, 64]) -> [B, 64] { fc(x) }\n    \
                fn b(x: [B, 64]) -> [B, 64] { fc(fc(x)) }\n}\n";
    let (folder, file) = folder(spec);
    let program = path(folder.path(), "two.twprog");
    let said = tw(&["compile", &file, "-o", &program]);
    assert_eq!(said.code, 0, "{}", said.all());
    refused(&["run", &program, "--weights", "synthetic"], 2, &["there is `a`, `b`\n"]);
}

#[test]
fn weights_beyond_any_memory_are_no_fault_of_the_compiler() {
    let spec = "use nn { Linear }\n\nmodel Net(n: int = 4) {\n    fc = Linear(4, n)\n    \
                fn call(x: [B, 4]) -> [B, n] { fc(x) }\n}\n";
    let (folder, file) = folder(spec);
    let most = format!("n={}", i64::MAX);
    let program = path(folder.path(), "net.twprog");
    for args in [
        &["run", &file, "--set", &most, "--input", "x=[[1, 2, 3, 4]]"][..],
        &["compile", &file, "--set", &most, "-o", &program],
    ] {
        refused(args, 1, &["the weight `fc.", "is larger than any memory"]);
    }
    let said = tw(&["inspect", &file, "--set", &most]);
    assert!(said.out.contains("parameters: more than 9.2e18"), "{}", said.all());
}

#[test]
fn machine_code_of_another_architecture_is_not_made() {
    let (folder, file) = folder(DOUBLE);
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64" };
    let program = path(folder.path(), "model.twprog");
    for backend in tilewright::Backend::AVAILABLE {
        let compile = ["compile", &file, "--target", other, "--backend", backend.name(), "-o", &program];
        refused(&compile, 1, &["this build makes machine code for", "help: "]);
    }
    assert_eq!(tw(&["ir", &file, "--target", other, "--stage", "loop"]).code, 0);
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    let (_folder, file) = folder(DOUBLE);
    let run = ["run", &file, "--input", "x=[1]"];
    for (more, says) in [
        (&["--group", "16"][..], "`--group` is for `--precision int8`"),
        (&["--precision", "int8", "--group", "12"], "a multiple of 8"),
        (&["--precision", "bf16", "--float", "f64"], "leave out `--float f64`"),
        (&["--precision", "int8", "--backend", "interpreter"], "leave out `--precision`"),
    ] {
        refused(&[&run[..], more].concat(), 2, &[says]);
    }
    refused(&["train", &file, "--precision", "bf16"], 2, &["`--precision` is for inference"]);
}

/// Nothing is compiled or computed for a file that cannot be written.
#[test]
fn places_where_nothing_can_be_written_are_refused_first() {
    let (folder, file) = folder(DOUBLE);
    let nowhere = path(folder.path(), "none/y.npz");
    refused(&["compile", &file, "--output", &nowhere], 1, &["cannot write", "none"]);
    refused(&["run", &file, "--output", &nowhere], 1, &["cannot write"]);
    refused(&["run", &file, "--output", "-"], 2, &["`-` is none"]);
    let save = format!("net={nowhere}");
    refused(&["train", &file, "--save", &save], 1, &["cannot write"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn settings_that_are_no_text_are_not_passed_over() {
    let (folder, file) = folder(DOUBLE);
    std::fs::write(folder.path().join("model.toml"), b"[wide]\n# \xe9\n").unwrap();
    refused(&["check", &file], 1, &["model.toml", "not text in UTF-8"]);
}

#[test]
fn sizes_beyond_any_memory_are_not_timed() {
    let (_folder, file) = folder("model Wide() {\n    fn call(x: [B, 65536]) -> [B, 65536] { x + 1 }\n}\n");
    for size in ["B=100000000000", "B=9223372036854775807"] {
        refused(&["bench", &file, "--dim", size], 1, &["error"]);
    }
}
