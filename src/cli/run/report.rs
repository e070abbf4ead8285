//! What came out, for people and for scripts: shapes and ranges, and top-1 where the output is a classification.

use std::path::Path;

use tilewright::compiler::graph::Dim;
use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

use super::super::source::read_text;
use super::super::term::{Failure, STRONG, styled};
use super::engine::Opened;

pub struct Report {
    model: String,
    entry: String,
    backend: String,
    compile_seconds: f64,
    seconds: f64,
    /// How many examples the batch has, where an input has an axis of the batch.
    batch: Option<usize>,
    outputs: Vec<Summary>,
    /// Of the first classification among the outputs.
    pub predicted: Vec<usize>,
    pub labels: Vec<i64>,
    pub accuracy: Option<f64>,
}

struct Summary {
    name: String,
    ty: String,
    shape: Vec<usize>,
    /// The least, the greatest and the mean of the finite numbers, if there are any.
    range: Option<[f64; 3]>,
    n_odd: usize,
    /// max|a − b| / max|b| against the run that this one is compared with.
    error: Option<f64>,
}

impl Report {
    pub fn new(
        opened: &Opened,
        outputs: &[(String, Tensor)],
        inputs: &[(String, Tensor)],
        seconds: f64,
        labels: Option<&Tensor>,
        classes_asked: bool,
    ) -> Result<Report, Failure> {
        let batch = batch(opened, inputs);
        let is_sure = labels.is_some() || classes_asked;
        let is_classes = |name: &str, tensor: &Tensor| is_sure || is_of_classes(&opened.entry, name, tensor, batch);
        let scores = |tensor: &Tensor| tensor.shape().len() == 2 && tensor.dtype().is_float();
        let classified = outputs.iter().find(|(name, tensor)| scores(tensor) && is_classes(name, tensor));
        let predicted = classified.map_or(Vec::new(), |(_, tensor)| top1(tensor));
        let labels: Vec<i64> = labels.map_or(Vec::new(), |l| l.view().to_f64().iter().map(|&v| v as i64).collect());
        let accuracy = match (labels.len(), predicted.len()) {
            (0, _) => None,
            (n, m) if n == m => {
                let right = predicted.iter().zip(&labels).filter(|&(&a, &b)| a as i64 == b).count();
                Some(right as f64 / n as f64)
            }
            (n, m) => return Err(Error::request(format!("{n} labels for {m} predictions")).into()),
        };
        Ok(Report {
            model: opened.name.clone(),
            entry: opened.entry.clone(),
            backend: opened.backend.clone(),
            compile_seconds: opened.compile_seconds,
            seconds,
            batch,
            outputs: outputs.iter().map(|(name, tensor)| Summary::of(name, tensor)).collect(),
            predicted,
            labels,
            accuracy,
        })
    }

    /// Notes how far each output is from that of another run.
    pub fn compare(&mut self, outputs: &[(String, Tensor)], others: &[(String, Tensor)]) -> Result<(), Failure> {
        for ((summary, (name, found)), (other, wanted)) in self.outputs.iter_mut().zip(outputs).zip(others) {
            if name != other || found.shape() != wanted.shape() {
                return Err(Error::request(format!("`{name}` is not what it is compared with")).into());
            }
            summary.error = Some(relative_error(&found.view().to_f64(), &wanted.view().to_f64()));
        }
        Ok(())
    }

    pub fn text(&self, classes: Option<&[String]>) -> String {
        let mut text = String::new();
        for output in &self.outputs {
            let range = match output.range {
                Some([low, high, mean]) => format!("{low:.6} .. {high:.6}, mean {mean:.6}"),
                None if output.n_odd > 0 => "no finite numbers".to_string(),
                None => "empty".to_string(),
            };
            let odd = if output.n_odd > 0 { format!(", {} not finite", output.n_odd) } else { String::new() };
            let error = output.error.map_or(String::new(), |error| format!(", relative error {error:.1e}"));
            text += &format!("{}: {}  {range}{odd}{error}\n", styled(STRONG, &output.name), output.ty);
        }
        if !self.predicted.is_empty() && self.accuracy.is_none() {
            let shown: Vec<String> = self.predicted.iter().take(16).map(|&class| class_name(classes, class)).collect();
            let more = if self.predicted.len() > shown.len() { ", …" } else { "" };
            text += &format!("top-1: {}{more}\n", shown.join(", "));
        }
        if let Some(accuracy) = self.accuracy {
            let (n, right) = (self.labels.len(), (accuracy * self.labels.len() as f64).round());
            text += &format!("{} {:.2} % ({right} of {n})\n", styled(STRONG, "accuracy:"), 100.0 * accuracy);
        }
        let each = match self.batch {
            Some(n) if n > 0 => format!(": {} each for {n}", duration(self.seconds / n as f64)),
            _ => String::new(),
        };
        let run = duration(self.seconds);
        let compiled = match self.compile_seconds > 0.0 {
            true => format!("compiled in {}, ", duration(self.compile_seconds)),
            false => String::new(),
        };
        text + &format!("{compiled}ran in {run} on {}{each}\n", self.backend)
    }

