//! Matrix products, with the second factor as it is and transposed, and single rows; on one thread.

mod support;

use support::{Case, Work, run};

const SHAPES: &[(u64, u64, u64)] = &[
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (128, 768, 3072),
    (196, 768, 768),
    (197, 768, 3072),
    (197, 3072, 768),
    (3136, 576, 64),
    (1, 4096, 4096),
    (1, 768, 50257),
];

fn main() {
    let plain = SHAPES.iter().map(|&(m, k, n)| case("", (m, k, n), [k, n], "m k, k n -> m n"));
    let transposed = SHAPES.iter().map(|&(m, k, n)| case(" transposed", (m, k, n), [n, k], "m k, n k -> m n"));
    run(plain.chain(transposed));
}

fn case(kind: &str, (m, k, n): (u64, u64, u64), [rows, columns]: [u64; 2], pattern: &str) -> Case {
    let graph = format!(
        r#"graph @call(%0 "x": data f32[{m}, {k}], %1 "w": param f32[{rows}, {columns}]) {{
          %2: f32[{m}, {n}] = contract(%0, %1) {{pattern = "{pattern}"}}
          return %2 "y": data
        }}"#
    );
    Case { name: format!("{m}x{k}x{n}{kind}"), graph, work: Work::Macs(m * k * n) }
}
