//! What the ops with regions share: the types of a region's arguments and results.
//!
//! Invariant: a region's arguments are its index, if it has one, then the carries, then the captures, in the order of the
//! operands.

use crate::graph::{Call, OpError, Type};

/// The result types of a region, after checking that it takes these arguments.
pub fn results(call: &Call, region: usize, arguments: &[Type]) -> Result<Vec<Type>, OpError> {
    let Some(graph) = call.regions.get(region) else {
        return Err(OpError::new(format!("`{}` lacks its region {region}", call.op.name)));
    };
    let found: Vec<Type> = graph.arguments().iter().map(|argument| graph.type_of(argument.value).clone()).collect();
    agree(call, "the arguments of its body", arguments, &found)?;
    Ok(graph.outputs().iter().map(|output| graph.type_of(output.value).clone()).collect())
}

/// That there are exactly so many regions.
pub fn count(call: &Call, wanted: usize) -> Result<(), OpError> {
    match call.regions.len() == wanted {
        true => Ok(()),
        false => {
            let message = format!("`{}` has {wanted} regions, found {}", call.op.name, call.regions.len());
            Err(OpError::new(message))
        }
    }
}

pub fn agree(call: &Call, what: &str, wanted: &[Type], found: &[Type]) -> Result<(), OpError> {
    if wanted == found {
        return Ok(());
    }
    let differ = wanted.iter().zip(found).enumerate().find(|(_, (wanted, found))| wanted != found);
    let message = match differ {
        Some((idx, (wanted, found))) => format!("number {} of {what} is {wanted} outside and {found} inside", idx + 1),
        None => format!("{what} are {} outside and {} inside", wanted.len(), found.len()),
    };
    Err(OpError::new(format!("`{}`: {message}", call.op.name)))
}

/// How many of the operands from `first` on are carries.
pub fn n_carries(call: &Call, first: usize) -> Result<usize, OpError> {
    let n = call.attrs.int("carries");
    let available = call.operands.len().saturating_sub(first);
    match usize::try_from(n).ok().filter(|&n| n <= available) {
        Some(n) => Ok(n),
        None => Err(OpError::attr("carries", format!("{n} carries of {available} operands"))),
    }
}
