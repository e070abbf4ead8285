//! Names that other frameworks have for what is written otherwise here.
//!
//! Invariant: none of them is a name of the language.

const NAMES: &[(&[&str], &str)] = &[
    (&["transpose", "swapaxes", "movedim"], r#"`rearrange(x, "m n -> n m")`"#),
    (&["view", "flatten"], r#"`rearrange(x, "b c h w -> b (c h w)")`, or `reshape(x, [M, N])`"#),
    (&["unsqueeze", "expand_dims"], "`x[:, new]`"),
    (&["squeeze"], "`x[:, 0]` where the axis is one long"),
    (&["bmm", "mm", "tensordot"], r#"`einsum("b i k, b k j -> b i j", a, b)`"#),
    (&["outer"], "`a[:, new] * b`"),
    (&["cat", "concatenate", "vstack"], "`concat(a, b, axis: 0)`"),
    (&["chunk", "unbind"], r#"`let (a, b) = rearrange(x, "m (s n) -> s m n", s: 2)`"#),
    (&["tile"], r#"`repeat(x, "m n -> m (r n)", r: 2)`"#),
    (&["masked_fill"], "`select(mask, 0.0, x)`"),
    (&["arange"], "`iota(N)`"),
    (&["full", "zeros_like", "ones_like"], "`fill([M, N], 0.0)`"),
    (&["clamp"], "`clip(x, 0.0, 1.0)`"),
    (&["amax", "amin"], "`max(x, axis: 1)` or `min(x, axis: 1)`"),
    (&["numel"], "`size(x)`"),
    (&["print"], "`-> (y: [B], seen: [B])` and give it as a result, or `metric seen = mean(x)` in a step"),
    (&["one_hot"], "`onehot(labels, size: 10)`"),
    (&["layer_norm"], "`use nn { LayerNorm }`, and in the model `norm = LayerNorm(dim)`"),
    (
        &["conv_transpose1d"],
        "`use nn { ConvTranspose1d }`, and in the model `up = ConvTranspose1d(from, to, kernel: 4)`",
    ),
    (
        &["conv_transpose2d"],
        "`use nn { ConvTranspose2d }`, and in the model `up = ConvTranspose2d(from, to, kernel: 4)`",
    ),
    (
        &["ConvTranspose3d", "conv_transpose3d"],
        "`convolve(x, flip(w, axes: [2, 3, 4]), base_dilation: stride, padding: kernel - 1 - padding)`, with `w: [out, in, kernel, kernel, kernel]`",
    ),
    (&["cross_entropy", "CrossEntropyLoss"], r#"`-mean(gather("b [c], b -> b", log_softmax(logits), labels))`"#),
    (&["mse_loss", "MSELoss"], "`mean((x - y) ^ 2)`"),
    (&["l1_loss", "L1Loss"], "`mean(abs(x - y))`"),
    (&["Sequential"], "`layers = [Linear(4, 8), relu]` in the model: `layers(x)` applies them in turn"),
    (&["ModuleList"], "`blocks = [Block(dim); depth]` in the model: `for block in blocks { … }`"),
    (&["ModuleDict"], "`heads = (a: Linear(4, 8), b: Linear(4, 8))` in the model"),
    (&["Parameter"], "`weight = param [4, 8] = normal(std: 0.02)` in the model"),
    (&["Buffer", "register_buffer"], "`table = state [8] = zeros` in the model"),
    (&["Flatten"], r#"`rearrange(x, "b c h w -> b (c h w)")`"#),
    (&["Upsample", "interpolate"], "`resize(x, scale: [2, 2], mode: bilinear)`"),
    (&["PixelShuffle", "pixel_shuffle"], r#"`rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p: 2, q: 2)`"#),
    (&["GlobalAvgPool2d"], "`mean(x, axes: [2, 3])`"),
    (&["RNN", "RNNCell"], "`scan t in 0..T carry h = h0 { … }`"),
];

/// What to write instead.
pub fn written(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(names, _)| names.contains(&name)).map(|(_, written)| *written)
}

/// The function that others have as a layer: `LeakyReLU` is `leaky_relu`.
pub fn function_like(layer: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let wanted = plain(layer);
    super::Callable::all().iter().map(super::Callable::name).find(|name| plain(name) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_are_functions_are_known() {
        for (layer, function) in [("ReLU", "relu"), ("LeakyReLU", "leaky_relu"), ("LogSoftmax", "log_softmax")] {
            assert_eq!(function_like(layer), Some(function));
        }
        assert_eq!(function_like("Linear"), None);
    }

    #[test]
    fn none_is_a_name_of_the_language() {
        for name in NAMES.iter().flat_map(|(names, _)| *names) {
            assert!(super::super::builtins::find(name).is_none(), "{name}");
            assert!(super::super::ops::visible(name).is_none(), "{name}");
        }
    }
}
