//! CUDA kernels: `tw compile --emit` writes them with the lines that they come from, and NVRTC compiles every one, without
//! spilling registers. In bf16 contractions with weights are products of warps, and machine code has the instruction.
//!
//! Compiling needs no GPU but NVIDIA's compiler: see `tests/cuda/compile.py`, which is run by `python3`, or by what
//! `TILEWRIGHT_PYTHON` names. Without it the test says so and passes.

use std::path::Path;
use std::process::Command;

const SPECS: &[(&str, &str)] = &[
    ("specs/vision/vit.tw", "digits"),
    ("specs/recurrent/lstm.tw", "tiny"),
    ("specs/language/gpt2.tw", "tiny"),
    ("specs/vision/resnet.tw", "18"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn emit(spec: &str, preset: &str, options: &[&str], folder: &Path) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tw"));
    command
        .current_dir(root())
        .args(["compile", spec, "--preset", preset, "--target", "cuda", "--quiet"])
        .args(options);
    let output = command.arg("--emit").arg(folder).output().expect("tw runs");
    assert!(output.status.success(), "{spec}: {}", String::from_utf8_lossy(&output.stderr));
    let entries = std::fs::read_dir(folder).expect("a folder of kernels");
    entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a kernel")).collect()
}

#[test]
fn every_kernel_says_where_it_is_from_and_compiles() {
    let dir = tempfile::tempdir().expect("a folder");
    for (at, (spec, preset)) in SPECS.iter().enumerate() {
        let folder = dir.path().join(at.to_string());
        let texts = emit(spec, preset, &[], &folder);
        let file = Path::new(spec).file_name().expect("a name").to_string_lossy();
        let named = texts.iter().filter(|text| text.starts_with("// ") && text.contains(".tw:")).count();
        assert!(named * 4 > texts.len() * 3, "{spec}: {named} of {} kernels say where they are from", texts.len());
        assert!(texts.iter().any(|text| text.contains(&*file)), "{spec}: no kernel is from its own lines");
        compile(spec, &folder);
    }
}

#[test]
fn narrow_contractions_are_products_of_warps() {
    let dir = tempfile::tempdir().expect("a folder");
    for (at, (spec, preset)) in SPECS.iter().enumerate() {
        let folder = dir.path().join(at.to_string());
        let texts = emit(spec, preset, &["--precision", "bf16"], &folder);
        let n_products = texts.iter().filter(|text| text.contains(" mma_m16n8k16_bf16(v")).count();
        assert!(n_products >= 3, "{spec}: only {n_products} of {} kernels multiply by warps", texts.len());
        compile(spec, &folder);
    }
    let (spec, preset) = SPECS[0];
    let folder = dir.path().join("f16");
    let texts = emit(spec, preset, &["--precision", "f16"], &folder);
    assert!(texts.iter().any(|text| text.contains(" mma_m16n8k16_f16(v")), "{spec} in f16 multiplies nothing by warps");
    compile(spec, &folder);
}

/// Every kernel of the folder, where there is a compiler.
fn compile(spec: &str, folder: &Path) {
    let python = std::env::var("TILEWRIGHT_PYTHON").unwrap_or("python3".to_string());
    let mut command = Command::new(&python);
    command.arg(root().join("tests/cuda/compile.py")).arg(folder).args(["sm_80", "sm_90a"]);
    let Ok(output) = command.output() else {
        println!("skipped: `{python}` cannot be run");
        return;
    };
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{spec}: {report}");
    assert!(output.status.success(), "{spec}: {report}{}", String::from_utf8_lossy(&output.stderr));
}
