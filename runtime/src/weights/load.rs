//! Matches the tensors of weight files with declared parameters and states.
//!
//! Invariant: one look at the files finds every problem there is: the report lists all missing,
//! unused and unfit tensors, and weights come out only if none is missing or unfit. A parameter
//! must be there; a state that is not keeps its initial value.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::{Source, Weight, WeightFiles, WeightMap, WeightSet};
use crate::data::TensorRef;
use crate::error::{ErrorKind, RunError, ShapeText, similar};
use crate::program::ParamDecl;

/// How many names of one kind an error lists.
const MAX_LISTED: usize = 12;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchReport {
    /// How many parameters and states the files gave a value.
    pub matched: usize,
    pub missing: Vec<Missing>,
    /// States that the files do not have; they start as the program says.
    pub absent_states: Vec<String>,
    /// Tensors of the files that nobody asked for, in the files' order.
    pub unused: Vec<String>,
    /// Tensors that were found but do not fit, each as a sentence.
    pub unfit: Vec<String>,
    /// Our side of the map's rules that held for no parameter and no state.
    pub idle_rules: Vec<String>,
}

/// A parameter whose tensors the files do not have, or a state of which they have some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub name: String,
    /// What it is called in the files.
    pub wanted: Vec<String>,
    /// Names in the files that nobody else asked for and that look alike.
    pub candidates: Vec<String>,
}

impl MatchReport {
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unfit.is_empty()
    }

    pub fn into_error(self) -> RunError {
        let (missing, unfit) = (self.missing.len(), self.unfit.len());
        let message = format!("the weights do not fit: {missing} missing, {unfit} of the wrong shape or type");
        let mut error = RunError::new(ErrorKind::Weights, message);
        let missing = self.missing.iter().map(Missing::to_string);
        list(&mut error.notes, missing.collect());
        list(&mut error.notes, self.unfit);
        list(&mut error.notes, self.idle_rules.iter().map(|rule| format!("no weight is called `{rule}`")).collect());
        list(&mut error.notes, self.unused.iter().map(|name| format!("unused in the file: `{name}`")).collect());
        error
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "missing from the file: `{}`", self.name)?;
        let other = self.wanted.iter().filter(|name| **name != self.name);
        for (index, name) in other.enumerate() {
            write!(f, "{}`{name}`", if index == 0 { ", there called " } else { ", " })?;
        }
        match self.candidates.first() {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

fn list(notes: &mut Vec<String>, lines: Vec<String>) {
    let more = lines.len().saturating_sub(MAX_LISTED);
    notes.extend(lines.into_iter().take(MAX_LISTED));
    if more > 0 {
        notes.push(format!("… and {more} more"));
    }
}

/// Weights for these parameters and values for those of these states that the files have, or
/// nothing if any is missing or unfit. Floating-point tensors are converted to the declared type;
/// every other type must agree.
pub fn load<P: AsRef<Path>>(
    paths: &[P],
    params: &[ParamDecl],
    states: &[ParamDecl],
    map: &WeightMap,
) -> Result<(Option<WeightSet>, MatchReport), RunError> {
    let files = Arc::new(WeightFiles::open(paths)?);
    let identity = files.identity(&format!("{map:?}"));
    let (used, held) = (HashSet::new(), HashSet::new());
    let mut search = Search { files, map, used, held, report: MatchReport::default() };
    let mut set = WeightSet { identity, ..WeightSet::default() };
    for decl in params {
        match search.find(decl) {
            Found::Weight(weight) => set.weights.push(weight),
            Found::Missing { absent, .. } => search.miss(decl, absent),
            Found::Unfit(problem) => search.report.unfit.push(problem),
        }
    }
    for decl in states {
        match search.find(decl) {
            Found::Weight(weight) => set.states.push((decl.name.clone(), weight)),
            Found::Missing { absent, all: false } => search.miss(decl, absent),
            Found::Missing { .. } => search.report.absent_states.push(decl.name.clone()),
            Found::Unfit(problem) => search.report.unfit.push(problem),
        }
    }
    let mut report = search.finish();
    report.matched = set.weights.len() + set.states.len();
    Ok((report.is_complete().then_some(set), report))
}

struct Search<'a> {
    files: Arc<WeightFiles>,
    map: &'a WeightMap,
    used: HashSet<String>,
    /// The numbers of the rules that held for a name.
    held: HashSet<usize>,
    report: MatchReport,
}

