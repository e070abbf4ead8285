//! Weights from files: what matches, what is missing, what is refused.

use super::*;
use crate::program::{Dim, InitValue, Target};
use half::f16;
use std::fs;
use std::path::PathBuf;

fn decl(name: &str, shape: &[usize]) -> ParamDecl {
    ParamDecl { name: name.into(), dtype: DType::F32, shape: shape.to_vec() }
}

fn program(params: &[ParamDecl], states: Vec<StateDecl>) -> Program {
    Program { params: params.to_vec(), states, ..Program::new("test", Target::default()) }
}

fn state(name: &str, shape: Vec<Dim>) -> StateDecl {
    StateDecl { name: name.into(), dtype: DType::F32, shape, init: InitValue::Zeros }
}

fn ramp(shape: &[usize]) -> Tensor {
    let n = shape.iter().product::<usize>();
    Tensor::from_slice(shape, &(0..n).map(|i| i as f32).collect::<Vec<_>>()).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, file: &str, tensors: &[(&str, &Tensor)]) -> PathBuf {
        let path = self.0.path().join(file);
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.view())).collect();
        write_safetensors(&path, &tensors).unwrap();
        path
    }
}

#[test]
fn names_that_agree_load_from_the_map_and_floats_are_converted() {
    let folder = Folder::new();
    let half = Tensor::from_slice(&[2], &[f16::from_f64(0.5), f16::from_f64(1.5)]).unwrap();
    let path = folder.write("w.safetensors", &[("a.weight", &ramp(&[2, 3])), ("b", &half), ("extra", &ramp(&[1]))]);
    let decls = [decl("b", &[2]), decl("a.weight", &[2, 3])];
    let (weights, report) = WeightSet::load(&[path], &decls, &[], &WeightMap::default()).unwrap();
    assert_eq!(weights.get(0).as_slice::<f32>(), Some(&[0.5, 1.5][..]));
    assert_eq!(weights.get(1).to_f64(), ramp(&[2, 3]).view().to_f64());
    assert!(matches!(weights.weights[1], Weight::Mapped(..)));
    assert_eq!((report.matched, report.unused), (2, vec!["extra".to_string()]));
    weights.check(&program(&decls, Vec::new())).unwrap();
    assert!(weights.check(&program(&decls[..1], Vec::new())).is_err());
}

