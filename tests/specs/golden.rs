//! A row of `tests/goldens/index.json`: what it says, its inputs, and how far outputs are from what is stored.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tilewright::runtime::data::read_npz;
use tilewright::runtime::program::random::{fnv1a_64, random_bits};
use tilewright::{Choice, Model, Spec, Tensor};

#[derive(Clone, Deserialize)]
pub struct Golden {
    pub name: String,
    pub spec: String,
    pub model: String,
    pub preset: String,
    config: serde_json::Map<String, serde_json::Value>,
    pub weights: String,
    /// What generated values of two axes or more are multiplied with.
    #[serde(default = "one")]
    pub gain: f32,
    pub params: i64,
    pub tensors: usize,
    pub calls: Vec<Call>,
}

#[derive(Clone, Deserialize)]
pub struct Call {
    pub entry: String,
    pub inputs: Vec<Input>,
    pub stored: Vec<Stored>,
}

/// Values come from `key`, from `value` for a scalar, or from an array of a file.
#[derive(Clone, Deserialize)]
pub struct Input {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    key: Option<String>,
    vocabulary: Option<u32>,
    value: Option<i64>,
    file: Option<String>,
    array: Option<String>,
}

#[derive(Clone, Deserialize)]
pub struct Stored {
    pub array: String,
    pub output: String,
    slices: Vec<Slice>,
}

#[derive(Clone, Copy, Deserialize)]
struct Slice {
    axis: usize,
    start: usize,
    stop: usize,
    step: usize,
}

fn one() -> f32 {
    1.0
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn all() -> Vec<Golden> {
    #[derive(Deserialize)]
    struct Index {
        goldens: Vec<Golden>,
    }
    let text = fs::read_to_string(root().join("tests/goldens/index.json")).expect("the index of goldens");
    serde_json::from_str::<Index>(&text).expect("the index of goldens").goldens
}

pub fn named(name: &str) -> Golden {
    all().into_iter().find(|golden| golden.name == name).unwrap_or_else(|| panic!("there is no golden `{name}`"))
}

/// Builds one model of a spec; a wrong spec shows its diagnostics.
pub fn model_of(spec: &str, choice: &Choice) -> Model {
    let spec = Spec::open(root().join(spec)).unwrap_or_else(|error| panic!("{error}"));
    spec.model(choice).unwrap_or_else(|error| panic!("{error}"))
}

impl Golden {
    /// The preset, then the whole configuration over it: they must agree.
    pub fn choice(&self) -> Choice {
        Choice {
            model: Some(self.model.clone()),
            preset: (!self.preset.is_empty()).then(|| self.preset.clone()),
            ..Choice::default()
        }
    }

    /// Without the preset, from the configuration alone.
    pub fn choice_by_config(&self) -> Choice {
        let config = self.config.iter().map(|(key, value)| (key.clone(), value.to_string()));
        Choice { preset: None, config: config.collect(), ..self.choice() }
    }

    pub fn build(&self) -> Model {
        model_of(&self.spec, &self.choice())
    }

    /// The arrays of its file, by name.
    pub fn arrays(&self) -> HashMap<String, Tensor> {
        let path = root().join("tests/goldens").join(format!("{}.npz", self.name));
        read_npz(&path).unwrap_or_else(|error| panic!("{error}")).into_iter().collect()
    }
}

impl Input {
    pub fn tensor(&self) -> Tensor {
        let made = match (&self.key, self.vocabulary, self.value, &self.file) {
            (Some(key), Some(vocabulary), ..) => {
                let tokens: Vec<i64> = words(key, &self.shape).map(|word| i64::from(word % vocabulary)).collect();
                Tensor::from_slice(&self.shape, &tokens)
            }
            (Some(key), None, ..) => {
                let floats = words(key, &self.shape).map(|word| (word >> 8) as f32 * 2f32.powi(-23) - 1.0);
                Tensor::from_slice(&self.shape, &floats.collect::<Vec<f32>>())
            }
            (None, _, Some(value), _) => Tensor::from_slice(&self.shape, &[value]),
            (None, _, None, Some(file)) => Ok(array(&root().join(file), self.array.as_deref().unwrap_or_default())),
            _ => panic!("the input `{}` says nothing of its values", self.name),
        };
        let tensor = made.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (tensor.dtype().to_string(), tensor.shape()),
            (self.dtype.clone(), &self.shape[..]),
            "{}",
            self.name
        );
        tensor
    }
}

/// The generator's words, element by element.
fn words(key: &str, shape: &[usize]) -> impl Iterator<Item = u32> + use<> {
    let key = fnv1a_64(key.as_bytes());
    (0..shape.iter().product::<usize>()).map(move |index| random_bits(0, 0, key, index as u64, 0))
}

pub fn array(path: &Path, name: &str) -> Tensor {
    let arrays = read_npz(path).unwrap_or_else(|error| panic!("{error}"));
    let found = arrays.into_iter().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("{} has no array `{name}`", path.display())).1
}

impl Stored {
    /// max|a − b| / max|b| between the call's output, cut as it was when it was stored, and the stored array.
    pub fn error(&self, outputs: &[(String, Tensor)], stored: &HashMap<String, Tensor>) -> f64 {
        let output = match outputs {
            [(_, only)] => only,
            several => &several.iter().find(|(name, _)| *name == self.output).expect("the output is there").1,
        };
        let wanted = &stored[&self.array];
        let (shape, values) = self.cut(output);
        assert_eq!(shape, wanted.shape(), "{}", self.array);
        relative_error(&values, &wanted.view().to_f64())
    }

    fn cut(&self, output: &Tensor) -> (Vec<usize>, Vec<f64>) {
        let mut shape = output.shape().to_vec();
        let mut values = output.view().to_f64();
        for slice in &self.slices {
            let inner: usize = shape[slice.axis + 1..].iter().product();
            let outer: usize = shape[..slice.axis].iter().product();
            let kept: Vec<usize> = (slice.start..slice.stop).step_by(slice.step).collect();
            let at = |outer: usize, index: usize| (outer * shape[slice.axis] + index) * inner;
            let rows = (0..outer).flat_map(|outer| kept.iter().map(move |&index| (outer, index)));
            values = rows.flat_map(|(outer, index)| values[at(outer, index)..][..inner].to_vec()).collect();
            shape[slice.axis] = kept.len();
        }
        (shape, values)
    }
}

/// NaN where anything is: no bound holds for it.
pub fn relative_error(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0f64, |worst, error| if error.is_nan() { error } else { worst.max(error) });
    if found.iter().any(|value| value.is_nan()) { f64::NAN } else { worst / largest }
}
