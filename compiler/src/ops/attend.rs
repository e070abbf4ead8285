//! `attend(captures…)`: attention whose scores are never stored as a whole.

use super::region;
use crate::graph::{Gradient, Meaning, OpDef, Operands};

pub static OP: OpDef = OpDef {
    name: "attend",
    doc: "Its first region computes scores from the first captures, one for each; the second mixes values by the softmax \
          of the scores, which are its first argument, and takes the other captures. It means both, one after the other; \
          its kernel does both tile by tile, so that memory is linear in the number of keys. There, a key that is \
          masked by its position does not count, even if its value is infinite or NaN.",
    operands: Operands::Variadic(&[], "capture"),
    attrs: &[],
    infer: region::in_turn,
    meaning: Meaning::Group { eval: region::eval_in_turn },
    gradient: Gradient::None("is written after gradients are"),
    aliases: &[],
    sample: None,
};
