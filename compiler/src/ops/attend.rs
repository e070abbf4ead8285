//! `attend(captures…)`: attention whose scores are never stored as a whole.

use super::region;
use crate::graph::{Call, Eval, EvalError, Gradient, Meaning, OpDef, OpError, Operands, Tensor, Type};

pub static OP: OpDef = OpDef {
    name: "attend",
    doc: "Its first region computes scores from the first captures, one for each; the second mixes values by the softmax \
          of the scores, which are its first argument, and takes the other captures. It means both, one after the other; \
          its kernel does both tile by tile, so that memory is linear in the number of keys. There, a key that is \
          masked by its position does not count, even if its value is infinite or NaN.",
    operands: Operands::Variadic(&[], "capture"),
    attrs: &[],
    infer,
    meaning: Meaning::Group { eval },
    gradient: Gradient::None("is written after gradients are"),
    aliases: &[],
    sample: None,
};

/// How many of the captures the scores take.
pub fn n_score_captures(call: &Call) -> usize {
    call.regions.first().map_or(0, |score| score.arguments().len()).min(call.operands.len())
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 2)?;
    let (score, mix) = call.operands.split_at(n_score_captures(call));
    let mut arguments = region::results(call, 0, score)?;
    if arguments.len() != 1 {
        return Err(OpError::new(format!("`attend`: its first region has one result, found {}", arguments.len())));
    }
    arguments.extend_from_slice(mix);
    region::results(call, 1, &arguments)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let (score, mix) = eval.operands.split_at(n_score_captures(eval.call));
    let mut arguments = eval.region(0, score.to_vec())?;
    arguments.extend_from_slice(mix);
    eval.region(1, arguments)
}
