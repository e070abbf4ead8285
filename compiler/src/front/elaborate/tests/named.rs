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
