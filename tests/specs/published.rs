//! Weight maps against the names and shapes of published checkpoints, as their libraries save them.
//!
//! Invariant: the names here are written from what the libraries do, not from our maps. The files hold a header and a hole
//! where the numbers would be, so that size does not matter.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tilewright::compiler::graph::Member;
use tilewright::runtime::program::ParamDecl;
use tilewright::runtime::weights::{MatchReport, WeightMap, WeightSet, write_safetensors};
use tilewright::{Backend, Choice, DType, Options, SessionOptions, Spec, Tensor, Weights, compile};

use crate::engine::{Values, values};
use crate::golden::{self, root};

type Names = Vec<(String, Vec<usize>)>;

/// Adds a layer with these tensors.
fn add(names: &mut Names, layer: &str, tensors: &[(&str, &[usize])]) {
    names.extend(tensors.iter().map(|(leaf, shape)| (format!("{layer}.{leaf}"), shape.to_vec())));
}

fn linear(names: &mut Names, layer: &str, from: usize, to: usize) {
    add(names, layer, &[("weight", &[to, from]), ("bias", &[to])]);
}

fn norm(names: &mut Names, layer: &str, dim: usize) {
    add(names, layer, &[("weight", &[dim]), ("bias", &[dim])]);
}

fn batch_norm(names: &mut Names, layer: &str, dim: usize) {
    norm(names, layer, dim);
    add(names, layer, &[("running_mean", &[dim]), ("running_var", &[dim]), ("num_batches_tracked", &[])]);
}

fn conv(names: &mut Names, layer: &str, shape: [usize; 4]) {
    add(names, layer, &[("weight", &shape)]);
}

/// `torchvision.models.resnet50`
fn resnet50() -> Names {
    let mut names = Names::new();
    conv(&mut names, "conv1", [64, 3, 7, 7]);
    batch_norm(&mut names, "bn1", 64);
    let mut from = 64;
    for (stage, n_blocks) in [(1, 3), (2, 4), (3, 6), (4, 3)] {
        let (width, to) = (64 << (stage - 1), 256 << (stage - 1));
        for block in 0..n_blocks {
            let at = format!("layer{stage}.{block}");
            let convs = [[width, from, 1, 1], [width, width, 3, 3], [to, width, 1, 1]];
            for (idx, shape) in convs.into_iter().enumerate() {
                conv(&mut names, &format!("{at}.conv{}", idx + 1), shape);
                batch_norm(&mut names, &format!("{at}.bn{}", idx + 1), shape[0]);
            }
            if block == 0 {
                conv(&mut names, &format!("{at}.downsample.0"), [to, from, 1, 1]);
                batch_norm(&mut names, &format!("{at}.downsample.1"), to);
            }
            from = to;
        }
    }
    linear(&mut names, "fc", 2048, 1000);
    names
}

