//! The trained digits: at least 97 % of those held out, on every engine, from PyTorch's own logits.

use crate::engine::{Engine, Runner, values};
use crate::golden::{array, named, root};
use tilewright::Tensor;

const HELD_OUT: usize = 360;
/// Of them, what the trained weights get right in PyTorch.
pub const RIGHT: usize = 355;

#[test]
fn held_out_digits_are_recognised() {
    let golden = named("vit_digits");
    let model = golden.build();
    let values = values(&golden, &model);
    let pixels = golden.calls[0].inputs[0].tensor();
    for engine in Engine::all() {
        let inputs = [("pixels".to_string(), pixels.view().to_tensor().unwrap())];
        let outputs = Runner::new(engine, &model).open(&values).call("call", &inputs);
        let right = right_of(&outputs[0].1);
        println!("{:12} {right} of {HELD_OUT} digits", engine.name());
        assert_eq!(right, RIGHT, "on {}", engine.name());
    }
}

/// How many of the held-out digits these logits name.
pub fn right_of(logits: &Tensor) -> usize {
    let labels = array(&root().join("specs/vision/digits/held_out.npz"), "labels").view().to_f64();
    assert_eq!(labels.len(), HELD_OUT);
    classes(logits).zip(&labels).filter(|(class, label)| *class as f64 == **label).count()
}

fn classes(logits: &Tensor) -> impl Iterator<Item = usize> {
    let (values, n_classes) = (logits.view().to_f64(), logits.shape()[1]);
    let rows: Vec<Vec<f64>> = values.chunks(n_classes).map(<[f64]>::to_vec).collect();
    rows.into_iter().map(|row| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0))
}
