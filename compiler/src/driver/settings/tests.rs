use super::*;
use crate::diag::{SourceMap, Theme, render};

fn read_text(text: &str) -> (Settings, String) {
    let mut sources = SourceMap::new();
    let file = sources.add("spec.toml", text);
    let (settings, diagnostics) = read(file, text);
    let shown = diagnostics.iter().map(|diagnostic| render(diagnostic, &sources, &Theme::plain())).collect();
    (settings, shown)
}

#[test]
fn presets_and_weights_are_read_in_order() {
    let (settings, errors) = read_text(
        r#"
[preset.b16]
dim = 768
unet.channels = [1, 2]
rate = 1e-3
expect = { params = 86_567_656, source = "torchvision" }

[preset.a]
flag = true

[weights.torch]
"z.{i}.w" = "y.{i+1}.v"
"a.w" = { transpose = "b.w" }
"q" = { split = { concat = ["a", "b"], axis = 1 }, part = 2 }
"#,
    );
    assert_eq!(errors, "");
    let names: Vec<&str> = settings.presets.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, ["b16", "a"]);
    let choice =
        |idx: usize| (settings.presets[0].choices[idx].key.as_str(), settings.presets[0].choices[idx].value.clone());
    assert_eq!(choice(0), ("dim", Setting::Int(768)));
    assert_eq!(choice(1), ("unet.channels", Setting::List(vec![Setting::Int(1), Setting::Int(2)])));
    assert_eq!(choice(2), ("rate", Setting::Float(1e-3)));
    assert_eq!(settings.presets[0].expect.params, Some(86_567_656));
    let map = &settings.weights[0].1;
    assert_eq!(map.rules.len(), 3);
    assert_eq!(map.source("z.4.w").as_name(), Some("y.5.v"));
}

#[test]
fn every_problem_is_shown() {
    let (settings, errors) = read_text(
        r#"
[presets.b16]
dim = 768

[preset.a]
dim = 99999999999999999999
date = 2020-01-01
expect = { parameters = 3, params = "many" }

[weights.torch]
"a.{i" = "b"
"c" = 3
"d" = { transposed = "e" }
"f" = { concat = "g" }
"h" = "h"
"#,
    );
    assert_eq!(settings.weights[0].1.rules.len(), 1);
    insta::assert_snapshot!(errors);
}
