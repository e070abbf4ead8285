//! The values of symbolic sizes, from the shapes of the arguments.
//!
//! Invariant: a size has one value, which lies in its range, and the axis that it comes from has the extent that its type
//! says.

use rustc_hash::FxHashMap;

use super::{EvalError, Tensor};
use crate::graph::{Argument, Dim, Graph, Symbol};

type Sizes = FxHashMap<Symbol, i64>;

/// The sizes that stand alone, or as multiples, in the types of the arguments; then those that are the only unknown ones of
/// an axis.
pub fn bind(graph: &Graph, inputs: &[Tensor]) -> Result<Sizes, EvalError> {
    let (mut bound, mut rest) = (Sizes::default(), Vec::new());
    for (argument, input) in graph.arguments().iter().zip(inputs) {
        for (axis, (dim, &size)) in graph.type_of(argument.value).shape.iter().zip(&input.shape).enumerate() {
            let whole = i64::try_from(size).map_err(|_| EvalError::new("a size does not fit 64 bits"))?;
            let Some((factor, symbol)) = dim.as_multiple() else {
                rest.push(Axis { argument, axis, dim, whole });
                continue;
            };
            let size = Axis { argument, axis, dim, whole }.divided(whole, factor)?;
            match bound.insert(symbol.clone(), size) {
                Some(other) if other != size => {
                    return Err(EvalError::new(format!("`{symbol}` is {other} and {size} at once")));
                }
                _ => {}
            }
        }
    }
    while let Some(found) = rest.iter().find_map(|axis| axis.only_unknown(&bound)) {
        let (symbol, size) = found?;
        bound.insert(symbol, size);
    }
    Ok(bound)
}

/// What was bound lies in its declared range.
pub fn check_ranges(graph: &Graph, bound: &Sizes) -> Result<(), EvalError> {
    let value = |dim: &Dim| dim.eval(&|symbol| bound.get(symbol).copied());
    for declared in graph.sizes.iter() {
        let (Some(&size), Some(low)) = (bound.get(&declared.symbol), value(&declared.low)) else { continue };
        let high = declared.high.as_ref().and_then(value);
        if low <= size && high.is_none_or(|high| size <= high) {
            continue;
        }
        let range = high.map_or(format!("at least {low}"), |high| format!("from {low} to {high}"));
        return Err(EvalError::new(format!("size {} must be {range}, not {size}", declared.symbol)));
    }
    Ok(())
}

/// An axis of an argument: what its type says, and its extent.
struct Axis<'g> {
    argument: &'g Argument,
    axis: usize,
    dim: &'g Dim,
    whole: i64,
}

impl Axis<'_> {
    /// The one size of the axis that has no value yet, and its value.
    fn only_unknown(&self, bound: &Sizes) -> Option<Result<(Symbol, i64), EvalError>> {
        let mut unknown: Vec<Symbol> = Vec::new();
        self.dim.for_each_symbol(&mut |symbol| {
            if !bound.contains_key(symbol) && !unknown.contains(symbol) {
                unknown.push(symbol.clone());
            }
        });
        let [symbol] = unknown.as_slice() else { return None };
        let (slope, rest) = self.dim.affine_in(symbol)?;
        let value = |dim: &Dim| dim.eval(&|symbol| bound.get(symbol).copied());
        let (slope, rest) = (value(&slope).filter(|slope| *slope != 0)?, value(&rest)?);
        let size = self.divided(self.whole.checked_sub(rest)?, slope);
        Some(size.map(|size| (symbol.clone(), size)))
    }

    /// The size whose multiple by `factor` is a part of the extent.
    fn divided(&self, part: i64, factor: i64) -> Result<i64, EvalError> {
        match (part.checked_rem(factor), part.checked_div(factor)) {
            (Some(0), Some(size)) if size >= 0 => Ok(size),
            _ => {
                let Axis { argument, axis, dim, whole } = self;
                let name = &argument.name;
                Err(EvalError::new(format!("`{name}` has a size of {whole} at axis {axis}, which is no {dim}")))
            }
        }
    }
}
