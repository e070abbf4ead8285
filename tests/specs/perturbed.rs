//! A golden notices every weight: with any one tensor replaced, its outputs are wrong.

use crate::engine::{Engine, Runner, Values, generated, run, values, weights_of};
use crate::golden::Golden;
use crate::goldens::{large, small};
use tilewright::{Backend, Model};

/// The smallest change that counts as noticed, ten times what a right output may be off.
const NOTICED: f64 = 1e-3;

/// Replaces each `stride`-th tensor in turn; gives how many were tried.
fn perturb(golden: &Golden, model: &Model, stride: usize) -> usize {
    let runner = Runner::new(Engine::Compiled(Backend::AVAILABLE[0]), model);
    let mut values: Values = values(golden, model);
    let (mut n_tried, mut unnoticed) = (0, Vec::new());
    let mut weakest = (f64::INFINITY, String::new());
    for member in weights_of(model).step_by(stride) {
        let changed = generated(&format!("perturbed:{}", member.path), member, golden.gain);
        let kept = values.insert(member.path.clone(), changed).expect("every weight has a value");
        let (error, _) = run(golden, &runner, &values);
        values.insert(member.path.clone(), kept);
        n_tried += 1;
        if error < weakest.0 {
            weakest = (error, member.path.clone());
        }
        if !(error > NOTICED) {
            unnoticed.push(format!("{}: {error:.1e}", member.path));
        }
    }
    println!("{:24} {n_tried} tensors, weakest {} with {:.1e}", golden.name, weakest.1, weakest.0);
    assert!(unnoticed.is_empty(), "{} does not notice {unnoticed:#?}", golden.name);
    n_tried
}

#[test]
fn small_goldens_notice_every_weight() {
    for golden in small() {
        let n_tried = perturb(&golden, &golden.build(), 1);
        assert_eq!(n_tried, golden.tensors, "{}", golden.name);
    }
}

#[test]
#[ignore = "runs large models once per weight; STRIDE=10 tries every tenth"]
fn large_goldens_notice_every_weight() {
    let stride = std::env::var("STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let name = std::env::var("GOLDEN").unwrap_or_default();
    for golden in large().into_iter().filter(|golden| name.is_empty() || golden.name == name) {
        perturb(&golden, &golden.build(), stride);
    }
}
