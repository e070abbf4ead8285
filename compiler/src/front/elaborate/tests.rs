//! Whole specs through the elaborator: counts, shapes, and what they compute.

mod asserted;
mod examples;
mod fields;
mod gradients;
mod integers;
mod mistakes;
mod named;
mod places;
mod relations;
mod short_forms;
mod train;

use std::collections::HashMap;

use super::{Options, Setting, elaborate};
use crate::diag::{FileId, Theme, render};
use crate::front::load::{Program, load};
use crate::graph::verify::verify;
use crate::graph::{DType, Model, Precision, Tensor, interpret};

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
fn a_thread_that_does_not_start_is_an_error() {
    assert_eq!(super::on_stack(1 << 20, || 3).expect("a small stack"), 3);
    let refused = super::on_stack(1 << 60, || ()).expect_err("more than there are addresses");
    let shown = render(&refused, &program("vit.tw").sources, &Theme::plain());
    assert!(shown.contains("cannot be started"), "{shown}");
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
fn vit_digits_runs_from_its_initial_values() {
    let text = include_str!("../../../../specs/vision/vit.toml");
    let (presets, diagnostics) = crate::front::presets::read(FileId(9), text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let preset = presets.find("digits", FileId(9)).expect("the preset exists");
    let program = program("vit.tw");
    let model = model(&program, "ViT", &preset.options());
    let call = model.entry("call").expect("the model has an entry");
    assert_eq!(call.type_of(call.outputs()[0].value).to_string(), "real[B, 10]");
    verify(call).expect("it is well formed");
    let initial = interpret(&model.init, &[int(5)], &|_| None, Precision::Wide).expect("it runs");
    let by_name: HashMap<&str, &Tensor> =
        model.init.outputs().iter().zip(&initial).map(|(output, value)| (output.name.as_str(), value)).collect();
    let pixels = Tensor::floats(DType::Real, vec![2, 1, 8, 8], (0..128).map(|i| f64::from(i % 17) / 16.0).collect());
    let inputs: Vec<Tensor> = call
        .arguments()
        .iter()
        .map(|argument| by_name.get(argument.name.as_str()).map_or_else(|| pixels.clone(), |value| (*value).clone()))
        .collect();
    let logits = interpret(call, &inputs, &|_| None, Precision::Wide).expect("it runs");
    assert_eq!(logits[0].shape, [2, 10]);
    let values = logits[0].as_floats().expect("floats");
    assert!(values.iter().all(|value| value.is_finite() && *value != 0.0));
}

#[test]
fn presets_promise_what_they_count() {
    for (file, name, text) in [
        ("vit.tw", "ViT", include_str!("../../../../specs/vision/vit.toml")),
        ("efficientnet.tw", "EfficientNet", include_str!("../../../../specs/vision/efficientnet.toml")),
    ] {
        let (presets, diagnostics) = crate::front::presets::read(FileId(9), text);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let program = program(file);
        for preset in &presets.presets {
            let options = Options { members_only: true, ..preset.options() };
            let found = model(&program, name, &options).n_params();
            let wanted = preset.expect.as_ref().and_then(|expect| expect.params).unwrap_or(found);
            assert_eq!(found, wanted, "{}", preset.name);
        }
    }
}

#[test]
fn an_unknown_choice_points_into_the_preset() {
    let text = "[preset.small]\ndpeth = 2\n";
    let mut program = program("vit.tw");
    let file = program.sources.add("vit.toml", text);
    let (presets, _) = crate::front::presets::read(file, text);
    let diagnostics = elaborate(&program, "ViT", &presets.presets[0].options()).err().expect("a mistake");
    let text = shown(&program, &diagnostics);
    assert!(text.contains("vit.toml:2:1") && text.contains("did you mean `depth`?"), "{text}");
}

#[test]
fn choices_reach_into_module_parameters() {
    let program = program("unet.tw");
    let options = counted().set("unet.layers", Setting::Int(1)).set("unet.heads", Setting::Int(4));
    let small = model(&program, "StableDiffusion", &options);
    let whole = model(&program, "StableDiffusion", &counted());
    assert_eq!(whole.n_params(), 859_520_964);
    assert!(small.n_params() < whole.n_params());
    assert!(small.params.iter().all(|member| member.path.starts_with("unet.")));
}

#[test]
fn whole_models_elaborate() {
    for (file, name) in [
        ("efficientnet.tw", "EfficientNet"),
        ("unet.tw", "UNet"),
        ("unet.tw", "StableDiffusion"),
        ("controlnet.tw", "ControlNet"),
    ] {
        let program = program(file);
        let model = model(&program, name, &Options::default());
        assert!(!model.entries.is_empty());
        for graph in model.entries.iter().chain([&model.init]) {
            if let Err(violations) = verify(graph) {
                panic!("{name}.{}: {:?}", graph.name, violations.first());
            }
        }
    }
}

/// Runs an entry of the model `M` on its arguments, states among them.
fn run(text: &str, entry: &str, inputs: &[Tensor]) -> Vec<Tensor> {
    let program = text_of(text);
    let model = model(&program, "M", &Options::default());
    let graph = model.entry(entry).expect("the entry exists");
    if let Err(violations) = verify(graph) {
        panic!("{violations:?}");
    }
    interpret(graph, inputs, &|_| None, Precision::Wide).expect("it runs")
}

fn row(values: &[f64]) -> Tensor {
    Tensor::floats(DType::Real, vec![values.len()], values.to_vec())
}

fn int(value: i64) -> Tensor {
    Tensor::int_scalar(DType::I64, value)
}

#[test]
fn loops_carry_capture_and_widen() {
    let text = "model M() {
        fn call(x: [N]) -> [N] {
            loop i in 0..3 carry y = 0 { y + x * (i + 1) }
        }
        fn nested(x: [N]) -> [N] {
            loop i in 0..2 carry y = x { loop j in 0..2 carry z = y { z + x * i + j } }
        }
        fn power(x: [N]) -> [N] {
            let (_, y) = loop while n < 4, at most 10 carry (n, y) = (0, x) { (n + 1, y * 2) }
            y
        }
        fn total(x: [N]) -> [] { loop i in 0..2 carry h = 0 { h + x[i] } }
        fn halved(x: [N]) -> [] { loop while h < x[0], at most 9 carry h = 0 { (h + 1) / 2 + h } }
        fn sums(x: [N]) -> ([], [3, N]) {
            let (last, all) = scan t in 0..3 carry h = 0.5 { (h + t, x * h) }
            (last, all)
        }
    }";
    // `0` cannot carry a row: the first shape is the carry's.
    let program = text_of(text);
    let diagnostics = elaborate(&program, "M", &Options::default()).err().expect("the carry changes its shape");
    assert_eq!(diagnostics.len(), 1, "{}", shown(&program, &diagnostics));
    let text = text.replace("carry y = 0 {", "carry y = x * 0 {");
    assert_eq!(run(&text, "call", &[row(&[1.0, 2.0])])[0].as_floats(), Some(&[6.0, 12.0][..]));
    assert_eq!(run(&text, "nested", &[row(&[1.0, 2.0])])[0].as_floats(), Some(&[5.0, 8.0][..]));
    assert_eq!(run(&text, "power", &[row(&[1.0, 2.0])])[0].as_floats(), Some(&[16.0, 32.0][..]));
    assert_eq!(run(&text, "total", &[row(&[1.0, 2.5])])[0].as_floats(), Some(&[3.5][..]));
    assert_eq!(run(&text, "halved", &[row(&[1.0, 2.0])])[0].as_floats(), Some(&[1.25][..]));
    let sums = run(&text, "sums", &[row(&[2.0])]);
    assert_eq!(sums[0].as_floats(), Some(&[3.5][..]));
    assert_eq!(sums[1].as_floats(), Some(&[1.0, 1.0, 3.0][..]));
}

#[test]
fn run_time_conditions_choose_values_and_rebind() {
    let text = "model M() {
        fn call(x: [N]) -> [N] {
            let y = x
            let s = sum(x)
            if s > 0 { y = y + s } else { y = -y }
            let z = if s > 2 { y } else if s > 1 { y * 2 } else { y * 3 }
            z
        }
    }";
    for (x, wanted) in [([2.0, 1.0], [5.0, 4.0]), ([1.0, 0.5], [5.0, 4.0]), ([-1.0, 0.0], [3.0, 0.0])] {
        assert_eq!(run(text, "call", &[row(&x)])[0].as_floats(), Some(&wanted[..]), "{x:?}");
    }
}

