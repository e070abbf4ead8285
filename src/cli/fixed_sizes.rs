//! `--dim`: sizes that are fixed when compiling, and what is said of those that cannot be.
//!
//! Invariant: sizes are called what the spec calls them; `H` with `where H % 8 == 0` is 8 times a symbol `H_8` in graphs.

use tilewright::compiler::graph::{Dim, Graph, Model, Symbol};
use tilewright::runtime::error::{ErrorKind, RunError};
use tilewright::{Choice, Error, Spec};

use super::term::Failure;

/// A size of an entry while nothing is fixed.
struct Known {
    name: String,
    low: Option<i64>,
    high: Option<i64>,
}

/// Fixed sizes must be ones that the model has, and in their ranges for some entry.
pub fn check(spec: &Spec, choice: &Choice) -> Result<(), Error> {
    if choice.dims.is_empty() {
        return Ok(());
    }
    // A model that is only right with its sizes fixed has nothing to compare with.
    let Ok(free) = spec.model(&Choice { dims: Vec::new(), ..choice.clone() }) else { return Ok(()) };
    let known = known_sizes(&free);
    for (name, value) in &choice.dims {
        let same: Vec<&Known> = known.iter().filter(|known| known.name == *name).collect();
        let Some(first) = same.first() else {
            let mut names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            return Err(Error::unknown("size", name, names));
        };
        if !same.iter().any(|known| known.holds(*value)) {
            return Err(Error::request(format!("`--dim {name}={value}`: {name} is {}", first.range())));
        }
    }
    Ok(())
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

fn known_sizes(model: &Model) -> Vec<Known> {
    model
        .entries
        .iter()
        .flat_map(|graph| {
            graph.sizes.iter().map(|range| {
                let (name, factor) = written(graph, &range.symbol);
                let times = |bound: &Dim| bound.as_constant()?.checked_mul(factor);
                Known { name, low: times(&range.low), high: range.high.as_ref().and_then(times) }
            })
        })
        .collect()
}

/// What the spec calls a size, and how often the symbol goes into it.
fn written(graph: &Graph, symbol: &Symbol) -> (String, i64) {
    let as_it_is = (symbol.name().to_string(), 1);
    let Some((name, factor)) = symbol.name().rsplit_once('_') else { return as_it_is };
    let Some(factor) = factor.parse::<i64>().ok().filter(|&factor| factor > 1) else { return as_it_is };
    let multiple = Dim::symbol(symbol.name()) * factor;
    let is_axis = graph.arguments().iter().any(|argument| graph.type_of(argument.value).shape.contains(&multiple));
    if is_axis { (name.to_string(), factor) } else { as_it_is }
}

impl Known {
    fn holds(&self, value: i64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }

    fn range(&self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("from {low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => "any number".to_string(),
        }
    }
}
