//! What a `where` says about the sizes of an entry.

use super::*;

/// The types of the arguments of `call`, and the checks that it makes.
fn entry(header: &str) -> (Vec<String>, Vec<String>) {
    let program = text_of(&format!("model M() {{ fn call{header} {{ p + sum(q) }} }}"));
    let model = model(&program, "M", &Options::default());
    let graph = model.entry("call").expect("the entry exists");
    verify(graph).expect("it is well formed");
    let types = graph.arguments().iter().map(|argument| graph.type_of(argument.value).to_string());
    (types.collect(), graph.checks.iter().map(|check| check.message.clone()).collect())
}

#[test]
fn sizes_are_made_of_others() {
    for (header, wanted) in [
        ("(p: [K1, V], q: [K, V]) -> [K1, V] where K1 == K + 1", ["real[K + 1, V]", "real[K, V]"]),
        ("(p: [K, V], q: [L, V]) -> [K, V] where L == 2 * K", ["real[K, V]", "real[2*K, V]"]),
        ("(p: [K, V], q: [L, V]) -> [K, V] where 2 * K == L", ["real[K, V]", "real[2*K, V]"]),
        ("(p: [A], q: [N]) -> [A] where A == N / 2", ["real[N_2]", "real[2*N_2]"]),
        ("(p: [A], q: [N]) -> [A] where A == floor_div(N, 2)", ["real[floordiv(N, 2)]", "real[N]"]),
        ("(p: [A], q: [N]) -> [A] where A == N and N == 7", ["real[7]", "real[7]"]),
        ("(p: [H, H_8], q: [H_8]) -> [H, H_8] where H % 8 == 0", ["real[8*H_8_, H_8]", "real[H_8]"]),
        ("(p: [A], q: [N]) -> [A] where A == N + 1 and N == A - 1", ["real[N + 1]", "real[N]"]),
    ] {
        assert_eq!(entry(header).0, wanted, "{header}");
    }
}

#[test]
fn sizes_in_expressions_bind_where_they_are_the_only_unknown() {
    for (header, wanted) in [
        ("(p: [2 * N], q: [3]) -> [2 * N]", ["real[2*N]", "real[3]"]),
        ("(p: [H / 8, W], q: [H]) -> [_, W] where H % 8 == 0", ["real[H_8, W]", "real[8*H_8]"]),
        ("(p: [H / 8, W / 2 + 1], q: [3]) -> [_, _]", ["real[H_8, W_2 + 1]", "real[3]"]),
        ("(p: [K], q: [M * K + 1]) -> [K] where M <= 4", ["real[K]", "real[K*M + 1]"]),
        ("(p: [2 * N], q: [N]) -> [N + N]", ["real[2*N]", "real[N]"]),
        ("(p: [A], q: [2 * N]) -> [A] where A == N / 2", ["real[N_2]", "real[4*N_2]"]),
        ("(p: [A + B], q: [2 * A]) -> [_]", ["real[B + A]", "real[2*A]"]),
    ] {
        assert_eq!(entry(header).0, wanted, "{header}");
    }
}

#[test]
fn sizes_in_expressions_are_solved_for_in_calls() {
    let text = "fn halves(x: [2 * N, M - 1]) -> [N, M] { zeros(N, M) }
    fn blocks(x: [H / 8], y: [H, K + 1]) -> [H, K] { zeros(H, K) }
    fn both(pair: (a: [N + K], b: [3 * K])) -> [N, K] { zeros(N, K) }
    model M() {
        fn call(x: [8, 4], y: [4 * B], z: [6], w: [48, 3]) -> (o: [4, 5], a: [2 * B], b: [48, 2], c: [4, 2]) {
            (o: halves(x), a: halves(y[:, new])[:, 0], b: blocks(z, w), c: both((a: z, b: z)))
        }
    }";
    let program = text_of(text);
    verify(&model(&program, "M", &Options::default()).entries[0]).expect("it is well formed");
}

#[test]
fn sizes_that_differ_are_checked_at_the_entry() {
    let (_, checks) = entry("(p: [A], q: [N]) -> [A] where A != 3 and A != N");
    assert_eq!(checks, ["A != 3", "A != N"]);
}

#[test]
fn the_tightest_of_several_bounds_counts() {
    let text = "model M() { fn call(x: [B]) -> [B] where B > 5 and B >= 2 and B < 9 and B <= 20 { x } }";
    let model = model(&text_of(text), "M", &Options::default());
    let sizes = &model.entry("call").expect("the entry exists").sizes;
    let range = sizes.iter().next().expect("it has a size");
    assert_eq!(
        (range.low.to_string(), range.high.as_ref().map(|high| high.to_string())),
        ("6".into(), Some("8".into()))
    );
}