/// `torchvision.models.mobilenet_v2`
fn mobilenet_v2() -> Names {
    let mut names = Names::new();
    conv(&mut names, "features.0.0", [32, 3, 3, 3]);
    batch_norm(&mut names, "features.0.1", 32);
    let (mut from, mut at) = (32, 1);
    for (expand, to, repeats) in [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    {
        for _ in 0..repeats {
            let (layer, wide, mut part) = (format!("features.{at}.conv"), expand * from, 0);
            if expand != 1 {
                conv(&mut names, &format!("{layer}.0.0"), [wide, from, 1, 1]);
                batch_norm(&mut names, &format!("{layer}.0.1"), wide);
                part = 1;
            }
            conv(&mut names, &format!("{layer}.{part}.0"), [wide, 1, 3, 3]);
            batch_norm(&mut names, &format!("{layer}.{part}.1"), wide);
            conv(&mut names, &format!("{layer}.{}", part + 1), [to, wide, 1, 1]);
            batch_norm(&mut names, &format!("{layer}.{}", part + 2), to);
            (from, at) = (to, at + 1);
        }
    }
    conv(&mut names, "features.18.0", [1280, 320, 1, 1]);
    batch_norm(&mut names, "features.18.1", 1280);
    linear(&mut names, "classifier.1", 1280, 1000);
    names
}

/// `torchvision.models.vit_b_16`
fn vit_b_16() -> Names {
    let mut names: Names = vec![("class_token".to_string(), vec![1, 1, 768])];
    add(&mut names, "conv_proj", &[("weight", &[768, 3, 16, 16]), ("bias", &[768])]);
    add(&mut names, "encoder", &[("pos_embedding", &[1, 197, 768])]);
    for layer in 0..12 {
        let at = format!("encoder.layers.encoder_layer_{layer}");
        norm(&mut names, &format!("{at}.ln_1"), 768);
        let attention = format!("{at}.self_attention");
        add(&mut names, &attention, &[("in_proj_weight", &[2304, 768]), ("in_proj_bias", &[2304])]);
        linear(&mut names, &format!("{attention}.out_proj"), 768, 768);
        norm(&mut names, &format!("{at}.ln_2"), 768);
        linear(&mut names, &format!("{at}.mlp.0"), 768, 3072);
        linear(&mut names, &format!("{at}.mlp.3"), 3072, 768);
    }
    norm(&mut names, "encoder.ln", 768);
    linear(&mut names, "heads.head", 768, 1000);
    names
}

/// `transformers` GPT-2 with its 12 layers, narrower: matrices that are transposed are copied when they are read.
/// `prefix` is `transformer.` in a saved `GPT2LMHeadModel`, and nothing in the published files, which have the masks as well.
fn gpt2(prefix: &str, masks: bool) -> Names {
    let (dim, mut names) = (48, Names::new());
    add(&mut names, &format!("{prefix}wte"), &[("weight", &[100, dim])]);
    add(&mut names, &format!("{prefix}wpe"), &[("weight", &[32, dim])]);
    for layer in 0..12 {
        let at = format!("{prefix}h.{layer}");
        norm(&mut names, &format!("{at}.ln_1"), dim);
        if masks {
            add(&mut names, &format!("{at}.attn"), &[("bias", &[1, 1, 32, 32])]);
        }
        // `Conv1D` stores [in, out]: `linear` with its ends exchanged, but for the bias.
        for (layer, from, to) in
            [("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)]
        {
            let shape = [from * dim, to * dim];
            add(&mut names, &format!("{at}.{layer}"), &[("weight", &shape), ("bias", &shape[1..])]);
        }
        norm(&mut names, &format!("{at}.ln_2"), dim);
    }
    norm(&mut names, &format!("{prefix}ln_f"), dim);
    names
}

/// A safetensors file with these tensors, all zeros.
fn hollow(folder: &Path, names: &Names) -> PathBuf {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in names {
        let counter = name.ends_with("num_batches_tracked");
        let size = shape.iter().product::<usize>() * if counter { 8 } else { 4 };
        let dtype = if counter { "I64" } else { "F32" };
        let info = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, at + size] });
        assert!(header.insert(name.clone(), info).is_none(), "{name} is there twice");
        at += size;
    }
    let header = serde_json::Value::Object(header).to_string();
    let path = folder.join("model.safetensors");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + at) as u64).unwrap();
    path
}

fn declarations(members: &[Member]) -> Vec<ParamDecl> {
    let fixed = members.iter().filter(|member| member.ty.n_elements().as_constant().is_some());
    let size = |dim: &tilewright::compiler::graph::Dim| dim.as_constant().unwrap() as usize;
    let decl = |member: &Member| ParamDecl {
        name: member.path.clone(),
        dtype: DType::F32,
        shape: member.ty.shape.iter().map(size).collect(),
    };
    fixed.map(decl).collect()
}

/// What a spec makes of a checkpoint with these names.
fn matched(spec: &str, choice: &Choice, map: Option<&str>, names: &Names) -> MatchReport {
    let folder = tempfile::tempdir().unwrap();
    let path = hollow(folder.path(), names);
    let spec = Spec::open(root().join(spec)).unwrap_or_else(|error| panic!("{error}"));
    let model = spec.model(&Choice { members_only: true, ..choice.clone() }).unwrap_or_else(|error| panic!("{error}"));
    let map = map.map_or(WeightMap::default(), |name| spec.weight_map(name).unwrap().clone());
    let (params, states) = (declarations(&model.params), declarations(&model.states));
    let (_, report) = WeightSet::load(&[path], &params, &states, &map).unwrap_or_else(|error| panic!("{error}"));
    report
}

