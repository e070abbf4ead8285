//! Weight maps: what a parameter is called in somebody else's checkpoint, and how it is stored.
//!
//! A rule has a pattern for our names and a recipe over theirs. `{i}` stands for a whole number,
//! `{i+1}` for that number plus one. Invariant: the first rule that matches wins, and a name that no
//! rule matches is its own.

mod pattern;

pub use pattern::{Numbers, Pattern, PatternError};

use crate::data::{Tensor, TensorRef, reshape};
use crate::error::RunError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightMap {
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub ours: Pattern,
    pub theirs: Recipe,
}

/// How one of our tensors is made of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    Name(Pattern),
    Concat {
        parts: Vec<Recipe>,
        axis: usize,
    },
    /// One of the equal parts of theirs; how many there are follows from the shapes.
    Split {
        whole: Box<Recipe>,
        part: usize,
        axis: usize,
    },
    /// Axes in another order; all of them reversed if none is given.
    Transpose {
        of: Box<Recipe>,
        axes: Option<Vec<usize>>,
    },
}

/// A recipe for one tensor, with names instead of patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Name(String),
    Concat { parts: Vec<Source>, axis: usize },
    Split { whole: Box<Source>, part: usize, axis: usize },
    Transpose { of: Box<Source>, axes: Option<Vec<usize>> },
}

impl Rule {
    /// A variable of their names that our pattern gives no number: such a rule never holds.
    pub fn unbound(&self) -> Option<String> {
        let mut unbound = None;
        self.theirs.for_each_pattern(&mut |pattern| {
            let odd = pattern.variables().find(|variable| self.ours.variables().all(|bound| bound != *variable));
            unbound = unbound.take().or(odd.map(str::to_string));
        });
        unbound
    }
}

impl WeightMap {
    /// Where the tensor that we call `ours` comes from.
    pub fn source(&self, ours: &str) -> Source {
        self.rule_for(ours).map_or_else(|| Source::Name(ours.to_string()), |(_, source)| source)
    }

    /// The number of the rule that says so, if one does.
    pub fn rule_for(&self, ours: &str) -> Option<(usize, Source)> {
        let mut matching = self.rules.iter().enumerate().filter_map(|(idx, rule)| {
            let numbers = rule.ours.matches(ours)?;
            Some((idx, rule.theirs.with(&numbers)?))
        });
        matching.next()
    }
}

impl Recipe {
    /// Calls `visit` with each pattern of their names.
    pub fn for_each_pattern(&self, visit: &mut dyn FnMut(&Pattern)) {
        match self {
            Recipe::Name(pattern) => visit(pattern),
            Recipe::Concat { parts, .. } => parts.iter().for_each(|part| part.for_each_pattern(visit)),
            Recipe::Split { whole: of, .. } | Recipe::Transpose { of, .. } => of.for_each_pattern(visit),
        }
    }

    /// `None` when a number that a name needs is not among those matched.
    fn with(&self, numbers: &Numbers) -> Option<Source> {
        Some(match self {
            Recipe::Name(pattern) => Source::Name(pattern.with(numbers)?),
            Recipe::Concat { parts, axis } => Source::Concat {
                parts: parts.iter().map(|part| part.with(numbers)).collect::<Option<_>>()?,
                axis: *axis,
            },
            Recipe::Split { whole, part, axis } => {
                Source::Split { whole: Box::new(whole.with(numbers)?), part: *part, axis: *axis }
            }
            Recipe::Transpose { of, axes } => Source::Transpose { of: Box::new(of.with(numbers)?), axes: axes.clone() },
        })
    }
}

impl Source {
    /// The name, if the tensor is taken as it is.
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Source::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Calls `visit` with each of their names.
    pub fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        match self {
            Source::Name(name) => visit(name),
            Source::Concat { parts, .. } => parts.iter().for_each(|part| part.for_each_name(visit)),
            Source::Split { whole: of, .. } | Source::Transpose { of, .. } => of.for_each_name(visit),
        }
    }

    /// Makes our tensor. `shape` is the one we expect: it says how large a part is.
    pub fn build<'a>(
        &self,
        shape: &[usize],
        fetch: &dyn Fn(&str) -> Option<TensorRef<'a>>,
    ) -> Result<Tensor, RunError> {
        match self {
            Source::Name(name) => {
                fetch(name).ok_or_else(|| reshape::problem(&format!("there is no tensor `{name}`")))?.to_tensor()
            }
            Source::Concat { parts, axis } => {
                let parts = parts.iter().map(|part| part.build(shape, fetch)).collect::<Result<Vec<_>, _>>()?;
                let views: Vec<_> = parts.iter().map(Tensor::view).collect();
                reshape::concat(&views, *axis)
            }
            Source::Split { whole, part, axis } => {
                let whole = whole.build(shape, fetch)?;
                let sizes = whole.shape().get(*axis).zip(shape.get(*axis));
                match sizes {
                    Some((&all, &one)) if one > 0 && all % one == 0 => {
                        reshape::part(whole.view(), *axis, *part, all / one)
                    }
                    _ => Err(reshape::problem("the whole is no multiple of the part")),
                }
            }
            Source::Transpose { of, axes } => {
                let from_shape: Vec<usize> = match axes {
                    None => shape.iter().rev().copied().collect(),
                    Some(axes) => reshape::inverse(axes)?.iter().filter_map(|&axis| shape.get(axis).copied()).collect(),
                };
                let tensor = of.build(&from_shape, fetch)?;
                match axes {
                    Some(axes) => reshape::transpose(tensor.view(), axes),
                    None => {
                        let reversed: Vec<usize> = (0..tensor.shape().len()).rev().collect();
                        reshape::transpose(tensor.view(), &reversed)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
