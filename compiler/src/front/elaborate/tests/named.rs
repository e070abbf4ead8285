//! Members with names of their own, and entries that nobody asked for.

use super::*;

fn paths(text: &str) -> Vec<String> {
    model(&text_of(text), "M", &Options::default()).params.iter().map(|param| param.path.clone()).collect()
}

#[test]
fn names_of_params_are_computed() {
    let text = "module Stack(n: int) {
            w = [param [2] = ones as \"w_l\" + str(i) for i in 0..n]
            b = param [2] = zeros
            fn call(x: [B, 2]) -> [B, 2] {
                for w in w { x = x * w }
                x + b
            }
        }
        model M() {
            s = Stack(2)
            t = clone(s)
            fn call(x: [B, 2]) -> [B, 2] { x |> s |> t }
        }";
    assert_eq!(paths(text), ["s.w_l0", "s.w_l1", "s.b", "t.w_l0", "t.w_l1", "t.b"]);
    let model = model(&text_of(text), "M", &Options::default());
    assert_eq!(model.tree.children[0].members, ["s.w_l0", "s.w_l1", "s.b"]);
    assert_eq!(model.params[3].copy_of.as_deref(), Some("s.w_l0"));
}

#[test]
fn a_module_learns_what_has_a_name_of_its_own() {
    let text = "use optim { Sgd }
        train M() {
            w = [param [2] = ones as \"w_l\" + str(i) for i in 0..2]
            step learn(x: [B, 2]) { minimize mean(x * w[0] * w[1]) over w using Sgd(lr: 0.1) }
        }";
    let model = model(&text_of(text), "M", &Options::default());
    let learned: Vec<&str> = model.states.iter().filter(|state| state.is_learned).map(|state| &*state.path).collect();
    assert_eq!(learned, ["w_l0", "w_l1"]);
}

#[test]
fn names_hold_in_arguments_and_in_optimizers() {
    let text = "module Scale() {
            g = param [2] = ones as \"gain\"
            n = state i64[] = 0 as \"calls\"
            fn call(x: [B, 2]) -> [B, 2] {
                n <- n + 1
                x * g
            }
        }
        module Wrap(inner: module) {
            fn call(x: [B, 2]) -> [B, 2] { inner(x) }
        }
        module Heavy(lr: float) {
            m = state [..] = zeros as \"velocity\"
            fn update(w: [..], g: [..]) -> [..] {
                m <- 0.9 * m + g
                w - lr * m
            }
        }
        train M() {
            a = Wrap(Scale())
            b = clone(a)
            step learn(x: [B, 2]) { minimize mean(b(a(x)) ^ 2) over a using Heavy(lr: 0.1) }
        }";
    let model = model(&text_of(text), "M", &Options::default());
    let states: Vec<&str> = model.states.iter().map(|state| &*state.path).collect();
    let own = ["a.inner.gain", "a.inner.calls", "b.inner.calls", "optim.learn.a.inner.gain.velocity"];
    assert_eq!(states, own);
    assert_eq!(paths(text), ["b.inner.gain"]);
}

#[test]
fn an_entry_with_a_mistake_is_left_out_where_another_is_wanted() {
    let text = "model M() {
            fn twice(x: [B]) -> [B] { x * 2 }
            fn wrong(x: [B, 3]) -> [B, 4] { x }
            fn shared(x: [B]) -> [B] { lost(x) }
            fn lost(x: [B]) -> [B] { unknown(x) }
        }";
    let program = text_of(text);
    let wanting =
        |entry: &str| elaborate(&program, "M", &Options { entries: vec![entry.into()], ..Options::default() });
    let model = wanting("twice").expect("it is right");
    assert_eq!(model.entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["twice"]);
    assert_eq!(model.skipped.len(), 3);
    // What an unwanted entry meets as well is told all the same.
    let told = wanting("shared").err().expect("it is wrong");
    assert_eq!(told.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), ["E0301"]);
}

#[test]
fn a_loop_is_bounded_by_a_size() {
    let text = "model M() {
            fn call(x: [N]) -> (y: [N], slope: [N]) {
                let y = loop while sum(x) < 100, at most N - 1 carry y = x { y * 2 }
                (y: y, slope: grad(sum(y), x))
            }
        }";
    for (x, times) in [(vec![1.0, 2.0, 3.0], 4.0), (vec![5.0], 1.0)] {
        let input = Tensor::floats(DType::Real, vec![x.len()], x.clone());
        let found = super::gradients::derived(text, &[input]);
        assert_eq!(found[0].as_floats().unwrap(), x.iter().map(|x| x * times).collect::<Vec<f64>>());
        assert_eq!(found[1].as_floats().unwrap(), vec![times; x.len()]);
    }
}

#[test]
fn a_list_of_modules_is_written_as_a_module_is() {
    let text = "use nn { Linear }
        use optim { Sgd }
        train M() {
            q = [Linear(2, 3), relu, Linear(3, 1)]
            t = clone(q)
            step learn(x: [B, 2]) {
                minimize mean(q(x) - t(x)) over q using Sgd(lr: 0.1)
                t <- lerp(t, q, 0.5)
                t <- q
            }
        }";
    let model = model(&text_of(text), "M", &Options::default());
    let written = |path: &str| model.states.iter().any(|state| state.path == path);
    assert!(["t.0.weight", "t.0.bias", "t.2.weight", "t.2.bias"].into_iter().all(written));
}

#[test]
fn states_in_a_list_are_not_learned() {
    let text = "use optim { Sgd }
        module Cell() {
            held = [state [2] = zeros; 2]
            w    = param [2] = ones
            fn call(x: [B, 2]) -> [B, 2] { x * w + held[0] + held[1] }
        }
        train M() {
            cell = Cell()
            step learn(x: [B, 2]) { minimize mean(cell(x) ^ 2) over cell using Sgd(lr: 0.1) }
        }";
    let model = model(&text_of(text), "M", &Options::default());
    let learned: Vec<&str> = model.states.iter().filter(|state| state.is_learned).map(|state| &*state.path).collect();
    assert_eq!(learned, ["cell.w"]);
}