#[test]
fn published_names_match_on_both_sides() {
    let config = ["dim=48", "depth=12", "heads=4", "vocab=100", "context=32"];
    let pair = |text: &str| text.split_once('=').map(|(key, value)| (key.to_string(), value.to_string())).unwrap();
    let narrow = Choice { config: config.map(pair).into(), ..Choice::default() };
    let gpt2_spec = "specs/language/gpt2.tw";
    let torchvision = Some("torchvision");
    for (spec, choice, map, names, extra) in [
        ("specs/vision/resnet.tw", Choice::preset("50"), None, resnet50(), ".num_batches_tracked"),
        ("specs/vision/mobilenet_v2.tw", Choice::preset("w100"), torchvision, mobilenet_v2(), ".num_batches_tracked"),
        ("specs/vision/vit.tw", Choice::preset("b16"), torchvision, vit_b_16(), "nothing"),
        (gpt2_spec, narrow.clone(), Some("transformers"), gpt2("transformer.", false), "nothing"),
        (gpt2_spec, narrow, Some("hub"), gpt2("", true), ".attn.bias"),
    ] {
        let report = matched(spec, &choice, map, &names);
        let (extras, used): (Vec<_>, Vec<_>) = names.iter().partition(|(name, _)| name.ends_with(extra));
        assert_eq!(report.absent_states, [""; 0], "{spec}");
        assert_eq!(report.matched, used.len(), "{spec}");
        let extras: Vec<&String> = extras.iter().map(|(name, _)| name).collect();
        assert_eq!(report.unused.iter().collect::<Vec<_>>(), extras, "{spec}");
    }
}

/// The values that PyTorch ran with, under the names that torchvision saves.
fn save(folder: &Path, names: &Names, map: &WeightMap, values: &Values) -> PathBuf {
    let ours = |name: &String| values.iter().find(|(ours, _)| map.source(ours).as_name() == Some(name));
    let count = Tensor::from_slice(&[], &[17i64]).unwrap();
    let tensors = names.iter().map(|(name, shape)| match ours(name) {
        Some((_, tensor)) => {
            assert_eq!(tensor.shape(), shape, "{name}");
            (name.clone(), tensor.view())
        }
        None => (name.clone(), count.view()),
    });
    let path = folder.join("mobilenet_v2.safetensors");
    write_safetensors(&path, &tensors.collect::<Vec<_>>()).unwrap();
    path
}

#[test]
fn running_statistics_from_a_file_give_what_pytorch_says() {
    let golden = golden::named("mobilenet_v2_64");
    // Sizes that are known are quick to prove things about: the goldens run with open ones.
    let shape = &golden.calls[0].inputs[0].shape;
    let dims = [("B", 0), ("H", 2), ("W", 3)].map(|(name, axis)| (name.to_string(), shape[axis] as i64)).into();
    let model = golden::model_of(&golden.spec, &Choice { dims, ..golden.choice() });
    let map = Spec::open(root().join(&golden.spec)).unwrap().weight_map("torchvision").unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), &mobilenet_v2(), &map, &values(&golden, &model));
    // The backend that compiles faster: the goldens run on all of them.
    let options = Options { backend: Backend::Cranelift, ..Options::default() };
    let executable = compile(&model, &options).unwrap();
    let weights = Weights::Files { paths: vec![path], map };
    let (set, report) = executable.weights(weights).unwrap();
    assert_eq!(report.unwrap().absent_states, [""; 0]);
    let call = &golden.calls[0];
    let inputs: Vec<_> = call.inputs.iter().map(|input| (input.name.as_str(), input.tensor())).collect();
    let views: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor.view())).collect();
    let mut session = executable.open(Weights::Given(Arc::clone(&set)), SessionOptions::default()).unwrap();
    for _ in 0..2 {
        let outputs = session.run(&call.entry, &views).unwrap();
        let error = call.stored[0].error(&outputs, &golden.arrays());
        assert!(error <= 1e-4, "{error:e}");
        session.reset().unwrap();
    }
}
