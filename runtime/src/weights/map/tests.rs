//! Weight maps: patterns and recipes.

use super::*;

fn name(text: &str) -> Recipe {
    Recipe::Name(text.parse().unwrap())
}

fn map(rules: Vec<(&str, Recipe)>) -> WeightMap {
    let rule = |(ours, theirs): (&str, Recipe)| Rule { ours: ours.parse().unwrap(), theirs };
    WeightMap { rules: rules.into_iter().map(rule).collect() }
}

fn tensor(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

#[test]
fn patterns_match_and_are_filled_in() {
    let filled = |ours: &str, theirs: &str, name: &str| {
        let numbers = ours.parse::<Pattern>().unwrap().matches(name)?;
        theirs.parse::<Pattern>().unwrap().with(&numbers)
    };
    assert_eq!(filled("b.{i}.w", "x_{i+1}_w", "b.12.w").as_deref(), Some("x_13_w"));
    assert_eq!(filled("b.{i+1}.w", "x{i}", "b.12.w").as_deref(), Some("x11"));
    assert_eq!(filled("{i}.{j}", "{j}.{i - 2}", "3.4").as_deref(), Some("4.1"));
    assert_eq!(filled("{i}.{i}", "{i}", "3.3").as_deref(), Some("3"));
    for (ours, theirs, name) in [
        ("b.{i}.w", "x", "b..w"),
        ("b.{i}.w", "x", "b.1.w2"),
        ("b.{i}.w", "x", "b.01.w"),
        ("{i}.{i}", "x", "3.4"),
        ("{i}", "x{j}", "1"),
        ("{i}", "x{i-2}", "1"),
        ("{i}", "x", "99999999999999999999"),
    ] {
        assert_eq!(filled(ours, theirs, name), None, "{ours} {name}");
    }
    for bad in ["{", "}", "{}", "{i+}", "{i*2}", "a}b", "{i+99999999999}"] {
        assert!(bad.parse::<Pattern>().is_err(), "{bad}");
    }
}

#[test]
fn the_first_rule_wins_and_other_names_stay() {
    let map = map(vec![("b.0.w", name("first")), ("b.{i}.w", name("rest.{i}"))]);
    assert_eq!(map.source("b.0.w"), Source::Name("first".into()));
    assert_eq!(map.source("b.7.w"), Source::Name("rest.7".into()));
    assert_eq!(map.source("head"), Source::Name("head".into()));
}

#[test]
fn recipes_make_our_tensors_of_theirs() {
    let split = |part| Recipe::Split { whole: Box::new(name("qk")), part, axis: 0 };
    let map = map(vec![
        ("qkv", Recipe::Concat { parts: vec![name("q"), name("k"), name("v")], axis: 1 }),
        ("q{i}.w", Recipe::Transpose { of: Box::new(name("t.{i}")), axes: None }),
        ("perm", Recipe::Transpose { of: Box::new(name("perm_")), axes: Some(vec![2, 0, 1]) }),
        ("one", split(0)),
        ("two", split(1)),
    ]);
    let theirs = [
        ("k".to_string(), tensor(&[2, 1], &[2, 5])),
        ("perm_".to_string(), tensor(&[2, 1, 3], &[1, 2, 3, 4, 5, 6])),
        ("q".to_string(), tensor(&[2, 1], &[1, 4])),
        ("qk".to_string(), tensor(&[4, 2], &[1, 2, 3, 4, 5, 6, 7, 8])),
        ("t.5".to_string(), tensor(&[2, 3], &[1, 2, 3, 4, 5, 6])),
        ("v".to_string(), tensor(&[2, 1], &[3, 6])),
    ];
    let ours = [
        ("qkv".to_string(), tensor(&[2, 3], &[1, 2, 3, 4, 5, 6])),
        ("q5.w".to_string(), tensor(&[3, 2], &[1, 4, 2, 5, 3, 6])),
        ("perm".to_string(), tensor(&[3, 2, 1], &[1, 4, 2, 5, 3, 6])),
        ("one".to_string(), tensor(&[2, 2], &[1, 2, 3, 4])),
        ("two".to_string(), tensor(&[2, 2], &[5, 6, 7, 8])),
    ];
    let fetch = |name: &str| theirs.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor.view());
    for (name, wanted) in &ours {
        assert_eq!(&map.source(name).build(wanted.shape(), &fetch).unwrap(), wanted, "{name}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = tensor(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let fetch = |name: &str| (name == "x").then(|| x.view());
    let whole = || Box::new(Source::Name("x".into()));
    let build = |source: Source, shape: &[usize]| source.build(shape, &fetch).is_ok();
    assert!(build(Source::Split { whole: whole(), part: 2, axis: 1 }, &[2, 1]));
    assert!(!build(Source::Split { whole: whole(), part: 3, axis: 1 }, &[2, 1]));
    assert!(!build(Source::Split { whole: whole(), part: 0, axis: 1 }, &[2, 2]));
    assert!(!build(Source::Split { whole: whole(), part: 0, axis: 2 }, &[2, 3]));
    assert!(!build(Source::Split { whole: whole(), part: 0, axis: 0 }, &[0, 3]));
    assert!(!build(Source::Transpose { of: whole(), axes: Some(vec![0, 0]) }, &[2, 3]));
    assert!(!build(Source::Transpose { of: whole(), axes: Some(vec![0]) }, &[2]));
    assert!(!build(Source::Concat { parts: vec![], axis: 0 }, &[2, 3]));
    assert!(!build(Source::Concat { parts: vec![*whole()], axis: 2 }, &[2, 3]));
    assert!(!build(Source::Name("y".into()), &[2, 3]));
}
