//! `banded(captures…)`: two groups, the second of which reads what the first makes, piece by piece.

use super::region;
use crate::graph::{AttrKind, Call, Default, Dim, Gradient, Meaning, OpDef, OpError, Operands, Type, attr};

pub static OP: OpDef = OpDef {
    name: "banded",
    doc: "Its first region computes a value from the first captures, one for each; the second takes that value as its \
          first argument, and the other captures. It means both, one after the other; its kernel makes one `tile` of the \
          result after the other, each from the piece of the value that it needs, so that the value is never stored as \
          a whole. Tiles divide the result.",
    operands: Operands::Variadic(&[], "capture"),
    attrs: &[attr("tile", AttrKind::Ints, Default::Required)],
    infer,
    meaning: Meaning::Group { eval: region::eval_in_turn },
    gradient: Gradient::None("is written after gradients are"),
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let results = region::in_turn(call)?;
    let tile = call.attrs.ints("tile");
    let [result] = results.as_slice() else { return Err(OpError::new("`banded` has one result")) };
    let divides = |(extent, &size): (&Dim, &i64)| {
        size == 1 || extent.as_constant().is_some_and(|extent| size > 0 && extent % size == 0)
    };
    match tile.len() == result.rank() && result.shape.iter().zip(tile.iter()).all(divides) {
        true => Ok(results),
        false => Err(OpError::attr("tile", format!("{tile:?} does not divide {result}"))),
    }
}
