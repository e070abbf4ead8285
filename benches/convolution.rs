//! Convolutions of ResNet-50, of MobileNetV2 (one filter a channel) and of ViT-B/16; on one thread.

mod support;

use support::{Case, Work, run};

/// Channels in and out, the size of the image, of the filter, stride, padding, groups.
const SHAPES: &[(&str, [u64; 7])] = &[
    ("stem 7x7", [3, 64, 224, 7, 2, 3, 1]),
    ("3x3 56", [64, 64, 56, 3, 1, 1, 1]),
    ("3x3 28", [128, 128, 28, 3, 1, 1, 1]),
    ("3x3 14", [256, 256, 14, 3, 1, 1, 1]),
    ("3x3 7", [512, 512, 7, 3, 1, 1, 1]),
    ("3x3 56 stride 2", [128, 128, 56, 3, 2, 1, 1]),
    ("1x1 56", [64, 256, 56, 1, 1, 0, 1]),
    ("1x1 14", [1024, 256, 14, 1, 1, 0, 1]),
    ("depthwise 112", [32, 32, 112, 3, 1, 1, 32]),
    ("depthwise 14", [384, 384, 14, 3, 1, 1, 384]),
    ("patches", [3, 768, 224, 16, 16, 0, 1]),
];

fn main() {
    run(SHAPES.iter().map(|&(name, [from, to, size, filter, stride, padding, groups])| {
        let out = (size + 2 * padding - filter) / stride + 1;
        let each = from / groups;
        let graph = format!(
            r#"graph @call(%0 "x": data f32[1, {from}, {size}, {size}], %1 "w": param f32[{to}, {each}, {filter}, {filter}]) {{
              %2: f32[1, {to}, {out}, {out}] = convolve(%0, %1) {{stride = [{stride}, {stride}], low = [{padding}, {padding}], high = [{padding}, {padding}], groups = {groups}}}
              return %2 "y": data
            }}"#
        );
        Case { name: name.to_string(), graph, work: Work::Macs(to * out * out * each * filter * filter) }
    }));
}
