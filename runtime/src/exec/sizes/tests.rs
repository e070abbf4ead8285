//! Sizes bind where they stand alone, are checked elsewhere, and refusals say why.

use super::*;
use crate::program::{DType, Relation, SizeDecl};

fn entry(ports: &[(&str, &[&str])], checks: &[(&str, Relation, &str)]) -> Entry {
    let dim = |text: &str| text.parse::<Dim>().unwrap();
    let port = |(name, shape): &(&str, &[&str])| Port {
        name: name.to_string(),
        dtype: DType::F32,
        shape: shape.iter().map(|text| dim(text)).collect(),
    };
    let size = |name: &str| SizeDecl { symbol: Symbol::new(name), lo: 1, hi: Some(64) };
    let check = |&(left, relation, right): &(&str, Relation, &str)| Check {
        left: dim(left),
        relation,
        right: dim(right),
        message: String::new(),
    };
    Entry {
        name: "call".into(),
        graph: String::new(),
        sizes: vec![size("B"), size("N")],
        names: vec![],
        scalars: vec![],
        checks: checks.iter().map(check).collect(),
        inputs: ports.iter().map(port).collect(),
        outputs: vec![],
        values: vec![],
        steps: vec![],
        labels: vec![],
    }
}

fn bound(entry: &Entry, shapes: &[&[usize]]) -> Result<(i64, i64), String> {
    let shapes: Vec<_> = shapes.iter().map(|shape| shape.to_vec()).collect();
    let sizes = bind(entry, &Sizes::default(), &shapes).map_err(|error| error.to_string())?;
    Ok((sizes.get(&Symbol::new("B")).unwrap(), sizes.get(&Symbol::new("N")).unwrap()))
}

#[test]
fn a_size_binds_where_it_stands_alone_and_is_checked_elsewhere() {
    let entry = entry(&[("y", &["B*N + 1"]), ("x", &["B", "8*N"])], &[]);
    assert_eq!(bound(&entry, &[&[7], &[2, 24]]), Ok((2, 3)));
    let error = bound(&entry, &[&[8], &[2, 24]]).unwrap_err();
    assert!(error.starts_with("input `y` must be f32["), "{error}");
    assert!(error.contains("axis 0 is 8, but"), "{error}");
    assert!(error.contains("B is 2: axis 0 of `x`, B, is 2"), "{error}");
    let error = bound(&entry, &[&[7], &[2, 25]]).unwrap_err();
    assert!(error.contains("axis 1 is 25, but it must be 8*N, which it is for no N"), "{error}");
    let error = bound(&entry, &[&[7], &[2]]).unwrap_err();
    assert!(error.contains("it has 1 axes instead of 2"), "{error}");
}

#[test]
fn ranges_and_checks_are_enforced() {
    let entry = entry(&[("x", &["B", "N"])], &[("B + N", Relation::AtMost, "10")]);
    assert_eq!(bound(&entry, &[&[4, 6]]), Ok((4, 6)));
    let error = bound(&entry, &[&[0, 6]]).unwrap_err();
    assert!(error.contains("size B of `call` must be from 1 to 64, not 0"), "{error}");
    let error = bound(&entry, &[&[5, 6]]).unwrap_err();
    assert!(error.contains("does not hold: 11 <= 10"), "{error}");
    assert!(bound(&entry, &[&[usize::MAX, 6]]).is_err());
}

#[test]
fn sizes_are_named_as_the_spec_names_them() {
    let mut entry = entry(&[("x", &["B", "3", "8*H_8"]), ("y", &["8*H_8"])], &[]);
    entry.sizes[1].symbol = Symbol::new("H_8");
    let error = |shapes: &[&[usize]]| {
        let shapes: Vec<_> = shapes.iter().map(|shape| shape.to_vec()).collect();
        bind(&entry, &Sizes::default(), &shapes).unwrap_err().to_string()
    };
    let found = error(&[&[1, 2, 16], &[16]]);
    assert!(found.starts_with("input `x` must be f32[B, 3, H], not [1, 2, 16]"), "{found}");
    assert!(found.contains("axis 1 is 2, but must be 3"), "{found}");
    let found = error(&[&[1, 3, 20], &[16]]);
    assert!(found.contains("axis 2 is 20, but H must be a multiple of 8"), "{found}");
    let found = error(&[&[1, 3, 16], &[24]]);
    assert!(found.contains("axis 0 is 24, but H is 16"), "{found}");
    assert!(found.contains("axis 2 of `x`, H, is 16"), "{found}");
}

#[test]
fn what_no_input_says_must_be_fixed() {
    let entry = entry(&[("x", &["B"])], &[]);
    let error = bound(&entry, &[&[4]]).unwrap_err();
    assert!(error.contains("nothing says what size N"), "{error}");
    let mut fixed = Sizes::default();
    fixed.insert(&Symbol::new("N"), 3, "fixed when the session was opened");
    fixed.insert(&Symbol::new("B"), 5, "fixed when the session was opened");
    let error = bind(&entry, &fixed, &[vec![4]]).unwrap_err().to_string();
    assert!(error.contains("B is 5: fixed when the session was opened"), "{error}");
    assert_eq!(bind(&entry, &fixed, &[vec![5]]).unwrap().get(&Symbol::new("N")), Some(3));
}
