//! Finds the value of each symbolic size from the shapes of the inputs.
//!
//! A size binds where it stands alone, or alone but for constants (`8*h`); everywhere else it is
//! checked. Invariant: after [`bind`] every declared size has a value inside its range, every
//! input has exactly the shape that its port declares, and every check without run-time scalars
//! holds.

use std::fmt;

use crate::error::{ErrorKind, RunError, ShapeText};
use crate::program::size::shape_under;
use crate::program::{Check, Dim, Entry, Port, Program, Symbol};

/// A size with the reason for its value, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub symbol: Symbol,
    pub value: i64,
    pub origin: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes(Vec<Bound>);

impl Sizes {
    pub fn get(&self, symbol: &Symbol) -> Option<i64> {
        self.bound(symbol).map(|bound| bound.value)
    }

    pub fn bound(&self, symbol: &Symbol) -> Option<&Bound> {
        self.0.iter().find(|bound| bound.symbol == *symbol)
    }

    pub fn insert(&mut self, symbol: &Symbol, value: i64, origin: impl Into<String>) {
        if self.bound(symbol).is_none() {
            self.0.push(Bound { symbol: symbol.clone(), value, origin: origin.into() });
        }
    }

    pub fn eval(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|symbol| self.get(symbol))
    }

    /// Whether no size is another one here than there.
    pub fn agree_with(&self, others: &Sizes) -> bool {
        self.0.iter().all(|bound| others.get(&bound.symbol).is_none_or(|value| value == bound.value))
    }

    /// A shape in numbers; `None` when a size is unknown or negative.
    pub fn shape(&self, shape: &[Dim]) -> Option<Vec<usize>> {
        shape_under(shape, &|symbol| self.get(symbol))
    }

    /// `B = 2, which axis 0 of `x` says`, for each size that `dims` mention.
    fn reasons<'a>(&self, dims: impl IntoIterator<Item = &'a Dim>) -> Vec<String> {
        let mut symbols: Vec<Symbol> = Vec::new();
        for dim in dims {
            dim.for_each_symbol(&mut |symbol| {
                if !symbols.contains(symbol) {
                    symbols.push(symbol.clone());
                }
            });
        }
        let bound = symbols.iter().filter_map(|symbol| self.bound(symbol));
        bound.map(|bound| format!("{} is {}: {}", bound.symbol, bound.value, bound.origin)).collect()
    }
}

/// The symbol behind the name of a size, and what it is where the size has this value. None if nothing has the name.
pub fn named(program: &Program, name: &str, value: i64) -> Result<Option<(Symbol, i64)>, RunError> {
    let symbol = Symbol::new(name);
    if program.entries.iter().any(|entry| entry.sizes.iter().any(|size| size.symbol == symbol)) {
        return Ok(Some((symbol, value)));
    }
    let mut called = program.entries.iter().flat_map(|entry| &entry.names);
    let Some(size) = called.find(|size| size.name == name).map(|size| &size.size) else { return Ok(None) };
    let found = only_unknown(size, &Sizes::default()).and_then(|(symbol, scale, offset)| {
        let rest = value.checked_sub(offset).filter(|rest| rest.checked_rem(scale) == Some(0))?;
        Some((symbol, rest.checked_div(scale).filter(|value| *value >= 0)?))
    });
    let message = || format!("{name} is {size}, which is {value} for no number");
    found.map(Some).ok_or_else(|| RunError::new(ErrorKind::Input, message()))
}

/// Binds the sizes of an entry; `fixed` holds those that the session has decided already.
pub fn bind(entry: &Entry, fixed: &Sizes, shapes: &[Vec<usize>]) -> Result<Sizes, RunError> {
    let mut sizes = Sizes::default();
    for decl in &entry.sizes {
        if let Some(bound) = fixed.bound(&decl.symbol) {
            sizes.insert(&bound.symbol, bound.value, bound.origin.clone());
        }
    }
    for (port, shape) in entry.inputs.iter().zip(shapes) {
        if port.shape.len() != shape.len() {
            return Err(wrong_shape(port, shape).note(format!(
                "it has {} axes instead of {}",
                shape.len(),
                port.shape.len()
            )));
        }
    }
    while bind_some(entry, shapes, &mut sizes)? {}
    for decl in &entry.sizes {
        if sizes.get(&decl.symbol).is_none() {
            let symbol = &decl.symbol;
            let message = format!("nothing says what size {symbol} of `{}` is", entry.name);
            return Err(RunError::new(ErrorKind::Input, message).help(format!("fix it with `--dim {symbol}=…`")));
        }
    }
    check_ranges(entry, &sizes)?;
    check_shapes(entry, &sizes, shapes)?;
    let scalar_free = |check: &&Check| [&check.left, &check.right].iter().all(|dim| sizes.eval(dim).is_some());
    entry.checks.iter().filter(scalar_free).try_for_each(|check| decide(entry, check, &sizes))?;
    Ok(sizes)
}

/// Binds what one pass over the inputs can; says whether that was anything.
fn bind_some(entry: &Entry, shapes: &[Vec<usize>], sizes: &mut Sizes) -> Result<bool, RunError> {
    let mut progress = false;
    for (port, shape) in entry.inputs.iter().zip(shapes) {
        for (axis, (dim, &found)) in port.shape.iter().zip(shape).enumerate() {
            let Some((symbol, scale, offset)) = only_unknown(dim, sizes) else {
                continue;
            };
            let origin = format!("axis {axis} of `{}`, {}, is {found}", port.name, Written(dim));
            let rest = i64::try_from(found).ok().and_then(|found| found.checked_sub(offset));
            let value = rest.filter(|rest| rest.checked_rem(scale) == Some(0)).and_then(|rest| rest.checked_div(scale));
            match value {
                Some(value) if value >= 0 => sizes.insert(&symbol, value, origin),
                _ => {
                    let why = match as_multiple(dim) {
                        Some((name, factor)) => format!("{name} must be a multiple of {factor}"),
                        None => format!("it must be {dim}, which it is for no {symbol}"),
                    };
                    return Err(wrong_shape(port, shape).note(format!("axis {axis} is {found}, but {why}")));
                }
            }
            progress = true;
        }
    }
    Ok(progress)
}

