//! `while(carries…, captures…)`: the body as long as a condition holds, passing values on.

use super::region;
use crate::graph::{
    Attr, AttrKind, Call, DType, Default, Eval, EvalError, Meaning, OpDef, OpError, Operands, Tensor, Type, attr,
};

pub static OP: OpDef = OpDef {
    name: "while",
    doc: "Runs its second region as long as its first gives true, at most `at_most` times. Both take the carries and \
          the captures; the second gives the next carries. The result is the last carries.",
    operands: Operands::Variadic(&[], "carry or capture"),
    attrs: &[attr("carries", AttrKind::Int, Default::Required), attr("at_most", AttrKind::Int, Default::Absent)],
    infer,
    meaning: Meaning::Control { eval },
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 2)?;
    let carries = &call.operands[..region::n_carries(call, 0)?];
    let test = region::results(call, 0, call.operands)?;
    region::agree(call, "its condition", &[Type::scalar(DType::Bool)], &test)?;
    let results = region::results(call, 1, call.operands)?;
    region::agree(call, "its carries", carries, &results)?;
    Ok(results)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let at_most = match eval.call.attrs.get("at_most") {
        Some(Attr::Int(n)) => *n,
        _ => i64::MAX,
    };
    let (carries, captures) = eval.operands.split_at(eval.results.len());
    let mut carries = carries.to_vec();
    for _ in 0..at_most {
        carries.extend_from_slice(captures);
        let goes_on = eval.region(0, carries.clone())?.first().is_some_and(|test| test.int_at(0) != 0);
        if !goes_on {
            carries.truncate(eval.results.len());
            break;
        }
        carries = eval.region(1, carries)?;
    }
    Ok(carries)
}
