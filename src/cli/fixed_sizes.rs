//! `--dim`: sizes that are fixed when compiling, in which entries, and what is said of those that cannot be.
//!
//! Invariant: sizes are called what the spec calls them; `H` with `where H % 8 == 0` is 8 times a symbol `H_8` in graphs.
//! Sizes of different entries have nothing to do with each other, unless a state has them.

use tilewright::compiler::graph::{Model, NamedSize, Symbol};
use tilewright::runtime::error::{ErrorKind, RunError};
use tilewright::{Choice, Error, Spec};

use super::term::Failure;

/// The sizes of a choice, each in the entries that it fits: of those asked for, or of all where none is.
pub fn placed(spec: &Spec, choice: Choice, entries: &[String]) -> Result<Choice, Error> {
    if choice.dims.is_empty() {
        return Ok(choice);
    }
    // A model that is only right with its sizes fixed has nothing to compare with.
    let Ok(free) = spec.model(&Choice { dims: Vec::new(), ..choice.clone() }) else { return Ok(choice) };
    let mut dims = Vec::new();
    for (name, value) in &choice.dims {
        dims.extend(places(&free, entries, name, *value)?);
    }
    Ok(Choice { dims, ..choice })
}

fn places(free: &Model, entries: &[String], name: &str, value: i64) -> Result<Vec<(String, i64)>, Error> {
    let all = !entries.iter().any(|entry| free.entry(entry).is_some());
    let is_asked = |entry: &String| all || entries.contains(entry);
    let known: Vec<&NamedSize> = free.sizes.iter().filter(|size| is_asked(&size.entry)).collect();
    let same: Vec<&NamedSize> = known.iter().copied().filter(|size| size.name == name).collect();
    let Some(first) = same.first() else {
        let mut names: Vec<&str> = known.iter().map(|size| size.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        return Err(Error::unknown("size", name, names));
    };
    let fitting: Vec<&NamedSize> = same.iter().copied().filter(|size| holds(free, size, value)).collect();
    if fitting.is_empty() {
        return Err(Error::request(format!("`--dim {name}={value}`: {name} is {}", range(free, first))));
    }
    let symbol = Symbol::new(name);
    if free.states.iter().any(|state| state.ty.shape.iter().any(|size| size.mentions(&symbol))) {
        return Ok(vec![(name.to_string(), value)]);
    }
    Ok(fitting.into_iter().map(|size| (format!("{}.{name}", size.entry), value)).collect())
}

/// An input that does not fit may be one that does not fit what was fixed.
pub fn mentioned(failure: Failure, dims: &[(String, i64)]) -> Failure {
    match failure {
        Failure::Error(Error::Run(error)) if error.kind == ErrorKind::Input && !dims.is_empty() => {
            let list: Vec<String> = dims.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let error: RunError = error.note(format!("`--dim` says {}", list.join(", ")));
            Error::Run(error).into()
        }
        other => other,
    }
}

fn bounds(model: &Model, size: &NamedSize) -> (Option<i64>, Option<i64>) {
    match model.entry(&size.entry) {
        Some(graph) => (graph.sizes.lower_bound(&size.size), graph.sizes.upper_bound(&size.size)),
        None => (None, None),
    }
}

fn holds(model: &Model, size: &NamedSize, value: i64) -> bool {
    let (low, high) = bounds(model, size);
    low.is_none_or(|low| low <= value) && high.is_none_or(|high| value <= high)
}

fn range(model: &Model, size: &NamedSize) -> String {
    match bounds(model, size) {
        (Some(low), Some(high)) if low == high => format!("always {low}"),
        (Some(low), Some(high)) => format!("from {low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "any number".to_string(),
    }
}