/// The one size in `dim` without a value, if `dim` is `scale * size + offset` with numbers.
fn only_unknown(dim: &Dim, sizes: &Sizes) -> Option<(Symbol, i64, i64)> {
    let mut unknown: Option<Symbol> = None;
    let mut several = false;
    dim.for_each_symbol(&mut |symbol| {
        if sizes.get(symbol).is_none() {
            several |= unknown.as_ref().is_some_and(|other| other != symbol);
            unknown = Some(symbol.clone());
        }
    });
    let symbol = unknown.filter(|_| !several)?;
    let at = |value: i64| dim.eval(&|other| if *other == symbol { Some(value) } else { sizes.get(other) });
    // An affine size is known from two points; the check of all shapes catches any other.
    let (offset, next, third) = (at(0)?, at(1)?, at(2)?);
    let scale = next.checked_sub(offset)?;
    let affine = scale != 0 && third.checked_sub(next) == Some(scale);
    affine.then_some((symbol, scale, offset))
}

fn check_shapes(entry: &Entry, sizes: &Sizes, shapes: &[Vec<usize>]) -> Result<(), RunError> {
    for (port, shape) in entry.inputs.iter().zip(shapes) {
        for (axis, (dim, &found)) in port.shape.iter().zip(shape).enumerate() {
            let expected = sizes.eval(dim);
            if expected == i64::try_from(found).ok() {
                continue;
            }
            let expected = expected.map_or("no number".to_string(), |size| size.to_string());
            let must = match dim.as_constant() {
                Some(_) => format!("must be {expected}"),
                None => format!("{} is {expected}", Written(dim)),
            };
            let mut error = wrong_shape(port, shape).note(format!("axis {axis} is {found}, but {must}"));
            error.notes.extend(
                sizes
                    .reasons([dim])
                    .into_iter()
                    .filter(|reason| !reason.contains(&format!("axis {axis} of `{}`", port.name))),
            );
            return Err(error);
        }
    }
    Ok(())
}

fn check_ranges(entry: &Entry, sizes: &Sizes) -> Result<(), RunError> {
    for decl in &entry.sizes {
        let Some(bound) = sizes.bound(&decl.symbol) else {
            continue;
        };
        if bound.value >= decl.lo && decl.hi.is_none_or(|hi| bound.value <= hi) {
            continue;
        }
        let range = match decl.hi {
            Some(hi) => format!("from {} to {hi}", decl.lo),
            None => format!("at least {}", decl.lo),
        };
        let message = format!("size {} of `{}` must be {range}, not {}", decl.symbol, entry.name, bound.value);
        return Err(RunError::new(ErrorKind::Input, message).note(bound.origin.clone()));
    }
    Ok(())
}

/// Decides one check; scalars that it mentions must be among the sizes.
pub fn decide(entry: &Entry, check: &Check, sizes: &Sizes) -> Result<(), RunError> {
    let (left, right) = (sizes.eval(&check.left), sizes.eval(&check.right));
    let holds = |left, right| check.relation.holds(left, right);
    if left.zip(right).is_some_and(|(left, right)| holds(left, right)) {
        return Ok(());
    }
    let number = |side: Option<i64>| side.map_or("no number".to_string(), |side| side.to_string());
    let (sign, name) = (check.relation.sign(), &entry.name);
    let rule = format!("{} {sign} {}", check.left, check.right);
    let message = match check.message.is_empty() {
        true => format!("`{name}` needs {rule}"),
        false => check.message.clone(),
    };
    let mut error = RunError::new(ErrorKind::Check, message);
    error.notes.push(format!("{rule} does not hold: {} {sign} {}", number(left), number(right)));
    error.notes.extend(sizes.reasons([&check.left, &check.right]));
    Err(error)
}

/// A size as the spec writes it: the compiler turns `H` with `where H % 8 == 0` into `8*H_8`.
pub struct Written<'a>(pub &'a Dim);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match as_multiple(self.0) {
            Some((name, _)) => f.write_str(&name),
            None => self.0.fmt(f),
        }
    }
}

/// `8*H_8` as `H` and 8.
fn as_multiple(dim: &Dim) -> Option<(String, i64)> {
    let mut symbol = None;
    dim.for_each_symbol(&mut |own| symbol = Some(own.clone()));
    let symbol = symbol?;
    let (name, factor) = symbol.name().rsplit_once('_')?;
    let factor: i64 = factor.parse().ok().filter(|&factor| factor > 1)?;
    (*dim == Dim::symbol(symbol.name()) * factor).then(|| (name.to_string(), factor))
}

fn wrong_shape(port: &Port, found: &[usize]) -> RunError {
    let written: Vec<Written> = port.shape.iter().map(Written).collect();
    let (expected, found) = (ShapeText(&written), ShapeText(found));
    RunError::new(ErrorKind::Input, format!("input `{}` must be {}{expected}, not {found}", port.name, port.dtype))
}

#[cfg(test)]
mod tests;
