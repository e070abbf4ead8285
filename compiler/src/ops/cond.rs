//! `cond(test, captures…)`: one of two regions.

use super::region;
use crate::graph::{Call, DType, Eval, EvalError, Meaning, OpDef, OpError, Operands, Tensor, Type};

pub static OP: OpDef = OpDef {
    name: "cond",
    doc: "Runs its first region where `test` is true, else its second; both take the captures and give the same types.",
    operands: Operands::Variadic(&["test"], "capture"),
    attrs: &[],
    infer,
    meaning: Meaning::Control { eval },
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let test = Type::scalar(DType::Bool);
    if *call.operand(0) != test {
        let message = format!("the condition must be {test}, found {}", call.operand(0));
        return Err(OpError::operand(0, message).help("`select` chooses element by element"));
    }
    region::count(call, 2)?;
    let [first, second] =
        [region::results(call, 0, &call.operands[1..])?, region::results(call, 1, &call.operands[1..])?];
    region::agree(call, "the results of its branches", &first, &second)?;
    Ok(first)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let branch = usize::from(eval.operands[0].int_at(0) == 0);
    eval.region(branch, eval.operands[1..].to_vec())
}
