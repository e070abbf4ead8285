//! What goes wrong in specs: each mistake has its code, once, and no text ends in a panic.

use super::*;
use crate::graph::Sampler;

/// The codes of what is wrong with a spec, in order of place.
fn codes(text: &str) -> Vec<&'static str> {
    let program = text_of(text);
    let diagnostics = match elaborate(&program, "M", &Options::default()) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => diagnostics,
    };
    // Whatever is wrong can be shown.
    shown(&program, &diagnostics);
    program.diagnostics.iter().chain(&diagnostics).map(|diagnostic| diagnostic.code).collect()
}

#[test]
fn each_mistake_is_named() {
    for (text, wanted) in [
        ("model M() { fn call(x: [B, 3]) -> [B, 4] { x } }", &["E0203"][..]),
        ("model M() { fn call(x: [B], y: [C]) -> [B] { x + y } }", &["E0208"]),
        ("model M() { fn call(x: [3, 1], y: [4]) -> [3, 4] { x + y } }", &["E0204"]),
        ("model M() { fn call(x: [B], y: i64[B]) -> [B] { x + y } }", &["E0206"]),
        ("model M() { fn call(x: [B]) -> [B, B] { x } }", &["E0202"]),
        ("model M() { fn call(x: [4]) -> [] { x[4] } }", &["E0205"]),
        ("model M() { fn call(x: [B]) -> [B] { sofmax(x) } }", &["E0301"]),
        ("model M() { fn call(x: [B]) -> [B] { softmax(x, axs: 0) } }", &["E0303"]),
        ("use nn { Liner }\nmodel M() { fn call(x: [B]) -> [B] { x } }", &["E0503"]),
        ("use n { Linear }\nmodel M() { fn call(x: [B]) -> [B] { x } }", &["E0502"]),
        ("use ./other { A }\nmodel M() { fn call(x: [B]) -> [B] { x } }", &["E0501"]),
        ("use nn { Linear }\nmodel M() { a = Linear(3)\n fn call(x: [3]) -> [3] { a(x) } }", &["E0303"]),
        ("use nn { Linear }\nmodel M() { fn call(x: [3]) -> [3] { Linear(3, 3)(x) } }", &["E0307"]),
        ("use nn { Linear }\nmodel M() { a = Linear\n fn call(x: [3]) -> [3] { x } }", &["E0311"]),
        ("use nn { Linear }\nmodel M() { a = Linear(7 / 2, 3)\n fn call(x: [3]) -> [3] { x } }", &["E0404"]),
        ("module A(n: int) where n % 2 == 0 { }\nmodel M() { a = A(3)\n fn call(x: [3]) -> [3] { x } }", &["E0207"]),
        ("model M() { fn call(x: [B]) -> [B] { for i in x { x = x + i }\n x } }", &["E0403"]),
        ("model M() { fn call(x: [B]) -> [B] { if x > 0 { x } else { -x } } }", &["E0403"]),
        ("model M() { fn call(x: [B, 6]) -> [B, 6] { rearrange(x, \"b (h d) -> b h d\") } }", &["E0210"]),
        ("model M() { fn call(x: [B, 6]) -> [B, 6] { rearrange(x, \"b n d -> b d n\") } }", &["E0202"]),
        ("model M() { fn call(x: [B, 6]) -> [B, 6] { rearrange(x, \"b (h d) -> b h d\", h: 4) } }", &["E0203"]),
        ("model M() { p = param [3] = zeros\n fn call(x: [3]) -> [3] { p <- x\n x } }", &["E0310"]),
        ("model M() { fn call(x: [3]) -> [3] { y = x\n y } }", &["E0309"]),
        ("model M() { fn call(x: [3]) -> [3] { let y = x\n loop i in 0..3 carry z = x { y = z\n z } } }", &["E0308"]),
        ("model M() { fn call(x: [H]) -> [H / 2] { x } }", &["E0208"]),
        ("model M() { fn call(x: [3]) -> [3] { grad(x, x) } }", &["E0211"]),
        ("model M() { let a = [1, 2][5]\n let b = 1 / 0\n fn call(x: [3]) -> [3] { x } }", &["E0205", "E0404"]),
        ("const a = b\nconst b = a\nmodel M(n: int = a) { fn call(x: [3]) -> [3] { x } }", &["E0406"]),
        ("fn f(n: int) -> int { f(n + 1) }\nmodel M(n: int = f(0)) { fn call(x: [3]) -> [3] { x } }", &["E0406"]),
        ("module A() { a = A() }\nmodel M() { a = A()\n fn call(x: [3]) -> [3] { x } }", &["E0406"]),
        ("model M() { fn call(x: [B]) -> [((((B^8)^8)^8)^8)^8] { x } }", &["E0407"]),
        ("model M() { let a = [0; 1000000000]\n fn call(x: [3]) -> [3] { x } }", &["E0407"]),
        (
            "fn f(n: int) -> int { sum([f(n + 1) for i in 0..60000]) }\nmodel M(n: int = f(0)) { fn call(x: [3]) -> [3] { x } }",
            &["E0406"],
        ),
    ] {
        assert_eq!(codes(text), wanted, "{text}");
    }
}

/// Specs with pieces removed, doubled and exchanged: any answer will do, a panic will not.
fn mutants(rounds: u64) {
    let texts: Vec<&str> = SPECS.iter().map(|(_, text)| *text).chain([LANGUAGE_CACHE]).collect();
    let pieces: Vec<&str> =
        texts.iter().flat_map(|text| text.split_inclusive([' ', '(', ')', ',', '[', ']', '\n'])).collect();
    let mut sampler = Sampler::new(7);
    for _ in 0..rounds {
        let text = sampler.pick(&texts);
        let mut parts: Vec<&str> = text.split_inclusive([' ', '(', ')', ',', '[', ']', '\n']).collect();
        for _ in 0..sampler.int(1, 4) {
            let at = sampler.int(0, parts.len() as i64 - 1) as usize;
            match sampler.int(0, 2) {
                0 => parts[at] = *sampler.pick::<&str>(&pieces),
                1 => parts.insert(at, *sampler.pick::<&str>(&pieces)),
                _ => parts[at] = "",
            }
        }
        let program = text_of(&parts.concat().replace("./unet", "nn"));
        let names: Vec<String> = program.files[0].names.keys().cloned().collect();
        for name in names {
            let options = Options::default().set("layers", Setting::Int(1)).dim("W", 8);
            let _ = elaborate(&program, &name, &Options { config: Vec::new(), ..options });
        }
    }
}

#[test]
fn mutants_never_panic() {
    mutants(20);
}

#[test]
#[ignore = "takes minutes; ROUNDS says how many"]
fn many_mutants_never_panic() {
    mutants(std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2_000));
}

#[test]
fn a_mistake_in_twelve_blocks_is_one_mistake() {
    let text = "module Block() { fn call(x: [B]) -> [B] { sofmax(x) } }
    model M() { blocks = [Block(); 12]\n fn call(x: [B]) -> [B] { blocks[0](blocks[1](x)) + nope } }";
    let program = text_of(text);
    let diagnostics = elaborate(&program, "M", &Options::default()).err().expect("two mistakes");
    let text = shown(&program, &diagnostics);
    assert_eq!(diagnostics.len(), 2, "{text}");
    assert!(text.contains("did you mean `softmax`?") && text.contains("while elaborating M.blocks[1]"), "{text}");
}
