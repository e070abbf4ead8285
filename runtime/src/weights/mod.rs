//! The weights of a program: where they come from and how names are matched.
//!
//! Invariant: a [`WeightSet`] holds one tensor for each declared parameter, in that order, with
//! its element type and shape; a tensor that needs no change stays in the mapped file.

mod file;
mod load;
pub mod map;

use std::sync::Arc;

use crate::data::{Tensor, TensorRef};
use crate::error::{ErrorKind, RunError, ShapeText};
use crate::program::{DType, ParamDecl};

pub use file::{WeightFiles, write_safetensors};
pub use load::{MatchReport, Missing, load};
pub use map::{Pattern, PatternError, Recipe, Rule, Source, WeightMap};

#[derive(Debug, Default)]
pub struct WeightSet {
    weights: Vec<Weight>,
}

#[derive(Debug)]
pub(crate) enum Weight {
    Owned(Tensor),
    /// A tensor of a mapped file, by its place in the list of tensors.
    Mapped(Arc<WeightFiles>, usize),
}

impl WeightSet {
    pub(crate) fn new(weights: Vec<Weight>) -> WeightSet {
        WeightSet { weights }
    }

    /// Weights that are computed: `value` gives the elements of each by name and shape.
    pub fn from_fn(
        decls: &[ParamDecl],
        mut value: impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<WeightSet, RunError> {
        let make = |decl: &ParamDecl| {
            let tensor = Tensor::from_slice(&decl.shape, &value(&decl.name, &decl.shape))?;
            let tensor = if decl.dtype == DType::F32 { tensor } else { tensor.view().cast(decl.dtype)? };
            Ok(Weight::Owned(tensor))
        };
        Ok(WeightSet { weights: decls.iter().map(make).collect::<Result<_, RunError>>()? })
    }

    /// Tensors in the order of the parameters.
    pub fn from_tensors(tensors: Vec<Tensor>) -> WeightSet {
        WeightSet { weights: tensors.into_iter().map(Weight::Owned).collect() }
    }

    pub fn load<P: AsRef<std::path::Path>>(
        paths: &[P],
        decls: &[ParamDecl],
        map: &WeightMap,
    ) -> Result<(WeightSet, MatchReport), RunError> {
        let (weights, report) = load(paths, decls, map)?;
        match weights {
            Some(weights) => Ok((weights, report)),
            None => Err(report.into_error()),
        }
    }

    pub fn len(&self) -> usize {
        self.weights.len()
    }

    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weight of parameter `index`.
    pub fn get(&self, index: usize) -> TensorRef<'_> {
        match &self.weights[index] {
            Weight::Owned(tensor) => tensor.view(),
            Weight::Mapped(files, tensor) => files.tensor(*tensor),
        }
    }

    /// That these are the weights which the parameters declare.
    pub fn check(&self, decls: &[ParamDecl]) -> Result<(), RunError> {
        let problem = |text: String| Err(RunError::new(ErrorKind::Weights, text));
        if self.len() != decls.len() {
            return problem(format!("{} weights for {} parameters", self.len(), decls.len()));
        }
        for (index, decl) in decls.iter().enumerate() {
            let weight = self.get(index);
            if (weight.dtype(), weight.shape()) != (decl.dtype, &decl.shape[..]) {
                let (expected, found) = (ShapeText(&decl.shape), ShapeText(weight.shape()));
                let (dtype, other) = (decl.dtype, weight.dtype());
                return problem(format!("weight `{}` is {other}{found}, not {dtype}{expected}", decl.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