#[test]
fn state_is_written_in_program_order_and_in_loops() {
    let text = "model M() {
        count = state i64[] = 0
        kept  = state [2] = zeros
        fn step(x: [2]) -> ([2], i64[]) {
            let before = kept
            kept <- kept + x
            let last = loop i in 0..3 carry y = x {
                count <- count + 1
                y + kept
            }
            if sum(x) > 0 { kept <- kept * 10 }
            (last + before, count)
        }
    }";
    let out = run(text, "step", &[row(&[1.0, 2.0]), row(&[5.0, 5.0]), int(7)]);
    assert_eq!(out[0].as_floats(), Some(&[24.0, 28.0][..]));
    assert_eq!(out[1].as_ints(), Some(&[10][..]));
    let states: Vec<Vec<f64>> = out[2..].iter().map(|t| (0..t.n_elements()).map(|i| t.float_at(i)).collect()).collect();
    assert_eq!(states, [vec![60.0, 70.0], vec![10.0]]);
}

/// What only a call shows to be too long is asked for there, and nothing is where the sizes show it.
#[test]
fn what_may_not_fit_is_asked_for() {
    let text = "model M() {
        buf = state [4] = zeros
        fn most(x: [B]) -> [5] { topk(x, k: 5).value }
        fn piece(x: [B]) -> [20] { slice_at(x, 0, axis: 0, size: 20) }
        fn put(y: [C]) -> [4] { buf <- update(buf, y, axis: 0, at: 0)
            buf * 1 }
        fn slid(x: [B, 1, N]) -> [B, 1, _] { convolve(x, ones(1, 1, 5)) }
        fn enough(x: [B, 8]) -> [B, 5] { topk(x, k: 5).value }
    }";
    let program = text_of(text);
    let model = model(&program, "M", &Options::default());
    for (entry, rooms) in [("most", 1), ("piece", 1), ("put", 1), ("slid", 1), ("enough", 0)] {
        let checks = &model.entry(entry).expect("the entry exists").checks;
        assert_eq!(checks.len(), rooms, "{entry}: {checks:?}");
        assert!(checks.iter().all(|check| check.message.ends_with("does not fit")), "{checks:?}");
    }
}