    pub fn json(&self) -> serde_json::Value {
        let outputs: Vec<_> = self.outputs.iter().map(Summary::json).collect();
        serde_json::json!({
            "model": self.model, "entry": self.entry, "backend": self.backend,
            "compile_seconds": self.compile_seconds, "seconds": self.seconds, "rows": self.batch.unwrap_or(1),
            "outputs": outputs, "top1": self.predicted, "accuracy": self.accuracy,
        })
    }
}

impl Summary {
    fn of(name: &str, tensor: &Tensor) -> Summary {
        let values = tensor.view().to_f64();
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = finite.iter().sum::<f64>() / finite.len() as f64;
        let shape = tensor.shape().to_vec();
        Summary {
            name: name.to_string(),
            ty: format!("{}{shape:?}", tensor.dtype()),
            shape,
            range: (!finite.is_empty()).then_some([least, greatest, mean]),
            n_odd: values.len() - finite.len(),
            error: None,
        }
    }

    fn json(&self) -> serde_json::Value {
        let [low, high, mean] = self.range.map_or([None; 3], |range| range.map(Some));
        serde_json::json!({
            "name": self.name, "type": self.ty, "shape": self.shape,
            "min": low, "max": high, "mean": mean, "not_finite": self.n_odd,
            "error": self.error,
        })
    }
}

/// How many examples were given: the size that the specs call `B`, where it leads an input.
fn batch(opened: &Opened, inputs: &[(String, Tensor)]) -> Option<usize> {
    let leads = |port: &&Port| port.shape.first().and_then(Dim::as_symbol).is_some_and(|symbol| symbol.name() == "B");
    let port = opened.inputs.iter().find(leads)?;
    inputs.iter().find(|(name, _)| *name == port.name)?.1.shape().first().copied()
}

/// Whether an output has a number for each class: it is called so, or is all that the model makes of each example.
fn is_of_classes(entry: &str, name: &str, tensor: &Tensor, batch: Option<usize>) -> bool {
    const NAMES: [&str; 5] = ["logits", "scores", "probs", "probabilities", "classes"];
    let own = name.rsplit('.').next().unwrap_or(name);
    let is_all = entry == "call" && name == "result" && batch.is_some() && tensor.shape().first().copied() == batch;
    NAMES.contains(&own) || is_all
}

/// max|a − b| / max|b|; elements that are equal or both NaN count nothing.
fn relative_error(found: &[f64], wanted: &[f64]) -> f64 {
    let largest = wanted.iter().filter(|value| value.is_finite()).fold(0.0f64, |most, value| most.max(value.abs()));
    let distance = |(a, b): (&f64, &f64)| match a == b || a.is_nan() && b.is_nan() {
        true => 0.0,
        false if (a - b).is_nan() => f64::INFINITY,
        false => (a - b).abs(),
    };
    let furthest = found.iter().zip(wanted).map(distance).fold(0.0, f64::max);
    if furthest == 0.0 { 0.0 } else { furthest / largest }
}

/// The place of the largest element of each row; the first of several.
fn top1(tensor: &Tensor) -> Vec<usize> {
    let values = tensor.view().to_f64();
    let width = tensor.shape()[1].max(1);
    let best = |row: &[f64]| {
        let mut best = 0;
        for (idx, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = idx;
            }
        }
        best
    };
    values.chunks_exact(width).map(best).collect()
}

pub fn class_names(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(read_text(path)?.lines().map(|line| line.trim().to_string()).collect())
}

pub fn class_name(classes: Option<&[String]>, class: usize) -> String {
    classes.and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string())
}

pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} µs", s * 1e6),
    }
}
