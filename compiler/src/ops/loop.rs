//! `loop(from, to, carries…, captures…)`: the body once for each index, passing values on.

use super::{region, reverse, scan};
use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, DType, Default, Eval, EvalError, Gradient, Meaning, OpDef, OpError, Operands,
    Role, Tensor, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "loop",
    doc: "Runs its body for each index from `from` up to `to`, not included; the body takes the index, the carries and \
          the captures and gives the next carries. The result is the last carries. `turns` says how many \
          there are, where that is known: a gradient needs it.",
    operands: Operands::Variadic(&["from", "to"], "carry or capture"),
    attrs: &[attr("carries", AttrKind::Int, Default::Required), attr("turns", AttrKind::Dim, Default::Absent)],
    infer,
    meaning: Meaning::Control { eval },
    gradient: Gradient::Kept { keep, rule: |b, pull| reverse::through(b, pull, keep) },
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

/// The same as a `scan`, which counts from zero and keeps its carries.
fn keep(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let Some(Attr::Dim(turns)) = call.attrs.get("turns") else {
        let message = "nobody knows before it runs how many turns this loop takes, so it cannot be differentiated";
        return Err(OpError::new(message).help("count up to a size, or write `loop while …, at most n`"));
    };
    let (from, rest) = (operands[0], &operands[2..]);
    let mut body =
        region::with_arguments(b.graph, "body", &[&[Type::scalar(DType::I64)], &call.operands[2..]].concat());
    let start = body.add_argument("from", Role::Data, Type::scalar(DType::I64));
    let mut arguments: Vec<Value> = body.arguments().iter().map(|argument| argument.value).collect();
    arguments.pop();
    let mut inner = Builder::new(&mut body, b.origin.clone());
    arguments[0] = inner.add(arguments[0], start)?;
    let results = region::inline(&mut inner, &call.regions[0], &arguments)?;
    region::set_outputs(&mut body, &results);
    let attrs = Attrs::none().with("carries", call.attrs.int("carries")).with("trip", turns.clone());
    let operands = [rest, &[from]].concat();
    scan::keeping(b, attrs, &operands, body)
}
