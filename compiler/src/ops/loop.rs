//! `loop(from, to, carries…, captures…)`: the body once for each index, passing values on.

use super::region;
use crate::graph::{
    AttrKind, Call, DType, Default, Eval, EvalError, Meaning, OpDef, OpError, Operands, Tensor, Type, attr,
};

pub static OP: OpDef = OpDef {
    name: "loop",
    doc: "Runs its body for each index from `from` up to `to`, not included; the body takes the index, the carries and \
          the captures and gives the next carries. The result is the last carries.",
    operands: Operands::Variadic(&["from", "to"], "carry or capture"),
    attrs: &[attr("carries", AttrKind::Int, Default::Required)],
    infer,
    meaning: Meaning::Control { eval },
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let index = Type::scalar(DType::I64);
    for idx in 0..2 {
        if *call.operand(idx) != index {
            let (name, found) = (call.operand_name(idx), call.operand(idx));
            return Err(OpError::operand(idx, format!("`{name}` must be {index}, found {found}")));
        }
    }
    region::count(call, 1)?;
    let carries = &call.operands[2..2 + region::n_carries(call, 2)?];
    let arguments: Vec<Type> = std::iter::once(&index).chain(&call.operands[2..]).cloned().collect();
    let results = region::results(call, 0, &arguments)?;
    region::agree(call, "its carries", carries, &results)?;
    Ok(results)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let (from, to) = (eval.operands[0].int_at(0), eval.operands[1].int_at(0));
    let (carries, captures) = eval.operands[2..].split_at(eval.results.len());
    let mut carries = carries.to_vec();
    for index in from..to {
        carries.insert(0, Tensor::int_scalar(DType::I64, index));
        carries.extend_from_slice(captures);
        carries = eval.region(0, carries)?;
    }
    Ok(carries)
}
