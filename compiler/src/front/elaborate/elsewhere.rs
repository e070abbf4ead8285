//! Names that other frameworks have for what is written otherwise here.
//!
//! Invariant: none of them is a name of the language.

const NAMES: &[(&[&str], &str)] = &[
    (&["cast", "astype"], "`f32(x)`, or another element type"),
    (&["broadcast", "broadcast_to"], "`expand(x[new], 4)`, or let `x + y` stretch what is one long"),
    (&["transpose", "swapaxes", "movedim"], r#"`rearrange(x, "m n -> n m")`"#),
    (&["view", "flatten"], r#"`rearrange(x, "b c h w -> b (c h w)")`, or `reshape(x, [M, N])`"#),
    (&["unsqueeze", "expand_dims"], "`x[:, new]`"),
    (&["squeeze"], "`x[:, 0]` where the axis is one long"),
    (&["permute_dims", "moveaxis"], r#"`rearrange(x, "a b c -> c a b")`"#),
    (&["diag", "diagonal"], r#"`einsum("i i -> i", x)`, or `v[:, new] * eye(N)` for the matrix with a diagonal"#),
    (&["trace"], r#"`einsum("i i -> ", x)`"#),
    (&["kron"], r#"`rearrange(einsum("i j, k l -> i k j l", a, b), "i k j l -> (i k) (j l)")`"#),
    (&["cdist"], "`norm(a[:, new] - b, axes: [-1])`"),
    (&["bmm", "mm", "tensordot"], r#"`einsum("b i k, b k j -> b i j", a, b)`"#),
    (&["outer"], "`a[:, new] * b`"),
    (&["cat", "concatenate", "vstack"], "`concat(a, b, axis: 0)`"),
    (&["chunk", "unbind"], r#"`let (a, b) = rearrange(x, "m (s n) -> s m n", s: 2)`"#),
    (&["tile"], r#"`repeat(x, "m n -> m (r n)", r: 2)`"#),
    (&["repeat_interleave"], r#"`repeat(x, "n -> (n r)", r: 2)`"#),
    (&["take_along_axis", "take_along_dim"], r#"`gather("b [n], b m -> b m", x, places)`"#),
    (&["index_select"], "`x[:, places]`"),
    (
        &["index_add", "scatter_add", "segment_sum"],
        r#"`scatter("[g] d, n -> n d", zeros(10, D), groups, x, combine: "add")`"#,
    ),
    (&["searchsorted", "bucketize"], "`sum(i64(edges < x[:, new]), axes: [1])`"),
    (&["bincount"], "`sum(onehot(x, size: 10, dtype: i64), axes: [0])`"),
    (&["median", "kthvalue"], "`sort(x).value[k]`"),
    (&["diff"], "`x[1:] - x[:-1]`"),
    (&["cummin"], "`-cummax(-x)`"),
    (&["unfold"], "`x[iota(N - 3)[:, new] + iota(4)]`"),
    (&["masked_select"], "`select(mask, x, 0.0)`, for no size depends on data"),
    (&["nan_to_num"], "`select(isnan(x), 0.0, x)`"),
    (&["masked_fill"], "`select(mask, 0.0, x)`"),
    (&["arange"], "`iota(N)`"),
    (&["full", "zeros_like", "ones_like"], "`fill([M, N], 0.0)`"),
    (&["clamp"], "`clip(x, 0.0, 1.0)`"),
    (&["amax", "amin"], "`max(x, axis: 1)` or `min(x, axis: 1)`"),
    (&["maximum"], "`max(a, b)`"),
    (&["minimum"], "`min(a, b)`"),
    (&["logical_and", "bitwise_and"], "`a and b`"),
    (&["logical_or", "bitwise_or"], "`a or b`"),
    (&["logical_not", "bitwise_not"], "`not a`"),
    (&["logical_xor", "bitwise_xor"], "`xor(a, b)`"),
    (&["bitwise_left_shift", "left_shift"], "`shl(a, b)`"),
    (&["bitwise_right_shift", "right_shift"], "`shr(a, b)`"),
    (&["remainder"], "`a % b`"),
    (&["fmod"], "`a - b * trunc(a / b)`"),
    (&["log2"], "`log(x) / log(2)`"),
    (&["log10"], "`log(x) / log(10)`"),
    (&["erfc"], "`1 - erf(x)`"),
    (&["logit"], "`log(x / (1 - x))`"),
    (&["hypot"], "`sqrt(a ^ 2 + b ^ 2)`"),
    (&["logaddexp"], "`logsumexp(stack([a, b]), axes: [0])`"),
    (&["logsigmoid", "log_sigmoid", "LogSigmoid"], "`-softplus(-x)`"),
    (&["softsign", "Softsign"], "`x / (1 + abs(x))`"),
    (&["hardtanh", "Hardtanh"], "`clip(x, -1, 1)`"),
    (&["prelu", "PReLU"], "`select(x > 0, x, slope * x)`"),
    (&["glu", "GLU"], "`x[.., :N] * sigmoid(x[.., N:])`"),
    (&["normalize"], "`x / max(norm(x, axes: [-1], keep: true), 1e-12)`"),
    (&["detach"], "`stop_gradient(x)`"),
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
    (&["nll_loss", "NLLLoss"], r#"`-mean(gather("b [c], b -> b", log_probabilities, labels))`"#),
    (&["binary_cross_entropy_with_logits", "BCEWithLogitsLoss"], "`mean(softplus(x) - x * y)`"),
    (&["kl_div", "KLDivLoss"], "`mean(sum(p * (log(p) - log_q), axes: [1]))`"),
    (
        &["ReflectionPad1d", "ReflectionPad2d", "reflection_pad"],
        "`x[.., N - 1 - abs(N - 1 - abs(iota(N + 2 * p) - p))]`, for `p` places at either end",
    ),
    (
        &["ReplicationPad1d", "ReplicationPad2d"],
        "`x[.., clip(iota(N + 2 * p) - p, 0, N - 1)]`, for `p` places at either end",
    ),
    (&["CircularPad1d", "CircularPad2d"], "`x[.., (iota(N + 2 * p) - p) % N]`, for `p` places at either end"),
    (
        &["scaled_dot_product_attention"],
        r#"`einsum("b h i j, b h j d -> b h i d", softmax(score), v)`, where `score` is `einsum("b h i d, b h j d -> b h i j", q, k) / sqrt(D)`"#,
    ),
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
