//! Whole specs through the elaborator: counts, shapes, and what goes wrong.

use std::collections::HashMap;

use super::{Options, Setting, elaborate};
use crate::diag::{Theme, render};
use crate::front::load::{Program, load};
use crate::graph::Model;

const SPECS: &[(&str, &str)] = &[
    ("vit.tw", include_str!("../../../../specs/vision/vit.tw")),
    ("efficientnet.tw", include_str!("../../../../specs/vision/efficientnet.tw")),
    ("unet.tw", include_str!("../../../../specs/diffusion/unet.tw")),
    ("controlnet.tw", include_str!("../../../../specs/diffusion/controlnet.tw")),
];

fn program(file: &str) -> Program {
    let files: HashMap<String, String> =
        SPECS.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    load(&files, file)
}

fn text_of(text: &str) -> Program {
    load(&HashMap::from([("spec.tw".to_string(), text.to_string())]), "spec.tw")
}

fn model(program: &Program, name: &str, options: &Options) -> Model {
    match elaborate(program, name, options) {
        Ok(model) => model,
        Err(diagnostics) => panic!("{}", shown(program, &diagnostics)),
    }
}

fn shown(program: &Program, diagnostics: &[crate::diag::Diagnostic]) -> String {
    let all = program.diagnostics.iter().chain(diagnostics);
    all.map(|diagnostic| render(diagnostic, &program.sources, &Theme::plain())).collect()
}

fn counted() -> Options {
    Options { members_only: true, ..Options::default() }
}

#[test]
fn vit_counts() {
    let program = program("vit.tw");
    for (options, wanted) in [
        (counted(), 86_567_656),
        (counted().set("patch", Setting::Int(32)), 88_224_232),
        (
            counted().set("dim", Setting::Int(1024)).set("depth", Setting::Int(24)).set("heads", Setting::Int(16)),
            304_326_632,
        ),
    ] {
        assert_eq!(model(&program, "ViT", &options).n_params(), wanted);
    }
}

#[test]
fn efficientnet_counts() {
    let program = program("efficientnet.tw");
    for (width, depth, image, wanted) in [
        (1.0, 1.0, 224, 5_288_548),
        (1.0, 1.1, 240, 7_794_184),
        (1.1, 1.2, 260, 9_109_994),
        (1.2, 1.4, 300, 12_233_232),
        (1.4, 1.8, 380, 19_341_616),
        (1.6, 2.2, 456, 30_389_784),
        (1.8, 2.6, 528, 43_040_704),
        (2.0, 3.1, 600, 66_347_960),
    ] {
        let options = counted().set("width", Setting::Float(width)).set("depth", Setting::Float(depth));
        let model = model(&program, "EfficientNet", &options.set("image", Setting::Int(image)));
        assert_eq!(model.n_params(), wanted, "width {width}");
    }
}

#[test]
fn diffusion_counts() {
    let unet = model(&program("unet.tw"), "UNet", &counted());
    assert_eq!(unet.n_params(), 859_520_964);
    let control = model(&program("controlnet.tw"), "ControlNet", &counted());
    let own = control.params.iter().filter(|member| !member.path.starts_with("base."));
    let own: i64 = own.map(|member| member.ty.n_elements().as_constant().unwrap_or(0)).sum();
    assert_eq!(own, 361_279_120);
}

#[test]
fn vit_digits_elaborates() {
    let options = Options::default()
        .set("image", Setting::Int(8))
        .set("channels", Setting::Int(1))
        .set("patch", Setting::Int(2))
        .set("dim", Setting::Int(64))
        .set("depth", Setting::Int(4))
        .set("heads", Setting::Int(4))
        .set("classes", Setting::Int(10));
    let program = program("vit.tw");
    let model = model(&program, "ViT", &options);
    let call = model.entry("call").expect("the model has an entry");
    assert_eq!(call.type_of(call.outputs()[0].value).to_string(), "real[B, 10]");
    assert_eq!(call.arguments()[0].name, "pixels");
}

#[test]
#[ignore]
fn show() {
    let name = std::env::var("SPEC").unwrap_or_default();
    let file = std::env::var("FILE").unwrap_or_default();
    let program = match std::fs::read_to_string(&file) {
        Ok(text) => text_of(&text),
        Err(_) => program(&file),
    };
    match elaborate(&program, &name, &Options::default()) {
        Ok(model) => println!("{} params, {} states, {:?}", model.n_params(), model.states.len(), model.skipped),
        Err(diagnostics) => println!("{}", shown(&program, &diagnostics)),
    }
}
