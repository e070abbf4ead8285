//! The trained digits: at least 97 % of those held out, on every engine, from PyTorch's own logits.

use crate::engine::{Engine, Runner, values};
use crate::golden::{array, named, root};
use tilewright::Tensor;

/// Of 360 held-out digits, what the trained weights get right in PyTorch.
const RIGHT: usize = 355;

#[test]
fn held_out_digits_are_recognised() {
    let golden = named("vit_digits");
    let model = golden.build();
    let values = values(&golden, &model);
    let labels = array(&root().join("specs/vision/digits/held_out.npz"), "labels").view().to_f64();
    let pixels = golden.calls[0].inputs[0].tensor();
    for engine in Engine::all() {
        let inputs = [("pixels".to_string(), pixels.view().to_tensor().unwrap())];
        let outputs = Runner::new(engine, &model).open(&values).call("call", &inputs);
        let right = classes(&outputs[0].1).zip(&labels).filter(|(class, label)| *class as f64 == **label).count();
        println!("{:12} {right} of {} digits", engine.name(), labels.len());
        assert!(right as f64 >= 0.97 * labels.len() as f64);
        assert_eq!(right, RIGHT, "on {}", engine.name());
    }
}

fn classes(logits: &Tensor) -> impl Iterator<Item = usize> {
    let (values, n_classes) = (logits.view().to_f64(), logits.shape()[1]);
    let rows: Vec<Vec<f64>> = values.chunks(n_classes).map(<[f64]>::to_vec).collect();
    rows.into_iter().map(|row| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0))
}
