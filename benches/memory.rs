//! What moves more than it computes: elementwise chains, softmax and normalisation, against a copy; on one thread.

mod support;

use support::{Case, Work, run};

const ROWS: &[(u64, u64)] = &[(1024, 1024), (2364, 197), (4096, 4096)];

fn main() {
    run(ROWS.iter().flat_map(|&(m, n)| {
        let ty = format!("f32[{m}, {n}]");
        let one = |name: &str, body: String| Case {
            name: format!("{name} {m}x{n}"),
            graph: format!(r#"graph @call(%0 "x": data {ty}) {{ {body} return %9 "y": data }}"#),
            work: Work::Bytes(2 * 4 * m * n),
        };
        [
            one("elementwise", format!("%8: {ty} = mul(%0, %0)\n %9: {ty} = add(%8, %0)\n")),
            Case {
                name: format!("sums {m}x{n}"),
                graph: format!(
                    r#"graph @call(%0 "x": data {ty}) {{ %1: f32[{m}] = reduce_sum(%0) {{axes = [1], keep = false}} return %1 "y": data }}"#
                ),
                work: Work::Bytes(4 * m * n),
            },
            one("gelu", format!("%9: {ty} = gelu(%0) {{approximate = false}}\n")),
            one("softmax", format!("%9: {ty} = softmax(%0) {{axis = -1}}\n")),
            one(
                "normalise",
                format!(
                    "%1: f32[{m}, 1] = mean(%0) {{axes = [1], keep = true}}\n %2: {ty} = broadcast(%1) {{shape = [{m}, {n}]}}\n \
                     %3: {ty} = sub(%0, %2)\n %4: f32[{m}, 1] = var(%0) {{axes = [1], keep = true}}\n %5: f32[{m}, 1] = rsqrt(%4)\n \
                     %6: {ty} = broadcast(%5) {{shape = [{m}, {n}]}}\n %9: {ty} = mul(%3, %6)\n"
                ),
            ),
        ]
    }));
}
