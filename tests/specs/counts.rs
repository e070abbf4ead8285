//! Parameter counts, from the declared members alone: nothing is allocated.

use tilewright::{Choice, Spec, broken_promise};

use crate::engine::weights_of;
use crate::golden::{self, model_of, root};

const PUBLISHED: &[(&str, &str, &str, i64)] = &[
    ("vision/vit.tw", "ViT", "b16", 86_567_656),
    ("vision/vit.tw", "ViT", "b32", 88_224_232),
    ("vision/vit.tw", "ViT", "l16", 304_326_632),
    ("vision/resnet.tw", "ResNet", "18", 11_689_512),
    ("vision/resnet.tw", "ResNet", "50", 25_557_032),
    ("vision/mobilenet_v2.tw", "MobileNetV2", "", 3_504_872),
    ("vision/shufflenet_v2.tw", "ShuffleNetV2", "x05", 1_366_792),
    ("vision/shufflenet_v2.tw", "ShuffleNetV2", "x10", 2_278_604),
    ("vision/shufflenet_v2.tw", "ShuffleNetV2", "x15", 3_503_624),
    ("vision/shufflenet_v2.tw", "ShuffleNetV2", "x20", 7_393_996),
    ("vision/efficientnet.tw", "EfficientNet", "b0", 5_288_548),
    ("vision/efficientnet.tw", "EfficientNet", "b1", 7_794_184),
    ("vision/efficientnet.tw", "EfficientNet", "b2", 9_109_994),
    ("vision/efficientnet.tw", "EfficientNet", "b3", 12_233_232),
    ("vision/efficientnet.tw", "EfficientNet", "b4", 19_341_616),
    ("vision/efficientnet.tw", "EfficientNet", "b5", 30_389_784),
    ("vision/efficientnet.tw", "EfficientNet", "b6", 43_040_704),
    ("vision/efficientnet.tw", "EfficientNet", "b7", 66_347_960),
    ("language/gpt2.tw", "GPT2", "small", 124_439_808),
    ("language/bert.tw", "BERT", "base", 109_482_240),
    ("language/bert.tw", "BERT", "large", 335_141_888),
    ("language/llama.tw", "Llama", "1b", 1_100_048_384),
    ("language/llama.tw", "Llama", "7b", 6_738_415_616),
    ("ssm/mamba.tw", "Mamba", "130m", 129_135_360),
    ("ssm/mamba.tw", "Mamba", "370m", 371_516_416),
    ("recurrent/lstm.tw", "LSTM", "", 2_101_248),
    ("recurrent/lstm.tw", "LSTM", "h512x2", 4_202_496),
    ("diffusion/ddpm.tw", "DDPM", "cifar10", 35_746_307),
    ("diffusion/unet.tw", "UNet", "", 859_520_964),
];

fn counted(model: &str, preset: &str) -> Choice {
    Choice {
        model: Some(model.to_string()),
        preset: (!preset.is_empty()).then(|| preset.to_string()),
        members_only: true,
        ..Choice::default()
    }
}

#[test]
fn published_counts() {
    for &(spec, model, preset, wanted) in PUBLISHED {
        let built = model_of(&format!("specs/{spec}"), &counted(model, preset));
        assert_eq!(built.n_params(), wanted, "{model}({preset})");
    }
}

/// The copy alone: the frozen network that it hangs on belongs to the other model.
#[test]
fn controlnet_count() {
    let model = model_of("specs/diffusion/controlnet.tw", &counted("ControlNet", ""));
    let own = model.params.iter().filter(|member| !member.path.starts_with("base."));
    let sizes = own.map(|member| member.ty.n_elements().as_constant().expect("a param's size is known"));
    assert_eq!(sizes.sum::<i64>(), 361_279_120);
}

#[test]
fn goldens_have_their_counts_and_names() {
    let text = std::fs::read_to_string(root().join("tests/goldens/names.json")).unwrap();
    let names: serde_json::Value = serde_json::from_str(&text).unwrap();
    for golden in golden::all() {
        let model = model_of(&golden.spec, &Choice { members_only: true, ..golden.choice() });
        assert_eq!(model.n_params(), golden.params, "{}", golden.name);
        assert_eq!(weights_of(&model).count(), golden.tensors, "{}", golden.name);
        let listed = names["models"].as_array().unwrap().iter().find(|row| row["name"] == golden.name.as_str());
        let Some(listed) = listed else { continue };
        let mut wanted: Vec<&str> = listed["members"].as_array().unwrap().iter().flat_map(|row| row.as_str()).collect();
        let shape = |dims: &[_]| dims.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ");
        let found = weights_of(&model).map(|member| format!("{} [{}]", member.path, shape(&member.ty.shape)));
        let mut found: Vec<String> = found.collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{}", golden.name);
    }
}

/// The preset says what the golden's whole configuration says.
#[test]
fn presets_are_the_configurations_of_their_goldens() {
    for golden in golden::all() {
        let members = |choice: Choice| model_of(&golden.spec, &Choice { members_only: true, ..choice });
        let (preset, config) = (members(golden.choice()), members(golden.choice_by_config()));
        assert_eq!(preset.tree.config, config.tree.config, "{}", golden.name);
        assert_eq!(preset.params, config.params, "{}", golden.name);
    }
}

#[test]
fn presets_keep_their_promises() {
    for path in crate::every_spec::paths() {
        let spec = Spec::open(&path).unwrap_or_else(|error| panic!("{error}"));
        for preset in &spec.presets.presets {
            let choice = Choice { members_only: true, ..Choice::preset(&preset.name) };
            let model = spec.model(&choice).unwrap_or_else(|error| panic!("{error}"));
            let broken = broken_promise(preset, &model);
            assert!(broken.is_none(), "{broken:?}");
        }
    }
}