#[test]
fn sizes_are_spelt_as_one_likes() {
    let text = "module Made(dim: int) {
        fn call(x: [B, Nw, dim]) -> [B, Nw, dim] { x }
    }
    module Unmade(dim: int) {
        fn call(x: [B, NxN, dim], y: [Hq, B]) -> [B, _, dim] { x + sum(y) / NxN }
    }
    model M() {
        m = Made(4)
        fn call(x: [B, Hz, 4]) -> [B, Hz, 4] { m(x) }
    }";
    let program = text_of(text);
    let found = super::super::check(&program);
    assert!(found.is_empty(), "{}", shown(&program, &found));
}

#[test]
fn a_size_may_have_the_name_of_a_model() {
    let text = "fn F(x: [2]) -> [2] { x }
    model M() {
        seen = state [B, M] = zeros
        fn call(x: [B, M], y: [F, M]) -> [B, F, M] where F == M {
            seen <- x
            let z: [B, M] = x * M
            z[:, new] + y
        }
    }";
    let model = model(&text_of(text), "M", &Options::default());
    let graph = model.entry("call").expect("the entry exists");
    assert_eq!(graph.type_of(graph.outputs()[0].value).to_string(), "real[B, M, M]");
}

#[test]
fn what_pooling_leaves_is_what_the_quotient_is() {
    let text = "model M() {
        fn call(x: [B, C, H, W]) -> [B, C, ceil(H / 16), ceil(W / 16)] where H % 8 == 0 and W % 8 == 0 {
            let y = avg_pool(x, size: 8, stride: 8)
            max_pool(y, size: 1, stride: 2)
        }
    }";
    let model = model(&text_of(text), "M", &Options::default());
    verify(model.entry("call").expect("the entry exists")).expect("it is well formed");
}

fn fixed(text: &str, dims: &[(&str, i64)]) -> Result<Vec<String>, String> {
    let program = text_of(text);
    let options = dims.iter().fold(Options::default(), |options, (name, size)| options.dim(name, *size));
    let model = elaborate(&program, "M", &options).map_err(|diagnostics| shown(&program, &diagnostics))?;
    let graph = model.entry("call").expect("the entry exists");
    verify(graph).expect("it is well formed");
    Ok(graph.arguments().iter().map(|argument| graph.type_of(argument.value).to_string()).collect())
}

#[test]
fn a_fixed_size_fixes_what_it_is_made_of() {
    let text = |header: &str| format!("model M() {{ fn call{header} {{ p + sum(q) }} }}");
    for (header, dims, wanted) in [
        ("(p: [N], q: [M]) -> [N] where M == N", &[("M", 9)][..], ["real[9]", "real[9]"]),
        ("(p: [N], q: [M]) -> [N] where M == N", &[("N", 9), ("M", 9)], ["real[9]", "real[9]"]),
        ("(p: [N], q: [M]) -> [N] where M == 2 * N + 1", &[("M", 9)], ["real[4]", "real[9]"]),
        ("(p: [N], q: [M]) -> [N] where N % 8 == 0", &[("N", 16)], ["real[16]", "real[M]"]),
        ("(p: [N], q: [2 * N]) -> [N]", &[("N", 3)], ["real[3]", "real[6]"]),
    ] {
        assert_eq!(fixed(&text(header), dims).expect("it fits"), wanted, "{header}");
    }
    for (header, dims, says) in [
        ("(p: [N], q: [M]) -> [N] where M == N", &[("N", 8), ("M", 9)][..], "here M = 9, N = 8"),
        ("(p: [N], q: [M]) -> [N] where N == 16", &[("N", 8)], "here N = 8"),
        ("(p: [N], q: [M]) -> [N] where N % 8 == 0", &[("N", 12)], "here N = 12"),
    ] {
        let error = fixed(&text(header), dims).expect_err("it does not fit");
        assert!(error.contains(says), "{header}: {error}");
    }
}

#[test]
fn a_size_may_be_fixed_in_one_entry() {
    let text = "model M() {
        fn call(x: [T]) -> [T] { x }
        fn other(x: [T]) -> [T] where T <= 8 { x }
    }";
    assert_eq!(fixed(text, &[("call.T", 16)]).expect("it fits"), ["real[16]"]);
    assert_eq!(fixed(text, &[("other.T", 8)]).expect("it fits"), ["real[T]"]);
    assert!(fixed(text, &[("T", 16)]).is_err());
}
