//! What is kept on disk between two starts: machine code, and weights as the code wants them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{DIGITS, DIGITS_WEIGHTS, Said, command, said};

fn run(cache: &Path, more: &[&str]) -> Said {
    let output = cache.with_extension("npz").to_string_lossy().into_owned();
    let args: Vec<&str> = DIGITS.iter().copied().chain(["--output", &output]).chain(more.iter().copied()).collect();
    let said = said(command(&args).env("TILEWRIGHT_CACHE", cache).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.all());
    said
}

fn kept(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join("weights")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn logits(cache: &Path) -> Vec<f64> {
    let arrays = tilewright::runtime::data::read_npz(&cache.with_extension("npz")).unwrap();
    arrays[0].1.view().to_f64()
}

/// A cache that one run has filled, and what that run computed.
fn filled() -> (tempfile::TempDir, PathBuf, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    run(&cache, &[]);
    let expected = logits(&cache);
    (folder, cache, expected)
}

/// What is visibly not what was written is made again.
fn damage(cache: &Path, file: &Path, expected: &[f64]) {
    let whole = fs::read(file).unwrap();
    for broken in [&whole[1..], &whole[..200], &whole[..whole.len() / 2], b""] {
        fs::write(file, broken).unwrap();
        run(cache, &[]);
        assert_eq!(logits(cache), expected);
        assert_eq!(fs::read(file).unwrap(), whole);
    }
}

#[test]
fn packed_weights_are_kept_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    run(&cache, &["--no-cache"]);
    let expected = logits(&cache);
    assert!(!cache.exists());
    run(&cache, &[]);
    let files = kept(&cache);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(logits(&cache), expected);
    run(&cache, &["--threads", "1"]);
    assert_eq!(logits(&cache), expected);

    // The values are not checked, so this shows where they come from.
    let whole = fs::read(&files[0]).unwrap();
    let mut other = whole.clone();
    other[128..].fill(0);
    fs::write(&files[0], &other).unwrap();
    run(&cache, &[]);
    assert_ne!(logits(&cache), expected);
    fs::write(&files[0], &whole).unwrap();
    damage(&cache, &files[0], &expected);
}

#[test]
fn programs_that_are_damaged_or_of_another_spec_are_compiled_anew() {
    let (folder, cache, expected) = filled();
    let files = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let program = files().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    damage(&cache, &program, &expected);
    // Neither what is asked for nor what the spec says is mistaken for the program that there is.
    let n_files = files().count();
    run(&cache, &["--precision", "bf16"]);
    assert!(files().count() > n_files);
    let spec = folder.path().join("line.tw");
    for (factor, result) in [("2.0", "2.000000 .. 4.000000"), ("3.0", "3.000000 .. 6.000000")] {
        fs::write(&spec, format!("model Line() {{\n  fn call(x: [N]) -> [N] {{ {factor} * x }}\n}}\n")).unwrap();
        let args = ["run", spec.to_str().unwrap(), "--input", "x=[1.0, 2.0]"];
        let said = said(command(&args).env("TILEWRIGHT_CACHE", &cache).output().unwrap());
        assert_eq!(said.code, 0, "{}", said.all());
        assert!(said.out.contains(result), "{}", said.all());
    }
}

#[test]
fn other_weights_are_other_files() {
    let (folder, cache, expected) = filled();
    let copy = folder.path().join("copy.safetensors").to_string_lossy().into_owned();
    fs::copy(DIGITS_WEIGHTS, &copy).unwrap();
    // A file that was written a moment ago is not remembered: it may change again without a trace.
    let args: Vec<&str> = DIGITS.iter().map(|&arg| if arg == DIGITS_WEIGHTS { &copy } else { arg }).collect();
    let again = || said(command(&args).env("TILEWRIGHT_CACHE", &cache).output().unwrap());
    assert_eq!(again().code, 0);
    assert_eq!(kept(&cache).len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(again().code, 0);
    assert_eq!(kept(&cache).len(), 2);
    // Another precision wants them otherwise.
    run(&cache, &["--precision", "bf16"]);
    assert_eq!(kept(&cache).len(), 3);
    run(&cache, &[]);
    assert_eq!(logits(&cache), expected);
    assert_eq!(kept(&cache).len(), 3);
}
