//! Members with names of their own, and entries that nobody asked for.

use super::*;

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