#[test]
fn a_cache_decodes_as_the_whole_does() {
    let text = LANGUAGE_CACHE
        .replace("module CausalAttention", "model M")
        .replace("dim: int, heads: int, context: int", "dim: int = 4, heads: int = 2, context: int = 6");
    let program = text_of(&text);
    let model = model(&program, "M", &Options::default());
    let step = model.entry("step").expect("the entry exists");
    let names: Vec<&str> = step.arguments().iter().map(|argument| argument.name.as_str()).collect();
    assert_eq!(names, ["x", "at", "qkv.weight", "qkv.bias", "proj.weight", "proj.bias", "keys", "values"]);
    assert_eq!(step.outputs().len(), 3);
    assert_eq!(step.checks.len(), 3, "the `where`, and that `T` fits either cache: {:?}", step.checks);
    verify(step).expect("it is well formed");
}

const LANGUAGE_CACHE: &str = r#"
use nn { Linear }

module CausalAttention(dim: int, heads: int, context: int) {
    qkv    = Linear(dim, 3 * dim)
    proj   = Linear(dim, dim)
    keys   = state [B, heads, context, dim / heads] = zeros
    values = state [B, heads, context, dim / heads] = zeros

    fn step(x: [B, T, dim], at: i64[]) -> [B, T, dim] where at + T <= context {
        let (q, k, v) = rearrange(qkv(x), "b t (s h d) -> s b h t d", s: 3, h: heads)
        keys   <- update(keys, k, axis: 2, at: at)
        values <- update(values, v, axis: 2, at: at)
        let seen  = iota(context) <= at + iota(T)[:, new]      // [T, context]
        let score = einsum("b h i d, b h j d -> b h i j", q, keys) / sqrt(dim / heads)
        let mixed = einsum("b h i j, b h j d -> b h i d", softmax(select(seen, score, -inf)), values)
        mixed |> rearrange("b h t d -> b t (h d)") |> proj
    }
}
"#;