#[test]
fn every_problem_is_reported_at_once() {
    let folder = Folder::new();
    let ints = Tensor::from_slice(&[2], &[1i64, 2]).unwrap();
    let tensors = [("blocks.0.atn.weight", &ramp(&[2])), ("head", &ramp(&[3])), ("count", &ints)];
    let path = folder.write("w.safetensors", &tensors);
    let decls = [decl("blocks.0.attn.weight", &[2]), decl("head", &[2]), decl("count", &[2]), decl("position", &[1])];
    let (weights, report) = load(&[&path], &decls, &[], &WeightMap::default()).unwrap();
    assert!(weights.is_none());
    let missing: Vec<_> = report.missing.iter().map(|missing| missing.name.as_str()).collect();
    assert_eq!(missing, ["blocks.0.attn.weight", "position"]);
    assert_eq!(report.missing[0].candidates, ["blocks.0.atn.weight"]);
    assert_eq!(report.unused, ["blocks.0.atn.weight"]);
    let text = WeightSet::load(&[&path], &decls, &[], &WeightMap::default()).unwrap_err().to_string();
    for part in [
        "2 missing, 2 of the wrong shape or type",
        "`blocks.0.attn.weight`; did you mean `blocks.0.atn.weight`?",
        "`head` is f32[2], but the file has f32[3]",
        "`count` is f32[2], but the file has i64[2]",
        "unused in the file: `blocks.0.atn.weight`",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn states_are_filled_where_the_file_has_them() {
    let folder = Folder::new();
    let tensors = [("theirs.weight", &ramp(&[2])), ("theirs.mean", &ramp(&[2])), ("cache", &ramp(&[4, 2]))];
    let path = folder.write("w.safetensors", &tensors);
    let map = WeightMap {
        rules: ["weight", "mean", "var"]
            .map(|leaf| Rule {
                ours: format!("norm.{leaf}").parse().unwrap(),
                theirs: Recipe::Name(format!("theirs.{leaf}").parse().unwrap()),
            })
            .into(),
    };
    let two = || vec![Dim::constant(2)];
    let open = vec![Dim::symbol("B"), Dim::constant(2)];
    let states = vec![state("norm.mean", two()), state("norm.var", two()), state("cache", open)];
    let program = program(&[decl("norm.weight", &[2])], states);
    let (weights, report) = WeightSet::load(&[&path], &program.params, &program.fixed_states(), &map).unwrap();
    weights.check(&program).unwrap();
    assert_eq!(weights.state("norm.mean").unwrap().to_f64(), [0.0, 1.0]);
    assert!(weights.state("norm.var").is_none() && weights.state("cache").is_none());
    assert_eq!((report.matched, report.absent_states), (2, vec!["norm.var".to_string()]));
    assert_eq!(report.unused, ["cache"], "a state whose sizes are open is not read");
    let other = Program { states: vec![state("norm.mean", vec![Dim::constant(3)])], ..program.clone() };
    let text = WeightSet::load(&[&path], &other.params, &other.fixed_states(), &map).unwrap_err().to_string();
    assert!(text.contains("`norm.mean` is f32[3], but the file has f32[2]"), "{text}");
    for states in [other.states, Vec::new()] {
        assert!(weights.check(&Program { states, ..program.clone() }).is_err());
    }
}

#[test]
fn a_state_of_which_the_file_has_a_part_is_missing() {
    let folder = Folder::new();
    let path = folder.write("w.safetensors", &[("a", &ramp(&[1])), ("c", &ramp(&[1]))]);
    let name = |name: &str| Recipe::Name(name.parse().unwrap());
    let theirs = Recipe::Concat { parts: vec![name("a"), name("b")], axis: 0 };
    let map = WeightMap { rules: vec![Rule { ours: "s".parse().unwrap(), theirs }] };
    let (weights, report) = load(&[&path], &[], &[decl("s", &[2])], &map).unwrap();
    assert!(weights.is_none());
    assert_eq!((report.missing[0].name.as_str(), &report.missing[0].wanted), ("s", &vec!["b".to_string()]));
}

#[test]
fn shards_are_found_through_their_index() {
    let folder = Folder::new();
    folder.write("m-1.safetensors", &[("a", &ramp(&[2]))]);
    folder.write("m-2.safetensors", &[("b", &ramp(&[3]))]);
    let index = folder.0.path().join("m.safetensors.index.json");
    let write = |shard: &str| {
        let text = format!(r#"{{"metadata": {{}}, "weight_map": {{"a": "m-1.safetensors", "b": "{shard}"}}}}"#);
        fs::write(&index, text).unwrap();
    };
    write("m-2.safetensors");
    let decls = [decl("a", &[2]), decl("b", &[3])];
    let (weights, _) = WeightSet::load(&[&index], &decls, &[], &WeightMap::default()).unwrap();
    assert_eq!(weights.get(1).to_f64(), [0.0, 1.0, 2.0]);
    for bad in ["../m-2.safetensors", "/etc/passwd", "", "..", "x/y"] {
        write(bad);
        let error = WeightSet::load(&[&index], &decls, &[], &WeightMap::default()).unwrap_err();
        assert!(error.message.contains("does not lie beside"), "{error}");
    }
    write("m-1.safetensors");
    assert!(WeightFiles::open(&[folder.0.path().join("m-1.safetensors"), index.clone()]).is_err());
}

#[test]
fn hostile_files_are_errors() {
    let folder = Folder::new();
    let good = fs::read(folder.write("w.safetensors", &[("a", &ramp(&[4])), ("b", &ramp(&[4]))])).unwrap();
    let path = folder.0.path().join("bad.safetensors");
    let opens = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        WeightFiles::open(&[&path]).is_ok()
    };
    assert!(opens(&good));
    for len in 0..good.len() {
        assert!(!opens(&good[..len]), "{len}");
    }
    let with_header = |header: &str, data: usize| {
        let len = (header.len() as u64).to_le_bytes();
        [&len[..], header.as_bytes(), &vec![0; data]].concat()
    };
    let tensor =
        |shape: &str, from: u64, to: u64| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#);
    let one = |text: String, data| with_header(&format!(r#"{{"a":{text}}}"#), data);
    assert!(opens(&one(tensor("[2]", 0, 8), 8)));
    assert!(!opens(&one(tensor("[3]", 0, 8), 8)));
    assert!(!opens(&one(tensor("[2]", 8, 0), 8)));
    assert!(!opens(&one(tensor("[2]", 0, u64::MAX), 8)));
    assert!(!opens(&one(tensor("[18446744073709551615, 4]", 0, 8), 8)));
    assert!(!opens(&one("{}".to_string(), 8)));
    assert!(!opens(&with_header(&"[".repeat(100_000), 0)));
    assert!(!opens(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat()));
    let both = format!(r#"{{"a":{},"b":{}}}"#, tensor("[2]", 0, 8), tensor("[2]", 4, 12));
    assert!(!opens(&with_header(&both, 12)), "overlapping tensors");
    // A header that is not padded leaves the data unaligned: it is copied.
    let odd = one(tensor("[2]", 0, 8) + " ", 8);
    assert!(opens(&odd) && opens(&one(tensor("[2]", 0, 8), 8)));
}

#[test]
fn computed_weights_follow_the_declarations() {
    let mut decls = vec![decl("a", &[2]), decl("b", &[])];
    decls[0].dtype = DType::BF16;
    let weights = WeightSet::from_fn(&decls, |name, shape| vec![name.len() as f32; shape.iter().product()]).unwrap();
    weights.check(&program(&decls, Vec::new())).unwrap();
    assert_eq!(weights.get(0).to_f64(), [1.0, 1.0]);
    assert!(WeightSet::from_fn(&decls, |_, _| vec![0.0]).is_err());
}
