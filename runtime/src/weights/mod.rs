//! The weights of a program: where they come from and how names are matched.
//!
//! Invariant: a [`WeightSet`] holds one tensor for each declared parameter, in that order, with
//! its element type and shape, and those of the states that are not to start as the program says;
//! a tensor that needs no change stays in the mapped file.

mod file;
mod identity;
mod load;
pub mod map;

use std::sync::Arc;

use crate::data::synthetic::synthetic;
use crate::data::{Tensor, TensorRef};
use crate::error::{ErrorKind, RunError, ShapeText};
use crate::program::{DType, ParamDecl, Program, StateDecl};

pub use file::{WeightFiles, write_safetensors};
pub use identity::Identity;
pub use load::{MatchReport, Missing, load};
pub use map::{Pattern, PatternError, Recipe, Rule, Source, WeightMap};

#[derive(Debug, Default)]
pub struct WeightSet {
    weights: Vec<Weight>,
    /// What a file says of states, by name.
    states: Vec<(String, Weight)>,
    identity: Identity,
}

#[derive(Debug)]
pub(crate) enum Weight {
    Owned(Tensor),
    /// A tensor of a mapped file, by its place in the list of tensors.
    Mapped(Arc<WeightFiles>, usize),
}

impl Weight {
    fn view(&self) -> TensorRef<'_> {
        match self {
            Weight::Owned(tensor) => tensor.view(),
            Weight::Mapped(files, tensor) => files.tensor(*tensor),
        }
    }
}

impl WeightSet {
    /// Weights that are computed: `value` gives the elements of each by name and shape.
    pub fn from_fn(
        decls: &[ParamDecl],
        mut value: impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<WeightSet, RunError> {
        WeightSet::made(decls, |name, shape| Tensor::from_slice(shape, &value(name, shape)))
    }

    /// Weights that anyone can compute: [`synthetic`].
    pub fn synthetic(decls: &[ParamDecl]) -> Result<WeightSet, RunError> {
        WeightSet::made(decls, synthetic)
    }

    fn made(
        decls: &[ParamDecl],
        mut value: impl FnMut(&str, &[usize]) -> Result<Tensor, RunError>,
    ) -> Result<WeightSet, RunError> {
        let cast = |decl: &ParamDecl| {
            let tensor = value(&decl.name, &decl.shape)?;
            if decl.dtype == DType::F32 { Ok(tensor) } else { tensor.view().cast(decl.dtype) }
        };
        Ok(WeightSet::from_tensors(decls.iter().map(cast).collect::<Result<_, _>>()?))
    }

    /// Tensors in the order of the parameters.
    pub fn from_tensors(tensors: Vec<Tensor>) -> WeightSet {
        WeightSet { weights: tensors.into_iter().map(Weight::Owned).collect(), ..WeightSet::default() }
    }

    /// Reads parameters, which must be there, and states, which may be: [`Program::fixed_states`].
    pub fn load<P: AsRef<std::path::Path>>(
        paths: &[P],
        params: &[ParamDecl],
        states: &[ParamDecl],
        map: &WeightMap,
    ) -> Result<(WeightSet, MatchReport), RunError> {
        let (weights, report) = load(paths, params, states, map)?;
        match weights {
            Some(weights) => Ok((weights, report)),
            None => Err(report.into_error()),
        }
    }

    /// What tells these weights from others.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub fn len(&self) -> usize {
        self.weights.len()
    }

    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weight of parameter `index`.
    pub fn get(&self, index: usize) -> TensorRef<'_> {
        self.weights[index].view()
    }

    /// What a state starts from, if a file says so.
    pub fn state(&self, name: &str) -> Option<TensorRef<'_>> {
        self.states.iter().find(|(known, _)| known == name).map(|(_, weight)| weight.view())
    }

    /// The states that do not start as the program says.
    pub fn states(&self) -> impl Iterator<Item = (&str, TensorRef<'_>)> {
        self.states.iter().map(|(name, weight)| (name.as_str(), weight.view()))
    }

    /// That these are the weights which the parameters declare, and values of states that there are.
    pub fn check(&self, program: &Program) -> Result<(), RunError> {
        let problem = |text: String| Err(RunError::new(ErrorKind::Weights, text));
        let params = &program.params;
        if self.len() != params.len() {
            return problem(format!("{} weights for {} parameters", self.len(), params.len()));
        }
        for (index, decl) in params.iter().enumerate() {
            check_type(decl, self.get(index))?;
        }
        for (name, value) in self.states() {
            let state = program.states.iter().find(|state| state.name == name);
            match state.and_then(StateDecl::fixed) {
                Some(decl) => check_type(&decl, value)?,
                None => return problem(format!("there is no state `{name}` whose sizes are known")),
            }
        }
        Ok(())
    }
}

fn check_type(decl: &ParamDecl, found: TensorRef) -> Result<(), RunError> {
    if (found.dtype(), found.shape()) == (decl.dtype, &decl.shape[..]) {
        return Ok(());
    }
    let (expected, shape) = (ShapeText(&decl.shape), ShapeText(found.shape()));
    let message = format!("weight `{}` is {}{shape}, not {}{expected}", decl.name, found.dtype(), decl.dtype);
    Err(RunError::new(ErrorKind::Weights, message))
}

#[cfg(test)]
mod tests;