#[test]
fn draws_differ_between_calls_turns_and_seeds_and_only_there() {
    let text = "model M() {
        fn call(x: [N]) -> ([N], [N], [3, N]) {
            let (_, rows) = scan t in 0..3 carry h = 0 { (h, randn(N)) }
            (rand(N), rand(N), rows)
        }
    }";
    let x = row(&[0.0; 4]);
    let first = run(text, "call", &[x.clone(), int(1), int(0)]);
    let again = run(text, "call", &[x.clone(), int(1), int(0)]);
    let other = run(text, "call", &[x.clone(), int(2), int(0)]);
    let later = run(text, "call", &[x, int(1), int(1)]);
    assert!(first.iter().zip(&again).all(|(a, b)| a.same(b)));
    for run in [&other, &later] {
        assert!(first.iter().zip(run).all(|(a, b)| !a.same(b)));
    }
    assert!(!first[0].same(&first[1]));
    let rows = first[2].as_floats().expect("floats");
    assert!(rows[..4] != rows[4..8] && rows[4..8] != rows[8..]);
    assert!(first[0].as_floats().expect("floats").iter().all(|u| (0.0..1.0).contains(u)));
}

#[test]
fn indices_reach_everywhere() {
    let text = "model M() {
        pair = param [2] = tensor([1, 2])
        fn call(x: [B, 4], i: i64[], j: i64[3]) -> ([B], [B, 2], [B, 1, 4], [3, B], [B], [3]) {
            (x[:, -1], x[:, 1:3], x[:, new, :], rearrange(x[:, j], \"b j -> j b\"), x[:, i], x[0, j])
        }
    }";
    let x = Tensor::floats(DType::Real, vec![2, 4], (0..8).map(f64::from).collect());
    let j = Tensor::ints(DType::I64, vec![3], vec![3, 0, 1]);
    let out = run(text, "call", &[x, int(2), j]);
    let wanted: [&[f64]; 6] = [
        &[3.0, 7.0],
        &[1.0, 2.0, 5.0, 6.0],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        &[3.0, 7.0, 0.0, 4.0, 1.0, 5.0],
        &[2.0, 6.0],
        &[3.0, 0.0, 1.0],
    ];
    for (idx, (found, wanted)) in out.iter().zip(wanted).enumerate() {
        assert_eq!(found.as_floats(), Some(wanted), "{idx}");
    }
}

#[test]
fn initial_values_follow_their_declarations() {
    let text = "use init { constant }
    model M() {
        a = param [2, 3] = constant(4)
        b = param [3] = uniform(-1, 1)
        c = state [2, 3] = a
        d = state [2] = sqrt(2 * iota(2) + 1)
        e = clone(b)
        f = state i64[] = 7
        fn call(x: [3]) -> [3] { x + b + e }
    }";
    let program = text_of(text);
    let model = model(&program, "M", &Options::default());
    verify(&model.init).expect("it is well formed");
    let values = interpret(&model.init, &[int(3)], &|_| None, Precision::Wide).expect("it runs");
    let names: Vec<&str> = model.init.outputs().iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    assert!(values[0].same(&values[2]) && values[1].same(&values[4]));
    assert_eq!(values[0].float_at(5), 4.0);
    assert!(values[1].as_floats().expect("floats").iter().all(|v| v.abs() < 1.0 && *v != 0.0));
    assert_eq!(values[5].int_at(0), 7);
    assert_eq!(model.params.iter().map(|p| p.copy_of.as_deref()).collect::<Vec<_>>(), [None, None, Some("b")]);
}