enum Found {
    Weight(Weight),
    /// Their names that are not there, and whether none is.
    Missing {
        absent: Vec<String>,
        all: bool,
    },
    Unfit(String),
}

impl Search<'_> {
    fn find(&mut self, decl: &ParamDecl) -> Found {
        let rule = self.map.rule_for(&decl.name);
        self.held.extend(rule.iter().map(|(idx, _)| *idx));
        let (files, source) = (&self.files, rule.map_or_else(|| Source::Name(decl.name.clone()), |(_, source)| source));
        let (mut absent, mut all) = (Vec::new(), true);
        source.for_each_name(&mut |name| match files.position(name) {
            Some(_) => {
                self.used.insert(name.to_string());
                all = false;
            }
            None => absent.push(name.to_string()),
        });
        let foreign = |absent: &String| files.foreign().iter().find(|(foreign, _)| foreign == absent);
        if let Some((name, dtype)) = absent.iter().find_map(foreign) {
            return Found::Unfit(format!("`{name}` is stored as {dtype}, which is not supported"));
        }
        if !absent.is_empty() {
            return Found::Missing { absent, all };
        }
        match fetch(files, decl, &source) {
            Ok(weight) => Found::Weight(weight),
            Err(problem) => Found::Unfit(problem.message),
        }
    }

    fn miss(&mut self, decl: &ParamDecl, wanted: Vec<String>) {
        self.report.missing.push(Missing { name: decl.name.clone(), wanted, candidates: Vec::new() });
    }

    /// The report, with what nobody asked for and what may have been meant.
    fn finish(mut self) -> MatchReport {
        let foreign = self.files.foreign().iter().map(|(name, _)| name.as_str());
        let unused: Vec<&str> = self.files.names().chain(foreign).filter(|name| !self.used.contains(*name)).collect();
        for missing in self.report.missing.iter_mut().take(MAX_LISTED) {
            let near = missing.wanted.iter().flat_map(|wanted| similar(wanted, unused.iter().copied()));
            missing.candidates = near.map(str::to_string).collect();
        }
        let rules = self.map.rules.iter().enumerate();
        let idle = rules.filter(|(idx, _)| !self.held.contains(idx)).map(|(_, rule)| rule.ours.to_string());
        self.report.idle_rules = idle.collect();
        self.report.unused = unused.into_iter().map(str::to_string).collect();
        self.report
    }
}

fn fetch(files: &Arc<WeightFiles>, decl: &ParamDecl, source: &Source) -> Result<Weight, RunError> {
    if let Some(position) = source.as_name().and_then(|name| files.position(name)) {
        let found = files.tensor(position);
        check_fit(decl, found)?;
        return Ok(match found.dtype() == decl.dtype {
            true => Weight::Mapped(Arc::clone(files), position),
            false => Weight::Owned(found.cast(decl.dtype)?),
        });
    }
    let built = source.build(&decl.shape, &|name| files.get(name));
    let built = built.map_err(|error| RunError { message: format!("`{}`: {}", decl.name, error.message), ..error })?;
    check_fit(decl, built.view())?;
    Ok(Weight::Owned(match built.dtype() == decl.dtype {
        true => built,
        false => built.view().cast(decl.dtype)?,
    }))
}

fn check_fit(decl: &ParamDecl, found: TensorRef) -> Result<(), RunError> {
    let (dtype, shape) = (found.dtype(), found.shape());
    let convertible = dtype == decl.dtype || (dtype.is_float() && decl.dtype.is_float());
    if shape == decl.shape && convertible {
        return Ok(());
    }
    let (expected, found) = (ShapeText(&decl.shape), ShapeText(shape));
    let message = format!("`{}` is {}{expected}, but the file has {dtype}{found}", decl.name, decl.dtype);
    Err(RunError::new(ErrorKind::Weights, message))
}
