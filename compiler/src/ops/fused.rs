//! `fused(captures…)`: ops that become one kernel.

use super::region;
use crate::graph::{Call, Eval, EvalError, Gradient, Meaning, OpDef, OpError, Operands, Tensor, Type};

pub static OP: OpDef = OpDef {
    name: "fused",
    doc: "What its region computes from the captures. It changes nothing: the fusion pass groups what shall be one \
          kernel.",
    operands: Operands::Variadic(&[], "capture"),
    attrs: &[],
    infer,
    meaning: Meaning::Group { eval },
    gradient: Gradient::None("is written after gradients are"),
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 1)?;
    region::results(call, 0, call.operands)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    eval.region(0, eval.operands.to_vec())
}
